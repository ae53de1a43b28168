// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <computelocator/cadvisor.hpp>
#include <computelocator/columns.hpp>
#include <computelocator/discover.hpp>
#include <computelocator/discover_exporters.hpp>
#include <computelocator/error.hpp>
#include <computelocator/history.hpp>
#include <computelocator/inventory.hpp>
#include <computelocator/outcome.hpp>
#include <computelocator/samples_json.hpp>
#include <computelocator/table.hpp>

namespace computelocator {

/// Targets in place of the nodes of a cluster.
struct exporter_options {
  std::vector<std::string> addresses;    ///< "http://host:9100/metrics", "host:9100"
  std::vector<std::string> files;        ///< of file_sd, read again in each sweep; while one cannot be, as it was
  bool annotated_pods = false;           ///< the cluster's pods with prometheus.io/scrape, of `namespaces`
  target_labels labels;                  ///< added to each target that does not give them
  exporter_credentials who;              ///< to `addresses` and `files`; of it pods get the CA and `tls` alone

  bool any() const noexcept { return annotated_pods || !addresses.empty() || !files.empty(); }
};

/// What to collect, from where, and within which bounds. Every bound is on by default.
struct collect_options {
  // Where
  std::string kubeconfig;                ///< a file; empty: as kubectl finds one
  std::string context;                   ///< empty: the current context
  exec_rule exec_plugins = exec_rule::automatic;  ///< whether a kubeconfig may name a program to be run
  computelocator::route route = computelocator::route::automatic;
  std::string node_selector;             ///< as `kubectl get nodes -l`
  tls_mode kubelet_tls = tls_mode::verify;
  std::string kubelet_ca_file;           ///< PEM; empty: the cluster's CA
  /// With tls_mode::pin: the sha256 of a kubelet's key, 64 hex digits, by node UID or name; those of
  /// other nodes are taken at first use.
  std::map<std::string, std::string> pins;
  std::vector<std::string> allowed_ranges;
  node_share share;                      ///< the nodes to scrape, where several collectors share them
  std::string path = "/metrics/cadvisor"; ///< or another of the kubelet's metrics paths
  bool stats_summary = false;            ///< also asks for /stats/summary, for disk usage that the page has not
  exporter_options exporters;
  /// Keep nodes and pods fresh by watches, listed once, in place of a list at each sweep; they go on
  /// while a sweep or keep_fresh() runs.
  bool watch_objects = false;
  // What
  bool all_metrics = false;              ///< false: `metrics`
  std::vector<std::string> metrics;      ///< empty: the 16 of container_metrics(); all of other paths and exporters
  std::vector<std::string> dropped_metrics;
  std::vector<label_choice> labels;      ///< rows with one of the values of each alone, or without the dropped
  std::vector<std::string> namespaces;   ///< rows of these alone; empty: all
  policy rules = policy::lenient;
  bool keep_pages = false;               ///< keep each page as it came, inflated
  // Bounds
  std::chrono::milliseconds timeout{10'000};  ///< a target's, from its start to the parsed page
  std::chrono::milliseconds discovery_timeout{30'000};
  std::size_t concurrency = 64;               ///< targets at once
  /// Memory of pages under way, half as they are sent and half as text. A page may take half of it alone,
  /// and 32 MiB where that is less.
  std::size_t bytes_in_flight = std::size_t{512} << 20;
  std::size_t max_page_bytes = std::size_t{64} << 20;
  std::size_t max_samples = 1'000'000;        ///< of one page
  std::size_t max_label_names = 1'000;        ///< of one target: each is a column of the tables
  std::size_t parsers = 0;                    ///< threads that inflate and parse; 0: one a CPU
};

/// The columns of one target's page.
struct collected_page {
  std::string node;
  std::int64_t scraped_ms = 0;
  batch columns;
  std::string text;                      ///< with keep_pages
  bool whole = true;                     ///< see node_page
  target_labels labels;                  ///< of the target, for each row
  std::shared_ptr<const batch> summary;  ///< rows of read_stats_summary(), where it was asked for and came
};

/// One sweep: what every target gave, and what became of each.
struct snapshot {
  std::string source;                    ///< in words, where it came from
  std::chrono::system_clock::time_point started{}, ended{};
  std::vector<collected_page> pages;     ///< in the order of `outcomes`; failed targets have none
  std::vector<outcome> outcomes;         ///< one a target
  computelocator::inventory inventory;
  std::vector<std::string> namespaces;   ///< the filter asked for
  /// What is not as it should be, though there is something: of nodes and pods that are the last known
  /// ones, of an address that another node has now; of a Prometheus server's answer.
  std::vector<std::string> warnings;
  std::chrono::milliseconds inventory_age{0};  ///< since nodes and pods were known to be current
  bool interrupted = false;              ///< cancelled before all targets were done
  bool of_nodes = true;                  ///< false: of exporters, which have no containers
  std::chrono::milliseconds timeout{0};  ///< that each target had
  std::size_t max_samples = 0;           ///< of one page; 0: no bound

  std::size_t samples() const noexcept;
  std::vector<node_page> node_pages() const;
};

/// Tidy: one row a sample (see samples_table in columns.hpp), filtered by namespace.
table samples_table(const snapshot& from);
table containers_table(const snapshot& from);
table pods_table(const snapshot& from);
table nodes_table(const snapshot& from);
table reasons_table(const snapshot& from);
/// One row a target: node (of exporters: instance), url, ok, stage, error, message, advice, http_status, attempts,
/// wire_bytes, page_bytes, samples, rejected_lines, then one duration a stage.
table outcomes_table(const snapshot& from);
/// One row a target with what Prometheus tells of its targets: node (or instance and the other labels),
/// timestamp, up, scrape_duration_seconds, scrape_samples_scraped, scrape_samples_post_metric_relabeling
/// (those that were wanted), scrape_series_added, scrape_body_size_bytes (-1: too large),
/// scrape_timeout_seconds and scrape_sample_limit.
table meta_table(const snapshot& from);
/// One row a pod that the API server listed: namespace, pod, uid, node, phase, address and labels
/// as "key=value,..." in the order of their keys. Empty where pods could not be listed.
table inventory_table(const snapshot& from);
/// One row a rejected line: node (or instance), line, column, offset, what, text.
table rejects_table(const snapshot& from);

/// Adds what the snapshot saw, within its namespaces. Of a Prometheus server's answer every sample,
/// in the order of time.
void add(history& to, const snapshot& from);

/// Called from the calling thread of `sweep`, at most ten times a second and once at the end.
using progress_report = std::function<void(std::size_t done, std::size_t failed, std::size_t total)>;

/// Over which time the targets of a sweep begin, each at its own place in it, and by when they end.
struct sweep_spread {
  std::chrono::milliseconds over{0};
  std::chrono::steady_clock::time_point end = std::chrono::steady_clock::time_point::max();
};

/// Keeps connections, credentials and label caches of one cluster, or of exporters, between sweeps.
class collector {
 public:
  /// Finds the cluster, which exporters but pods need not; opens no socket yet.
  static result<collector> open(collect_options options);

  collector(collector&&) noexcept;
  collector& operator=(collector&&) noexcept;
  ~collector();

  /// Lists nodes and pods and scrapes every node once, or every exporter. Blocks; a remote fault of one target is
  /// its outcome, an API server that cannot be asked is the error. A requested stop ends every
  /// socket at once and gives what was done, `interrupted`. One sweep at a time.
  /// With `watch_objects` an API server that is away is an error only as long as no nodes are known: then
  /// the last known ones are scraped, and `warnings` and `inventory_age` say so.
  result<snapshot> sweep(std::stop_token stop = {}, const progress_report& report = {}, const sweep_spread& spread = {});

  /// Waits until then; the watches go on meanwhile. A requested stop ends it, and every socket, at once.
  /// `report` is called with zeros, for whoever looks for a reason to stop there.
  void keep_fresh(std::chrono::steady_clock::time_point until, std::stop_token stop = {}, const progress_report& report = {});

  /// From the next sweep on. Safe from any thread, as pins() is.
  result<std::monostate> share(node_share nodes);

  /// The key of each kubelet that was met under tls_mode::pin, or given for it, by node UID, as of
  /// the last sweep: held as long as this collector. Giving them to another one keeps them longer.
  std::map<std::string, std::string> pins() const;

  /// What it has done since it was opened, as of the last sweep, as a page of the Prometheus text format:
  /// sweeps, targets by result, bytes, samples, time per stage, what it remembers. Safe from any thread.
  std::string metrics() const;

 private:
  friend class watcher;
  struct state;
  explicit collector(std::unique_ptr<state> kept) noexcept;
  std::unique_ptr<state> state_;
};

/// When a watcher sweeps.
struct watch_options {
  std::chrono::milliseconds interval{15'000};  ///< 100 ms to a day
  /// Whether nodes are asked at different times of the interval, each always at the same: over half of it,
  /// or over what a timeout leaves of it where that is more. Each sweep ends within its interval then: a
  /// node that was asked late has the rest of it. Empty: where the interval is 5 s or more.
  std::optional<bool> spread;
};

/// Sweeps again and again, at fixed times: `interval` apart from the first, whatever a sweep takes. A time
/// that passes while a sweep, or whoever takes the snapshots, is still busy is left out and counted. In
/// between nodes and pods are kept fresh by watches.
class watcher {
 public:
  /// `with`, which outlives this and stays where it is, has `watch_objects` until this ends, and its
  /// watches with it.
  static result<watcher> open(collector& with, watch_options how = {});

  watcher(watcher&&) noexcept;
  watcher& operator=(watcher&&) noexcept;
  ~watcher();

  /// Waits for the next time and sweeps; the first call sweeps at once, all nodes as soon as there is
  /// room. Results as of collector::sweep(): after an error the next call tries anew, at the next time.
  result<snapshot> next(std::stop_token stop = {}, const progress_report& report = {});

  /// next() until a stop is requested or `take` gives false.
  void run(const std::function<bool(result<snapshot>)>& take, std::stop_token stop = {});

  /// Times that were left out.
  std::uint64_t missed() const noexcept;

 private:
  struct state;
  explicit watcher(std::unique_ptr<state> kept) noexcept;
  std::unique_ptr<state> state_;
};

/// One page of text (or gzip of it) that is at hand already, as a snapshot of one target.
struct parse_page_options {
  std::string name;                      ///< what messages call it: a file name, "-"
  bool detect_dialect = true;            ///< OpenMetrics iff the last line is "# EOF"
  dialect syntax = dialect::prometheus;
  policy rules = policy::lenient;
  std::vector<std::string> metrics;      ///< empty: all
  std::vector<std::string> dropped_metrics;
  std::vector<label_choice> labels;      ///< rows with one of the values of each alone, or without the dropped
  std::vector<std::string> namespaces;
  std::size_t max_page_bytes = std::size_t{1} << 30;
};

/// Under `lenient` bad lines are rejects; under the others the first one is the error,
/// `where` being "NAME:LINE:COLUMN".
result<snapshot> parse_page(std::string_view page_or_gzip, const parse_page_options& options = {});

/// A Prometheus server's answer (or gzip of it) as a snapshot of one target; see samples_json.hpp.
result<snapshot> parse_prometheus_json(std::string_view answer_or_gzip, const prometheus_json_options& options = {});

}  // namespace computelocator
