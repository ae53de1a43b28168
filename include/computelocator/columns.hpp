// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/text.hpp>

namespace computelocator {

/// A row without a timestamp of its own (a tenth of a cAdvisor page).
inline constexpr std::int64_t no_timestamp = std::numeric_limits<std::int64_t>::min();

struct metric {
  std::string name;
  metric_type type = metric_type::unknown;
  std::string unit;   ///< from UNIT, else from the name's suffix (seconds, bytes, ratio), else empty
  std::string help;
};

/// The label sets of one target with dictionary-encoded labels. Ids are stable
/// while the object lives; it only grows. Label sets do not hold the metric name.
class label_sets {
 public:
  struct entry { std::uint32_t name; std::uint32_t value; };  ///< ids into names() and values()

  std::size_t size() const noexcept;                        ///< number of label sets
  std::span<const entry> operator[](std::uint32_t id) const noexcept;  ///< in the order of the page
  std::span<const std::string> names() const noexcept;      ///< distinct label names
  std::span<const std::string> values() const noexcept;     ///< distinct label values, decoded
  /// The value of `label_name` in set `id`, empty where it has none (Prometheus
  /// treats an empty label as absent).
  std::string_view value(std::uint32_t id, std::string_view label_name) const noexcept;

 private:
  friend class label_cache;
  std::vector<std::string> names_, values_;
  std::vector<entry> entries_;
  std::vector<std::uint32_t> begin_{0};
};

/// A line that could not be read, kept so that nothing is lost.
struct reject {
  std::size_t line = 0, column = 0, offset = 0;   ///< line and column from 1, bytes
  std::string text;                               ///< the line, cut at 256 bytes
  parse_errc code{};
};

/// The columns of one page: `rows()` values in each of the four vectors.
struct batch {
  std::vector<std::uint32_t> metric_id;     ///< into metrics
  std::vector<std::uint32_t> label_set_id;  ///< into *sets
  std::vector<double> value;
  std::vector<std::int64_t> timestamp_ms;   ///< UTC, or no_timestamp
  std::vector<metric> metrics;
  std::shared_ptr<const label_sets> sets;   ///< shared with the label cache that made it
  std::vector<reject> rejects;

  std::size_t rows() const noexcept { return value.size(); }
};

// The rest of this header (label_cache, column_options, read_columns) is the
// room's own to shape.

}  // namespace computelocator
