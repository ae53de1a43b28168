// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include <computelocator/columns.hpp>

namespace computelocator::detail::collect_ {

/// Which series a target had on its last good page.
class series_memory {
 public:
  /// How many of `page` were not there before. `generation` is that of its label cache: where it began
  /// anew nothing is known of before, and all of them count.
  std::uint64_t take(const batch& page, std::uint64_t generation) {
    const bool comparable = generation == generation_;
    if (comparable && page.label_set_id == sets_ && page.metric_id == metrics_ && same_names(page)) return 0;
    const std::vector<std::uint64_t> now = keys(page);
    std::vector<std::uint64_t> before;
    if (comparable) {
      std::unordered_map<std::string_view, std::uint64_t> places;
      for (std::size_t i = 0; i < page.metrics.size(); ++i) places.emplace(page.metrics[i].name, i);
      for (std::size_t row = 0; row < sets_.size(); ++row)
        if (const auto found = places.find(names_[metrics_[row]]); found != places.end())
          before.push_back(found->second << 32 | sets_[row]);
      std::sort(before.begin(), before.end());
    }
    const auto fresh = static_cast<std::uint64_t>(std::count_if(now.begin(), now.end(), [&](std::uint64_t key) {
      return !std::binary_search(before.begin(), before.end(), key);
    }));
    generation_ = generation;
    names_.clear();
    for (const metric& each : page.metrics) names_.push_back(each.name);
    metrics_ = page.metric_id;
    sets_ = page.label_set_id;
    return fresh;
  }

 private:
  bool same_names(const batch& page) const {
    return std::equal(page.metrics.begin(), page.metrics.end(), names_.begin(), names_.end(),
                      [](const metric& a, const std::string& b) { return a.name == b; });
  }
  static std::vector<std::uint64_t> keys(const batch& page) {
    std::vector<std::uint64_t> made;
    made.reserve(page.rows());
    for (std::size_t row = 0; row < page.rows(); ++row)
      made.push_back(std::uint64_t{page.metric_id[row]} << 32 | page.label_set_id[row]);
    std::sort(made.begin(), made.end());
    made.erase(std::unique(made.begin(), made.end()), made.end());
    return made;
  }

  std::uint64_t generation_ = std::numeric_limits<std::uint64_t>::max();
  std::vector<std::string> names_;
  std::vector<std::uint32_t> metrics_, sets_;  // of each row
};

}  // namespace computelocator::detail::collect_
