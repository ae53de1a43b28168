// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include <computelocator/impl/text_bytes.hpp>

namespace computelocator::detail {

/// True where `text` is UTF-8 by RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto follows = [](unsigned char c) { return (c & 0xC0u) == 0x80u; };
  for (;;) {
    while (end - p >= 8 && (load_word(reinterpret_cast<const char*>(p)) & each_byte(0x80)) == 0) p += 8;
    while (p != end && *p < 0x80) ++p;
    if (p == end) return true;
    // Where the second byte must lie is what rules out overlong forms, surrogates and what is too large.
    const unsigned char lead = *p;
    if (lead < 0xE0) {
      if (lead < 0xC2 || end - p < 2 || !follows(p[1])) return false;
      p += 2;
    } else if (lead < 0xF0) {
      if (end - p < 3 || !follows(p[1]) || !follows(p[2])) return false;
      if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] >= 0xA0)) return false;
      p += 3;
    } else {
      if (lead > 0xF4 || end - p < 4 || !follows(p[1]) || !follows(p[2]) || !follows(p[3])) return false;
      if ((lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] >= 0x90)) return false;
      p += 4;
    }
  }
}

}  // namespace computelocator::detail
