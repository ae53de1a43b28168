// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Snapshots over time: a bounded memory of the 16 metrics of each container, pod and node, and what
// can be asked of it. docs/meaning.md has the formulas.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/cadvisor.hpp>
#include <computelocator/inventory.hpp>
#include <computelocator/table.hpp>

namespace computelocator {

struct history_options {
  std::size_t max_bytes = std::size_t{256} << 20;       ///< held after each add(); at least 1 MiB
  std::chrono::milliseconds max_age{3'600'000};         ///< counted from when a sample was added
  /// No value is interpolated between two samples that are further apart, and a series that gave
  /// nothing new for so long is stale.
  std::chrono::milliseconds stale_after{300'000};
};

/// Which rows are wanted. Empty lists: all. Times are those of the samples, both ends inclusive.
struct history_query {
  reading_level level = reading_level::container;
  std::int64_t since_ms = std::numeric_limits<std::int64_t>::min();
  std::int64_t until_ms = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string> nodes, namespaces, pods, containers;
  std::vector<std::string> metrics;  ///< of container_metrics(), or their aliases
  std::size_t limit = std::numeric_limits<std::size_t>::max();  ///< the newest rows
};

/// What happened between two moments in a pod.
struct usage_event {
  std::int64_t start_ns = 0, end_ns = 0;  ///< since the epoch, UTC
  std::string namespace_name;             ///< empty: the one namespace that has such a pod
  std::string pod;
  std::string container;                  ///< empty: the pod as a whole
};

enum class change : std::uint8_t {
  rate,      ///< of a counter, a second
  increase,  ///< of a counter
  delta      ///< of a gauge
};

/// The history of one cluster. One thread may add while any number ask. Tables are whole as of some
/// moment between two pages of an add. std::invalid_argument for a query that cannot be.
class history {
 public:
  explicit history(history_options options = {});
  history(history&&) noexcept;
  history& operator=(history&&) noexcept;
  ~history();

  /// Takes the samples that are new: a sample is known by its series and its own time, so one that
  /// stood on an earlier page is not stored again. `now_ms` is when the pages came, for samples
  /// without any time and for max_age. Then the oldest are dropped until the bounds hold.
  void add(std::span<const node_page> pages, const inventory& known, std::int64_t now_ms, const row_filter& filter = {});

  /// Tidy, by time: timestamp, node, namespace, pod, container (what the level has of these),
  /// metric, value. metadata "truncated" where `limit` cut.
  table samples(const history_query& of) const;

  /// One row an entity and page with something new on it, by time; one float64 column a metric.
  /// A value that stood there unchanged since the page before is repeated.
  table rows(const history_query& of) const;

  /// One row an entity: first, last, samples (times at which its CPU is known), restarts, stale.
  table series(const history_query& of) const;

  /// One row a pair of adjacent samples, by time of the later: ..., metric, value, seconds, reset.
  /// Pairs further apart than stale_after give none.
  table changes(change what, const history_query& of) const;

  /// One row an event, in order: namespace, pod, container, node, start, end, seconds, cpu_seconds,
  /// throttled_seconds, memory_peak_working_set_bytes, memory_peak_usage_bytes,
  /// network_receive_bytes, network_transmit_bytes, fs_read_bytes, fs_write_bytes, samples,
  /// coverage, reason. Missing where the history covers none of it, for the reason given.
  table usage(std::span<const usage_event> events) const;

  std::size_t bytes() const noexcept;
  std::uint64_t sweeps() const noexcept;
  /// Samples that the bounds made it forget.
  std::uint64_t dropped() const noexcept;
  /// Time of the oldest and of the newest sample held; empty while there is none.
  std::optional<std::pair<std::int64_t, std::int64_t>> span_ms() const;
  const history_options& options() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace computelocator
