// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/history.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

void check_lengths(const cl::table& of) {
  for (const cl::column& each : of.columns) {
    if (each.float64) must(each.float64->size() == of.rows);
    if (each.int64) must(each.int64->size() == of.rows);
    if (each.boolean) must(each.boolean->size() == of.rows);
    if (each.valid) must(each.valid->size() == of.rows);
    if (each.codes) {
      must(each.codes->size() == of.rows);
      for (const std::int32_t code : *each.codes) must(code >= -1 && code < static_cast<std::int32_t>(each.dictionary->size()));
    }
  }
  if (const cl::column* const time = of.find("timestamp")) must(std::is_sorted(time->int64->begin(), time->int64->end()));
}

void ask(const cl::history& history) {
  cl::history_query query;
  std::vector<cl::usage_event> events;
  const auto span = history.span_ms();
  for (const auto level : {cl::reading_level::container, cl::reading_level::pod, cl::reading_level::node}) {
    query.level = level;
    const cl::table samples = history.samples(query), series = history.series(query);
    check_lengths(samples);
    check_lengths(history.rows(query));
    check_lengths(series);
    query.limit = 3;
    must(history.samples(query).rows == std::min<std::size_t>(3, samples.rows));
    query.limit = std::numeric_limits<std::size_t>::max();
    for (const auto what : {cl::change::rate, cl::change::increase, cl::change::delta}) {
      const cl::table changes = history.changes(what, query);
      check_lengths(changes);
      for (const double seconds : *changes.find("seconds")->float64) must(seconds > 0);
    }
    if (!span) must(samples.rows == 0);
    else
      for (const std::int64_t at : *samples.find("timestamp")->int64) must(at >= span->first && at <= span->second);
    if (level == cl::reading_level::node) continue;
    const cl::column& pods = *series.find("pod");
    for (std::size_t row = 0; row < std::min<std::size_t>(series.rows, 4); ++row) {
      const std::int32_t code = (*pods.codes)[row];
      if (code < 0) continue;
      const std::string& pod = (*pods.dictionary)[static_cast<std::size_t>(code)];
      for (const std::int64_t begin : {span->first, (span->first + span->second) / 2})
        events.push_back({begin * 1'000'000 + 1, span->second * 1'000'000 + 1, "", pod, ""});
    }
  }
  const cl::table used = history.usage(events);
  check_lengths(used);
  for (const double coverage : *used.find("coverage")->float64) must(coverage >= 0 && coverage <= 1);
}

}  // namespace

/// Pages, with a byte 0xFF between two of them. An odd first byte: parts of pages.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  cl::history_options options;
  options.max_bytes = std::size_t{1} << 20;
  cl::history history(options);
  cl::label_cache cache;
  for (int page = 0; page < 6 && !rest.empty(); ++page) {
    const std::size_t end = std::min(rest.find('\xFF'), rest.size());
    cl::column_options reading;
    reading.max_samples = 200;
    const cl::column_result read = cl::read_columns(rest.substr(0, end), cache, reading);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::int64_t now_ms = 1'700'000'000'000 + page * std::int64_t{90'000};
    const cl::node_page pages[] = {{&read.columns, page % 3 == 2 ? "b" : "a", now_ms, data[0] % 2 == 0}};
    history.add(pages, {}, now_ms);
    must(history.bytes() <= options.max_bytes);
  }
  ask(history);
  return 0;
}
