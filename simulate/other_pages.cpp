// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "other_pages.hpp"

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "node_state.hpp"
#include "pages.hpp"

namespace computelocator::simulate {

namespace {

using kind = cgroup::kind;

void family(std::string& to, std::string_view name, std::string_view type, std::string_view help) {
  ((((((to += "# HELP ") += name) += " [STABLE] ") += help) += "\n# TYPE ") += name) += ' ';
  (to += type) += '\n';
}

void row(std::string& to, std::string_view name, const std::string& labels, double value, std::int64_t time_ms = 0) {
  ((to += name) += labels) += ' ';
  append_number(to, value);
  if (time_ms != 0) (to += ' ') += std::to_string(time_ms);
  to += '\n';
}

/// A cgroup and whose it is, whatever labels the runtime left on it.
struct owned {
  const sim_pod* pod;
  const sim_container* container;  // null for a pod's own
  const cgroup* group;

  std::string labels() const {
    const std::string of_pod = "namespace=\"" + pod->namespace_name + "\",pod=\"" + pod->name + "\"}";
    return container == nullptr ? "{" + of_pod : "{container=\"" + container->name + "\"," + of_pod;
  }
};

double seconds(std::uint64_t us) { return static_cast<double>(us) / 1e6; }

std::string iso(std::int64_t ms) {
  const std::time_t at = ms / 1000;
  std::tm parts{};
  ::gmtime_r(&at, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// The containers that run, or the pods, in the order of the node's pods.
std::vector<owned> running(const sim_node& node, const node_state& state, kind what) {
  const auto find = [&](const std::string& id) -> const cgroup* {
    for (const cgroup& each : state.cgroups())
      if (each.what == what && !each.dead && each.id.find(id) != std::string::npos) return &each;
    return nullptr;
  };
  std::vector<owned> made;
  for (const sim_pod& pod : node.pods) {
    if (what == kind::pod) {
      std::string other = pod.uid;
      std::replace(other.begin(), other.end(), '-', '_');
      const cgroup* const found = find(pod.uid);
      if (const cgroup* const own = found != nullptr ? found : find(other)) made.push_back({&pod, nullptr, own});
      continue;
    }
    for (const sim_container& each : pod.containers)
      if (const cgroup* const own = find(each.id)) made.push_back({&pod, &each, own});
  }
  return made;
}

std::string file_system(const std::string& time, std::uint64_t seed, std::uint64_t most) {
  constexpr std::uint64_t capacity = std::uint64_t{100} << 30;
  const std::uint64_t used = seed % most / 4096 * 4096;
  return "{\"time\":\"" + time + "\",\"availableBytes\":" + std::to_string(capacity / 2) + ",\"capacityBytes\":" +
         std::to_string(capacity) + ",\"usedBytes\":" + std::to_string(used) +
         ",\"inodesFree\":6000000,\"inodes\":6553600,\"inodesUsed\":" + std::to_string(seed % 5000) + "}";
}

}  // namespace

std::string resource_page(const cluster& of, std::size_t node, std::int64_t step) {
  const node_state state(of, node, step);
  const std::vector<owned> containers = running(of.nodes()[node], state, kind::container), pods = running(of.nodes()[node], state, kind::pod);
  std::string page;
  const auto each = [&](std::string_view name, std::string_view type, std::string_view help, const std::vector<owned>& all, auto value) {
    family(page, name, type, help);
    for (const owned& one : all) row(page, name, one.labels(), value(*one.group), one.group->timestamp_ms);
  };
  const auto machine = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    family(page, name, type, help);
    for (const cgroup& group : state.cgroups())
      if (group.what == kind::machine) row(page, name, "", value(group), group.timestamp_ms);
  };
  const auto cpu = [](const cgroup& c) { return seconds(c.used.cpu_us); };
  const auto memory = [](const cgroup& c) { return static_cast<double>(c.used.working_set()); };
  each("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", containers, cpu);
  each("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", containers, memory);
  family(page, "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds");
  for (const owned& one : containers)
    row(page, "container_start_time_seconds", one.labels(), static_cast<double>(one.group->started_ms) / 1000);
  machine("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds", cpu);
  machine("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", memory);
  each("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", pods, cpu);
  each("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", pods, memory);
  family(page, "resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise");
  row(page, "resource_scrape_error", "", 0);
  return page;
}

std::string probes_page(const cluster& of, std::size_t node, std::int64_t step) {
  const node_state state(of, node, step);
  std::string page;
  family(page, "prober_probe_total", "counter", "Cumulative number of a liveness, readiness or startup probe for a container by result.");
  for (const owned& one : running(of.nodes()[node], state, kind::container))
    for (const char* type : {"Liveness", "Readiness"}) {
      const std::string labels = one.labels();
      row(page, "prober_probe_total",
          labels.substr(0, labels.size() - 1) + ",pod_uid=\"" + one.pod->uid + "\",probe_type=\"" + type + "\",result=\"successful\"}",
          static_cast<double>(grown(mixed(one.group->seed, type[0] == 'L' ? 31 : 32), 1000, 1, step)));
    }
  return page;
}

std::string kubelet_page(const cluster& of, std::size_t node, std::int64_t step) {
  const node_state state(of, node, step);
  const sim_node& about = of.nodes()[node];
  std::string page;
  family(page, "kubelet_node_name", "gauge", "The node's name. The count is always 1.");
  row(page, "kubelet_node_name", "{node=\"" + about.name + "\"}", 1);
  family(page, "kubelet_running_containers", "gauge", "Number of containers currently running");
  const auto containers = static_cast<double>(running(about, state, kind::container).size());
  row(page, "kubelet_running_containers", "{container_state=\"exited\"}", 0);
  row(page, "kubelet_running_containers", "{container_state=\"running\"}", containers);
  family(page, "kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox");
  row(page, "kubelet_running_pods", "", static_cast<double>(about.pods.size()));
  constexpr std::string_view durations = "kubelet_runtime_operations_duration_seconds";
  family(page, durations, "histogram", "Duration in seconds of runtime operations. Broken down by operation type.");
  for (const char* operation : {"container_status", "list_containers", "version"}) {
    const std::string label = "{operation_type=\"" + std::string(operation) + "\"";
    const auto count = static_cast<double>(grown(mixed(about.seed, operation[0]), 5000, 40, step));
    const std::pair<const char*, double> buckets[] = {{"0.005", 0.7}, {"0.0125", 0.9}, {"0.03125", 0.99}, {"+Inf", 1}};
    for (const auto& [le, part] : buckets)
      row(page, std::string(durations) + "_bucket", label + ",le=\"" + le + "\"}", static_cast<double>(static_cast<std::uint64_t>(count * part)));
    row(page, std::string(durations) + "_sum", label + "}", count / 256);
    row(page, std::string(durations) + "_count", label + "}", count);
  }
  family(page, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
  row(page, "process_cpu_seconds_total", "", static_cast<double>(grown(mixed(about.seed, 41), 100'000, 2, step)) / 4);
  family(page, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
  row(page, "process_resident_memory_bytes", "", static_cast<double>((std::uint64_t{90} << 20) + about.seed % 4096 * 4096));
  return page;
}

std::string stats_summary(const cluster& of, std::size_t node, std::int64_t step) {
  const node_state state(of, node, step);
  const std::vector<owned> containers = running(of.nodes()[node], state, kind::container);
  std::string page = "{\"node\":{\"nodeName\":\"" + of.nodes()[node].name + "\",\"cpu\":{\"time\":\"" + iso(state.now_ms()) + "\"}},\"pods\":[";
  bool first = true;
  for (const sim_pod& pod : of.nodes()[node].pods) {
    if (!std::exchange(first, false)) page += ',';
    page += "{\"podRef\":{\"name\":\"" + pod.name + "\",\"namespace\":\"" + pod.namespace_name + "\",\"uid\":\"" + pod.uid + "\"},\"containers\":[";
    bool first_inside = true;
    for (const auto& [of_pod, container, group] : containers) {
      if (of_pod != &pod) continue;
      if (!std::exchange(first_inside, false)) page += ',';
      const std::string time = iso(group->timestamp_ms);
      page += "{\"name\":\"" + container->name + "\",\"startTime\":\"" + iso(group->started_ms) + "\",\"cpu\":{\"time\":\"" + time +
              "\",\"usageCoreNanoSeconds\":" + std::to_string(group->used.cpu_us * 1000) + "},\"rootfs\":" +
              file_system(time, mixed(group->seed, 970), std::uint64_t{1} << 30) + ",\"logs\":" +
              file_system(time, mixed(group->seed, 971), std::uint64_t{1} << 24) + ",\"userDefinedMetrics\":null}";
    }
    page += "]}";
  }
  return page + "]}";
}

}  // namespace computelocator::simulate
