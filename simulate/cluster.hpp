// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace computelocator::simulate {

enum class runtime_style : std::uint8_t { containerd, crio, docker };

/// A pod of the first node that stands for a process of this machine: its counters are the process's own.
struct process_pod {
  std::string namespace_name, name, address;
  std::int32_t pid = 0;
  std::map<std::string, std::string> labels;
};

/// A cluster is a function of these alone, but for its processes: the same options give the same bytes on any machine.
struct cluster_options {
  std::uint64_t seed = 1;
  std::size_t nodes = 20;
  std::size_t pods = 110;                        ///< on each node
  runtime_style runtime = runtime_style::containerd;
  bool cgroup_v1 = false;
  std::int64_t base_ms = 1'790'000'000'000;      ///< the time of step 0, UTC
  std::chrono::milliseconds step{10'000};
  std::vector<process_pod> processes;
};

/// splitmix64: the same numbers everywhere, which std distributions do not promise.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  std::string hex(std::size_t digits);

 private:
  std::uint64_t state_;
};

struct sim_container {
  std::string name, id, image;
  std::uint64_t request_millicores = 0, request_bytes = 0;
  std::uint64_t limit_millicores = 0, limit_bytes = 0;  ///< 0: none
  std::int64_t started_ms = 0;
  std::uint32_t restarts = 0;
  std::string dead_id;                                  ///< an exited instance still on the page
  std::uint64_t seed = 0;
  std::int32_t pid = 0;                                 ///< not 0: a process of this machine
};

struct sim_pod {
  std::string namespace_name, name, uid, ip;
  std::string owner_kind, owner_name;
  std::string qos;                                      ///< guaranteed, burstable or besteffort
  std::string sandbox_id;
  std::string interface;                                ///< of the host's end: "cali0123456789a"
  bool host_network = false;
  std::map<std::string, std::string> labels;
  std::vector<sim_container> containers;
  std::uint64_t seed = 0;
};

struct sim_node {
  std::string name, uid, machine_id, boot_id;
  std::map<std::string, std::string> labels;
  std::uint64_t millicores = 32'000, bytes = std::uint64_t{128} << 30;
  std::vector<sim_pod> pods;
  std::uint64_t seed = 0;
  std::uint64_t changes = 0;                            ///< how often it was changed
  bool gone = false;                                    ///< the API server no longer knows of it
};

class cluster {
 public:
  explicit cluster(cluster_options options);
  const cluster_options& options() const noexcept { return options_; }
  const std::vector<sim_node>& nodes() const noexcept { return nodes_; }
  /// "containerd://", "cri-o://" or "docker://"
  std::string_view runtime_scheme() const noexcept;
  std::string_view runtime_version() const noexcept;

  // Changes, likewise a function of what was changed before.
  /// `count` of the node's pods end and as many others begin.
  void replace_pods(std::size_t node, std::size_t count);
  /// Another machine, with pods of its own, at the same address; under the same name if it is kept.
  void replace_node(std::size_t node, bool keep_name);
  void remove_node(std::size_t node) { change(node).gone = true; }

 private:
  sim_node make_node(std::size_t number, std::uint64_t seed) const;
  sim_node& change(std::size_t node);

  cluster_options options_;
  std::vector<sim_node> nodes_;
};

/// The Kubernetes objects (v1), as an API server writes them; without a version.
std::string node_json(const cluster& of, const sim_node& node, const std::string& address, std::uint16_t kubelet_port);
std::string pod_json(const cluster& of, const sim_node& node, const sim_pod& pod);

}  // namespace computelocator::simulate
