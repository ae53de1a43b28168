// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON that carries samples: what a Prometheus server answers to /api/v1/query and
// /api/v1/query_range, and a kubelet to /stats/summary, into the same columns as a page.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/columns.hpp>
#include <computelocator/error.hpp>

namespace computelocator {

struct prometheus_json_options {
  std::string name = "<json>";     ///< what messages call the answer
  std::string metric;              ///< of series without a name, as rate() gives them
  std::string node_label = "node"; ///< the label that says the row's node
  std::size_t max_bytes = std::size_t{256} << 20;
  std::size_t max_samples = 10'000'000;
  std::size_t max_label_names = 1'000;
};

/// The series of one node, or those without one.
struct node_samples {
  std::string node;
  batch columns;
};

struct prometheus_samples {
  std::string result_type;             ///< "matrix", "vector" or "scalar"
  std::vector<node_samples> nodes;     ///< in the order in which they first came
  std::vector<std::string> warnings;   ///< the server's warnings and infos, printable, and ours
};

/// Reads one answer. Times are rounded to milliseconds; values are the nearest doubles, with NaN
/// and infinities as the server writes them. Native histograms are left out, which is a warning.
/// errc::query_failed with the server's own words where it says that the query failed;
/// errc::page_refused with NAME:LINE:COLUMN for anything else that is not such an answer;
/// errc::too_large past a limit. `answer` need live only during the call.
result<prometheus_samples> read_prometheus_json(std::string_view answer,
                                                const prometheus_json_options& options = {});

/// Reads what a kubelet answers to /stats/summary, which `name` is in messages: rows of
/// container_fs_usage_bytes (root file system and logs) and container_fs_limit_bytes (the size of the file
/// system) with the labels container, namespace and pod. errc::page_refused for anything else.
result<batch> read_stats_summary(std::string_view body, const std::string& name);

}  // namespace computelocator
