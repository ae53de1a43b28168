// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "node_state.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "processes.hpp"

namespace computelocator::simulate {

std::uint64_t mixed(std::uint64_t seed, std::uint64_t salt) {
  return random_source(seed ^ (salt * 0xD6E8FEB86659FD93u)).next();
}

std::uint64_t grown(std::uint64_t seed, std::uint64_t start, std::uint64_t per_step, std::int64_t step) {
  if (per_step == 0) return start;
  // The part below one step's growth wanders, so the sum never falls.
  return start + per_step * static_cast<std::uint64_t>(step) +
         mixed(seed, static_cast<std::uint64_t>(step) + 77) % per_step;
}

usage& usage::operator+=(const usage& o) {
  cpu_us += o.cpu_us; user_us += o.user_us; system_us += o.system_us;
  memory += o.memory; rss += o.rss; cache += o.cache; mapped += o.mapped; kernel += o.kernel;
  active_file += o.active_file; inactive_file += o.inactive_file; peak += o.peak;
  failcnt += o.failcnt; faults += o.faults; major_faults += o.major_faults;
  read_bytes += o.read_bytes; written_bytes += o.written_bytes; reads += o.reads; writes += o.writes;
  waiting_cpu_us += o.waiting_cpu_us; waiting_io_us += o.waiting_io_us; waiting_memory_us += o.waiting_memory_us;
  processes += o.processes; threads += o.threads; descriptors += o.descriptors; sockets += o.sockets;
  return *this;
}

namespace {

/// What a leaf cgroup uses; its parents are sums of it.
usage leaf_usage(std::uint64_t seed, std::uint64_t millicores, std::uint64_t memory, std::uint64_t age_steps,
                 std::int64_t step, bool does_io, std::uint64_t quota_us, bool cgroup_v1) {
  usage made;
  const std::uint64_t per_step = millicores * 10'000;  // microseconds in 10 s
  made.cpu_us = grown(seed, per_step * age_steps, per_step, step);
  made.user_us = made.cpu_us / 100 * (55 + mixed(seed, 1) % 30);
  made.system_us = made.cpu_us - made.user_us;
  if (quota_us != 0) {
    made.periods = grown(mixed(seed, 2), 60 * age_steps, 60, step);
    if (mixed(seed, 3) % 3 == 0) {
      made.throttled_periods = made.periods / (20 + mixed(seed, 4) % 200);
      made.throttled_us = made.throttled_periods * (11'000 + mixed(seed, 5) % 40'000);
    }
  }
  made.memory = (memory * 3 / 5 + mixed(seed, 6) % (memory / 3 + 1) + mixed(seed, static_cast<std::uint64_t>(step) + 1000) % (memory / 64 + 1)) & ~std::uint64_t{4095};
  made.kernel = (made.memory / (18 + mixed(seed, 7) % 9)) & ~std::uint64_t{7};
  made.inactive_file = (made.memory / (5 + mixed(seed, 8) % 7)) & ~std::uint64_t{4095};
  made.active_file = (made.memory / (9 + mixed(seed, 9) % 9)) & ~std::uint64_t{4095};
  made.cache = made.inactive_file + made.active_file;
  made.mapped = mixed(seed, 10) % 3 == 0 ? 0 : (made.cache / 3) & ~std::uint64_t{4095};
  made.rss = (made.memory - made.cache - made.kernel) & ~std::uint64_t{4095};
  made.peak = made.memory + (mixed(seed, 11) % (memory / 8 + 1) & ~std::uint64_t{4095});
  if (cgroup_v1) made.failcnt = mixed(seed, 12) % 5 == 0 ? grown(mixed(seed, 13), 40, 3, step) : 0;
  made.faults = grown(mixed(seed, 14), 90 * age_steps + memory / 4096, 40 + mixed(seed, 15) % 900, step);
  made.major_faults = mixed(seed, 16) % 4 == 0 ? 1 + mixed(seed, 17) % 300 : 0;
  if (does_io) {
    made.writes = grown(mixed(seed, 18), 20 + age_steps / 3, 1 + mixed(seed, 19) % 6, step);
    made.written_bytes = made.writes * 4096 * (1 + mixed(seed, 20) % 8);
    made.reads = mixed(seed, 21) % 2 == 0 ? 12 + mixed(seed, 22) % 900 : 0;
    made.read_bytes = made.reads * 4096 * (1 + mixed(seed, 23) % 24);
    made.waiting_io_us = made.writes * (mixed(seed, 24) % 700);
  }
  made.waiting_cpu_us = made.cpu_us / (40 + mixed(seed, 25) % 400);
  made.processes = 1 + mixed(seed, 26) % 3;
  made.threads = made.processes + mixed(seed, 27) % 28;
  made.descriptors = 6 + mixed(seed, 28) % 60;
  made.sockets = mixed(seed, 29) % 22;
  return made;
}

std::string underscored(std::string uid) {
  std::replace(uid.begin(), uid.end(), '-', '_');
  return uid;
}

std::string slice_of(const std::string& qos) {
  return qos == "guaranteed" ? "/kubepods.slice" : "/kubepods.slice/kubepods-" + qos + ".slice";
}
std::string pod_slice(const sim_pod& pod) {
  return slice_of(pod.qos) + "/kubepods-" + (pod.qos == "guaranteed" ? "" : pod.qos + "-") + "pod" + underscored(pod.uid) + ".slice";
}

constexpr std::array<const char*, 40> services{
    "containerd", "kubelet", "sshd", "cron", "chrony", "dbus", "rsyslog", "auditd", "irqbalance", "systemd-journald",
    "systemd-logind", "systemd-networkd", "systemd-resolved", "systemd-udevd", "multipathd", "iscsid", "polkit", "getty@tty1",
    "serial-getty@ttyS0", "unattended-upgrades", "networkd-dispatcher", "node-problem-detector", "atd", "acpid", "haveged", "smartd",
    "lvm2-lvmpolld", "rpcbind", "nfs-client", "qemu-guest-agent", "cloud-init-hotplugd", "fwupd", "udisks2", "snapd", "zfs-zed",
    "systemd-fsck@dev-disk-by\\x2duuid-3f9c", "systemd-machined", "apparmor", "blk-availability", "fstrim"};

}  // namespace

node_state::node_state(const cluster& of, std::size_t number, std::int64_t step) {
  const sim_node& node = of.nodes()[number];
  now_ms_ = of.options().base_ms + step * of.options().step.count();
  // The kubelet looks at its cgroups every 10 s, however often a page is made; at processes each time.
  const std::int64_t look = (now_ms_ - of.options().base_ms) / 10'000;
  node_interfaces_.push_back({"eth0", mixed(node.seed, 500), 40'000'000});
  for (const sim_pod& pod : node.pods)
    if (!pod.host_network) node_interfaces_.push_back({pod.interface, mixed(pod.seed, 501), 90'000});
  node_interfaces_.push_back({"vxlan.calico", mixed(node.seed, 502), 9'000'000});
  std::sort(node_interfaces_.begin(), node_interfaces_.end(),
            [](const network_interface& a, const network_interface& b) { return a.name < b.name; });
  pod_interfaces_.reserve(node.pods.size());
  cgroups_.reserve(80 + node.pods.size() * 5);
  add_pods(of, node, look, step);
  add_slices(of, node, look);

  for (cgroup& each : cgroups_) {
    // Housekeeping visits each cgroup every 10 to 20 seconds: its rows carry that past time.
    each.timestamp_ms = of.options().base_ms + look * 10'000 -
                        static_cast<std::int64_t>(mixed(each.seed, static_cast<std::uint64_t>(look) + 31) % 14'000) - 300;
    if (each.read_ms != 0) each.timestamp_ms = each.read_ms;
    if (each.dead) each.timestamp_ms = of.options().base_ms - 95'000;
  }
  // client_golang writes the rows of a family in the order of their label values.
  std::sort(cgroups_.begin(), cgroups_.end(), [](const cgroup& a, const cgroup& b) {
    return std::tie(a.container, a.id) < std::tie(b.container, b.id);
  });
}

void node_state::add_pods(const cluster& of, const sim_node& node, std::int64_t step, std::int64_t page) {
  const cluster_options& options = of.options();
  const bool docker = options.runtime == runtime_style::docker, crio = options.runtime == runtime_style::crio;
  const std::string prefix = docker ? "/docker-" : crio ? "/crio-" : "/cri-containerd-";
  const std::string pause = docker ? "registry.eu-central.example.com/mirror/registry.k8s.io/pause:3.10" : "registry.eu-central.example.com/mirror/registry.k8s.io/pause:3.10.1";
  for (const sim_pod& pod : node.pods) {
    const std::string slice = pod_slice(pod);
    cgroup whole;
    whole.what = cgroup::kind::pod;
    whole.id = slice;
    whole.namespace_name = pod.namespace_name;
    whole.pod = pod.name;
    whole.seed = pod.seed;
    whole.started_ms = options.base_ms;
    bool cpu_limited = true, memory_limited = true;

    auto& interfaces = pod_interfaces_.emplace_back();
    if (!pod.host_network) interfaces.push_back({"eth0", mixed(pod.seed, 501), 90'000});

    cgroup sandbox;
    sandbox.what = cgroup::kind::sandbox;
    sandbox.id = slice + prefix + pod.sandbox_id + ".scope";
    sandbox.seed = mixed(pod.seed, 600);
    sandbox.interfaces = pod.host_network ? &node_interfaces_ : &interfaces;
    if (!docker) {
      sandbox.container = crio ? "POD" : "";
      sandbox.image = pause;
      sandbox.name = crio ? "k8s_POD_" + pod.name + "_" + pod.namespace_name + "_" + pod.uid + "_0" : pod.sandbox_id;
      sandbox.namespace_name = pod.namespace_name;
      sandbox.pod = pod.name;
    }
    sandbox.used.memory = 180'224 + mixed(sandbox.seed, 1) % 30 * 4096;
    sandbox.used.rss = 45'056;
    sandbox.used.kernel = 98'304;
    sandbox.used.peak = sandbox.used.memory + 3'000'000 + mixed(sandbox.seed, 2) % 800 * 4096;
    sandbox.used.cpu_us = 14'000 + mixed(sandbox.seed, 3) % 30'000;
    sandbox.used.user_us = 4'000;
    sandbox.used.system_us = sandbox.used.cpu_us - 4'000;
    sandbox.used.processes = sandbox.used.threads = 1;
    sandbox.used.faults = 900 + mixed(sandbox.seed, 4) % 900;

    for (const sim_container& each : pod.containers) {
      cgroup made;
      made.what = cgroup::kind::container;
      made.seed = each.seed;
      made.quota_us = each.limit_millicores * 100;
      made.memory_limit = each.limit_bytes;
      made.shares = std::max<std::uint64_t>(2, each.request_millicores * 1024 / 1000);
      made.started_ms = each.started_ms;
      made.does_io = mixed(each.seed, 50) % 10 < 9;
      made.id = slice + prefix + each.id + ".scope";
      if (!docker) {
        made.container = each.name;
        made.image = each.image;
        made.name = crio ? "k8s_" + each.name + "_" + pod.name + "_" + pod.namespace_name + "_" + pod.uid + "_" + std::to_string(each.restarts) : each.id;
        made.namespace_name = pod.namespace_name;
        made.pod = pod.name;
      }
      const std::uint64_t cores = each.limit_millicores != 0 ? each.limit_millicores : std::max<std::uint64_t>(40, each.request_millicores);
      const std::uint64_t age = static_cast<std::uint64_t>((options.base_ms - each.started_ms) / 10'000);
      // One container in twelve has not run yet for a tick: cAdvisor leaves its CPU row out.
      const bool idle = mixed(each.seed, 51) % 40 == 0;
      const std::uint64_t busy = idle ? 0 : 1 + cores * (2 + mixed(each.seed, 52) % 60) / 100;
      const std::uint64_t memory = each.limit_bytes != 0 ? each.limit_bytes : std::max<std::uint64_t>(each.request_bytes, 48u << 20);
      made.used = leaf_usage(each.seed, busy, memory, age, step, made.does_io, made.quota_us, options.cgroup_v1);
      if (each.pid != 0) {
        const process_reading reading = process_at(each.pid, page);
        made.used = reading.used;
        made.does_io = false;
        made.read_ms = whole.read_ms = sandbox.read_ms = processes_read_ms_ = reading.read_ms;
      }
      whole.used += made.used;
      whole.quota_us += made.quota_us;
      whole.memory_limit += made.memory_limit;
      whole.shares += made.shares;
      whole.does_io = whole.does_io || made.does_io;
      whole.started_ms = std::min(whole.started_ms, made.started_ms - 3'000);
      cpu_limited = cpu_limited && made.quota_us != 0;
      memory_limited = memory_limited && made.memory_limit != 0;
      if (!each.dead_id.empty()) {
        cgroup dead = made;
        dead.dead = true;
        dead.seed = mixed(each.seed, 700);
        dead.id = slice + prefix + each.dead_id + ".scope";
        if (!docker) dead.name = crio ? made.name : each.dead_id;
        dead.started_ms = each.started_ms - 86'400'000;
        dead.used = leaf_usage(dead.seed, busy, memory, 8640, 0, dead.does_io, dead.quota_us, options.cgroup_v1);
        cgroups_.push_back(std::move(dead));
      }
      cgroups_.push_back(std::move(made));
    }
    // As the kubelet sets them: a pod has a limit where all of its containers have.
    if (!cpu_limited) whole.quota_us = 0;
    if (!memory_limited) whole.memory_limit = 0;
    if (whole.quota_us != 0) {
      // The pod's own cgroup counts its own periods.
      const std::uint64_t age = static_cast<std::uint64_t>((options.base_ms - whole.started_ms) / 10'000);
      whole.used.periods = grown(mixed(whole.seed, 2), 80 * age, 80, step);
      whole.used.throttled_periods = whole.used.throttled_us = 0;
    }
    sandbox.started_ms = whole.started_ms;
    whole.used += sandbox.used;
    cgroups_.push_back(std::move(sandbox));
    cgroups_.push_back(std::move(whole));
  }
}

void node_state::add_slices(const cluster& of, const sim_node& node, std::int64_t step) {
  const std::int64_t base = of.options().base_ms;
  const std::int64_t booted = base - base % 1000 - 45 * std::int64_t{86'400'000};
  const auto slice = [&](const std::string& id, std::uint64_t salt) {
    cgroup made;
    made.id = id;
    made.seed = mixed(node.seed, salt);
    made.started_ms = booted;
    made.shares = 1024;
    return made;
  };
  usage pods, burstable, besteffort;
  for (const cgroup& each : cgroups_) {
    if (each.what != cgroup::kind::pod) continue;
    pods += each.used;
    if (each.id.find("-burstable-") != std::string::npos) burstable += each.used;
    if (each.id.find("-besteffort-") != std::string::npos) besteffort += each.used;
  }
  cgroup kube = slice("/kubepods.slice", 800), burst = slice("/kubepods.slice/kubepods-burstable.slice", 801),
         best = slice("/kubepods.slice/kubepods-besteffort.slice", 802);
  kube.used = pods;
  burst.used = burstable;
  best.used = besteffort;
  kube.memory_limit = node.bytes;
  cgroup system = slice("/system.slice", 803);
  std::vector<cgroup> units;
  for (std::size_t i = 0; i < services.size(); ++i) {
    cgroup made = slice("/system.slice/" + std::string(services[i]) + ".service", 810 + i);
    made.does_io = i < 12;
    made.used = leaf_usage(made.seed, i < 2 ? 300 : 2, i < 2 ? 400u << 20 : 12u << 20, 45 * 8640, step, made.does_io, 0, false);
    system.used += made.used;
    units.push_back(std::move(made));
  }
  cgroup user = slice("/user.slice", 804), init = slice("/init.scope", 805);
  user.used = leaf_usage(user.seed, 3, 40u << 20, 45 * 8640, step, true, 0, false);
  init.used = leaf_usage(init.seed, 2, 12u << 20, 45 * 8640, step, true, 0, false);
  user.does_io = init.does_io = system.does_io = kube.does_io = burst.does_io = true;
  cgroup root = slice("/", 806);
  root.what = cgroup::kind::machine;
  root.memory_limit = node.bytes;
  root.interfaces = &node_interfaces_;
  root.used = kube.used;
  for (const cgroup* each : {&system, &user, &init}) root.used += each->used;
  root.used.cpu_us += grown(root.seed, 9'000'000'000, 1'500'000, step);
  // What holds a process moves with it.
  for (cgroup* each : {&kube, &burst, &root}) each->read_ms = processes_read_ms_;
  for (cgroup* each : {&kube, &burst, &best, &system, &user, &init, &root}) cgroups_.push_back(std::move(*each));
  for (cgroup& each : units) cgroups_.push_back(std::move(each));
}

}  // namespace computelocator::simulate
