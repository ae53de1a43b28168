// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "cluster.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace computelocator::simulate {

namespace {

struct application {
  const char* name;
  const char* namespace_name;
  const char* kind;   // of the owner
  const char* image;
  const char* companion;        // the second container
  const char* companion_image;
};

constexpr std::array<application, 14> applications{{
    {"checkout", "shop", "ReplicaSet", "registry.eu-central.example.com/shop/checkout:v4.18.2", "proxy", "registry.eu-central.example.com/mesh/proxyv2:1.24.1"},
    {"catalogue", "shop", "ReplicaSet", "registry.eu-central.example.com/shop/catalogue:v2.7.0", "proxy", "registry.eu-central.example.com/mesh/proxyv2:1.24.1"},
    {"payments", "shop", "ReplicaSet", "registry.eu-central.example.com/shop/payments:v9.1.14", "proxy", "registry.eu-central.example.com/mesh/proxyv2:1.24.1"},
    {"frontend", "web", "ReplicaSet", "registry.eu-central.example.com/web/frontend:2026.11.3", "proxy", "registry.eu-central.example.com/mesh/proxyv2:1.24.1"},
    {"search-indexer", "web", "ReplicaSet", "registry.eu-central.example.com/web/search-indexer:2026.10.27", "log-forwarder", "registry.eu-central.example.com/observability/log-forwarder:3.2.1"},
    {"orders-db", "data", "StatefulSet", "registry.eu-central.example.com/data/postgres-ha:16.4-2", "backup", "registry.eu-central.example.com/data/backup-agent:1.9.0"},
    {"cache", "data", "StatefulSet", "registry.eu-central.example.com/data/valkey-cluster:8.0.1", "exporter", "registry.eu-central.example.com/data/valkey-exporter:1.66.0"},
    {"broker", "data", "StatefulSet", "registry.eu-central.example.com/data/kafka-broker:3.9.0", "exporter", "registry.eu-central.example.com/data/jmx-exporter:1.0.1"},
    {"training-worker", "research", "Job", "registry.eu-central.example.com/research/training-worker:cu124", "uploader", "registry.eu-central.example.com/research/uploader:0.8.3"},
    {"notebook", "research", "StatefulSet", "registry.eu-central.example.com/research/notebook-scipy:2026.11", "auth-proxy", "registry.eu-central.example.com/research/auth-proxy:7.7.1"},
    {"image-resizer", "media", "ReplicaSet", "registry.eu-central.example.com/media/image-resizer:1.3.22", "proxy", "registry.eu-central.example.com/mesh/proxyv2:1.24.1"},
    {"transcoder", "media", "ReplicaSet", "registry.eu-central.example.com/media/transcoder:5.0.0-rc2", "log-forwarder", "registry.eu-central.example.com/observability/log-forwarder:3.2.1"},
    {"coredns", "kube-system", "ReplicaSet", "registry.k8s.io/coredns/coredns:v1.12.0", "reloader", "registry.k8s.io/coredns/reloader:v0.4.1"},
    {"ingress", "kube-system", "ReplicaSet", "registry.k8s.io/ingress-nginx/controller:v1.12.0", "exporter", "registry.k8s.io/ingress-nginx/exporter:v0.3.0"},
}};

constexpr std::array<application, 6> daemons{{
    {"kube-proxy", "kube-system", "DaemonSet", "registry.k8s.io/kube-proxy:v1.34.1", nullptr, nullptr},
    {"calico-node", "kube-system", "DaemonSet", "docker.io/calico/node:v3.29.1", "bird-exporter", "docker.io/calico/bird-exporter:v0.2.0"},
    {"node-exporter", "monitoring", "DaemonSet", "quay.io/prometheus/node-exporter:v1.8.2", "rbac-proxy", "quay.io/brancz/kube-rbac-proxy:v0.18.1"},
    {"node-local-dns", "kube-system", "DaemonSet", "registry.k8s.io/dns/k8s-dns-node-cache:1.23.1", nullptr, nullptr},
    {"csi-node", "storage", "DaemonSet", "registry.k8s.io/sig-storage/csi-node:v2.12.0", "registrar", "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.12.0"},
    {"log-collector", "monitoring", "DaemonSet", "registry.eu-central.example.com/observability/log-collector:3.2.1", "reloader", "registry.eu-central.example.com/observability/reloader:0.77.1"},
}};

std::string uid(random_source& from) {
  const std::string text = from.hex(32);
  return text.substr(0, 8) + "-" + text.substr(8, 4) + "-" + text.substr(12, 4) + "-" + text.substr(16, 4) + "-" +
         text.substr(20);
}

std::string suffix(random_source& from, std::size_t length) {
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += letters[from.below(letters.size())];
  return text;
}

sim_container make_container(const char* name, const char* image, bool guaranteed, bool besteffort,
                             const cluster_options& options, random_source& from) {
  sim_container made;
  made.name = name;
  made.image = image;
  made.id = from.hex(64);
  made.seed = from.next();
  if (!besteffort) {
    constexpr std::uint64_t cores[] = {50, 100, 100, 200, 250, 500, 1000};
    constexpr std::uint64_t mebibytes[] = {64, 128, 128, 256, 256, 512, 1024};
    made.request_millicores = cores[from.below(7)];
    made.request_bytes = mebibytes[from.below(7)] << 20;
    if (guaranteed) {
      made.limit_millicores = made.request_millicores;
      made.limit_bytes = made.request_bytes;
    } else {
      if (!from.one_in(3)) made.limit_millicores = made.request_millicores * 2;
      if (!from.one_in(4)) made.limit_bytes = made.request_bytes * 2;
    }
  }
  made.started_ms = options.base_ms - 600'000 - static_cast<std::int64_t>(from.below(30u * 86'400'000u));
  made.started_ms -= made.started_ms % 1000;
  if (from.one_in(12)) {
    made.restarts = static_cast<std::uint32_t>(1 + from.below(5));
    if (from.one_in(2)) made.dead_id = from.hex(64);
  }
  return made;
}

sim_pod make_pod(const application& what, bool daemon, std::size_t node, std::size_t number,
                 const cluster_options& options, random_source& from) {
  sim_pod made;
  made.seed = from.next();
  made.uid = uid(from);
  made.namespace_name = what.namespace_name;
  made.host_network = daemon;
  made.owner_kind = what.kind;
  const std::string name = what.name;
  if (made.owner_kind == "ReplicaSet") {
    made.owner_name = name + "-" + suffix(from, 10);
    made.name = made.owner_name + "-" + suffix(from, 5);
  } else if (made.owner_kind == "StatefulSet") {
    made.owner_name = name + "-" + std::to_string(node);
    made.name = made.owner_name + "-" + std::to_string(number);
  } else {
    made.owner_name = made.owner_kind == "Job" ? name + "-" + suffix(from, 6) : name;
    made.name = made.owner_name + "-" + suffix(from, 5);
  }
  made.labels = {{"app.kubernetes.io/name", name}, {"app.kubernetes.io/part-of", what.namespace_name}};
  const std::uint64_t kind = from.below(10);
  const bool guaranteed = kind < 2, besteffort = kind == 9 && !daemon;
  made.qos = guaranteed ? "guaranteed" : besteffort ? "besteffort" : "burstable";
  made.sandbox_id = from.hex(64);
  made.interface = daemon ? "" : "cali" + from.hex(11);
  made.ip = "10." + std::to_string(64 + node / 256 % 64) + "." + std::to_string(node % 256) + "." + std::to_string(number % 250 + 4);
  made.containers.push_back(make_container(what.name, what.image, guaranteed, besteffort, options, from));
  if (what.companion != nullptr)
    made.containers.push_back(make_container(what.companion, what.companion_image, guaranteed, besteffort, options, from));
  return made;
}

sim_pod make_process_pod(const process_pod& of, const cluster_options& options, random_source& from) {
  sim_pod made;
  made.seed = from.next();
  made.uid = uid(from);
  made.namespace_name = of.namespace_name;
  made.name = of.name;
  made.owner_kind = "ReplicaSet";
  made.owner_name = of.name.substr(0, of.name.rfind('-'));
  made.labels = of.labels;
  made.qos = "burstable";
  made.sandbox_id = from.hex(64);
  made.interface = "cali" + from.hex(11);
  made.ip = of.address;
  sim_container only;
  only.name = "process";
  only.image = "cluster_api:latest";
  only.id = from.hex(64);
  only.seed = from.next();
  only.pid = of.pid;
  only.request_millicores = 100;
  only.request_bytes = only.limit_bytes = std::uint64_t{1} << 30;
  only.started_ms = options.base_ms - options.base_ms % 1000;
  made.containers.push_back(std::move(only));
  return made;
}

std::string iso(std::int64_t ms) {
  const std::time_t seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// Names and values of the model hold nothing that JSON escapes.
std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string map_json(const std::map<std::string, std::string>& of) {
  std::string out = "{";
  for (const auto& [key, value] : of) {
    if (out.size() > 1) out += ',';
    out += quoted(key) + ':' + quoted(value);
  }
  return out + '}';
}

std::string amounts(std::uint64_t millicores, std::uint64_t bytes) {
  std::string out = "{";
  if (millicores != 0) out += "\"cpu\":\"" + std::to_string(millicores) + "m\"";
  if (bytes != 0) out += (out.size() > 1 ? "," : "") + std::string("\"memory\":\"") + std::to_string(bytes >> 20) + "Mi\"";
  return out + '}';
}

}  // namespace

std::string random_source::hex(std::size_t digits) {
  constexpr char all[] = "0123456789abcdef";
  std::string text;
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (i % 16 == 0) bits = next();
    text += all[bits & 15u];
    bits >>= 4;
  }
  return text;
}

sim_node cluster::make_node(std::size_t number, std::uint64_t seed) const {
  random_source from(seed);
  sim_node node;
  char name[32];
  std::snprintf(name, sizeof name, "node-%03zu", number);
  node.name = name;
  node.uid = uid(from);
  node.machine_id = from.hex(32);
  node.boot_id = uid(from);
  node.seed = from.next();
  node.labels = {{"kubernetes.io/hostname", node.name},
                 {"kubernetes.io/os", "linux"},
                 {"kubernetes.io/arch", "amd64"},
                 {"node.kubernetes.io/instance-type", number % 4 == 3 ? "large" : "standard"},
                 {"topology.kubernetes.io/zone", std::string("zone-") + static_cast<char>('a' + number % 3)}};
  const std::size_t daemon_count = std::min<std::size_t>(daemons.size(), options_.pods / 4);
  for (std::size_t k = 0; k < options_.pods; ++k) {
    const bool daemon = k < daemon_count;
    const application& what = daemon ? daemons[k] : applications[from.below(applications.size())];
    node.pods.push_back(make_pod(what, daemon, number, k, options_, from));
  }
  if (number == 0)
    for (const process_pod& each : options_.processes) node.pods.push_back(make_process_pod(each, options_, from));
  return node;
}

cluster::cluster(cluster_options options) : options_(options) {
  for (std::size_t i = 0; i < options_.nodes; ++i) nodes_.push_back(make_node(i, options_.seed * 1'000'003 + i));
}

sim_node& cluster::change(std::size_t node) {
  if (node >= nodes_.size()) throw std::runtime_error("there is no node " + std::to_string(node));
  ++nodes_[node].changes;
  return nodes_[node];
}

void cluster::replace_pods(std::size_t node, std::size_t count) {
  sim_node& of = change(node);
  random_source from(of.seed + of.changes);
  for (std::size_t k = of.pods.size(); k > 0 && count > 0; --k) {
    sim_pod& each = of.pods[k - 1];
    if (each.host_network || each.containers[0].pid != 0) continue;
    const application& what = applications[from.below(applications.size())];
    each = make_pod(what, false, node, k - 1, options_, from);
    each.name += "-" + std::to_string(of.changes);  // a StatefulSet's would come again
    --count;
  }
}

void cluster::replace_node(std::size_t node, bool keep_name) {
  sim_node& before = change(node);
  sim_node made = make_node(node, before.seed + before.changes);
  made.changes = before.changes;
  made.name = keep_name ? before.name : made.name + "-" + std::to_string(made.changes);
  made.labels["kubernetes.io/hostname"] = made.name;
  before = std::move(made);
}

std::string_view cluster::runtime_scheme() const noexcept {
  switch (options_.runtime) {
    case runtime_style::crio: return "cri-o://";
    case runtime_style::docker: return "docker://";
    case runtime_style::containerd: break;
  }
  return "containerd://";
}

std::string_view cluster::runtime_version() const noexcept {
  switch (options_.runtime) {
    case runtime_style::crio: return "cri-o://1.34.1";
    case runtime_style::docker: return "docker://28.3.3";
    case runtime_style::containerd: break;
  }
  return "containerd://2.1.4";
}

std::string node_json(const cluster& of, const sim_node& node, const std::string& address, std::uint16_t kubelet_port) {
  const std::string created = iso(of.options().base_ms - 90 * std::int64_t{86'400'000});
  const std::string cpu = std::to_string(node.millicores / 1000), memory = std::to_string(node.bytes >> 10) + "Ki";
  const std::string capacity = R"({"cpu":")" + cpu + R"(","memory":")" + memory + R"(","pods":"110"})";
  return R"({"kind":"Node","apiVersion":"v1","metadata":{"name":)" + quoted(node.name) + R"(,"uid":)" + quoted(node.uid) +
         R"(,"resourceVersion":"","creationTimestamp":)" + quoted(created) + R"(,"labels":)" + map_json(node.labels) +
         R"(},"spec":{"podCIDR":"10.64.0.0/24"},"status":{"capacity":)" + capacity + R"(,"allocatable":)" + capacity +
         R"(,"conditions":[{"type":"MemoryPressure","status":"False","lastHeartbeatTime":)" + quoted(created) +
         R"(,"lastTransitionTime":)" + quoted(created) + R"(,"reason":"KubeletHasSufficientMemory","message":"kubelet has sufficient memory available"},)" +
         R"({"type":"Ready","status":"True","lastHeartbeatTime":)" + quoted(created) + R"(,"lastTransitionTime":)" + quoted(created) +
         R"(,"reason":"KubeletReady","message":"kubelet is posting ready status"}],"addresses":[{"type":"InternalIP","address":)" +
         quoted(address) + R"(},{"type":"Hostname","address":)" + quoted(node.name) +
         R"(}],"daemonEndpoints":{"kubeletEndpoint":{"Port":)" + std::to_string(kubelet_port) +
         R"(}},"nodeInfo":{"machineID":)" + quoted(node.machine_id) + R"(,"systemUUID":)" + quoted(node.machine_id) +
         R"(,"bootID":)" + quoted(node.boot_id) +
         R"(,"kernelVersion":"6.12.57","osImage":"Debian GNU/Linux 13","containerRuntimeVersion":)" +
         quoted(of.runtime_version()) + R"(,"kubeletVersion":"v1.34.1","kubeProxyVersion":"","operatingSystem":"linux","architecture":"amd64"}}})";
}

std::string pod_json(const cluster& of, const sim_node& node, const sim_pod& pod) {
  std::string spec, states;
  for (const sim_container& each : pod.containers) {
    if (!spec.empty()) {
      spec += ',';
      states += ',';
    }
    spec += R"({"name":)" + quoted(each.name) + R"(,"image":)" + quoted(each.image) + R"(,"resources":{"limits":)" +
            amounts(each.limit_millicores, each.limit_bytes) + R"(,"requests":)" +
            amounts(each.request_millicores, each.request_bytes) + "}}";
    states += R"({"name":)" + quoted(each.name) + R"(,"state":{"running":{"startedAt":)" + quoted(iso(each.started_ms)) +
              R"(}},"lastState":{},"ready":true,"started":true,"restartCount":)" + std::to_string(each.restarts) +
              R"(,"image":)" + quoted(each.image) + R"(,"imageID":"","containerID":")" + std::string(of.runtime_scheme()) +
              each.id + R"("})";
  }
  const std::string created = iso(of.options().base_ms - 31 * std::int64_t{86'400'000});
  return R"({"kind":"Pod","apiVersion":"v1","metadata":{"name":)" + quoted(pod.name) + R"(,"namespace":)" +
         quoted(pod.namespace_name) + R"(,"uid":)" + quoted(pod.uid) + R"(,"resourceVersion":"","creationTimestamp":)" +
         quoted(created) + R"(,"labels":)" + map_json(pod.labels) +
         R"(,"ownerReferences":[{"apiVersion":")" + (pod.owner_kind == "Job" ? "batch/v1" : "apps/v1") + R"(","kind":)" +
         quoted(pod.owner_kind) + R"(,"name":)" + quoted(pod.owner_name) + R"(,"uid":)" + quoted(pod.uid) +
         R"(,"controller":true,"blockOwnerDeletion":true}]},"spec":{"nodeName":)" + quoted(node.name) +
         (pod.host_network ? R"(,"hostNetwork":true)" : "") + R"(,"restartPolicy":"Always","containers":[)" + spec +
         R"(]},"status":{"phase":"Running","qosClass":")" +
         (pod.qos == "guaranteed" ? "Guaranteed" : pod.qos == "besteffort" ? "BestEffort" : "Burstable") +
         R"(","conditions":[{"type":"Ready","status":"True","lastTransitionTime":)" + quoted(created) +
         R"(}],"hostIP":"10.0.0.1","podIP":)" + quoted(pod.ip) + R"(,"podIPs":[{"ip":)" + quoted(pod.ip) +
         R"(}],"startTime":)" + quoted(created) + R"(,"containerStatuses":[)" + states + "]}}";
}

}  // namespace computelocator::simulate
