// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace computelocator {

/// What the API server says of nodes and pods: plain values, wherever they came from.
/// Resources are in base units: cores, bytes. `absent` where the object does not say.
inline constexpr double absent = std::numeric_limits<double>::quiet_NaN();

struct node_address {
  std::string type;     ///< InternalIP, Hostname, ...
  std::string address;
};

struct node {
  std::string name;
  std::string uid;
  std::vector<node_address> addresses;
  std::uint16_t kubelet_port = 0;       ///< status.daemonEndpoints.kubeletEndpoint.Port; 0: not said
  std::string ready;                    ///< "True", "False", "Unknown" or empty
  std::string kubelet_version;
  std::string container_runtime;        ///< as in nodeInfo: "containerd://1.7.2"
  std::map<std::string, std::string> labels;
  double capacity_cpu = absent, capacity_memory = absent;
  double allocatable_cpu = absent, allocatable_memory = absent;
};

struct pod_container {
  std::string name;
  std::string id;                       ///< hex only, without "containerd://"; empty before it started
  std::string image;
  bool init = false;                    ///< init or ephemeral container
  bool running = false;
  std::int32_t restarts = 0;
  double request_cpu = absent, request_memory = absent;
  double limit_cpu = absent, limit_memory = absent;
};

struct pod {
  std::string namespace_name;
  std::string name;
  std::string uid;
  std::string node;                     ///< spec.nodeName; empty while unscheduled
  std::string phase;
  std::string owner_kind;               ///< the controlling owner, as ownerReferences give it
  std::string owner_name;
  bool host_network = false;
  std::string mirror_uid;               ///< kubernetes.io/config.hash of a static pod: the UID in its cgroup
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;  ///< prometheus.io/* alone
  std::string pod_ip;
  std::vector<pod_container> containers;
};

struct inventory {
  std::vector<node> nodes;
  std::vector<pod> pods;
  bool pods_known = false;              ///< false where pods may not be listed; `pods_unknown_because` says why
  std::string pods_unknown_because;
};

}  // namespace computelocator
