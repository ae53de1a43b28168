// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Targets that are no kubelets: addresses that were given, files of Prometheus' file_sd, and pods that
// ask for it by their annotations. No credential of a cluster is ever theirs.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/discover.hpp>
#include <computelocator/error.hpp>
#include <computelocator/inventory.hpp>
#include <computelocator/target.hpp>

namespace computelocator {

using target_labels = std::vector<std::pair<std::string, std::string>>;

/// Who we are to targets that were given, and how their certificates are judged.
struct exporter_credentials {
  tls_mode tls = tls_mode::verify;      ///< verify, or insecure, which sends neither token nor password
  std::string ca_file;                  ///< PEM; empty: the system's authorities
  std::string server_name;              ///< checked in place of the host
  std::string token_file;               ///< a bearer token
  std::string username, password_file;  ///< basic authentication
  std::string client_certificate_file, client_key_file;
};

/// Reads the files that `who` names. errc::invalid_argument where it cannot be, errc::file_failed or
/// errc::bad_configuration where a file cannot be used.
result<std::shared_ptr<const access>> exporter_access(const exporter_credentials& who);

/// Some addresses and the labels that they share, as in a file of file_sd.
struct target_group {
  std::vector<std::string> addresses;
  target_labels labels;
};

/// Reads a file of Prometheus' file_sd: JSON where `name` ends so, else YAML. errc::bad_configuration
/// with the name and the line for what is no such file; nothing of it is taken then.
result<std::vector<target_group>> read_file_sd(std::string_view text, const std::string& name);

/// The file or, where the last part of `path` has `*` or `?`, each file that fits it, in order.
result<std::vector<target_group>> read_file_sd_files(const std::string& path);

/// The target of "host:9100", "http://host/path?query" or "https://host", with `labels`: `__scheme__`,
/// `__metrics_path__` and `__param_NAME` say what the address does not; others that begin with `__` go,
/// and `instance` is the address where they do not give it.
result<target> exporter_target(std::string_view address, const target_labels& labels,
                               const std::shared_ptr<const access>& who);

/// exporter_target() for each address of each group, in order and without repetition. `labels` are
/// added where a group does not give them. An error is that address's alone.
std::vector<node_target> exporter_targets(const std::vector<target_group>& groups, const target_labels& labels,
                                          const std::shared_ptr<const access>& who);

struct pod_route_options {
  computelocator::route route = computelocator::route::automatic;  ///< api_server needs `get` on pods/proxy
  std::vector<std::string> allowed_ranges;  ///< as for nodes; loopback only where it is among them
  tls_mode tls = tls_mode::verify;          ///< of pods that annotate https; direct only
  std::string ca_file;                      ///< PEM that signs theirs; empty: the system's authorities
};

/// What pods are asked with when they are asked directly: no credential. One for all of them, so that
/// connections are found again.
std::shared_ptr<const access> pod_access(const pod_route_options& options);

/// Where a pod with `prometheus.io/scrape: "true"` is to be scraped by its other annotations: port, path,
/// scheme and param_NAME, with the labels namespace, pod, node and instance. Empty where it does not
/// ask for it or has ended; an error where what it annotates cannot be.
std::optional<node_target> pod_target(const pod& of, const cluster_config& cluster, const pod_route_options& options,
                                      const std::shared_ptr<const access>& direct);

}  // namespace computelocator
