// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <computelocator/cadvisor.hpp>

namespace computelocator {

namespace detail::cadvisor_ {

inline constexpr std::array<std::string_view, 16> metric_names = {
    "container_cpu_usage_seconds_total",
    "container_cpu_cfs_throttled_seconds_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_cfs_periods_total",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_spec_memory_limit_bytes",
    "container_memory_failcnt",
    "container_fs_usage_bytes",
    "container_fs_limit_bytes",
    "container_fs_reads_bytes_total",
    "container_fs_writes_bytes_total",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
    "container_network_receive_errors_total",
    "container_network_transmit_errors_total"};

enum slot : std::size_t {
  cpu_usage, throttled_seconds, throttled_periods, periods, memory_usage, working_set,
  memory_limit, failcnt, fs_usage, fs_limit, fs_reads, fs_writes, first_network, slots = 16
};

inline bool is_network(std::size_t of) noexcept { return of >= first_network; }
inline bool is_disk(std::size_t of) noexcept { return of >= fs_usage && of <= fs_writes; }

/// Where a cgroup stands: the UID of its pod, and what follows the pod's own part of the id.
struct cgroup_place {
  std::string pod_uid;         ///< with dashes; empty outside of pods
  std::string_view container;  ///< hex id of the cgroup right below the pod's
  int below = 0;               ///< how many parts follow the pod's
};

inline cgroup_place place_of(std::string_view id) {
  cgroup_place place;
  std::size_t at = 0;
  while (at < id.size()) {
    const std::size_t end = std::min(id.find('/', at), id.size());
    std::string_view part = id.substr(at, end - at);
    at = end + 1;
    if (part.empty()) continue;
    if (!place.pod_uid.empty()) {
      if (++place.below == 1) {
        // "cri-containerd-HEX.scope", "crio-HEX.scope", "docker-HEX.scope" or "HEX".
        if (part.ends_with(".scope")) part.remove_suffix(6);
        if (const std::size_t dash = part.rfind('-'); dash != std::string_view::npos) part.remove_prefix(dash + 1);
        place.container = part;
      }
      continue;
    }
    std::string_view uid;
    if (part.starts_with("pod")) uid = part.substr(3);
    else if (part.ends_with(".slice"))
      if (const std::size_t pod = part.rfind("-pod"); pod != std::string_view::npos && part.find("kubepods") != std::string_view::npos)
        uid = part.substr(pod + 4, part.size() - pod - 10);
    if (uid.size() < 32 || uid.find_first_not_of("0123456789abcdefABCDEF-_") != std::string_view::npos) continue;
    place.pod_uid = std::string(uid);
    std::replace(place.pod_uid.begin(), place.pod_uid.end(), '_', '-');
  }
  return place;
}

/// kube-prometheus' choice of block devices; anything else is a file system in memory, or a device
/// that stands on one of these.
inline bool is_block_device(std::string_view device) noexcept {
  if (device.starts_with("/dev/")) device.remove_prefix(5);
  if (device.starts_with("mmcblk")) return device.size() > 8 && device.find('p', 6) != std::string_view::npos;
  for (const std::string_view prefix : {"nvme", "rbd", "sd", "vd", "xvd", "dm-", "md", "dasd"})
    if (device.starts_with(prefix)) return device.size() > prefix.size();
  return false;
}

/// Interfaces of a node whose traffic is counted on another one too, or never leaves the node.
inline bool is_virtual_interface(std::string_view name) noexcept {
  if (name.find('.') != std::string_view::npos || name.find('@') != std::string_view::npos) return true;
  for (const std::string_view prefix :
       {"lo", "veth", "cali", "docker", "nerdctl", "cni", "flannel", "br-", "virbr", "tunl", "sit", "gre",
        "erspan", "ip_vti", "ip6", "vxlan", "cilium", "lxc", "weave", "kube-", "nodelocaldns", "dummy",
        "bond", "team", "tun", "tap", "wg", "ovs", "genev", "antrea", "azv", "gke", "eni"})
    if (name.starts_with(prefix)) return true;
  return false;
}

/// One cgroup of a page with its values, labels filled in where the runtime left them empty.
struct cgroup {
  row_class kind = row_class::other;
  std::string_view id;
  std::string namespace_name, pod, container, image;
  std::string pod_uid;
  std::string_view container_id;
  double start = 0;
  std::int64_t newest = no_timestamp;
  std::array<std::int64_t, slots> time;  ///< of the newest sample that the value is made of
  std::array<double, slots> value{};
  std::array<bool, slots> present{};
  std::map<std::string_view, std::array<double, 4>> interfaces;
  double cpu_by_core = 0;
  bool has_cpu_by_core = false;

  cgroup() noexcept { time.fill(no_timestamp); }
};

struct known_pods {
  std::unordered_map<std::string_view, const pod*> by_uid;
  std::unordered_map<std::string, const pod*> by_name;
  std::unordered_map<std::string_view, std::pair<const pod*, const pod_container*>> by_container;

  explicit known_pods(const inventory& known) {
    for (const pod& each : known.pods) {
      if (!each.uid.empty()) by_uid.emplace(each.uid, &each);
      if (!each.mirror_uid.empty()) by_uid.emplace(each.mirror_uid, &each);
      by_name.emplace(each.namespace_name + "/" + each.name, &each);
      for (const pod_container& inside : each.containers)
        if (!inside.id.empty()) by_container.emplace(inside.id, std::pair{&each, &inside});
    }
  }
  const pod* find(const std::string& namespace_name, const std::string& name) const {
    const auto found = by_name.find(namespace_name + "/" + name);
    return found == by_name.end() ? nullptr : found->second;
  }
};

/// What one page says, cgroup by cgroup.
struct page_rows {
  std::vector<cgroup> cgroups;
  std::array<bool, slots> on_page{};   ///< the family has a row somewhere on the page
  bool any_failcnt = false;            ///< a failcnt above 0: cgroup v1
  bool pressure = false;               ///< PSI families: cgroup v2
  bool whole = true;
  const cgroup* machine = nullptr;
  struct disk {
    std::array<double, 2> value{absent, absent};  // usage, limit
    std::int64_t time = no_timestamp;
  };
  std::map<std::array<std::string_view, 3>, disk> disks;  // of /stats/summary, by namespace, pod and container

  page_rows(const node_page& source, const known_pods& known) : whole(source.whole) {
    if (source.summary != nullptr) read_disks(*source.summary);
    const batch& page = *source.columns;
    const label_sets& sets = *page.sets;
    std::unordered_map<std::uint64_t, std::size_t> newest;  // row by metric and label set
    const auto series = [&](std::size_t row) { return std::uint64_t{page.metric_id[row]} << 32 | page.label_set_id[row]; };
    if (!whole)
      for (std::size_t row = 0; row < page.rows(); ++row) {
        const auto [at, fresh] = newest.try_emplace(series(row), row);
        if (!fresh && page.timestamp_ms[row] > page.timestamp_ms[at->second]) at->second = row;
      }
    std::vector<int> slot_of(page.metrics.size(), -1);
    int start_time = -1;
    for (std::size_t m = 0; m < page.metrics.size(); ++m) {
      const auto found = std::find(metric_names.begin(), metric_names.end(), page.metrics[m].name);
      if (found != metric_names.end()) slot_of[m] = static_cast<int>(found - metric_names.begin());
      if (page.metrics[m].name == "container_start_time_seconds") start_time = static_cast<int>(m);
      if (page.metrics[m].name.starts_with("container_pressure_")) pressure = true;
    }
    struct set_facts { int cgroup = -1; std::string_view interface, device, cpu; bool ready = false; };
    std::vector<set_facts> facts(sets.size());
    std::unordered_map<std::string_view, int> by_id;
    for (std::size_t row = 0; row < page.rows(); ++row) {
      if (!whole && newest.at(series(row)) != row) continue;
      const std::uint32_t metric_id = page.metric_id[row];
      const int slot = slot_of[metric_id];
      set_facts& about = facts[page.label_set_id[row]];
      if (!about.ready) {
        about.ready = true;
        std::string_view id, container, image, name, pod_name, namespace_name;
        for (const label_sets::entry& label : sets[page.label_set_id[row]]) {
          const std::string_view key = sets.name(label.name), value = sets.value(label.value);
          if (key == "id") id = value;
          else if (key == "container") container = value;
          else if (key == "image") image = value;
          else if (key == "name") name = value;
          else if (key == "pod") pod_name = value;
          else if (key == "namespace") namespace_name = value;
          else if (key == "interface") about.interface = value;
          else if (key == "device") about.device = value;
          else if (key == "cpu") about.cpu = value;
        }
        if (!id.empty()) {
          const auto [at, fresh] = by_id.try_emplace(id, static_cast<int>(cgroups.size()));
          about.cgroup = at->second;
          if (fresh) add(id, container, image, name, pod_name, namespace_name, known);
        }
      }
      if (about.cgroup < 0) continue;
      cgroup& of = cgroups[static_cast<std::size_t>(about.cgroup)];
      const double value = page.value[row];
      if (static_cast<int>(metric_id) == start_time) of.start = value;
      if (slot < 0) continue;
      const auto s = static_cast<std::size_t>(slot);
      on_page[s] = true;
      of.newest = std::max(of.newest, page.timestamp_ms[row]);
      of.time[s] = std::max(of.time[s], page.timestamp_ms[row]);
      if (s == failcnt && value > 0) any_failcnt = true;
      if (is_network(s)) {
        of.interfaces[about.interface][s - first_network] = value;
        of.present[s] = true;
      } else if (is_disk(s)) {
        if (is_block_device(about.device)) of.value[s] += value, of.present[s] = true;
      } else if (s == cpu_usage && !about.cpu.empty() && about.cpu != "total") {
        of.cpu_by_core += value;
        of.has_cpu_by_core = true;
      } else {
        of.value[s] = value;
        of.present[s] = true;
      }
    }
    for (cgroup& of : cgroups) {
      if (!of.present[cpu_usage] && of.has_cpu_by_core) {
        of.value[cpu_usage] = of.cpu_by_core;
        of.present[cpu_usage] = true;
      }
      for (const auto& [interface, counters] : of.interfaces) {
        if (interface == "lo" || (of.kind == row_class::machine && is_virtual_interface(interface))) continue;
        for (std::size_t i = 0; i < 4; ++i) of.value[first_network + i] += counters[i];
      }
      if (of.kind == row_class::machine) machine = &of;
    }
  }

 private:
  void read_disks(const batch& summary) {
    for (std::size_t row = 0; row < summary.rows(); ++row) {
      const auto text = [&](std::string_view name) { return summary.sets->value_of(summary.label_set_id[row], name); };
      disk& of = disks[{text("namespace"), text("pod"), text("container")}];
      of.value[summary.metrics[summary.metric_id[row]].name == metric_names[fs_limit]] = summary.value[row];
      of.time = std::max(of.time, summary.timestamp_ms[row]);
    }
  }

  void add(std::string_view id, std::string_view container, std::string_view image, std::string_view name,
           std::string_view pod_name, std::string_view namespace_name, const known_pods& known) {
    cgroup& made = cgroups.emplace_back();
    const cgroup_place place = place_of(id);
    made.kind = classify(id, container, image, name, pod_name);
    made.id = id;
    made.image = image;
    made.pod_uid = place.pod_uid;
    made.container_id = place.container;
    made.namespace_name = namespace_name;
    made.pod = pod_name;
    made.container = container == "POD" ? "" : container;
    if (place.below == 1 && container.empty() && pod_name.empty()) {
      // The docker runtime: who this is, only the pod's own list of containers can tell.
      if (const auto found = known.by_container.find(place.container); found != known.by_container.end()) {
        made.kind = row_class::container;
        made.namespace_name = found->second.first->namespace_name;
        made.pod = found->second.first->name;
        made.container = found->second.second->name;
        if (made.image.empty()) made.image = found->second.second->image;
      } else if (const auto pod_found = known.by_uid.find(place.pod_uid); pod_found != known.by_uid.end()) {
        made.kind = row_class::sandbox;
        made.namespace_name = pod_found->second->namespace_name;
        made.pod = pod_found->second->name;
      }
    } else if (made.pod.empty() && !made.pod_uid.empty() && place.below == 0) {
      if (const auto pod_found = known.by_uid.find(made.pod_uid); pod_found != known.by_uid.end()) {
        made.namespace_name = pod_found->second->namespace_name;
        made.pod = pod_found->second->name;
      }
    }
  }
};

}  // namespace detail::cadvisor_

std::span<const std::string_view> container_metrics() noexcept { return detail::cadvisor_::metric_names; }

std::string_view canonical_metric(std::string_view name) noexcept {
  return name == "container_memory_limit_bytes" ? "container_spec_memory_limit_bytes" : name;
}

std::string_view to_string(row_class kind) noexcept {
  switch (kind) {
    case row_class::machine: return "machine";
    case row_class::system: return "system";
    case row_class::pod: return "pod";
    case row_class::sandbox: return "sandbox";
    case row_class::container: return "container";
    case row_class::other: break;
  }
  return "other";
}

row_class classify(std::string_view id, std::string_view container, std::string_view image,
                   std::string_view name, std::string_view pod) noexcept {
  if (id.empty()) return row_class::other;
  if (id == "/") return row_class::machine;
  const detail::cadvisor_::cgroup_place place = detail::cadvisor_::place_of(id);
  if (!container.empty() && container != "POD") return row_class::container;
  if (place.pod_uid.empty()) return container == "POD" && !pod.empty() ? row_class::sandbox : row_class::system;
  if (place.below == 0) return row_class::pod;
  if (place.below > 1) return row_class::other;  // a cgroup that a container made inside of its own
  if (container == "POD" || !pod.empty() || !image.empty() || !name.empty()) return row_class::sandbox;
  return row_class::other;
}

}  // namespace computelocator
