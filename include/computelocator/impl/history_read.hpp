// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <computelocator/impl/history_codec.hpp>
#include <computelocator/table.hpp>

namespace computelocator::detail::history_ {

/// Calls take(record, known, fresh) for each record of a series: `known` are the slots whose value
/// is known by then, `fresh` whether the instance of the cgroup is another than before.
template <class Series, class Take>
void for_each_record(const Series& of, Take&& take) {
  record each;
  std::uint16_t known = 0;
  bool first = true;
  for (const auto& part : of.parts) {
    record_reader reader(part.first);
    std::uint64_t instance = each.instance, network = each.network_instance;
    while (reader.next(each)) {
      known = static_cast<std::uint16_t>(known | each.mask);
      std::uint16_t fresh = 0;
      if (!first && each.instance != instance && instance != 0) fresh = static_cast<std::uint16_t>(~network_mask);
      if (!first && each.network_instance != network && network != 0) fresh |= network_mask;
      first = false;
      instance = each.instance;
      network = each.network_instance;
      take(std::as_const(each), known, fresh);
    }
  }
}

/// One sample of one metric.
struct point {
  std::int64_t time_ms = 0;
  double value = 0;
  bool fresh = false;  ///< of another instance than the one before
};

/// The samples of each wanted slot.
template <class Series>
std::array<std::vector<point>, slots> points_of(const Series& of, std::uint16_t wanted) {
  std::array<std::vector<point>, slots> made;
  std::uint16_t pending = 0;  // slots whose next sample is the first of an instance
  for_each_record(of, [&](const record& each, std::uint16_t, std::uint16_t fresh) {
    pending = static_cast<std::uint16_t>(pending | fresh);
    for (std::size_t s = 0; s < slots; ++s) {
      if (!(each.mask & wanted & 1u << s)) continue;
      if (!made[s].empty() && each.time_ms <= made[s].back().time_ms) continue;
      made[s].push_back({each.time_ms, each.value[s], !made[s].empty() && (pending >> s & 1) != 0});
      pending = static_cast<std::uint16_t>(pending & ~(1u << s));
    }
  });
  return made;
}

/// A category column under construction.
class words {
 public:
  void add(std::string_view word) {
    if (word.empty()) {
      codes_->push_back(-1);
      return;
    }
    if (!codes_->empty() && codes_->back() >= 0 && (*dictionary_)[static_cast<std::size_t>(codes_->back())] == word) {
      codes_->push_back(codes_->back());
      return;
    }
    const auto [at, fresh] = known_.try_emplace(std::string(word), static_cast<std::int32_t>(dictionary_->size()));
    if (fresh) dictionary_->emplace_back(word);
    codes_->push_back(at->second);
  }
  column take(std::string name) && {
    column made;
    made.name = std::move(name);
    made.type = column_type::category;
    made.codes = std::move(codes_);
    made.dictionary = std::move(dictionary_);
    return made;
  }

 private:
  std::shared_ptr<std::vector<std::int32_t>> codes_ = std::make_shared<std::vector<std::int32_t>>();
  std::shared_ptr<std::vector<std::string>> dictionary_ = std::make_shared<std::vector<std::string>>();
  std::unordered_map<std::string, std::int32_t> known_;
};

inline column numbers(std::string name, std::vector<double> cells, metadata meta = {}) {
  auto valid = std::make_shared<std::vector<std::uint8_t>>(cells.size());
  bool missing = false;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    (*valid)[i] = !std::isnan(cells[i]);
    missing = missing || (*valid)[i] == 0;
  }
  column made;
  made.name = std::move(name);
  made.type = column_type::float64;
  made.float64 = std::make_shared<const std::vector<double>>(std::move(cells));
  if (missing) made.valid = std::move(valid);
  made.meta = std::move(meta);
  return made;
}

inline column whole(std::string name, column_type type, std::vector<std::int64_t> cells) {
  column made;
  made.name = std::move(name);
  made.type = type;
  made.int64 = std::make_shared<const std::vector<std::int64_t>>(std::move(cells));
  return made;
}

inline column flags(std::string name, std::vector<std::uint8_t> cells) {
  column made;
  made.name = std::move(name);
  made.type = column_type::boolean;
  made.boolean = std::make_shared<const std::vector<std::uint8_t>>(std::move(cells));
  return made;
}

inline constexpr std::uint16_t counter_mask = 0xFC8F;  // seconds, periods, failcnt, reads, writes, network

inline bool is_counter(std::size_t slot) noexcept { return (counter_mask >> slot & 1) != 0; }

inline metadata about(std::size_t slot) {
  const std::string_view name = container_metrics()[slot];
  metadata made{{"type", is_counter(slot) ? "counter" : "gauge"}};
  if (name.find("_seconds") != std::string_view::npos) made.emplace_back("unit", "seconds");
  if (name.find("_bytes") != std::string_view::npos) made.emplace_back("unit", "bytes");
  return made;
}

}  // namespace computelocator::detail::history_
