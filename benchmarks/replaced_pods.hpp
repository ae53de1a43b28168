// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/text.hpp>

namespace bench {

/// Replaces pods on a cAdvisor page in place: other names, other UIDs, other container ids, the same
/// number of bytes. A pod that was replaced has labels that no earlier page had.
class replaced_pods {
 public:
  explicit replaced_pods(std::string_view page) {
    std::map<std::string_view, std::size_t> found;
    for (const computelocator::sample_view& sample : computelocator::samples(page)) {
      std::string_view pod;
      for (const computelocator::label_view& label : sample.labels())
        if (label.name() == "pod") pod = label.raw_value();
      if (pod.size() < letters) continue;
      const auto [at, fresh] = found.try_emplace(pod, pods_.size());
      if (fresh) pods_.emplace_back();
      marks& of = pods_[at->second];
      for (const computelocator::label_view& label : sample.labels()) {
        const auto offset = static_cast<std::size_t>(label.raw_value().data() - page.data());
        if (label.name() == "pod") of.names.push_back(offset + label.raw_value().size() - letters);
        if (label.name() == "id" || label.name() == "name") add_ids(label.raw_value(), offset, of.ids);
      }
    }
  }

  std::size_t pods() const noexcept { return pods_.size(); }

  /// Replaces the next `count` pods of `page`, which has the bytes that the constructor saw or what
  /// earlier calls made of them.
  void replace(char* page, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ++generation_;
      const marks& of = pods_[generation_ % pods_.size()];
      for (const std::size_t offset : of.names) write(page + offset, letters, "bcdfghjklmnpqrst");
      for (const std::size_t offset : of.ids) write(page + offset, digits, "0123456789abcdef");
    }
  }

 private:
  static constexpr std::size_t letters = 5, digits = 8;
  struct marks {
    std::vector<std::size_t> names, ids;
  };

  // The last digits of every long run of hexadecimal digits: UIDs and container ids.
  static void add_ids(std::string_view value, std::size_t offset, std::vector<std::size_t>& to) {
    constexpr std::string_view hex = "0123456789abcdef";
    for (std::size_t at = 0; at < value.size();) {
      const std::size_t begin = value.find_first_of(hex, at);
      if (begin == std::string_view::npos) return;
      const std::size_t end = std::min(value.find_first_not_of(hex, begin), value.size());
      if (end - begin >= digits) to.push_back(offset + end - digits);
      at = end;
    }
  }

  void write(char* to, std::size_t count, const char* alphabet) const {
    std::uint64_t bits = (generation_ + 1) * 0x9E3779B97F4A7C15u >> 16;
    for (std::size_t i = 0; i < count; ++i, bits >>= 4) to[i] = alphabet[bits & 15];
  }

  std::vector<marks> pods_;
  std::uint64_t generation_ = 0;
};

}  // namespace bench
