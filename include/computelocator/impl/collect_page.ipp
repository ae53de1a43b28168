// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/collect.hpp>
#include <computelocator/inflate.hpp>

namespace computelocator {

namespace detail::collect_ {

inline std::int64_t milliseconds(std::chrono::system_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

/// The names as they stand on the page, without repetition.
inline std::vector<std::string> canonical(const std::vector<std::string>& names) {
  std::vector<std::string> made;
  for (const std::string& name : names) {
    std::string real(canonical_metric(name));
    if (std::find(made.begin(), made.end(), real) == made.end()) made.push_back(std::move(real));
  }
  return made;
}

inline error page_error(std::string_view page, const parse_error& fault, const std::string& name) {
  const position at = locate(page, fault.offset);
  return {errc::page_refused,
          name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
          std::string(what(fault.code)), std::string(advice(fault.code))};
}

}  // namespace detail::collect_

result<snapshot> parse_page(std::string_view page_or_gzip, const parse_page_options& options) {
  const auto started = std::chrono::system_clock::now();
  std::string inflated;
  std::string_view page = page_or_gzip;
  if (is_gzip(page_or_gzip)) {
    result<std::string> text = gunzip(page_or_gzip, options.max_page_bytes);
    if (!text) {
      text.error().where = options.name;
      return std::move(text).error();
    }
    inflated = std::move(text).value();
    page = inflated;
  }
  if (page.size() > options.max_page_bytes)
    return error{errc::too_large, options.name, "more bytes than the limit", "raise max_page_bytes"};

  column_options reading;
  reading.grammar.rules = options.rules;
  reading.grammar.syntax = options.detect_dialect ? detect_dialect(page) : options.syntax;
  if (!options.metrics.empty()) reading.metrics = metric_selection(detail::collect_::canonical(options.metrics));
  reading.metrics.drop(detail::collect_::canonical(options.dropped_metrics));
  reading.labels = label_selection(options.labels);
  label_cache cache(std::numeric_limits<std::size_t>::max());
  column_result read = read_columns(page, cache, reading);
  if (read.stopped) return detail::collect_::page_error(page, *read.stopped, options.name);

  snapshot made;
  made.source = options.name;
  made.started = started;
  made.namespaces = options.namespaces;
  outcome& about = made.outcomes.emplace_back();
  about.node = options.name;
  about.reached = stage::done;
  about.attempts = 1;
  about.wire_bytes = page_or_gzip.size();
  about.page_bytes = page.size();
  about.samples = about.new_series = read.columns.rows();
  about.scraped_samples = read.read.samples + read.read.skipped;
  about.rejected_lines = read.read.rejected;
  about.started = started;
  made.pages.push_back({options.name, no_timestamp, std::move(read.columns), {}});
  made.ended = std::chrono::system_clock::now();
  return made;
}

result<snapshot> parse_prometheus_json(std::string_view answer_or_gzip, const prometheus_json_options& options) {
  snapshot made;
  made.source = options.name;
  made.started = std::chrono::system_clock::now();
  std::string inflated;
  std::string_view answer = answer_or_gzip;
  if (is_gzip(answer_or_gzip)) {
    result<std::string> text = gunzip(answer_or_gzip, options.max_bytes);
    if (!text) {
      text.error().where = options.name;
      return std::move(text).error();
    }
    inflated = std::move(text).value();
    answer = inflated;
  }
  auto read = read_prometheus_json(answer, options);
  if (!read) return std::move(read).error();
  outcome& about = made.outcomes.emplace_back();
  about.node = options.name;
  about.reached = stage::done;
  about.attempts = 1;
  about.wire_bytes = answer_or_gzip.size();
  about.page_bytes = answer.size();
  about.started = made.started;
  for (node_samples& each : read->nodes) {
    about.samples += each.columns.rows();
    made.pages.push_back({std::move(each.node), no_timestamp, std::move(each.columns), {}, false});
  }
  made.warnings = std::move(read->warnings);
  made.ended = std::chrono::system_clock::now();
  return made;
}

}  // namespace computelocator
