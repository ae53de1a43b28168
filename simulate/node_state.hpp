// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cluster.hpp"

namespace computelocator::simulate {

/// What a cgroup has used at one step. Whole numbers, so that sums are exact on every machine.
struct usage {
  std::uint64_t cpu_us = 0, user_us = 0, system_us = 0;
  std::uint64_t periods = 0, throttled_periods = 0, throttled_us = 0;
  std::uint64_t memory = 0, rss = 0, cache = 0, mapped = 0, kernel = 0, active_file = 0, inactive_file = 0, peak = 0;
  std::uint64_t failcnt = 0, faults = 0, major_faults = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0, reads = 0, writes = 0;
  std::uint64_t waiting_cpu_us = 0, waiting_io_us = 0, waiting_memory_us = 0;
  std::uint64_t processes = 0, threads = 0, descriptors = 0, sockets = 0;

  usage& operator+=(const usage& other);
  std::uint64_t working_set() const { return memory > inactive_file ? memory - inactive_file : 0; }
};

struct network_interface {
  std::string name;
  std::uint64_t seed = 0;
  std::uint64_t scale = 0;  ///< bytes a step, about
};

/// One row class member of a page: a container, sandbox, pod, slice or the machine.
struct cgroup {
  enum class kind { machine, slice, pod, sandbox, container } what = kind::slice;
  std::string id, container, image, name, namespace_name, pod;
  std::uint64_t seed = 0;
  std::uint64_t quota_us = 0;               ///< a 100 ms period's; 0: no CPU limit
  std::uint64_t memory_limit = 0, shares = 2;
  std::int64_t started_ms = 0;
  std::int64_t timestamp_ms = 0;
  bool does_io = false;
  bool dead = false;
  std::int64_t read_ms = 0;                 ///< not 0: when the process behind it was looked at
  usage used;
  const std::vector<network_interface>* interfaces = nullptr;
};

/// All cgroups of a node at one step, in the order in which their rows stand on a page.
class node_state {
 public:
  node_state(const cluster& of, std::size_t node, std::int64_t step);
  node_state(const node_state&) = delete;
  node_state& operator=(const node_state&) = delete;

  const std::vector<cgroup>& cgroups() const noexcept { return cgroups_; }
  std::int64_t now_ms() const noexcept { return now_ms_; }

 private:
  void add_pods(const cluster& of, const sim_node& node, std::int64_t step, std::int64_t page);
  void add_slices(const cluster& of, const sim_node& node, std::int64_t step);

  std::int64_t now_ms_ = 0;
  std::int64_t processes_read_ms_ = 0;   ///< 0: no process is among the pods
  std::vector<cgroup> cgroups_;
  std::vector<network_interface> node_interfaces_;
  std::vector<std::vector<network_interface>> pod_interfaces_;
};

/// A counter that grows by about `per_step`, never less than nothing, from `start` on.
std::uint64_t grown(std::uint64_t seed, std::uint64_t start, std::uint64_t per_step, std::int64_t step);
std::uint64_t mixed(std::uint64_t seed, std::uint64_t salt);

}  // namespace computelocator::simulate
