// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace computelocator::detail::collect_ {

/// The times of a fixed grid, which begins when it is asked first.
class ticks {
 public:
  using clock = std::chrono::steady_clock;

  explicit ticks(std::chrono::milliseconds interval) : interval_(interval) {}

  /// The next one that has not passed, or has but just now; those before it are missed. Each is given once.
  clock::time_point next(clock::time_point now) {
    if (count_ == 0) origin_ = now;
    const clock::time_point due = at(count_);
    const auto tolerance = interval_ / 10;
    if (now > due + tolerance) {
      const std::int64_t passed = (now - tolerance - origin_) / interval_ + 1;
      missed_ += static_cast<std::uint64_t>(passed - count_);
      count_ = passed;
    }
    return at(count_++);
  }
  std::uint64_t missed() const noexcept { return missed_; }

 private:
  clock::time_point at(std::int64_t count) const { return origin_ + count * interval_; }

  clock::duration interval_;
  clock::time_point origin_{};
  std::int64_t count_ = 0;
  std::uint64_t missed_ = 0;
};

/// Over which part of an interval targets begin; see watch_options::spread.
inline std::chrono::milliseconds spread_over(std::chrono::milliseconds interval, std::chrono::milliseconds timeout) {
  return std::max(interval - timeout, interval / 2);
}

}  // namespace computelocator::detail::collect_
