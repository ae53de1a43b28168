// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <tuple>

#include <computelocator/impl/history.ipp>
#include <computelocator/impl/history_read.hpp>

namespace computelocator {

namespace detail::history_ {

inline bool among(const std::vector<std::string>& wanted, std::string_view name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

inline auto selector(const history_query& of) {
  return [&of](const names& each) {
    return each.level == of.level && among(of.nodes, each.node) && among(of.namespaces, each.namespace_name) &&
           among(of.pods, each.pod) && among(of.containers, each.container);
  };
}

/// The slots that a query names; the network of containers is their pod's.
inline std::uint16_t mask_of(const history_query& query) {
  const std::uint16_t all = query.level == reading_level::container ? static_cast<std::uint16_t>(~network_mask) : 0xFFFF;
  if (query.metrics.empty()) return all;
  std::uint16_t mask = 0;
  for (const std::string& asked : query.metrics) {
    const auto names_of = container_metrics();
    const auto found = std::find(names_of.begin(), names_of.end(), canonical_metric(asked));
    if (found == names_of.end()) {
      std::string words;
      for (const std::string_view name : names_of) words += (words.empty() ? "" : ", ") + std::string(name);
      throw std::invalid_argument("a history has no metric \"" + asked + "\"; it has " + words);
    }
    mask = static_cast<std::uint16_t>(mask | 1u << (found - names_of.begin()));
  }
  return mask & all;
}

/// Columns that say whose a row is.
class who_columns {
 public:
  explicit who_columns(reading_level level) noexcept : level_(level) {}
  void add(const names& of) {
    node_.add(of.node);
    if (level_ == reading_level::node) return;
    namespace_.add(of.namespace_name);
    pod_.add(of.pod);
    if (level_ == reading_level::container) container_.add(of.container);
  }
  void give(table& to) && {
    to.columns.push_back(std::move(node_).take("node"));
    if (level_ == reading_level::node) return;
    to.columns.push_back(std::move(namespace_).take("namespace"));
    to.columns.push_back(std::move(pod_).take("pod"));
    if (level_ == reading_level::container) to.columns.push_back(std::move(container_).take("container"));
  }

 private:
  reading_level level_;
  words node_, namespace_, pod_, container_;
};

/// Rows as they are found, series by series; the newest `limit` of them, by time, series and slot.
/// While more come, no more than twice the limit is held.
template <class Row>
class newest_rows {
 public:
  explicit newest_rows(std::size_t limit) : limit_(limit) {}

  void add(const Row& row) {
    rows_.push_back(row);
    if (limit_ < rows_.size() / 2 && rows_.size() >= 4096) cut();
  }

  const std::vector<Row>& finish(table& told) {
    if (rows_.size() > limit_) cut();
    std::sort(rows_.begin(), rows_.end(), before);
    if (cut_) told.meta.emplace_back("truncated", "true");
    return rows_;
  }

 private:
  static bool before(const Row& a, const Row& b) { return a.order() < b.order(); }
  void cut() {
    cut_ = true;
    const auto keep = rows_.end() - static_cast<std::ptrdiff_t>(limit_);
    std::nth_element(rows_.begin(), keep, rows_.end(), before);
    rows_.erase(rows_.begin(), keep);
  }
  std::size_t limit_;
  bool cut_ = false;
  std::vector<Row> rows_;
};

inline std::string_view metric_name(std::size_t slot) { return container_metrics()[slot]; }

inline bool overlaps(const found_series& of, const history_query& query) {
  return std::any_of(of.parts.begin(), of.parts.end(), [&](const auto& part) {
    return part.second.last_ms >= query.since_ms && part.second.first_ms <= query.until_ms;
  });
}

}  // namespace detail::history_

table history::samples(const history_query& of) const {
  using namespace detail::history_;
  const std::uint16_t mask = mask_of(of);
  const view from = state_->read(selector(of));
  struct row {
    std::int64_t time_ms;
    double value;
    std::uint32_t series;
    std::uint8_t slot;
    auto order() const { return std::tuple(time_ms, series, slot); }
  };
  newest_rows<row> found(of.limit);
  for (std::uint32_t i = 0; i < from.series.size(); ++i) {
    if (!overlaps(from.series[i], of)) continue;
    const auto points = points_of(from.series[i], mask);
    for (std::size_t s = 0; s < slots; ++s)
      for (const point& each : points[s])
        if (each.time_ms >= of.since_ms && each.time_ms <= of.until_ms)
          found.add({each.time_ms, each.value, i, static_cast<std::uint8_t>(s)});
  }
  table made;
  const std::vector<row>& rows = found.finish(made);
  who_columns who(of.level);
  words metrics;
  std::vector<std::int64_t> times;
  std::vector<double> values;
  for (const row& each : rows) {
    who.add(names(from.series[each.series].key));
    metrics.add(metric_name(each.slot));
    times.push_back(each.time_ms);
    values.push_back(each.value);
  }
  made.rows = rows.size();
  made.columns.push_back(whole("timestamp", column_type::timestamp_ms, std::move(times)));
  std::move(who).give(made);
  made.columns.push_back(std::move(metrics).take("metric"));
  made.columns.push_back(numbers("value", std::move(values)));
  return made;
}

table history::rows(const history_query& of) const {
  using namespace detail::history_;
  const std::uint16_t mask = mask_of(of);
  const view from = state_->read(selector(of));
  struct row {
    std::int64_t time_ms;
    std::uint32_t series;
    std::array<double, slots> value;
    auto order() const { return std::tuple(time_ms, series); }
  };
  newest_rows<row> found(of.limit);
  for (std::uint32_t i = 0; i < from.series.size(); ++i) {
    if (!overlaps(from.series[i], of)) continue;
    row open{};
    bool any = false;
    const auto close = [&] {
      if (any && open.time_ms >= of.since_ms && open.time_ms <= of.until_ms) found.add(open);
      any = false;
    };
    for_each_record(from.series[i], [&](const record& each, std::uint16_t known, std::uint16_t) {
      if (each.row) {
        close();
        open = {std::numeric_limits<std::int64_t>::min(), i, {}};
        open.value.fill(absent);
      }
      const std::uint16_t here = static_cast<std::uint16_t>((each.mask | (each.repeats & known)) & mask);
      for (std::size_t s = 0; s < slots; ++s)
        if (here >> s & 1) open.value[s] = each.value[s];
      if (each.mask & mask) any = true, open.time_ms = std::max(open.time_ms, each.time_ms);
    });
    close();
  }
  table made;
  const std::vector<row>& rows = found.finish(made);
  who_columns who(of.level);
  std::vector<std::int64_t> times;
  for (const row& each : rows) {
    who.add(names(from.series[each.series].key));
    times.push_back(each.time_ms);
  }
  made.rows = rows.size();
  made.columns.push_back(whole("timestamp", column_type::timestamp_ms, std::move(times)));
  std::move(who).give(made);
  for (std::size_t s = 0; s < slots; ++s) {
    if (!(mask >> s & 1)) continue;
    std::vector<double> values;
    values.reserve(rows.size());
    for (const row& each : rows) values.push_back(each.value[s]);
    made.columns.push_back(numbers(std::string(metric_name(s)), std::move(values), about(s)));
  }
  return made;
}

table history::series(const history_query& of) const {
  using namespace detail::history_;
  const view from = state_->read(selector(of));
  const std::int64_t now_ms = [&] {
    const std::shared_lock lock(state_->guarding);
    return state_->now_ms;
  }();
  table made;
  who_columns who(of.level);
  std::vector<std::int64_t> first, last, samples, restarts;
  std::vector<std::uint8_t> stale;
  for (const found_series& each : from.series) {
    if (!overlaps(each, of)) continue;
    std::int64_t count = 0, again = 0, begin = std::numeric_limits<std::int64_t>::max(), end = std::numeric_limits<std::int64_t>::min();
    for_each_record(each, [&](const record& one, std::uint16_t, std::uint16_t fresh) {
      if (one.time_ms >= of.since_ms && one.time_ms <= of.until_ms) {
        count += one.mask & 1;
        again += (fresh & 1) != 0;
        begin = std::min(begin, one.time_ms);
        end = std::max(end, one.time_ms);
      }
    });
    if (begin > end) continue;
    who.add(names(each.key));
    first.push_back(begin);
    last.push_back(end);
    samples.push_back(count);
    restarts.push_back(again);
    stale.push_back(now_ms - each.parts.back().second.added_ms > state_->options.stale_after.count());
    ++made.rows;
  }
  std::move(who).give(made);
  made.columns.push_back(whole("first", column_type::timestamp_ms, std::move(first)));
  made.columns.push_back(whole("last", column_type::timestamp_ms, std::move(last)));
  made.columns.push_back(whole("samples", column_type::int64, std::move(samples)));
  made.columns.push_back(whole("restarts", column_type::int64, std::move(restarts)));
  made.columns.push_back(flags("stale", std::move(stale)));
  return made;
}

table history::changes(change what, const history_query& of) const {
  using namespace detail::history_;
  std::uint16_t mask = mask_of(of);
  const bool of_counters = what != change::delta;
  for (std::size_t s = 0; s < slots; ++s) {
    if (is_counter(s) == of_counters) continue;
    if (!of.metrics.empty() && (mask >> s & 1))
      throw std::invalid_argument(std::string(metric_name(s)) + (of_counters ? " is a gauge: ask for its delta" : " is a counter: ask for its increase or rate"));
    mask = static_cast<std::uint16_t>(mask & ~(1u << s));
  }
  const view from = state_->read(selector(of));
  struct row {
    std::int64_t time_ms;
    double value, seconds;
    std::uint32_t series;
    std::uint8_t slot, reset;
    auto order() const { return std::tuple(time_ms, series, slot); }
  };
  newest_rows<row> found(of.limit);
  const double longest = static_cast<double>(state_->options.stale_after.count()) / 1000;
  for (std::uint32_t i = 0; i < from.series.size(); ++i) {
    if (!overlaps(from.series[i], of)) continue;
    const auto points = points_of(from.series[i], mask);
    for (std::size_t s = 0; s < slots; ++s)
      for (std::size_t k = 1; k < points[s].size(); ++k) {
        const point& a = points[s][k - 1];
        const point& b = points[s][k];
        if (b.time_ms < of.since_ms || b.time_ms > of.until_ms) continue;
        const double seconds = static_cast<double>(b.time_ms - a.time_ms) / 1000;
        if (seconds > longest) continue;
        const bool reset = b.fresh || (of_counters && b.value < a.value);
        double value = of_counters && reset ? b.value : b.value - a.value;
        if (what == change::rate) value /= seconds;
        found.add({b.time_ms, value, seconds, i, static_cast<std::uint8_t>(s), static_cast<std::uint8_t>(reset)});
      }
  }
  table made;
  const std::vector<row>& rows = found.finish(made);
  who_columns who(of.level);
  words metrics;
  std::vector<std::int64_t> times;
  std::vector<double> values, seconds;
  std::vector<std::uint8_t> resets;
  for (const row& each : rows) {
    who.add(names(from.series[each.series].key));
    metrics.add(metric_name(each.slot));
    times.push_back(each.time_ms);
    values.push_back(each.value);
    seconds.push_back(each.seconds);
    resets.push_back(each.reset);
  }
  made.rows = rows.size();
  made.columns.push_back(whole("timestamp", column_type::timestamp_ms, std::move(times)));
  std::move(who).give(made);
  made.columns.push_back(std::move(metrics).take("metric"));
  made.columns.push_back(numbers("value", std::move(values)));
  made.columns.push_back(numbers("seconds", std::move(seconds), {{"unit", "seconds"}}));
  made.columns.push_back(flags("reset", std::move(resets)));
  return made;
}

}  // namespace computelocator
