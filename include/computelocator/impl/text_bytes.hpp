// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// What bytes are, one by one. Eight at a time, in plain integers: the first byte of the text is the
// lowest of the word. And sixteen at a time, with what every processor of the kind has.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace computelocator::detail {

inline constexpr std::uint8_t name_first = 1, name_more = 2, label_first = 4, label_more = 8;

inline constexpr std::array<std::uint8_t, 256> make_name_classes() {
  std::array<std::uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (letter) classes[c] = name_first | name_more | label_first | label_more;
    else if (c >= '0' && c <= '9') classes[c] = name_more | label_more;
    else if (c == ':') classes[c] = name_first | name_more;
  }
  return classes;
}
inline constexpr std::array<std::uint8_t, 256> name_classes = make_name_classes();

inline bool is(char c, std::uint8_t kind) noexcept {
  return (name_classes[static_cast<unsigned char>(c)] & kind) != 0;
}

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

/// How many of the 16 bytes at `bytes` stand before the first that is not one of [A-Za-z0-9_], or, in
/// the name of a metric, ':'.
template <bool Metric>
inline std::size_t name_bytes(const char* bytes) noexcept {
#ifdef __SSE2__
  const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  const auto among = [](__m128i of, char first, char last) {
    const __m128i from_first = _mm_sub_epi8(of, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_first, _mm_set1_epi8(static_cast<char>(last - first))), from_first);
  };
  const __m128i letter = among(_mm_or_si128(text, _mm_set1_epi8(0x20)), 'a', 'z');
  const __m128i digit = among(text, '0', Metric ? ':' : '9');
  const __m128i good = _mm_or_si128(_mm_or_si128(letter, digit), _mm_cmpeq_epi8(text, _mm_set1_epi8('_')));
  return static_cast<std::size_t>(std::countr_one(static_cast<std::uint32_t>(_mm_movemask_epi8(good))));
#else
  const auto other = [](const char* at) { return Metric ? not_metric_name(load_word(at)) : not_label_name(load_word(at)); };
  if (const std::uint64_t first = other(bytes); first != 0) return bytes_before(first);
  const std::uint64_t second = other(bytes + 8);
  return second == 0 ? 16 : 8 + bytes_before(second);
#endif
}

inline bool same_16_bytes(const char* a, const char* b) noexcept {
#ifdef __SSE2__
  const __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  return _mm_movemask_epi8(equal) == 0xFFFF;
#else
  return load_word(a) == load_word(b) && load_word(a + 8) == load_word(b + 8);
#endif
}

/// The newline that ends the text at `at`, where it is ASCII and ends before `until`; else nullptr. 16 bytes
/// from `until` on may be read.
inline const char* end_of_ascii_line(const char* at, const char* until) noexcept {
#ifdef __SSE2__
  for (; at < until; at += 16) {
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i newlines = _mm_cmpeq_epi8(text, _mm_set1_epi8('\n'));
    if (const int found = _mm_movemask_epi8(_mm_or_si128(newlines, text)); found != 0) {
      at += std::countr_zero(static_cast<std::uint32_t>(found));
      return *at == '\n' && at < until ? at : nullptr;
    }
  }
#else
  for (; at < until; at += 8) {
    const std::uint64_t word = load_word(at), others = word ^ each_byte('\n');
    // Above a newline a byte may be taken for one too, but the lowest that is found is right.
    if (const std::uint64_t found = ((others - each_byte(1)) | word) & each_byte(0x80); found != 0) {
      at += bytes_before(found);
      return *at == '\n' && at < until ? at : nullptr;
    }
  }
#endif
  return nullptr;
}

/// A text that stays where it is, and that others are mostly equal to. Its place, and theirs, have 16
/// bytes that may be read.
class known_text {
 public:
  void set(const char* bytes, std::size_t size) noexcept {
    data_ = bytes;
    size_ = size;
    ignored_ = size < 16 ? 0xFFFFu << size & 0xFFFFu : 0;
    std::memcpy(head_, bytes, 16);
  }
  void forget() noexcept { size_ = 0; }

  /// True where `bytes` begin with it.
  [[gnu::always_inline]] bool begins(const char* bytes) const noexcept {
#ifdef __SSE2__
    const __m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)),
                                         _mm_load_si128(reinterpret_cast<const __m128i*>(head_)));
    const bool same = (static_cast<std::uint32_t>(_mm_movemask_epi8(equal)) | ignored_) == 0xFFFFu;
#else
    const bool same = size_ >= 16 ? same_16_bytes(bytes, head_) : same_bytes(bytes, head_, size_);
#endif
    return same && (size_ <= 16 || (same_16_bytes(bytes + size_ - 16, data_ + size_ - 16) &&
                                    (size_ <= 32 || (same_16_bytes(bytes + 16, data_ + 16) &&
                                                     (size_ <= 48 || same_bytes(bytes + 32, data_ + 32, size_ - 48))))));
  }

  const char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  alignas(16) char head_[16];
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::uint32_t ignored_ = 0;
};

}  // namespace computelocator::detail
