// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Eight bytes at a time, in plain integers: the first byte of the text is the lowest of the word.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace computelocator::detail {

inline constexpr std::uint64_t each_byte(std::uint64_t value) noexcept { return value * 0x0101010101010101u; }

inline std::uint64_t load_word(const char* bytes) noexcept {
  std::uint64_t word;
  std::memcpy(&word, bytes, 8);
  if constexpr (std::endian::native == std::endian::big) {
    std::uint64_t turned = 0;
    for (int i = 0; i < 8; ++i, word >>= 8) turned = turned << 8 | (word & 0xFF);
    return turned;
  }
  return word;
}

/// How many bytes stand before the first one that `flags` marks by its highest bit.
inline std::size_t bytes_before(std::uint64_t flags) noexcept {
  return static_cast<std::size_t>(std::countr_zero(flags)) / 8;
}

/// True where `size` >= 1 bytes are equal. Both places have 8 bytes that may be read.
inline bool same_bytes(const char* a, const char* b, std::size_t size) noexcept {
  if (size <= 8) return ((load_word(a) ^ load_word(b)) << (64 - 8 * size)) == 0;
  for (std::size_t i = 0; i + 8 < size; i += 8)
    if (load_word(a + i) != load_word(b + i)) return false;
  return load_word(a + size - 8) == load_word(b + size - 8);
}

/// As ==, without a call and without a byte read beyond the texts.
inline bool same_text(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  if (a.size() >= 8) return same_bytes(a.data(), b.data(), a.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) return false;
  return true;
}

/// The highest bit of each byte that is no digit.
inline std::uint64_t not_digits(std::uint64_t word) noexcept {
  const std::uint64_t digits = word ^ each_byte('0');  // 0 to 9 where it is one
  return (((digits & each_byte(0x7F)) + each_byte(0x76)) | digits) & each_byte(0x80);
}

/// The highest bit of each byte that is not one of [A-Za-z0-9_].
inline std::uint64_t not_label_name(std::uint64_t word) noexcept {
  const std::uint64_t low = word & each_byte(0x7F);
  const std::uint64_t lower = low | each_byte(0x20);
  const std::uint64_t letter = (lower + each_byte(0x80 - 'a')) & ~(lower + each_byte(0x7F - 'z'));
  const std::uint64_t digit = (low + each_byte(0x80 - '0')) & ~(low + each_byte(0x7F - '9'));
  const std::uint64_t underscore = ~((low ^ each_byte('_')) + each_byte(0x7F));
  return ~((letter | digit | underscore) & ~word) & each_byte(0x80);
}

/// As above, with ':' allowed.
inline std::uint64_t not_metric_name(std::uint64_t word) noexcept {
  const std::uint64_t colon = ~(((word & each_byte(0x7F)) ^ each_byte(':')) + each_byte(0x7F)) & ~word;
  return not_label_name(word) & ~colon;
}

}  // namespace computelocator::detail
