// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <tuple>

#include <computelocator/impl/history.ipp>
#include <computelocator/impl/history_read.hpp>

namespace computelocator {

namespace detail::history_ {

/// The part of an event that pairs of adjacent samples cover, in nanoseconds, and what they say.
struct share_of {
  double covered = 0, amount = 0;
  bool touched = false;  ///< an event without length lies within a pair
};

inline std::int64_t ns(std::int64_t ms) noexcept { return ms * 1'000'000; }

/// The first sample that is later than `at_ns`.
inline std::vector<point>::const_iterator after(const std::vector<point>& of, std::int64_t at_ns) {
  return std::upper_bound(of.begin(), of.end(), at_ns, [](std::int64_t at, const point& each) { return at < ns(each.time_ms); });
}

/// Of each pair of adjacent samples the part of its increase that its overlap with the event is.
inline share_of increase_between(const std::vector<point>& of, std::int64_t start, std::int64_t end, std::int64_t longest) {
  share_of made;
  auto at = after(of, start);
  if (at != of.begin()) --at;
  if (at != of.begin()) --at;  // an event that begins with a sample is touched by the pair before, too
  for (; at != of.end() && std::next(at) != of.end() && ns(at->time_ms) <= end; ++at) {
    const point& a = *at;
    const point& b = *std::next(at);
    const std::int64_t from = ns(a.time_ms), to = ns(b.time_ms);
    if (to - from > longest || to < start) continue;
    made.touched = true;
    const std::int64_t overlap = std::min(to, end) - std::max(from, start);
    if (overlap <= 0) continue;
    const double increase = b.fresh || b.value < a.value ? b.value : b.value - a.value;
    made.amount += increase * (static_cast<double>(overlap) / static_cast<double>(to - from));
    made.covered += static_cast<double>(overlap);
  }
  return made;
}

/// A gauge between two samples of one instance; empty elsewhere.
inline std::optional<double> level_at(const std::vector<point>& of, std::int64_t at_ns, std::int64_t longest) {
  const auto later = after(of, at_ns);
  if (later == of.begin()) return std::nullopt;
  const point& a = *std::prev(later);
  if (ns(a.time_ms) == at_ns) return a.value;
  if (later == of.end()) return std::nullopt;
  const std::int64_t length = ns(later->time_ms) - ns(a.time_ms);
  if (later->fresh || length > longest) return std::nullopt;
  return a.value + (later->value - a.value) * (static_cast<double>(at_ns - ns(a.time_ms)) / static_cast<double>(length));
}

inline double peak_between(const std::vector<point>& of, std::int64_t start, std::int64_t end, std::int64_t longest) {
  double peak = absent;
  const auto take = [&](double value) {
    if (std::isnan(peak) || value > peak) peak = value;
  };
  for (const std::int64_t border : {start, end})
    if (const auto value = level_at(of, border, longest)) take(*value);
  for (auto at = after(of, start); at != of.end() && ns(at->time_ms) <= end; ++at) take(at->value);
  return peak;
}

enum usage_column : std::size_t {
  used_cpu, used_throttled, peak_working_set, peak_usage, received, transmitted, read_bytes, written_bytes, usage_columns
};

/// What an event used: where its series are, one that begins with the event and one that ends with it.
struct used {
  std::string_view node;
  std::array<double, usage_columns> value;
  std::int64_t samples = 0;
  double coverage = 0;
  std::string_view reason;

  used() noexcept { value.fill(absent); }
};

using all_points = std::array<std::vector<point>, slots>;

inline std::string_view why_not(const std::vector<point>& of, std::int64_t start, std::int64_t end, bool none) {
  if (of.empty()) return "before_history";
  const std::int64_t first = ns(of.front().time_ms), last = ns(of.back().time_ms);
  if (none) {
    if (end < first) return "before_history";
    if (start > last) return "after_history";
    if (of.size() == 1) return "one_sample";
    // It ends with the first sample or begins with the last.
    if (end == first) return "before_history";
    if (start == last) return "after_history";
    return "gap";
  }
  const bool before = start < first, beyond = end > last;
  return before && beyond ? "partly_before_and_after" : before ? "partly_before" : beyond ? "partly_after" : "gap";
}

/// `own` is the series of the container or pod, `pod` that of the pod (its network), perhaps null.
inline used use_of(const usage_event& event, const all_points& own, const all_points* pod, std::int64_t longest) {
  used made;
  const std::int64_t start = event.start_ns, end = event.end_ns;
  // A double holds a time since 1970 to 256 ns only; the difference is exact, whatever the signs.
  const auto length = static_cast<double>(static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(start));
  double least = 1;
  std::string_view reason;
  const auto judge = [&](const std::vector<point>& of, const share_of& got) {
    const double coverage = length > 0 ? std::min(1.0, got.covered / length) : got.touched ? 1 : 0;
    if (coverage < least) {
      least = coverage;
      reason = why_not(of, start, end, coverage == 0);
    }
    return coverage;
  };
  const auto counter = [&](usage_column to, const std::vector<point>& of, bool decides) {
    if (of.empty() && !decides) return;
    const share_of got = increase_between(of, start, end, longest);
    if (judge(of, got) > 0) made.value[to] = got.amount;
  };
  counter(used_cpu, own[0], true);
  counter(used_throttled, own[1], false);
  counter(read_bytes, own[10], false);
  counter(written_bytes, own[11], false);
  if (pod != nullptr) {
    counter(received, (*pod)[12], false);
    counter(transmitted, (*pod)[13], false);
  }
  made.value[peak_usage] = peak_between(own[4], start, end, longest);
  made.value[peak_working_set] = peak_between(own[5], start, end, longest);
  const auto first = std::lower_bound(own[0].begin(), own[0].end(), start, [](const point& each, std::int64_t at) { return ns(each.time_ms) < at; });
  made.samples = std::max<std::int64_t>(0, after(own[0], end) - first);
  made.coverage = least;
  made.reason = reason;
  return made;
}

}  // namespace detail::history_

table history::usage(std::span<const usage_event> events) const {
  using namespace detail::history_;
  std::set<std::string_view, std::less<>> asked;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const usage_event& event = events[i];
    if (event.pod.empty()) throw std::invalid_argument("event " + std::to_string(i) + " names no pod");
    if (event.end_ns < event.start_ns) throw std::invalid_argument("event " + std::to_string(i) + " ends before it starts");
    constexpr std::int64_t most = max_time_ms * 1'000'000;
    if (event.start_ns < -most || event.end_ns > most)
      throw std::invalid_argument("event " + std::to_string(i) + " is not within the years 1843 to 2096; times are nanoseconds since the epoch");
    asked.insert(event.pod);
  }
  const view from = state_->read([&](const names& each) { return each.level != reading_level::node && asked.contains(each.pod); });
  const std::int64_t longest = ns(std::min<std::int64_t>(state_->options.stale_after.count(), max_time_ms));

  // Decoded once a series, however many events there are.
  std::map<std::string_view, all_points> decoded;
  constexpr std::uint16_t wanted = 0x3C33;  // cpu, throttled, memory usage, working set, reads, writes, network bytes
  const auto points = [&](const found_series& of) -> const all_points& {
    const auto [at, fresh] = decoded.try_emplace(of.key);
    if (fresh) at->second = points_of(of, wanted);
    return at->second;
  };
  // By level, namespace, pod and container: those of several nodes are neighbours.
  std::multimap<std::tuple<reading_level, std::string_view, std::string_view, std::string_view>, const found_series*> places;
  std::map<std::string_view, std::set<std::string_view>> namespaces_of;
  for (const found_series& each : from.series) {
    const names who(each.key);
    places.emplace(std::tuple(who.level, who.namespace_name, who.pod, who.container), &each);
    namespaces_of[who.pod].insert(who.namespace_name);
  }

  std::vector<used> rows;
  std::vector<std::string_view> spaces;
  rows.reserve(events.size());
  for (const usage_event& event : events) {
    used best;
    std::string_view space = event.namespace_name;
    const auto known = namespaces_of.find(event.pod);
    if (space.empty() && known != namespaces_of.end() && known->second.size() == 1) space = *known->second.begin();
    spaces.push_back(space);
    if (known == namespaces_of.end() || (!space.empty() && !known->second.contains(space))) {
      best.reason = "unknown_pod";
    } else if (space.empty() && known->second.size() > 1 && !known->second.contains("")) {
      best.reason = "ambiguous_pod";
    } else {
      const bool whole_pod = event.container.empty();
      const auto [begin, end] = places.equal_range({whole_pod ? reading_level::pod : reading_level::container, space, event.pod, event.container});
      if (begin == end) best.reason = whole_pod ? "unknown_pod" : "unknown_container";
      // A pod of that name may have been on several nodes: the one that covers most, then the latest.
      bool any = false;
      for (auto at = begin; at != end; ++at) {
        const names who(at->second->key);
        const all_points* pod = nullptr;
        if (whole_pod) pod = &points(*at->second);
        else
          for (auto [p, last] = places.equal_range({reading_level::pod, space, event.pod, std::string_view()}); p != last; ++p)
            if (names(p->second->key).node == who.node) pod = &points(*p->second);
        used one = use_of(event, points(*at->second), pod, longest);
        one.node = who.node;
        if (!any || one.coverage > best.coverage) best = one;
        any = true;
      }
    }
    rows.push_back(best);
  }

  table made;
  made.rows = rows.size();
  words namespaces, pods, containers, nodes, reasons;
  std::vector<std::int64_t> starts, ends, samples;
  std::vector<double> seconds, coverage;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    namespaces.add(spaces[i]);
    pods.add(events[i].pod);
    containers.add(events[i].container);
    nodes.add(rows[i].node);
    reasons.add(rows[i].reason);
    starts.push_back(events[i].start_ns);
    ends.push_back(events[i].end_ns);
    samples.push_back(rows[i].samples);
    seconds.push_back(static_cast<double>(static_cast<std::uint64_t>(events[i].end_ns) - static_cast<std::uint64_t>(events[i].start_ns)) / 1e9);
    coverage.push_back(rows[i].coverage);
  }
  made.columns.push_back(std::move(namespaces).take("namespace"));
  made.columns.push_back(std::move(pods).take("pod"));
  made.columns.push_back(std::move(containers).take("container"));
  made.columns.push_back(std::move(nodes).take("node"));
  made.columns.push_back(whole("start", column_type::timestamp_ns, std::move(starts)));
  made.columns.push_back(whole("end", column_type::timestamp_ns, std::move(ends)));
  made.columns.push_back(numbers("seconds", std::move(seconds), {{"unit", "seconds"}}));
  constexpr std::pair<const char*, const char*> columns[] = {
      {"cpu_seconds", "seconds"}, {"throttled_seconds", "seconds"}, {"memory_peak_working_set_bytes", "bytes"},
      {"memory_peak_usage_bytes", "bytes"}, {"network_receive_bytes", "bytes"}, {"network_transmit_bytes", "bytes"},
      {"fs_read_bytes", "bytes"}, {"fs_write_bytes", "bytes"}};
  for (std::size_t c = 0; c < usage_columns; ++c) {
    std::vector<double> cells;
    for (const used& each : rows) cells.push_back(each.value[c]);
    made.columns.push_back(numbers(columns[c].first, std::move(cells), {{"unit", columns[c].second}}));
  }
  made.columns.push_back(whole("samples", column_type::int64, std::move(samples)));
  made.columns.push_back(numbers("coverage", std::move(coverage)));
  made.columns.push_back(std::move(reasons).take("reason"));
  return made;
}

}  // namespace computelocator
