// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include <computelocator/impl/text_index.hpp>

namespace computelocator::detail {

/// The long label blocks that a page had so far. The lines of a family mostly have those of an earlier
/// family in the same order, with some left out: bytes that are equal to a block that was read need only
/// that comparison. Holds places in the page, none of its bytes.
class block_memory {
 public:
  static constexpr std::size_t least_bytes = 64;  ///< of a block; a shorter one is read as soon as compared

  /// What comes is of another family.
  void start_family() noexcept {
    next_ = none;
    missed_ = 0;
    first_ = true;
    looking_ = families_ != 0 && credit_ > 0;
  }

  /// False where find() will find nothing.
  bool looking() const noexcept { return looking_; }

  /// The size of the block that starts at `bytes`, where it was seen and ends before `until`; else 0.
  [[gnu::noinline]] std::size_t find(const char* bytes, const char* until, same_function same) noexcept {
    if (next_ == none) {
      for (std::size_t i = 0; i < std::min(families_, starts_.size()); ++i)
        if (is_here(starts_[i], bytes, until, same)) return found(starts_[i]);
    } else {
      for (std::size_t i = next_; i < next_ + most_left_out; ++i)
        if (is_here(i, bytes, until, same)) return found(i);
    }
    --credit_;
    if (++missed_ == most_missed) {
      next_ = none;
      looking_ = false;
    }
    return 0;
  }

  /// A block that find() did not know was read and is good.
  [[gnu::always_inline]] void add(const char* bytes, std::size_t size) noexcept {
    if (size >= least_bytes && credit_ > 0) append(bytes, size);
  }

 private:
  struct block {
    const char* data;
    std::size_t size;
  };
  static constexpr std::size_t none = ~std::size_t{0};
  static constexpr std::size_t most = 2048;        // places of a row of lines, in 32 KiB
  static constexpr std::size_t most_left_out = 8;  // of an earlier family's lines between two
  static constexpr std::size_t most_missed = 4;    // in a row, until a family is read without
  static constexpr int most_credit = 64;

  [[gnu::noinline]] void append(const char* bytes, std::size_t size) noexcept {
    if (next_ != none) return;
    if (first_) {
      starts_[families_++ % starts_.size()] = made_;
      first_ = looking_ = false;
    }
    blocks_[made_++ % most] = {bytes, size};
  }

  std::size_t found(std::size_t at) noexcept {
    next_ = at + 1;
    first_ = false;
    missed_ = 0;
    credit_ = std::min(credit_ + 1, most_credit);
    return blocks_[at % most].size;
  }

  bool is_here(std::size_t at, const char* bytes, const char* until, same_function same) const noexcept {
    if (at >= made_ || made_ - at > most) return false;
    const block& known = blocks_[at % most];
    if (known.size >= static_cast<std::size_t>(until - bytes)) return false;
    // Blocks that differ mostly do so at their end, where a pod's name stands.
    const std::size_t last = known.size - 16;
    return same_16_bytes(bytes + last, known.data + last) && same(bytes, known.data, known.size);
  }

  std::size_t made_ = 0;      // blocks so far; those before the last `most` are forgotten
  std::size_t families_ = 0;  // of which the first block is in starts_
  std::size_t next_ = none;   // what is expected; none: this family is not like one before
  std::size_t missed_ = 0;
  bool first_ = true;         // no long block of this family came yet
  bool looking_ = false;
  int credit_ = 16;           // more hits than misses are worth going on with
  std::array<std::size_t, 8> starts_;
  std::array<block, most> blocks_;  // left as it is: to clear it would take longer than a small page
};

}  // namespace computelocator::detail
