// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/collect.hpp>

namespace computelocator::detail::collect_ {

/// Targets that are no nodes: as they are from sweep to sweep.
class exporter_source {
 public:
  /// errc::invalid_argument for an address that cannot be one: whoever gave it is there to be told.
  static result<exporter_source> open(const collect_options& options) {
    exporter_source made(options);
    auto who = exporter_access(options.exporters.who);
    if (!who) return std::move(who).error();
    made.access_ = std::move(who).value();
    for (const std::string& address : options.exporters.addresses)
      if (auto fits = exporter_target(address, options.exporters.labels, made.access_); !fits) return std::move(fits).error();
    for (const auto& [name, value] : options.exporters.labels)
      if (name.empty()) return error{errc::invalid_argument, "labels", "one has no name", "write NAME=VALUE"};
    made.pods_.route = options.route;
    made.pods_.allowed_ranges = options.allowed_ranges;
    made.pods_.tls = options.exporters.who.tls;
    made.pods_.ca_file = options.exporters.who.ca_file;
    made.pod_access_ = pod_access(made.pods_);
    return made;
  }

  /// `warnings` get what could not be read anew and stays as it was.
  result<std::vector<node_target>> targets(const inventory& known, const cluster_config& cluster, std::vector<std::string>& warnings) {
    std::vector<target_group> groups{{options_.addresses, {}}};
    for (const std::string& path : options_.files) {
      auto read = read_file_sd_files(path);
      if (read) {
        files_[path] = std::move(read).value();
      } else if (files_.count(path) == 0) {
        return std::move(read).error();
      } else {
        warnings.push_back(read.error().message() + "; its targets are those of before");
      }
      const std::vector<target_group>& now = files_[path];
      groups.insert(groups.end(), now.begin(), now.end());
    }
    std::vector<node_target> made = exporter_targets(groups, options_.labels, access_);
    if (!options_.annotated_pods) return made;
    for (const pod& each : known.pods) {
      if (!namespaces_.empty() && std::find(namespaces_.begin(), namespaces_.end(), each.namespace_name) == namespaces_.end()) continue;
      auto found = pod_target(each, cluster, pods_, pod_access_);
      if (!found) continue;
      if (found->target) add_labels(found->target->labels);
      made.push_back(std::move(*found));
    }
    return made;
  }

  /// In words, where the targets come from.
  std::string source(const cluster_config& cluster) const {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    for (const std::string& each : options_.addresses) add(each);
    for (const std::string& each : options_.files) add("file " + each);
    if (options_.annotated_pods) add("annotated pods of " + cluster.source);
    return text;
  }

 private:
  explicit exporter_source(const collect_options& options) : options_(options.exporters), namespaces_(options.namespaces) {}

  void add_labels(target_labels& to) const {
    for (const auto& label : options_.labels)
      if (std::none_of(to.begin(), to.end(), [&](const auto& each) { return each.first == label.first; })) to.push_back(label);
  }

  exporter_options options_;
  std::vector<std::string> namespaces_;
  std::shared_ptr<const access> access_, pod_access_;
  pod_route_options pods_;
  std::map<std::string, std::vector<target_group>> files_;
};

/// What else to say of a target that is no node.
inline void advise_on_exporter(error& why, stage reached, bool through_api_server) {
  if (through_api_server && why.code == errc::forbidden)
    why.advice = "allow `get` on pods/proxy to this user, or scrape directly (route \"direct\")";
  else if (through_api_server && (why.code == errc::http_status || why.code == errc::not_found))
    why.advice = "the API server cannot reach that pod or path; see the pod and its prometheus.io annotations";
  else if (why.code == errc::connect_failed || (why.code == errc::timed_out && reached == stage::connect))
    why.advice = "check the address and the network between; of pods it is often reachable through the API server alone "
                 "(route \"api_server\")";
  else if (why.code == errc::tls_untrusted)
    why.advice = "give the CA file that signs this target";
  else if (why.code == errc::unauthorized)
    why.advice = "give this target a valid token, user and password, or client certificate";
}

}  // namespace computelocator::detail::collect_
