// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/error.hpp>
#include <computelocator/inventory.hpp>
#include <computelocator/target.hpp>
#include <computelocator/token.hpp>

namespace computelocator {

/// Looks a variable up; HOME is asked for here too. Empty function: the process environment.
using environment_lookup = std::function<std::optional<std::string>(const std::string& name)>;

/// How to reach the API server of one cluster.
struct cluster_config {
  std::string source;        ///< in words: "kubeconfig /home/me/.kube/config, context prod"
  std::string context;       ///< name of the kubeconfig's context; empty in a cluster
  computelocator::scheme scheme = computelocator::scheme::https;
  std::string host;          ///< name or address, IPv6 without brackets
  std::uint16_t port = 443;
  std::string base_path;     ///< "" or "/k8s/clusters/c-1", no slash at the end
  std::shared_ptr<const computelocator::access> access;  ///< never null in a result of this header
  std::string default_namespace = "default";
  bool in_cluster = false;

  /// "https://host:port/base", what messages call the API server.
  std::string url() const;
};

/// Whether a kubeconfig may name a program to be run.
enum class exec_rule : std::uint8_t {
  automatic,  ///< not inside a pod (KUBERNETES_SERVICE_HOST is set there)
  allow,
  deny
};

struct kubeconfig_options {
  std::string path;      ///< this file alone; empty: the KUBECONFIG list, else ~/.kube/config
  std::string context;   ///< empty: current-context
  exec_rule exec_plugins = exec_rule::automatic;  ///< whether a kubeconfig may name a program to be run
  environment_lookup environment;
};

struct in_cluster_options {
  std::string directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  environment_lookup environment;
};

struct cluster_options {
  std::string kubeconfig;
  std::string context;
  exec_rule exec_plugins = exec_rule::automatic;  ///< whether a kubeconfig may name a program to be run
  std::string service_account_directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  environment_lookup environment;
};

/// Reads and merges kubeconfig files as kubectl does. Files are regular and at most 1 MiB.
/// An exec plugin is read and not run. Auth providers, impersonation and proxies
/// other than http:// and socks5:// give errc::unsupported.
result<cluster_config> read_kubeconfig(const kubeconfig_options& options = {});

/// What an exec plugin gave.
struct exec_credential {
  secret token;
  std::string client_certificate_pem;
  secret client_key_pem;
  std::optional<std::chrono::system_clock::time_point> expires;  ///< empty: when it is refused
};

/// Reads the plugin's standard output. One that is expired at `now`, or that holds nothing, is an error.
result<exec_credential> read_exec_credential(const exec_plugin& from, std::string_view output,
                                             std::chrono::system_clock::time_point now);

/// Reads what a pod is given. The token stays a file name, so that it is read again.
result<cluster_config> read_in_cluster(const in_cluster_options& options = {});

/// An explicit kubeconfig, KUBECONFIG, ~/.kube/config, then the pod's own service account.
/// errc::no_configuration lists all that was tried.
result<cluster_config> find_cluster(const cluster_options& options = {});

/// `text` ("250m", "128Mi", "1e3") as the nearest double in base units; empty if it is none.
std::optional<double> parse_quantity(std::string_view text) noexcept;

struct list_options {
  std::string base_path;        ///< cluster_config::base_path
  std::string where;            ///< what messages call the server; empty: "API server"
  std::string label_selector;   ///< as `kubectl -l`; checked lightly here, for good by the server
  std::string field_selector;
  std::string namespace_name;   ///< pods only; empty: all namespaces
  std::uint32_t limit = 500;
  std::size_t max_body = std::size_t{256} << 20;
  std::size_t max_items = 1'000'000;
};

/// The `message` of a Kubernetes Status object; of any other body its start, made printable.
std::string status_message(std::string_view body);

/// errc::invalid_argument where a selector or namespace cannot be one.
result<std::monostate> check(const list_options& options);

enum class list_step : std::uint8_t {
  more,     ///< GET path() again
  done,     ///< items() is whole
  restart   ///< 410: what came so far is dropped; GET path() again
};

/// Decides the GETs of one list and reads the answers; opens no socket.
/// After an error the lister is over; a new one starts anew.
template <class T>
class object_lister {
 public:
  explicit object_lister(list_options options) : options_(std::move(options)) {}

  /// Path and query of the next GET, percent-encoded.
  std::string path() const;

  /// Takes the answer to path(). `body` need live only during the call.
  result<list_step> feed(int http_status, std::string_view body);

  const std::vector<T>& items() const& noexcept { return items_; }
  std::vector<T> items() && noexcept { return std::move(items_); }
  const std::string& resource_version() const noexcept { return resource_version_; }

 private:
  list_options options_;
  std::vector<T> items_;
  std::string continue_;
  std::string resource_version_;
  int restarts_ = 0;
};

extern template class object_lister<node>;
extern template class object_lister<pod>;
using node_lister = object_lister<node>;
using pod_lister = object_lister<pod>;

struct object_watch_options {
  list_options objects;                          ///< what is listed, and watched from there on
  std::chrono::seconds lasts{300};               ///< asked of the server, which then ends the watch
  std::size_t max_event = std::size_t{8} << 20;  ///< bytes of one event; etcd takes objects of 1.5 MiB
};

/// What the caller of an object_watcher does next.
enum class watch_step : std::uint8_t {
  go_on,      ///< feed() what comes next
  reconnect,  ///< GET path() again; nothing is lost
  back_off,   ///< the same after a pause, since the server refused: failure() says why
  list_again  ///< something may be lost: list the objects and reset(); failure() says why
};

/// Decides the GETs of one watch, reads the events and keeps the objects as the server last told of
/// them; opens no socket. Objects have the order of a list. One whose name is used again by another
/// UID is another object.
///
/// | what comes | what is done |
/// |---|---|
/// | ADDED, MODIFIED | the object is as it says, whether it was known or not |
/// | DELETED | it is gone, unless its name belongs to another UID meanwhile |
/// | BOOKMARK | the version to go on from is noted |
/// | an event or bookmark without a resourceVersion | done as well; the version before is gone on from |
/// | ERROR or HTTP status 410, "too old resource version", a version that the server does not take | list_again |
/// | another ERROR, another status | back_off |
/// | an event of another type, an empty line | left out |
/// | a line that is no event, or is larger than max_event; more than max_items | list_again |
/// | the end in the middle of an event | reconnect: the event comes again |
template <class T>
class object_watcher {
 public:
  explicit object_watcher(object_watch_options options) : options_(std::move(options)) {}

  /// Begins anew with a whole list and the version that it has.
  void reset(std::vector<T> items, std::string resource_version);

  /// Path and query of the next GET, percent-encoded.
  std::string path() const;

  /// Takes the status of the answer to path(), and its body where that is no 200.
  watch_step begin(int http_status, std::string_view error_body = {});

  /// Takes bytes of the body as they come, cut anywhere; they need live only during the call. After
  /// another step than go_on the rest of this answer is of no use.
  watch_step feed(std::string_view piece);

  /// The answer ended, whether in order or not.
  watch_step end();

  std::vector<T> items() const;
  std::size_t size() const noexcept { return items_.size(); }
  const std::string& resource_version() const noexcept { return resource_version_; }
  /// Events that were taken since it was made.
  std::uint64_t events() const noexcept { return events_; }
  /// Why the last step was back_off or list_again.
  const error& failure() const noexcept { return failure_; }

 private:
  watch_step take(std::string_view line);
  watch_step refuse(watch_step step, errc code, std::string what);
  std::string where() const;

  object_watch_options options_;
  std::map<std::string, T> items_;  // by "namespace/name", as etcd orders them
  std::string resource_version_;
  std::string line_;                // the beginning of an event
  std::uint64_t events_ = 0;
  error failure_;
};

extern template class object_watcher<node>;
extern template class object_watcher<pod>;
using node_watcher = object_watcher<node>;
using pod_watcher = object_watcher<pod>;

/// The pause before trying again: 1 s, doubled by each failure in a row up to 30 s; half of it is left
/// to `chance` (0 to 1), so that those whom one fault hit do not come back at once.
std::chrono::milliseconds pause_after(int failures, double chance) noexcept;

enum class route : std::uint8_t {
  automatic,   ///< direct in a pod, through the API server from a kubeconfig
  direct,      ///< https to the node's own address
  api_server   ///< /api/v1/nodes/NAME/proxy; needs `get` on nodes/proxy
};

struct route_options {
  computelocator::route route = computelocator::route::automatic;
  std::string path = "/metrics/cadvisor";  ///< one of the kubelet's metrics paths or /stats/summary, nothing else
  std::vector<std::string> metrics;        ///< asked for by name[]; empty: all
  std::vector<std::string> address_types = {"InternalIP", "InternalDNS", "ExternalIP",
                                            "ExternalDNS", "Hostname"};
  std::vector<std::string> allowed_ranges; ///< "127.0.0.0/8": refused addresses that may be used
  tls_mode tls = tls_mode::verify;         ///< kubelets' certificates; direct only
  std::string ca_pem;                      ///< for kubelets; empty: the cluster's CA
  /// kubelet_access() of an earlier call, so that connections made with it are found again;
  /// null: made anew.
  std::shared_ptr<const computelocator::access> access;
  std::map<std::string, std::string> pins; ///< node UID to pin; with tls_mode::pin, others: first use
};

/// The cluster's credentials under the TLS rule for kubelets. The API server's own server name
/// (tls-server-name) is not theirs.
std::shared_ptr<const access> kubelet_access(const cluster_config& cluster, const route_options& options);

/// Where to scrape `of`. An error is that node's alone.
result<target> kubelet_target(const node& of, const cluster_config& cluster,
                              const route_options& options = {});

struct node_target {
  std::string node;
  result<computelocator::target> target;
};

/// kubelet_target() for each node, in order; targets share one `access` where they can.
std::vector<node_target> kubelet_targets(std::span<const node> nodes, const cluster_config& cluster,
                                         const route_options& options = {});

/// Which nodes one of several collectors scrapes. Empty `all`: every node.
struct node_share {
  std::string me;
  std::vector<std::string> all;  ///< the names of all collectors, mine too
};

/// errc::invalid_argument where `me` is not among them, or a name stands there twice.
result<std::monostate> check(const node_share& share);

/// Whether the node is mine, by rendezvous hashing: each node is one collector's, and where one of
/// them leaves or comes only its own nodes move. The same on every machine.
bool in_share(const node_share& share, std::string_view node) noexcept;

/// The place of a node in an interval, from 0 to below 1, by a hash of its UID: the same in each sweep and
/// on every machine, and even over many nodes.
double place_in_interval(std::string_view node_uid) noexcept;

/// "name%5B%5D=a&name%5B%5D=b", or "" for none. container_memory_limit_bytes is asked for
/// as container_spec_memory_limit_bytes, its name on the page.
std::string metrics_query(std::span<const std::string_view> names);

}  // namespace computelocator
