// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include <computelocator/inflate.hpp>

namespace computelocator {

bool is_gzip(std::string_view bytes) noexcept {
  return bytes.size() >= 3 && bytes[0] == '\x1f' && bytes[1] == '\x8b' && bytes[2] == '\x08';
}

result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes) {
  const auto bad = [](errc code, const char* what, const char* advice) {
    return error{code, {}, what, advice};
  };
  const auto truncated = [&] {
    return bad(errc::truncated, "the gzip data ends early", "fetch it again");
  };
  if (!is_gzip(bytes))
    return bad(errc::bad_encoding, "this is not gzip", "have the peer send gzip or identity");
  // The state is 80 KB: too much for the stacks of small threads.
  const auto state = std::make_unique<inflate_state>();
  std::string text;
  // What a page inflates to is guessed from the length that the last member says, within reason:
  // it is the peer's word.
  std::uint32_t said = 0;
  if (bytes.size() >= 18) std::memcpy(&said, bytes.data() + bytes.size() - 4, 4);
  text.resize(std::min({std::size_t{said} + 1, bytes.size() * 40 + 4096, max_bytes + 1}));
  std::size_t made = 0, taken = 0;
  while (taken < bytes.size()) {
    if (!is_gzip(bytes.substr(taken))) {
      if (taken == 0 || bytes.size() - taken < 3) return truncated();
      return bad(errc::bad_encoding, "bytes behind the gzip data", "have the peer send one gzip body");
    }
    isal_inflate_init(state.get());
    state->crc_flag = ISAL_GZIP;
    const std::size_t left = bytes.size() - taken;
    if (left > std::numeric_limits<std::uint32_t>::max())
      return bad(errc::too_large, "more than 4 GiB of gzip data", "split the file");
    state->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data() + taken));
    state->avail_in = static_cast<std::uint32_t>(left);
    do {
      if (made == text.size()) {
        if (made > max_bytes)
          return bad(errc::too_large, "more than the limit once inflated", "ask for fewer metrics, or raise the limit");
        text.resize(std::min(std::max<std::size_t>(text.size() * 2, 64 * 1024), max_bytes + 1));
      }
      const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(text.size() - made, 1u << 30));
      state->next_out = reinterpret_cast<std::uint8_t*>(text.data() + made);
      state->avail_out = room;
      const int fault = isal_inflate(state.get());
      made += room - state->avail_out;
      if (fault == ISAL_INCORRECT_CHECKSUM)
        return bad(errc::bad_encoding, "gzip data whose check sum is wrong", "fetch it again");
      if (fault < 0) return bad(errc::bad_encoding, "damaged gzip data", "fetch it again");
      if (state->block_state != ISAL_BLOCK_FINISH && state->avail_in == 0 && state->avail_out != 0)
        return truncated();
    } while (state->block_state != ISAL_BLOCK_FINISH);
    if (made > max_bytes)
      return bad(errc::too_large, "more than the limit once inflated", "ask for fewer metrics, or raise the limit");
    taken = bytes.size() - state->avail_in;
  }
  text.resize(made);
  return text;
}

}  // namespace computelocator
