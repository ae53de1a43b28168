// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/samples_json.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

void check_text(std::string_view text) {
  for (const char c : text) must(static_cast<unsigned char>(c) >= 0x20);
}

/// The same bytes as a kubelet's answer.
void summary(std::string_view text) {
  const auto got = cl::read_stats_summary(text, "n1");
  if (!got) {
    check_text(got.error().message());
    must(got.error().code == cl::errc::page_refused);
    return;
  }
  must(got->label_set_id.size() == got->rows() && got->timestamp_ms.size() == got->rows());
  for (std::size_t row = 0; row < got->rows(); ++row) {
    must(got->value[row] >= 0 && got->metric_id[row] < got->metrics.size());
    for (const char* label : {"namespace", "pod", "container"}) must(!got->sets->value_of(got->label_set_id[row], label).empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  cl::prometheus_json_options options;
  options.max_samples = 1000;
  options.max_label_names = 100;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  summary(text);
  const auto got = cl::read_prometheus_json(text, options);
  if (!got) {
    check_text(got.error().message());
    must(got.error().code == cl::errc::page_refused || got.error().code == cl::errc::query_failed ||
         got.error().code == cl::errc::too_large);
    return 0;
  }
  for (const std::string& each : got->warnings) check_text(each);
  std::size_t rows = 0;
  for (const cl::node_samples& each : got->nodes) {
    const cl::batch& columns = each.columns;
    rows += columns.rows();
    must(columns.metric_id.size() == columns.rows() && columns.label_set_id.size() == columns.rows() &&
         columns.timestamp_ms.size() == columns.rows());
    must(columns.sets->names() <= options.max_label_names);
    for (std::size_t row = 0; row < columns.rows(); ++row) {
      must(columns.metric_id[row] < columns.metrics.size());
      must(columns.label_set_id[row] < columns.sets->size());
      for (const auto& label : (*columns.sets)[columns.label_set_id[row]]) {
        must(label.name < columns.sets->names());
        must(!columns.sets->value(label.value).empty());
      }
    }
  }
  must(rows <= options.max_samples);
  // The tables that are made of it hold what the columns hold.
  std::vector<cl::batch_source> sources;
  for (const cl::node_samples& each : got->nodes) sources.push_back({&each.columns, each.node, cl::no_timestamp});
  must(cl::samples_table(sources).rows == rows);
  return 0;
}
