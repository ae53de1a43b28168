// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/columns.hpp>
#include <computelocator/inventory.hpp>
#include <computelocator/table.hpp>

namespace computelocator {

/// The 16 metrics, as cAdvisor names them; the default selection everywhere.
std::span<const std::string_view> container_metrics() noexcept;

/// The name on the page for a name a user may ask by: container_memory_limit_bytes is
/// served as container_spec_memory_limit_bytes. Any other name is itself.
std::string_view canonical_metric(std::string_view name) noexcept;

/// What a cAdvisor row is about, decided from its labels and cgroup id.
enum class row_class : std::uint8_t {
  machine,    ///< id "/"
  system,     ///< a slice of the system or of a QoS class
  pod,        ///< the pod's own cgroup
  sandbox,    ///< the pause container: carries the pod's network
  container,
  other       ///< no cgroup id: /metrics/resource, machine_* and the like
};

std::string_view to_string(row_class kind) noexcept;

/// The class of a row with these label values. `container` is empty or "POD" on sandboxes;
/// where the docker runtime leaves all labels empty, the id alone decides.
row_class classify(std::string_view id, std::string_view container, std::string_view image,
                   std::string_view name, std::string_view pod) noexcept;

/// One node's page, and whose it is.
struct node_page {
  const batch* columns = nullptr;  ///< not owned; outlives the call
  std::string node;
  std::int64_t scraped_ms = 0;     ///< when the answer came, UTC
  /// false: part of what was there, such as the answer to a query. A row that is absent says nothing
  /// then, and of several samples of one series the newest counts.
  bool whole = true;
  /// Rows of read_stats_summary() of the same node: where the page has no disk usage of a container.
  const batch* summary = nullptr;  ///< not owned; may be null
};

/// Which rows a table is to have. Empty: all.
struct row_filter {
  std::vector<std::string> namespaces;
};

/// One row a container: node, namespace, pod, container, timestamp, id, image, then one float64
/// column a metric (unit, type and help as metadata), requests and limits of the pod's
/// specification, restarts; the newest instance where two coexist. Network columns are the pod's
/// and stand in pod_table alone.
table container_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter = {});

/// One row a pod: totals from the pod's own cgroup row, network from its sandbox over real
/// interfaces. A pod on the host's network has none of its own: missing, with the reason.
table pod_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter = {});

/// One row a node, from "/".
table node_table(std::span<const node_page> pages, const inventory& known);

enum class reading_level : std::uint8_t { container, pod, node };

/// What one page says of one container, pod or node: a row of the tables above, each value with its
/// time. Views live as long as the call that gives them.
struct reading {
  reading_level level = reading_level::container;
  std::string_view node, namespace_name, pod, container;
  std::string_view id;          ///< of the cgroup: another one is another instance
  std::string_view network_id;  ///< of the cgroup that the network values are of
  double started_s = 0;         ///< container_start_time_seconds; 0 where it was not asked for
  /// In the order of container_metrics(); NaN where the table has none. A container has no network.
  std::array<double, 16> value{};
  /// The sample's own time; of a sample without one that of the cgroup's newest; else the scrape's.
  std::array<std::int64_t, 16> time_ms{};
};

/// Calls `take` for each container, then pod, then the node, page after page.
void for_each_reading(std::span<const node_page> pages, const inventory& known, const row_filter& filter,
                      const std::function<void(const reading&)>& take);

/// Why values of container_table, pod_table and node_table are missing, or what a value that
/// stands there really says: level, node, namespace, pod, container, metric, value, reason.
table reason_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter = {});

}  // namespace computelocator
