// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace bench {

/// What a parser makes of a page, small enough to compare: a contender is timed only where its
/// answer is the reference's.
struct answer {
  std::uint64_t samples = 0;
  double finite_sum = 0;          ///< of all values but NaN and the infinities
  std::int64_t timestamp_sum = 0; ///< in milliseconds; 0 for a sample without one
  std::uint64_t labels = 0;       ///< without the metric's name

  void add(double value, std::int64_t timestamp_ms) noexcept {
    ++samples;
    timestamp_sum += timestamp_ms;
    if (value - value == 0) finite_sum += value;
  }
};

inline std::string to_string(const answer& of) {
  std::ostringstream text;
  text.precision(17);
  text << of.samples << " samples, sum " << of.finite_sum << ", timestamps " << of.timestamp_sum << ", "
       << of.labels << " labels";
  return text.str();
}

/// Sums may differ by what the order of additions and VictoriaMetrics' rounding make of them.
inline bool agree(const answer& a, const answer& b, bool with_labels) {
  return a.samples == b.samples && a.timestamp_sum == b.timestamp_sum &&
         (!with_labels || a.labels == b.labels) &&
         std::abs(a.finite_sum - b.finite_sum) <= 1e-9 * std::abs(b.finite_sum);
}

/// What prometheus_client makes of a page, as pages.py wrote it beside the page: of all samples, and of
/// the 16 metrics alone.
struct reference {
  answer all, selected;
};

inline reference read_reference(const std::filesystem::path& path) {
  reference made;
  std::ifstream file(path);
  for (answer* each : {&made.all, &made.selected})
    file >> each->samples >> each->finite_sum >> each->timestamp_sum >> each->labels;
  if (!file) throw std::runtime_error("no reference in " + path.string());
  return made;
}

}  // namespace bench
