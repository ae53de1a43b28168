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
#endif

namespace computelocator::detail {

/// One bit a byte of 64 bytes of a page, lowest bit first.
struct byte_masks {
  std::uint64_t newlines;
  std::uint64_t quotes;
  std::uint64_t special;  ///< backslashes and bytes of 0x80 and above: what makes a line slow
};

/// Classifies `blocks` times 64 bytes. Reads those bytes and nothing else.
using index_kernel = void (*)(const char* bytes, std::size_t blocks, byte_masks* out);

/// The specification that every other kernel is tested against.
inline void index_scalar(const char* bytes, std::size_t blocks, byte_masks* out) noexcept {
  for (std::size_t block = 0; block < blocks; ++block, bytes += 64) {
    byte_masks masks{};
    for (unsigned bit = 0; bit < 64; ++bit) {
      const auto byte = static_cast<unsigned char>(bytes[bit]);
      masks.newlines |= std::uint64_t{byte == '\n'} << bit;
      masks.quotes |= std::uint64_t{byte == '"'} << bit;
      masks.special |= std::uint64_t{byte == '\\' || byte >= 0x80} << bit;
    }
    out[block] = masks;
  }
}

#ifdef COMPUTELOCATOR_X86_KERNELS
__attribute__((target("avx2"))) inline void index_avx2(const char* bytes, std::size_t blocks,
                                                       byte_masks* out) noexcept {
  const __m256i newline = _mm256_set1_epi8('\n');
  const __m256i quote = _mm256_set1_epi8('"');
  const __m256i backslash = _mm256_set1_epi8('\\');
  for (std::size_t block = 0; block < blocks; ++block, bytes += 64) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32));
    const auto low_newlines = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, newline)));
    const auto high_newlines = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, newline)));
    const auto low_quotes = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, quote)));
    const auto high_quotes = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, quote)));
    const auto low_special = static_cast<std::uint32_t>(
        _mm256_movemask_epi8(_mm256_or_si256(low, _mm256_cmpeq_epi8(low, backslash))));
    const auto high_special = static_cast<std::uint32_t>(
        _mm256_movemask_epi8(_mm256_or_si256(high, _mm256_cmpeq_epi8(high, backslash))));
    out[block].newlines = low_newlines | std::uint64_t{high_newlines} << 32;
    out[block].quotes = low_quotes | std::uint64_t{high_quotes} << 32;
    out[block].special = low_special | std::uint64_t{high_special} << 32;
  }
}

__attribute__((target("avx512f,avx512bw"))) inline void index_avx512(const char* bytes,
                                                                     std::size_t blocks,
                                                                     byte_masks* out) noexcept {
  const __m512i newline = _mm512_set1_epi8('\n');
  const __m512i quote = _mm512_set1_epi8('"');
  const __m512i backslash = _mm512_set1_epi8('\\');
  for (std::size_t block = 0; block < blocks; ++block, bytes += 64) {
    const __m512i all = _mm512_loadu_si512(bytes);
    out[block].newlines = _mm512_cmpeq_epi8_mask(all, newline);
    out[block].quotes = _mm512_cmpeq_epi8_mask(all, quote);
    out[block].special = _mm512_movepi8_mask(all) | _mm512_cmpeq_epi8_mask(all, backslash);
  }
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
    {"avx512", index_avx512, []() noexcept { return __builtin_cpu_supports("avx512bw") != 0; }},
    {"avx2", index_avx2, []() noexcept { return __builtin_cpu_supports("avx2") != 0; }},
#endif
    {"scalar", index_scalar, []() noexcept { return true; }},
};

inline index_kernel choose_index_kernel() noexcept {
  const char* const forced = std::getenv("COMPUTELOCATOR_FORCE_KERNEL");
  for (const named_kernel& kernel : index_kernels)
    if (kernel.available() && (forced == nullptr || std::strcmp(forced, kernel.name) == 0))
      return kernel.run;
  return index_scalar;
}

inline index_kernel best_index_kernel() noexcept {
  static const index_kernel chosen = choose_index_kernel();
  return chosen;
}

/// Answers "where is the next newline, the next quote" for a window of a page that moves
/// forward. The masks of a window stay in the first-level cache.
class line_index {
 public:
  line_index(std::string_view page, index_kernel kernel) noexcept : page_(page), kernel_(kernel) {}

  /// Offset of the first newline at or after `from`, or the page's size. Afterwards the window
  /// holds all of [from, that offset) where the line fits into it.
  std::size_t end_of_line(std::size_t from) noexcept {
    if (from < begin_ || from >= end_) fill(from);
    std::size_t found = find(from, end_, &byte_masks::newlines);
    if (found < end_ || end_ == page_.size()) return found;
    fill(from);
    found = find(from, end_, &byte_masks::newlines);
    if (found < end_ || end_ == page_.size()) return found;
    const void* const newline = std::memchr(page_.data() + end_, '\n', page_.size() - end_);
    return newline ? static_cast<std::size_t>(static_cast<const char*>(newline) - page_.data())
                   : page_.size();
  }

  /// Offset of the first quote in [from, limit), or `limit`.
  std::size_t quote(std::size_t from, std::size_t limit) const noexcept {
    if (from >= limit) return limit;
    if (limit <= end_ && from >= begin_) return find(from, limit, &byte_masks::quotes);
    const void* const found = std::memchr(page_.data() + from, '"', limit - from);
    return found ? static_cast<std::size_t>(static_cast<const char*>(found) - page_.data()) : limit;
  }

  /// True where [from, limit) holds a backslash or a byte that is not ASCII.
  bool special(std::size_t from, std::size_t limit) const noexcept {
    if (limit <= end_ && from >= begin_) return find(from, limit, &byte_masks::special) < limit;
    for (std::size_t i = from; i < limit; ++i)
      if (page_[i] == '\\' || static_cast<unsigned char>(page_[i]) >= 0x80) return true;
    return false;
  }

 private:
  static constexpr std::size_t blocks = 512;  // 32 KiB of page, 12 KiB of masks

  void fill(std::size_t from) noexcept {
    begin_ = from;
    const std::size_t left = page_.size() - from;
    const std::size_t whole = std::min(left / 64, blocks);
    kernel_(page_.data() + from, whole, masks_);
    end_ = from + whole * 64;
    if (whole < blocks && left % 64 != 0) {
      // The last bytes by way of a padded copy: nothing behind the page is read.
      char tail[64] = {};
      std::memcpy(tail, page_.data() + end_, left % 64);
      kernel_(tail, 1, masks_ + whole);
      end_ = page_.size();
    }
  }

  /// Looks no further than `limit`, which lies within the window.
  std::size_t find(std::size_t from, std::size_t limit, std::uint64_t byte_masks::*kind) const noexcept {
    if (from >= limit) return limit;
    std::size_t block = (from - begin_) / 64;
    const std::size_t last = (limit - begin_ - 1) / 64;
    std::uint64_t mask = masks_[block].*kind & (~std::uint64_t{0} << ((from - begin_) % 64));
    while (mask == 0) {
      if (block++ == last) return limit;
      mask = masks_[block].*kind;
    }
    return std::min(begin_ + block * 64 + static_cast<std::size_t>(std::countr_zero(mask)), limit);
  }

  std::string_view page_;
  index_kernel kernel_;
  std::size_t begin_ = 1, end_ = 0;
  byte_masks masks_[blocks];
};

}  // namespace computelocator::detail
