// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

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

  std::uint64_t foreign[most_bytes / 4096];  ///< a bit for 64 bytes: one of them is not ASCII
  std::size_t count;
  mark at[most_bytes + slack];
};

/// Marks a window that starts with a line. Reads its `size` bytes and nothing else. `lines_only`
/// leaves out quotes, for lines that nobody wants, and `foreign`.
using index_kernel = void (*)(const char* bytes, std::size_t size, bool lines_only, mark_window& out);

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

/// One mark a bit that is set. The first four come without a question, as there are rarely more.
[[gnu::always_inline]] inline mark* append_bits(std::uint64_t bits, std::size_t from, mark* end) noexcept {
  const auto count = static_cast<std::size_t>(std::popcount(bits));
  const auto next = [&](std::size_t i) {
    // With the highest bit set there is no zero, on which gcc would branch.
    auto at = from + static_cast<std::size_t>(std::countr_zero(bits | std::uint64_t{1} << 63));
    __asm__("" : "+r"(at));  // else gcc gathers four of them into a vector, which takes longer
    end[i] = static_cast<mark>(at);
    bits &= bits - 1;
  };
  for (std::size_t i = 0; i < 4; ++i) next(i);
  if (count > 4) {
    for (std::size_t i = 4; i < 8; ++i) next(i);
    for (std::size_t i = 8; i < count; ++i) next(i);
  }
  return end + count;
}

/// The same for masks that are mostly empty.
[[gnu::always_inline]] inline mark* append_few(std::uint64_t bits, std::size_t from, mark* end) noexcept {
  for (; bits != 0; bits &= bits - 1) *end++ = static_cast<mark>(from + static_cast<std::size_t>(std::countr_zero(bits)));
  return end;
}

/// The kernel, written once. `Isa` says how 64 bytes become masks and how a mask becomes marks. This
/// is inlined into a function with the target of its Isa, and the members of Isa into that.
template <class Isa>
struct marker {
  mark_window& out;
  mark* end;
  escape_state escapes{};

  [[gnu::always_inline]] void lines(const char* bytes, std::size_t from) noexcept {
    end = append_few(Isa::equal(bytes, '\n'), from, end);
  }

  [[gnu::always_inline]] void all(const char* bytes, std::size_t from) noexcept {
    first_look found = Isa::look(bytes);
    if (found.odd || escapes.pending()) {
      found.marks &= ~(escapes.escaped(Isa::equal(bytes, '\\')) & Isa::equal(bytes, '"'));
      out.foreign[from / 4096] |= std::uint64_t{Isa::foreign(bytes)} << (from / 64 % 64);
    }
    end = Isa::append(found.marks, from, end);
  }

  [[gnu::always_inline]] static void run(const char* bytes, std::size_t size, bool lines_only, mark_window& out) noexcept {
    std::memset(out.foreign, 0, sizeof out.foreign);
    const std::size_t whole = size / 64 * 64;
    char tail[64] = {};  // the last bytes by way of a padded copy: nothing behind them is read
    std::memcpy(tail, bytes + whole, size - whole);
    marker writer{out, out.at};
    if (lines_only) {
      for (std::size_t from = 0; from < whole; from += 64) {
        prefetch(bytes + from);
        writer.lines(bytes + from, from);
      }
      if (whole != size) writer.lines(tail, whole);
    } else {
      for (std::size_t from = 0; from < whole; from += 64) {
        prefetch(bytes + from);
        writer.all(bytes + from, from);
      }
      if (whole != size) writer.all(tail, whole);
    }
    out.count = static_cast<std::size_t>(writer.end - out.at);
  }
};

/// The specification that every other kernel is tested against.
inline void index_scalar(const char* bytes, std::size_t size, bool lines_only, mark_window& out) noexcept {
  std::memset(out.foreign, 0, sizeof out.foreign);
  out.count = 0;
  bool escaped = false;
  for (std::size_t i = 0; i < size; ++i) {
    if (bytes[i] == '\n' || (bytes[i] == '"' && !escaped && !lines_only)) out.at[out.count++] = static_cast<mark>(i);
    if (static_cast<unsigned char>(bytes[i]) >= 0x80) out.foreign[i / 4096] |= std::uint64_t{1} << (i / 64 % 64);
    escaped = bytes[i] == '\\' && !escaped;
  }
}

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
  static bool foreign(const char* bytes) noexcept {
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(load(bytes, 0), load(bytes, 1)),
                                          _mm_or_si128(load(bytes, 2), load(bytes, 3)))) != 0;
  }
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

inline void index_sse2(const char* bytes, std::size_t size, bool lines_only, mark_window& out) noexcept {
  marker<sse2_isa>::run(bytes, size, lines_only, out);
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
  COMPUTELOCATOR_AVX2 static bool foreign(const char* bytes) noexcept {
    return _mm256_movemask_epi8(_mm256_or_si256(load(bytes), load(bytes + 32))) != 0;
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

COMPUTELOCATOR_AVX2 inline void index_avx2(const char* bytes, std::size_t size, bool lines_only,
                                           mark_window& out) noexcept {
  marker<avx2_isa>::run(bytes, size, lines_only, out);
}
#undef COMPUTELOCATOR_AVX2

#define COMPUTELOCATOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,avx2,bmi,bmi2,popcnt")))

struct avx512_isa {
  COMPUTELOCATOR_AVX512 static std::uint64_t equal(const char* bytes, char to) noexcept {
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(bytes), _mm512_set1_epi8(to));
  }
  COMPUTELOCATOR_AVX512 static bool foreign(const char* bytes) noexcept {
    return _mm512_movepi8_mask(_mm512_loadu_si512(bytes)) != 0;
  }
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

COMPUTELOCATOR_AVX512 inline void index_avx512(const char* bytes, std::size_t size, bool lines_only,
                                               mark_window& out) noexcept {
  marker<avx512_isa>::run(bytes, size, lines_only, out);
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
  static bool foreign(const char* bytes) noexcept {
    const uint8x16x4_t all = load(bytes);
    return vmaxvq_u8(vorrq_u8(vorrq_u8(all.val[0], all.val[1]), vorrq_u8(all.val[2], all.val[3]))) >= 0x80;
  }
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

inline void index_neon(const char* bytes, std::size_t size, bool lines_only, mark_window& out) noexcept {
  marker<neon_isa>::run(bytes, size, lines_only, out);
}
#endif

struct named_kernel {
  const char* name;
  index_kernel run;
  bool (*available)() noexcept;
};

/// Every kernel of this build, best first; the last one always runs.
inline constexpr named_kernel index_kernels[] = {
#ifdef COMPUTELOCATOR_X86_KERNELS
    {"avx512", index_avx512,
     []() noexcept { return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"); }},
    {"avx2", index_avx2, []() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }},
    {"sse2", index_sse2, []() noexcept { return true; }},
#endif
#ifdef COMPUTELOCATOR_NEON_KERNEL
    {"neon", index_neon, []() noexcept { return true; }},
#endif
    {"scalar", index_scalar, []() noexcept { return true; }},
};

/// The kernel that COMPUTELOCATOR_FORCE_KERNEL names. A name that this build or machine has not is
/// read as "scalar": whoever asks for less than the best must not get it by a slip of the pen.
inline index_kernel choose_index_kernel() noexcept {
  const char* const forced = std::getenv("COMPUTELOCATOR_FORCE_KERNEL");
  for (const named_kernel& kernel : index_kernels)
    if (kernel.available() && (forced == nullptr || *forced == '\0' || std::strcmp(forced, kernel.name) == 0))
      return kernel.run;
  return index_scalar;
}

inline index_kernel best_index_kernel() noexcept {
  static const index_kernel chosen = choose_index_kernel();
  return chosen;
}

/// A window of marks that moves forward over a page.
class line_index {
 public:
  line_index(std::string_view page, index_kernel kernel) noexcept : page_(page), kernel_(kernel) { window_.count = 0; }

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
    if (at >= end_) return fill(at, false);
    while (cursor < window_.count && begin_ + window_.at[cursor] < at) ++cursor;
  }

  /// Moves the window to `at`. One that goes on from the last is larger: whoever reads a line here
  /// and there should not pay for more.
  void fill(std::size_t at, bool lines_only) noexcept {
    size_ = at <= end_ ? std::min(size_ * 2, mark_window::most_bytes) : first_bytes;
    begin_ = at;
    end_ = std::min(at + size_, page_.size());
    kernel_(page_.data() + at, end_ - at, lines_only, window_);
    window_.at[window_.count] = 0;
    cursor = 0;
    inner_count_ = window_.count;
    while (inner_count_ != 0 && begin_ + window_.at[inner_count_ - 1] + margin > page_.size()) --inner_count_;
    ascii_ = true;
    for (const std::uint64_t some : window_.foreign) ascii_ = ascii_ && some == 0;
  }

  /// Moves the window so that more of the line at `at` is in it; false where nothing is gained.
  bool extend(std::size_t at) noexcept {
    if (end_ == page_.size() || (begin_ == at && size_ == mark_window::most_bytes)) return false;
    fill(at, false);
    return true;
  }

  /// Forgets the window, whose marks were of lines only.
  void forget(std::size_t at) noexcept {
    begin_ = end_ = at;
    size_ = first_bytes / 2;
    window_.count = inner_count_ = cursor = 0;
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

  /// False where [from, limit), which lies in the window, is ASCII; true where it may not be.
  bool foreign(std::size_t from, std::size_t limit) const noexcept {
    if (ascii_) return false;
    for (std::size_t block = (from - begin_) / 64; block <= (limit - begin_) / 64; ++block)
      if ((window_.foreign[block / 64] >> (block % 64) & 1) != 0) return true;
    return false;
  }

 private:
  static constexpr std::size_t first_bytes = 1024;

  std::string_view page_;
  index_kernel kernel_;
  std::size_t begin_ = 0, end_ = 0, size_ = first_bytes / 2, inner_count_ = 0;
  bool ascii_ = true;
  mark_window window_;
};

}  // namespace computelocator::detail
