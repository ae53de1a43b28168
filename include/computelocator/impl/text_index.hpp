// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <computelocator/impl/text_bytes.hpp>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define COMPUTELOCATOR_X86_KERNELS 1
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON) && (defined(__GNUC__) || defined(__clang__))
#define COMPUTELOCATOR_NEON_KERNEL 1
#include <arm_neon.h>
#endif

namespace computelocator::detail {

/// Where a mark stands, from the start of its window.
using mark = std::uint16_t;

/// The marks of one window of a page: its newlines, and its quotes that no backslash escapes, in
/// the order of the page.
struct mark_window {
  static constexpr std::size_t most_bytes = 16384;
  static constexpr std::size_t slack = 64;  ///< kernels write whole vectors

  std::uint64_t unproven[most_bytes / 4096];  ///< a bit for 64 bytes: they may not be UTF-8
  std::size_t count;
  mark at[most_bytes + slack];
};

/// Lines that begin with a metric's name and end before the page does.
struct lines_named {
  const known_text& name;
  const char* end;  ///< of the page

  /// True where the line at `line` is one of them. 16 bytes there may be read.
  [[gnu::always_inline]] bool have(const char* line) const noexcept {
    return name.size() < static_cast<std::size_t>(end - line) && name.begins(line) && !is(line[name.size()], name_more);
  }
};

/// True where `size` >= 64 bytes are equal.
using same_function = bool (*)(const char* a, const char* b, std::size_t size) noexcept;

/// The loops over the bytes of a page that are written for each kind of processor.
struct kernel {
  const char* name;
  bool (*available)() noexcept;
  /// Marks a window that starts with a line. Reads its `size` bytes and nothing else. A line of whose
  /// bytes none is unproven is UTF-8, with its newline.
  void (*index)(const char* bytes, std::size_t size, mark_window& out) noexcept;
  /// Leaves out the line at `line` and those behind it that are `like` it, up to 64 bytes before `until`; adds
  /// them to `lines` and gives the start of the next, or `line` where that does not end before.
  const char* (*skip)(const char* line, const char* until, const lines_named& like, std::size_t& lines) noexcept;
  same_function same;
};

/// What a first look at 64 bytes finds: one bit a byte, lowest bit first.
struct first_look {
  std::uint64_t marks;  ///< newlines and quotes
  bool odd;             ///< there are backslashes or bytes of 0x80 and above
};

/// Tells the backslash that escapes from the one that is escaped, 64 bytes at a time.
class escape_state {
 public:
  /// The bytes that an odd number of backslashes stands before.
  [[gnu::always_inline]] std::uint64_t escaped(std::uint64_t backslashes) noexcept {
    constexpr std::uint64_t even = 0x5555555555555555u;
    backslashes &= ~carry_;
    const std::uint64_t behind = backslashes << 1 | carry_;
    // The sum runs through each row of backslashes to the byte behind it; where the row began on
    // an odd bit and ended on an even one, or the other way round, its length is odd.
    const std::uint64_t odd_starts = backslashes & ~even & ~behind;
    const std::uint64_t ends = odd_starts + backslashes;
    carry_ = ends < backslashes ? 1 : 0;
    return (even ^ (ends << 1)) & behind;
  }

  [[gnu::always_inline]] bool pending() const noexcept { return carry_ != 0; }

 private:
  std::uint64_t carry_ = 0;
};

/// Fetches what comes 2 KiB later; a page mostly lies in the third-level cache. Of no effect behind it.
[[gnu::always_inline]] inline void prefetch(const char* bytes) noexcept {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(bytes) + 2048));
#endif
}

/// The place of the lowest bit; anything where there is none, and without a branch on that.
[[gnu::always_inline]] inline std::size_t lowest_or_any(std::uint64_t bits) noexcept {
#ifdef COMPUTELOCATOR_X86_KERNELS
  // Where a processor does not know TZCNT it reads the same bytes as BSF.
  std::uint64_t at;
  __asm__("tzcnt %1, %0" : "=r"(at) : "r"(bits) : "cc");
  return at;
#else
  return static_cast<std::size_t>(std::countr_zero(bits | std::uint64_t{1} << 63));
#endif
}

/// One mark a bit that is set. The first four come without a question, as there are rarely more.
[[gnu::always_inline]] inline mark* append_bits(std::uint64_t bits, std::size_t from, mark* end) noexcept {
  const auto count = static_cast<std::size_t>(std::popcount(bits));
  const auto next = [&](std::size_t i) {
    // Volatile, as gcc else gathers four of them into one store, which takes longer.
    *const_cast<volatile mark*>(end + i) = static_cast<mark>(from + lowest_or_any(bits));
    bits &= bits - 1;
  };
  for (std::size_t i = 0; i < 4; ++i) next(i);
  if (count > 4) {
    for (std::size_t i = 4; i < 8; ++i) next(i);
    for (std::size_t i = 8; i < count; ++i) next(i);
  }
  return end + count;
}

/// The kernels, written once. `Isa` says how 64 bytes become masks and how a mask becomes marks. This
/// is inlined into a function with the target of its Isa, and the members of Isa into that.
template <class Isa>
struct marker {
  mark_window& out;
  mark* end;
  escape_state escapes{};
  bool cut = false;  // a character of several bytes goes on behind the bytes seen last

  [[gnu::always_inline]] void all(const char* bytes, std::size_t from) noexcept {
    first_look found = Isa::look(bytes);
    if (found.odd || escapes.pending() || cut) {
      if (const std::uint64_t backslashes = Isa::equal(bytes, '\\'); backslashes != 0 || escapes.pending())
        found.marks &= ~(escapes.escaped(backslashes) & Isa::equal(bytes, '"'));
      if (cut || Isa::foreign(bytes)) {
        out.unproven[from / 4096] |= std::uint64_t{!is_utf8(bytes, from)} << (from / 64 % 64);
        const auto last = [&](int i) { return static_cast<unsigned char>(bytes[64 - i]); };
        cut = last(1) >= 0xC0 || last(2) >= 0xE0 || last(3) >= 0xF0;
      }
    }
    end = Isa::append(found.marks, from, end);
  }

  [[gnu::always_inline]] static bool is_utf8(const char* bytes, std::size_t from) noexcept {
    if (from != 0) return Isa::is_utf8(bytes);
    char copy[3 + 64] = {};  // nothing before a window is read
    std::memcpy(copy + 3, bytes, 64);
    return Isa::is_utf8(copy + 3);
  }

  [[gnu::always_inline]] static void index(const char* bytes, std::size_t size, mark_window& out) noexcept {
    std::memset(out.unproven, 0, sizeof out.unproven);
    const std::size_t whole = size / 64 * 64;
    // The last bytes by way of a padded copy, with three before them: nothing behind them is read.
    char copy[3 + 64] = {};
    char* const tail = copy + 3;
    const std::size_t before = whole == 0 ? 0 : 3;
    std::memcpy(tail - before, bytes + whole - before, size - whole + before);
    marker writer{out, out.at};
    for (std::size_t from = 0; from < whole; from += 64) {
      prefetch(bytes + from);
      writer.all(bytes + from, from);
    }
    if (whole != size) writer.all(tail, whole);
    out.count = static_cast<std::size_t>(writer.end - out.at);
  }

  [[gnu::always_inline]] static const char* skip(const char* line, const char* until, const lines_named& like,
                                                 std::size_t& lines) noexcept {
    for (const char* bytes = line; until - bytes >= 64; bytes += 64) {
      prefetch(bytes);
      for (std::uint64_t newlines = Isa::equal(bytes, '\n'); newlines != 0; newlines &= newlines - 1) {
        line = bytes + lowest_or_any(newlines) + 1;
        ++lines;
        if (!like.have(line)) return line;
      }
    }
    return line;
  }

  [[gnu::always_inline]] static bool same(const char* a, const char* b, std::size_t size) noexcept {
    for (std::size_t at = 0; at + 64 < size; at += 64) {
      prefetch(a + at);
      if (!Isa::same(a + at, b + at)) return false;
    }
    return Isa::same(a + size - 64, b + size - 64);
  }
};

/// The specification that every other kernel is tested against.
inline void index_scalar(const char* bytes, std::size_t size, mark_window& out) noexcept {
  std::memset(out.unproven, 0, sizeof out.unproven);
  out.count = 0;
  bool escaped = false;
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] == '\n' || (bytes[i] == '"' && !escaped)) out.at[out.count++] = static_cast<mark>(i);
    if (static_cast<unsigned char>(bytes[i]) >= 0x80) out.unproven[i / 4096] |= std::uint64_t{1} << (i / 64 % 64);
    escaped = bytes[i] == '\\' && !escaped;
  }
}

inline const char* skip_scalar(const char* line, const char* until, const lines_named& like, std::size_t& lines) noexcept {
  const char* const last = until - (until - line) % 64;
  for (const char* at = line; at != last; ++at)
    if (*at == '\n') {
      line = at + 1;
      ++lines;
      if (!like.have(line)) break;
    }
  return line;
}

inline bool same_scalar(const char* a, const char* b, std::size_t size) noexcept { return std::memcmp(a, b, size) == 0; }

#ifdef COMPUTELOCATOR_X86_KERNELS
struct sse2_isa {
  static __m128i load(const char* bytes, int quarter) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + quarter);
  }
  static std::uint64_t bits(__m128i of, int quarter) noexcept {
    return static_cast<std::uint64_t>(_mm_movemask_epi8(of)) << (16 * quarter);
  }
  static std::uint64_t equal(const char* bytes, char to) noexcept {
    std::uint64_t made = 0;
    for (int i = 0; i < 4; ++i) made |= bits(_mm_cmpeq_epi8(load(bytes, i), _mm_set1_epi8(to)), i);
    return made;
  }
  static bool same(const char* a, const char* b) noexcept {
    __m128i equal = _mm_set1_epi8(-1);
    for (int i = 0; i < 4; ++i) equal = _mm_and_si128(equal, _mm_cmpeq_epi8(load(a, i), load(b, i)));
    return _mm_movemask_epi8(equal) == 0xFFFF;
  }
  static bool foreign(const char* bytes) noexcept {
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(load(bytes, 0), load(bytes, 1)),
                                          _mm_or_si128(load(bytes, 2), load(bytes, 3)))) != 0;
  }
  static bool is_utf8(const char*) noexcept { return false; }  // not to be told quickly
  static first_look look(const char* bytes) noexcept {
    first_look made{};
    __m128i odd = _mm_setzero_si128();  // bytes of 0x80 and above have the highest bit; equality sets it
    for (int i = 0; i < 4; ++i) {
      const __m128i part = load(bytes, i);
      made.marks |= bits(_mm_or_si128(_mm_cmpeq_epi8(part, _mm_set1_epi8('\n')), _mm_cmpeq_epi8(part, _mm_set1_epi8('"'))), i);
      odd = _mm_or_si128(odd, _mm_or_si128(part, _mm_cmpeq_epi8(part, _mm_set1_epi8('\\'))));
    }
    made.odd = _mm_movemask_epi8(odd) != 0;
    return made;
  }
  static mark* append(std::uint64_t marks, std::size_t from, mark* end) noexcept { return append_bits(marks, from, end); }
};

inline void index_sse2(const char* bytes, std::size_t size, mark_window& out) noexcept {
  marker<sse2_isa>::index(bytes, size, out);
}
inline const char* skip_sse2(const char* line, const char* until, const lines_named& like,
                                            std::size_t& lines) noexcept {
  return marker<sse2_isa>::skip(line, until, like, lines);
}
inline bool same_sse2(const char* a, const char* b, std::size_t size) noexcept {
  return marker<sse2_isa>::same(a, b, size);
}

#define COMPUTELOCATOR_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))

struct avx2_isa {
  COMPUTELOCATOR_AVX2 static __m256i load(const char* bytes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }
  COMPUTELOCATOR_AVX2 static std::uint64_t bits(__m256i low, __m256i high) noexcept {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(low)) |
           static_cast<std::uint64_t>(_mm256_movemask_epi8(high)) << 32;
  }
  COMPUTELOCATOR_AVX2 static std::uint64_t equal(const char* bytes, char to) noexcept {
    const __m256i all = _mm256_set1_epi8(to);
    return bits(_mm256_cmpeq_epi8(load(bytes), all), _mm256_cmpeq_epi8(load(bytes + 32), all));
  }
  COMPUTELOCATOR_AVX2 static bool same(const char* a, const char* b) noexcept {
    return _mm256_movemask_epi8(_mm256_and_si256(_mm256_cmpeq_epi8(load(a), load(b)),
                                                 _mm256_cmpeq_epi8(load(a + 32), load(b + 32)))) == -1;
  }
  COMPUTELOCATOR_AVX2 static bool foreign(const char* bytes) noexcept {
    return _mm256_movemask_epi8(_mm256_or_si256(load(bytes), load(bytes + 32))) != 0;
  }
  /// 64 bytes, with the three before them. What is wrong with two bytes that stand together shows in
  /// three nibbles of them, by a table each; from two and three bytes away, a lead byte tells which
  /// must go on (Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte", 2021).
  [[gnu::noinline]] COMPUTELOCATOR_AVX2 static bool is_utf8(const char* bytes) noexcept {
    enum : unsigned char {
      too_short = 1, too_long = 2, overlong_3 = 4, too_large = 8, surrogate = 16, overlong_2 = 32,
      overlong_4 = 64,  // and above U+10FFFF by its second byte
      two_more = 128,
      any = too_short | too_long | two_more
    };
    const auto table = [](auto... of) COMPUTELOCATOR_AVX2 {
      return _mm256_broadcastsi128_si256(_mm_setr_epi8(static_cast<char>(of)...));
    };
    const __m256i lead_high = table(too_long, too_long, too_long, too_long, too_long, too_long, too_long, too_long,
                                    two_more, two_more, two_more, two_more, too_short | overlong_2, too_short,
                                    too_short | overlong_3 | surrogate, too_short | too_large | overlong_4);
    const __m256i lead_low = table(any | overlong_3 | overlong_2 | overlong_4, any | overlong_2, any, any,
                                   any | too_large, any | too_large | overlong_4, any | too_large | overlong_4,
                                   any | too_large | overlong_4, any | too_large | overlong_4, any | too_large | overlong_4,
                                   any | too_large | overlong_4, any | too_large | overlong_4, any | too_large | overlong_4,
                                   any | too_large | overlong_4 | surrogate, any | too_large | overlong_4,
                                   any | too_large | overlong_4);
    const __m256i next_high = table(
        too_short, too_short, too_short, too_short, too_short, too_short, too_short, too_short,
        too_long | overlong_2 | two_more | overlong_3 | overlong_4, too_long | overlong_2 | two_more | overlong_3 | too_large,
        too_long | overlong_2 | two_more | surrogate | too_large, too_long | overlong_2 | two_more | surrogate | too_large,
        too_short, too_short, too_short, too_short);
    const __m256i nibble = _mm256_set1_epi8(0x0F);
    const auto high = [&](__m256i of) COMPUTELOCATOR_AVX2 { return _mm256_and_si256(_mm256_srli_epi16(of, 4), nibble); };
    __m256i wrong = _mm256_setzero_si256();
    for (const char* at : {bytes, bytes + 32}) {
      const __m256i text = load(at), lead = load(at - 1);
      const __m256i of_two = _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(lead_high, high(lead)),
                                                               _mm256_shuffle_epi8(lead_low, _mm256_and_si256(lead, nibble))),
                                              _mm256_shuffle_epi8(next_high, high(text)));
      // The highest bit where three or four bytes must have begun two or three before.
      const __m256i goes_on = _mm256_or_si256(_mm256_subs_epu8(load(at - 2), _mm256_set1_epi8(0xE0 - 0x80)),
                                              _mm256_subs_epu8(load(at - 3), _mm256_set1_epi8(0xF0 - 0x80)));
      wrong = _mm256_or_si256(wrong, _mm256_xor_si256(_mm256_and_si256(goes_on, _mm256_set1_epi8(static_cast<char>(0x80))), of_two));
    }
    return _mm256_testz_si256(wrong, wrong) != 0;
  }
  COMPUTELOCATOR_AVX2 static first_look look(const char* bytes) noexcept {
    const __m256i low = load(bytes), high = load(bytes + 32);
    const __m256i newline = _mm256_set1_epi8('\n'), quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
    const __m256i odd = _mm256_or_si256(_mm256_or_si256(low, _mm256_cmpeq_epi8(low, backslash)),
                                        _mm256_or_si256(high, _mm256_cmpeq_epi8(high, backslash)));
    return {bits(_mm256_or_si256(_mm256_cmpeq_epi8(low, newline), _mm256_cmpeq_epi8(low, quote)),
                 _mm256_or_si256(_mm256_cmpeq_epi8(high, newline), _mm256_cmpeq_epi8(high, quote))),
            _mm256_movemask_epi8(odd) != 0};
  }
  COMPUTELOCATOR_AVX2 static mark* append(std::uint64_t marks, std::size_t from, mark* end) noexcept {
    return append_bits(marks, from, end);
  }
};

COMPUTELOCATOR_AVX2 inline void index_avx2(const char* bytes, std::size_t size, mark_window& out) noexcept {
  marker<avx2_isa>::index(bytes, size, out);
}
COMPUTELOCATOR_AVX2 inline const char* skip_avx2(const char* line, const char* until, const lines_named& like,
                                            std::size_t& lines) noexcept {
  return marker<avx2_isa>::skip(line, until, like, lines);
}
COMPUTELOCATOR_AVX2 inline bool same_avx2(const char* a, const char* b, std::size_t size) noexcept {
  return marker<avx2_isa>::same(a, b, size);
}
#undef COMPUTELOCATOR_AVX2

#define COMPUTELOCATOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,avx2,bmi,bmi2,popcnt")))

struct avx512_isa {
  COMPUTELOCATOR_AVX512 static std::uint64_t equal(const char* bytes, char to) noexcept {
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(bytes), _mm512_set1_epi8(to));
  }
  COMPUTELOCATOR_AVX512 static bool same(const char* a, const char* b) noexcept {
    return _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(a), _mm512_loadu_si512(b)) == 0;
  }
  COMPUTELOCATOR_AVX512 static bool foreign(const char* bytes) noexcept {
    return _mm512_movepi8_mask(_mm512_loadu_si512(bytes)) != 0;
  }
  COMPUTELOCATOR_AVX512 static bool is_utf8(const char* bytes) noexcept { return avx2_isa::is_utf8(bytes); }
  COMPUTELOCATOR_AVX512 static first_look look(const char* bytes) noexcept {
    return {equal(bytes, '\n') | equal(bytes, '"'), foreign(bytes) || equal(bytes, '\\') != 0};
  }
  /// Compresses the numbers 0 to 63 to those whose bit is set, and widens them.
  COMPUTELOCATOR_AVX512 static mark* append(std::uint64_t marks, std::size_t from, mark* end) noexcept {
    alignas(64) static constexpr unsigned char numbers[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const auto count = std::popcount(marks);
    const __m512i packed = _mm512_maskz_compress_epi8(marks, _mm512_load_si512(numbers));
    const __m512i base = _mm512_set1_epi16(static_cast<short>(from));
    // Extracts with a mask: gcc 12 takes the plain ones for uses of uninitialised values.
    const __m256i first = _mm512_maskz_extracti64x4_epi64(0xFF, packed, 0);
    _mm512_storeu_si512(end, _mm512_add_epi16(base, _mm512_cvtepu8_epi16(first)));
    if (count > 32) {
      const __m256i second = _mm512_maskz_extracti64x4_epi64(0xFF, packed, 1);
      _mm512_storeu_si512(end + 32, _mm512_add_epi16(base, _mm512_cvtepu8_epi16(second)));
    }
    return end + count;
  }
};

COMPUTELOCATOR_AVX512 inline void index_avx512(const char* bytes, std::size_t size, mark_window& out) noexcept {
  marker<avx512_isa>::index(bytes, size, out);
}
COMPUTELOCATOR_AVX512 inline const char* skip_avx512(const char* line, const char* until, const lines_named& like,
                                            std::size_t& lines) noexcept {
  return marker<avx512_isa>::skip(line, until, like, lines);
}
COMPUTELOCATOR_AVX512 inline bool same_avx512(const char* a, const char* b, std::size_t size) noexcept {
  return marker<avx512_isa>::same(a, b, size);
}
#undef COMPUTELOCATOR_AVX512
#endif

#ifdef COMPUTELOCATOR_NEON_KERNEL
struct neon_isa {
  /// Bit i of the result is of byte i; each byte is all ones or all zeros.
  static std::uint64_t bits(const uint8x16x4_t& of) noexcept {
    alignas(16) static constexpr std::uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t weight = vld1q_u8(weights);
    const uint8x16_t low = vpaddq_u8(vandq_u8(of.val[0], weight), vandq_u8(of.val[1], weight));
    const uint8x16_t high = vpaddq_u8(vandq_u8(of.val[2], weight), vandq_u8(of.val[3], weight));
    const uint8x16_t eighths = vpaddq_u8(low, high);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(eighths, eighths)), 0);
  }
  static uint8x16x4_t load(const char* bytes) noexcept {
    const auto* const from = reinterpret_cast<const std::uint8_t*>(bytes);
    return {{vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32), vld1q_u8(from + 48)}};
  }
  static std::uint64_t equal(const char* bytes, char to) noexcept {
    uint8x16x4_t all = load(bytes);
    for (uint8x16_t& part : all.val) part = vceqq_u8(part, vdupq_n_u8(static_cast<std::uint8_t>(to)));
    return bits(all);
  }
  static bool same(const char* a, const char* b) noexcept {
    const uint8x16x4_t left = load(a), right = load(b);
    uint8x16_t equal = vdupq_n_u8(0xFF);
    for (int i = 0; i < 4; ++i) equal = vandq_u8(equal, vceqq_u8(left.val[i], right.val[i]));
    return vminvq_u8(equal) == 0xFF;
  }
  static bool foreign(const char* bytes) noexcept {
    const uint8x16x4_t all = load(bytes);
    return vmaxvq_u8(vorrq_u8(vorrq_u8(all.val[0], all.val[1]), vorrq_u8(all.val[2], all.val[3]))) >= 0x80;
  }
  static bool is_utf8(const char*) noexcept { return false; }  // not to be told quickly
  static first_look look(const char* bytes) noexcept {
    uint8x16x4_t all = load(bytes);
    uint8x16_t odd = vdupq_n_u8(0);
    for (uint8x16_t& part : all.val) {
      odd = vorrq_u8(odd, vorrq_u8(part, vceqq_u8(part, vdupq_n_u8('\\'))));
      part = vorrq_u8(vceqq_u8(part, vdupq_n_u8('\n')), vceqq_u8(part, vdupq_n_u8('"')));
    }
    return {bits(all), vmaxvq_u8(odd) >= 0x80};
  }
  static mark* append(std::uint64_t marks, std::size_t from, mark* end) noexcept { return append_bits(marks, from, end); }
};

inline void index_neon(const char* bytes, std::size_t size, mark_window& out) noexcept {
  marker<neon_isa>::index(bytes, size, out);
}
inline const char* skip_neon(const char* line, const char* until, const lines_named& like,
                                            std::size_t& lines) noexcept {
  return marker<neon_isa>::skip(line, until, like, lines);
}
inline bool same_neon(const char* a, const char* b, std::size_t size) noexcept {
  return marker<neon_isa>::same(a, b, size);
}
#endif

/// Every kernel of this build, best first; the last one always runs.
inline constexpr kernel kernels[] = {
#ifdef COMPUTELOCATOR_X86_KERNELS
    {"avx512", []() noexcept { return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"); },
     index_avx512, skip_avx512, same_avx512},
    {"avx2", []() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); },
     index_avx2, skip_avx2, same_avx2},
    {"sse2", []() noexcept { return true; }, index_sse2, skip_sse2, same_sse2},
#endif
#ifdef COMPUTELOCATOR_NEON_KERNEL
    {"neon", []() noexcept { return true; }, index_neon, skip_neon, same_neon},
#endif
    {"scalar", []() noexcept { return true; }, index_scalar, skip_scalar, same_scalar},
};
inline constexpr const kernel& scalar_kernel = kernels[std::size(kernels) - 1];

/// The kernel that COMPUTELOCATOR_FORCE_KERNEL names. A name that this build or machine has not is
/// read as "scalar": whoever asks for less than the best must not get it by a slip of the pen.
inline const kernel& choose_kernel() noexcept {
  const char* const forced = std::getenv("COMPUTELOCATOR_FORCE_KERNEL");
  for (const kernel& each : kernels)
    if (each.available() && (forced == nullptr || *forced == '\0' || std::strcmp(forced, each.name) == 0)) return each;
  return scalar_kernel;
}

inline const kernel& best_kernel() noexcept {
  static const kernel& chosen = choose_kernel();
  return chosen;
}

/// A window of marks that moves forward over a page.
class line_index {
 public:
  line_index(std::string_view page, const kernel& by) noexcept : page_(page), kernel_(by) { window_.count = 0; }

  /// The marks of the window, as offsets from its begin(); one more may be read, and means nothing.
  const mark* marks() const noexcept { return window_.at; }
  std::size_t begin() const noexcept { return begin_; }
  /// How many there are, less those in the last `margin` bytes of the page.
  std::size_t count() const noexcept { return inner_count_; }
  static constexpr std::size_t margin = 64;

  /// The first mark that was not read yet.
  std::size_t cursor = 0;

  /// Places the cursor at the first mark at or behind `at`, where a line starts.
  void seek(std::size_t at) noexcept {
    if (at >= end_) return fill(at);
    std::size_t i = cursor;
    while (i < window_.count && begin_ + window_.at[i] < at) ++i;
    cursor = i;
  }

  /// Moves the window to `at`. One that goes on from the last is larger: whoever reads a line here
  /// and there should not pay for more.
  [[gnu::noinline]] void fill(std::size_t at) noexcept {
    size_ = at <= end_ ? std::min(size_ * 2, mark_window::most_bytes) : first_bytes;
    begin_ = at;
    end_ = std::min(at + size_, page_.size());
    kernel_.index(page_.data() + at, end_ - at, window_);
    window_.at[window_.count] = 0;
    cursor = 0;
    inner_count_ = window_.count;
    while (inner_count_ != 0 && begin_ + window_.at[inner_count_ - 1] + margin > page_.size()) --inner_count_;
    proven_ = true;
    for (const std::uint64_t some : window_.unproven) proven_ = proven_ && some == 0;
  }

  /// Moves the window so that more of the line at `at` is in it; false where nothing is gained.
  bool extend(std::size_t at) noexcept {
    if (end_ == page_.size() || (begin_ == at && size_ == mark_window::most_bytes)) return false;
    fill(at);
    return true;
  }

  /// Offset of the newline that ends the line at `from`, or the page's size. The cursor is at its mark.
  std::size_t end_of_line(std::size_t from) noexcept {
    seek(from);
    do {
      for (; cursor < window_.count; ++cursor)
        if (page_[begin_ + window_.at[cursor]] == '\n') return begin_ + window_.at[cursor];
    } while (extend(from));
    // Longer than any window, or the last one.
    const void* const newline = end_ == page_.size() ? nullptr : std::memchr(page_.data() + end_, '\n', page_.size() - end_);
    return newline ? static_cast<std::size_t>(static_cast<const char*>(newline) - page_.data()) : page_.size();
  }

  /// True where the line from `from` to its newline, which lies in the window, is UTF-8; false where
  /// it may not be.
  bool is_utf8(std::size_t from, std::size_t newline) const noexcept {
    if (proven_) return true;
    for (std::size_t block = (from - begin_) / 64; block <= (newline - begin_) / 64; ++block)
      if ((window_.unproven[block / 64] >> (block % 64) & 1) != 0) return false;
    return true;
  }

 private:
  static constexpr std::size_t first_bytes = 1024;

  std::string_view page_;
  const kernel& kernel_;
  std::size_t begin_ = 0, end_ = 0, size_ = first_bytes / 2, inner_count_ = 0;
  bool proven_ = true;
  mark_window window_;
};

}  // namespace computelocator::detail
