// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "pages.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <tuple>
#include <vector>

#include "node_state.hpp"

namespace computelocator::simulate {

void append_number(std::string& to, double value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  const std::string_view all(text, static_cast<std::size_t>(end - text));
  const std::size_t mark = all.find('e');
  if (mark == std::string_view::npos) {  // NaN and the infinities, as Go spells them
    to += value != value ? "NaN" : value > 0 ? "+Inf" : "-Inf";
    return;
  }
  int exponent = 0;
  const std::size_t sign = all[mark + 1] == '+' ? 2 : 1;
  std::from_chars(text + mark + sign, end, exponent);
  const bool scientific = exponent < -4 || exponent >= 6;
  if (scientific) {
    to += all;
    return;
  }
  char plain[64];
  const auto fixed = std::to_chars(plain, plain + sizeof plain, value, std::chars_format::fixed).ptr;
  to.append(plain, fixed);
}

namespace {

using kind = cgroup::kind;

/// Where in the alphabetical order of label names an extra label comes.
struct extra_labels {
  std::string_view after_container;  ///< cpu, device, failure_type
  std::string_view after_image;      ///< interface, major and minor
  std::string_view after_namespace;  ///< operation
  std::string_view after_pod;        ///< scope, state, ulimit
};

class page_writer {
 public:
  page_writer(const cluster& of, const sim_node& node, const node_state& state, std::span<const std::string_view> only)
      : node_(node), state_(state), only_(only), v1_(of.options().cgroup_v1),
        per_container_fs_(of.options().runtime == runtime_style::crio) {
    for (const cgroup& each : state.cgroups()) {
      parts made;
      made.container = "{container=\"" + each.container + "\"";
      made.id = ",id=\"" + escaped(each.id) + "\",image=\"" + each.image + "\"";
      made.name = ",name=\"" + each.name + "\",namespace=\"" + each.namespace_name + "\"";
      made.pod = ",pod=\"" + each.pod + "\"";
      parts_.push_back(std::move(made));
    }
  }

  std::string take() && { return std::move(out_); }

  bool family(std::string_view name, std::string_view type, std::string_view help) {
    if (!only_.empty() && std::find(only_.begin(), only_.end(), name) == only_.end()) return false;
    name_ = name;
    (out_ += "# HELP ") += name;
    ((out_ += ' ') += help) += "\n# TYPE ";
    ((out_ += name) += ' ') += type;
    out_ += '\n';
    return true;
  }

  /// One row a cgroup for which `value` has one (negative: none).
  template <class Value>
  void each(std::string_view name, std::string_view type, std::string_view help, Value value, bool timed = true) {
    if (!family(name, type, help)) return;
    const auto& all = state_.cgroups();
    for (std::size_t i = 0; i < all.size(); ++i)
      if (const double number = value(all[i]); number >= 0) row(i, {}, number, timed);
  }

  /// Rows of (cgroup, extra) where the extra label stands before id: sorted by container, extra, id.
  struct line {
    std::size_t group;
    std::string extra, later;
    double value;
  };
  void sorted(std::vector<line> lines) {
    const auto& all = state_.cgroups();
    std::stable_sort(lines.begin(), lines.end(), [&](const line& a, const line& b) {
      return std::tie(all[a.group].container, a.extra) < std::tie(all[b.group].container, b.extra);
    });
    for (const line& each_line : lines) {
      extra_labels extra;
      extra.after_container = each_line.extra;
      extra.after_pod = each_line.later;
      row(each_line.group, extra, each_line.value, true);
    }
  }

  void row(std::size_t i, const extra_labels& extra, double value, bool timed) {
    const parts& labels = parts_[i];
    ((((((((out_ += name_) += labels.container) += extra.after_container) += labels.id) += extra.after_image) += labels.name) +=
      extra.after_namespace) += labels.pod) += extra.after_pod;
    out_ += "} ";
    append_number(out_, value);
    if (timed) {
      out_ += ' ';
      out_ += std::to_string(state_.cgroups()[i].timestamp_ms);
    }
    out_ += '\n';
  }

  void machine(std::string_view name, std::string_view help, double value) {
    if (!family(name, "gauge", help)) return;
    (((out_ += name) += "{boot_id=\"") += node_.boot_id) += "\",machine_id=\"";
    ((out_ += node_.machine_id) += "\",system_uuid=\"") += node_.machine_id;
    out_ += "\"} ";
    append_number(out_, value);
    out_ += '\n';
  }
  void bare(std::string_view name, std::string_view help, std::string_view line_text) {
    if (family(name, "gauge", help)) ((out_ += name) += line_text) += '\n';
  }

  const std::vector<cgroup>& groups() const { return state_.cgroups(); }
  bool v1() const { return v1_; }
  bool per_container_fs() const { return per_container_fs_; }
  const sim_node& node() const { return node_; }
  std::int64_t now_ms() const { return state_.now_ms(); }

 private:
  struct parts {
    std::string container, id, name, pod;
  };
  static std::string escaped(const std::string& text) {
    std::string made;
    for (const char c : text) {
      if (c == '\\' || c == '"') made += '\\';
      made += c;
    }
    return made;
  }

  const sim_node& node_;
  const node_state& state_;
  std::span<const std::string_view> only_;
  std::vector<parts> parts_;
  std::string out_;
  std::string_view name_;
  bool v1_, per_container_fs_;
};

constexpr std::array<const char*, 12> filesystems{
    "/dev/mapper/vg0-var", "/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/shm", "/run", "/run/lock", "/run/user/1000",
    "overlay_0-118", "overlay_0-140", "overlay_0-231", "tmpfs_1", "tmpfs_2"};
constexpr const char* disk = "/dev/nvme0n1";

std::string device(const char* name) { return ",device=\"" + std::string(name) + "\""; }

void network(page_writer& to) {
  struct quantity {
    const char *name, *help;
    std::uint64_t salt, divisor;  // of the bytes; 0: an error count, nearly always 0
  };
  constexpr quantity all[] = {
      {"container_network_receive_bytes_total", "Cumulative count of bytes received", 1, 1},
      {"container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", 2, 0},
      {"container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", 3, 0},
      {"container_network_receive_packets_total", "Cumulative count of packets received", 4, 700},
      {"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", 5, 1},
      {"container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", 6, 0},
      {"container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", 7, 0},
      {"container_network_transmit_packets_total", "Cumulative count of packets transmitted", 8, 650}};
  for (const quantity& what : all) {
    if (!to.family(what.name, "counter", what.help)) continue;
    const auto& groups = to.groups();
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (groups[i].interfaces == nullptr) continue;
      for (const network_interface& at : *groups[i].interfaces) {
        double value = 0;
        if (what.divisor != 0) {
          const std::int64_t step = to.now_ms() / 10'000 - 179'000'000;
          // Packets follow from bytes: the same salt for both of a direction.
          const std::uint64_t bytes = grown(mixed(at.seed, what.salt > 4 ? 5 : 1), at.scale * 40, at.scale, std::max<std::int64_t>(step, 0));
          value = static_cast<double>(bytes / what.divisor);
        } else if (mixed(at.seed, what.salt) % 50 == 0) {
          value = static_cast<double>(mixed(at.seed, what.salt + 90) % 40);
        }
        const std::string label = ",interface=\"" + at.name + "\"";
        extra_labels extra;
        extra.after_image = label;
        to.row(i, extra, value, true);
      }
    }
  }
}

void filesystem(page_writer& to) {
  using value_of = std::function<double(std::uint64_t seed, const usage*)>;
  struct quantity {
    const char *name, *type, *help;
    bool per_file_system;  // rows of the node's file systems
    bool per_device;       // rows of cgroups that did I/O, and of the node's disk
    value_of value;
  };
  const auto none = [](std::uint64_t, const usage*) { return 0.0; };
  const quantity all[] = {
      {"container_fs_inodes_free", "gauge", "Number of available Inodes", true, false, [](std::uint64_t s, const usage*) { return static_cast<double>(3'000'000 + s % 25'000'000); }},
      {"container_fs_inodes_total", "gauge", "Number of Inodes", true, false, [](std::uint64_t s, const usage*) { return static_cast<double>(28'000'000 + s % 4 * 2'000'000); }},
      {"container_fs_io_current", "gauge", "Number of I/Os currently in progress", true, false, none},
      {"container_fs_io_time_seconds_total", "counter", "Cumulative count of seconds spent doing I/Os", true, false, none},
      {"container_fs_io_time_weighted_seconds_total", "counter", "Cumulative weighted I/O time in seconds", true, false, none},
      {"container_fs_limit_bytes", "gauge", "Number of bytes that can be consumed by the container on this filesystem.", true, false, [](std::uint64_t s, const usage*) { return static_cast<double>(((s % 7 + 1) << 33) + (s % 4096 << 12)); }},
      {"container_fs_read_seconds_total", "counter", "Cumulative count of seconds spent reading", true, false, none},
      {"container_fs_reads_bytes_total", "counter", "Cumulative count of bytes read", false, true, [](std::uint64_t, const usage* u) { return static_cast<double>(u->read_bytes); }},
      {"container_fs_reads_merged_total", "counter", "Cumulative count of reads merged", true, false, none},
      {"container_fs_reads_total", "counter", "Cumulative count of reads completed", true, true, [](std::uint64_t, const usage* u) { return u == nullptr ? 0.0 : static_cast<double>(u->reads); }},
      {"container_fs_sector_reads_total", "counter", "Cumulative count of sector reads completed", true, false, none},
      {"container_fs_sector_writes_total", "counter", "Cumulative count of sector writes completed", true, false, none},
      {"container_fs_usage_bytes", "gauge", "Number of bytes that are consumed by the container on this filesystem.", true, false, [](std::uint64_t s, const usage*) { return static_cast<double>(s % (std::uint64_t{1} << 33) / 4096 * 4096); }},
      {"container_fs_write_seconds_total", "counter", "Cumulative count of seconds spent writing", true, false, none},
      {"container_fs_writes_bytes_total", "counter", "Cumulative count of bytes written", false, true, [](std::uint64_t, const usage* u) { return static_cast<double>(u->written_bytes); }},
      {"container_fs_writes_merged_total", "counter", "Cumulative count of writes merged", true, false, none},
      {"container_fs_writes_total", "counter", "Cumulative count of writes completed", true, true, [](std::uint64_t, const usage* u) { return u == nullptr ? 0.0 : static_cast<double>(u->writes); }}};
  const auto& groups = to.groups();
  for (const quantity& what : all) {
    if (!to.family(what.name, what.type, what.help)) continue;
    std::vector<page_writer::line> lines;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const cgroup& of = groups[i];
      const bool machine = of.what == kind::machine;
      if (what.per_file_system && machine)
        for (std::size_t k = 0; k < filesystems.size(); ++k)
          lines.push_back({i, device(filesystems[k]), "", what.value(mixed(of.seed, 900 + k), nullptr)});
      if (what.per_device && (machine || of.does_io)) lines.push_back({i, device(disk), "", what.value(of.seed, &of.used)});
      const bool own_fs = to.per_container_fs() && of.what == kind::container && what.per_file_system && !what.per_device &&
                          std::string_view(what.name).find("_bytes") != std::string_view::npos;
      if (own_fs) lines.push_back({i, device(filesystems[0]), "", what.value(mixed(of.seed, 950), nullptr)});
    }
    to.sorted(std::move(lines));
  }
}

void per_cgroup_labels(page_writer& to) {
  if (to.family("container_tasks_state", "gauge", "Number of tasks in given state"))
    for (std::size_t i = 0; i < to.groups().size(); ++i)
      for (const char* state : {"iowaiting", "running", "sleeping", "stopped", "uninterruptible"}) {
        const std::string label = ",state=\"" + std::string(state) + "\"";
        extra_labels extra;
        extra.after_pod = label;
        to.row(i, extra, 0, true);
      }
}

void memory_failures(page_writer& to) {
  if (!to.family("container_memory_failures_total", "counter", "Cumulative count of memory allocation failures.")) return;
  std::vector<page_writer::line> lines;
  const auto& groups = to.groups();
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (const char* scope : {"container", "hierarchy"})
      for (const char* type : {"pgfault", "pgmajfault"})
        lines.push_back({i, ",failure_type=\"" + std::string(type) + "\"", ",scope=\"" + std::string(scope) + "\"",
                         static_cast<double>(type[2] == 'f' ? groups[i].used.faults : groups[i].used.major_faults)});
  to.sorted(std::move(lines));
}

void block_devices(page_writer& to) {
  if (!to.family("container_blkio_device_usage_total", "counter", "Blkio Device bytes usage")) return;
  const auto& groups = to.groups();
  const std::string at = device(disk);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const usage& used = groups[i].used;
    if (!groups[i].does_io && groups[i].what != kind::machine) continue;
    std::vector<std::pair<const char*, std::uint64_t>> operations{{"Read", used.read_bytes}, {"Write", used.written_bytes}};
    if (to.v1())
      operations = {{"Async", 0}, {"Discard", 0}, {"Read", used.read_bytes}, {"Sync", used.read_bytes + used.written_bytes},
                    {"Total", used.read_bytes + used.written_bytes}, {"Write", used.written_bytes}};
    for (const auto& [operation, bytes] : operations) {
      const std::string label = ",operation=\"" + std::string(operation) + "\"";
      extra_labels extra;
      extra.after_container = at;
      extra.after_image = ",major=\"259\",minor=\"0\"";
      extra.after_namespace = label;
      to.row(i, extra, static_cast<double>(bytes), true);
    }
  }
}

}  // namespace

std::string cadvisor_page(const cluster& of, std::size_t number, std::int64_t step,
                          std::span<const std::string_view> only) {
  const sim_node& node = of.nodes()[number];
  const node_state state(of, number, step);
  page_writer to(of, node, state, only);
  const bool v1 = to.v1();
  const auto seconds = [](std::uint64_t us) { return static_cast<double>(us) / 1e6; };
  const auto whole = [](std::uint64_t value) { return static_cast<double>(value); };
  using g = const cgroup&;

  to.bare("cadvisor_version_info", "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.",
          "{cadvisorRevision=\"\",cadvisorVersion=\"\",dockerVersion=\"\",kernelVersion=\"6.12.57\",osVersion=\"Debian GNU/Linux 13\"} 1");
  block_devices(to);
  to.each("container_cpu_cfs_burst_periods_total", "counter", "Number of periods when burst occurs.", [&](g c) { return c.quota_us ? 0 : -1.0; });
  to.each("container_cpu_cfs_burst_seconds_total", "counter", "Total time duration the container has been bursted.", [&](g c) { return c.quota_us ? 0 : -1.0; });
  to.each("container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.", [&](g c) { return c.quota_us ? whole(c.used.periods) : -1; });
  to.each("container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.", [&](g c) { return c.quota_us ? whole(c.used.throttled_periods) : -1; });
  to.each("container_cpu_cfs_throttled_seconds_total", "counter", "Total time duration the container has been throttled.", [&](g c) { return c.quota_us ? seconds(c.used.throttled_us) : -1; });
  to.each("container_cpu_load_average_10s", "gauge", "Value of container cpu load average over the last 10 seconds.", [](g) { return 0.0; });
  to.each("container_cpu_load_d_average_10s", "gauge", "Value of container cpu load.d average over the last 10 seconds.", [](g) { return 0.0; });
  to.each("container_cpu_system_seconds_total", "counter", "Cumulative system cpu time consumed in seconds.", [&](g c) { return seconds(c.used.system_us); });
  if (to.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.")) {
    extra_labels total;
    total.after_container = ",cpu=\"total\"";
    // cAdvisor leaves the row out while nothing was used.
    for (std::size_t i = 0; i < to.groups().size(); ++i)
      if (to.groups()[i].used.cpu_us != 0) to.row(i, total, seconds(to.groups()[i].used.cpu_us), true);
  }
  to.each("container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.", [&](g c) { return seconds(c.used.user_us); });
  to.each("container_file_descriptors", "gauge", "Number of open file descriptors for the container.", [&](g c) { return whole(c.used.descriptors); });
  filesystem(to);
  to.each("container_last_seen", "gauge", "Last time a container was seen by the exporter", [&](g c) { return c.dead ? whole(static_cast<std::uint64_t>(c.timestamp_ms / 1000)) : whole(static_cast<std::uint64_t>(to.now_ms() / 1000)); });
  to.each("container_memory_cache", "gauge", "Number of bytes of page cache memory.", [&](g c) { return whole(c.used.cache); });
  to.each("container_memory_failcnt", "counter", "Number of memory usage hits limits", [&](g c) { return whole(v1 ? c.used.failcnt : 0); });
  memory_failures(to);
  to.each("container_memory_kernel_usage", "gauge", "Size of kernel memory allocated in bytes.", [&](g c) { return whole(c.used.kernel); });
  to.each("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.", [&](g c) { return whole(c.used.mapped); });
  to.each("container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes", [&](g c) { return whole(c.used.peak); });
  to.each("container_memory_rss", "gauge", "Size of RSS in bytes.", [&](g c) { return whole(c.used.rss); });
  to.each("container_memory_swap", "gauge", "Container swap usage in bytes.", [](g) { return 0.0; });
  to.each("container_memory_total_active_file_bytes", "gauge", "Current total active file in bytes.", [&](g c) { return whole(c.used.active_file); });
  to.each("container_memory_total_inactive_file_bytes", "gauge", "Current total inactive file in bytes.", [&](g c) { return whole(c.used.inactive_file); });
  to.each("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, including all memory regardless of when it was accessed", [&](g c) { return whole(c.used.memory); });
  to.each("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", [&](g c) { return whole(c.used.working_set()); });
  network(to);
  to.each("container_oom_events_total", "counter", "Count of out of memory events observed for the container", [](g) { return 0.0; });
  if (!v1) {
    to.each("container_pressure_cpu_stalled_seconds_total", "counter", "Total time duration no tasks in the container could make progress due to CPU congestion.", [&](g c) { return seconds(c.used.waiting_cpu_us / 3); });
    to.each("container_pressure_cpu_waiting_seconds_total", "counter", "Total time duration tasks in the container have waited due to CPU congestion.", [&](g c) { return seconds(c.used.waiting_cpu_us); });
    to.each("container_pressure_io_stalled_seconds_total", "counter", "Total time duration no tasks in the container could make progress due to IO congestion.", [&](g c) { return seconds(c.used.waiting_io_us / 2); });
    to.each("container_pressure_io_waiting_seconds_total", "counter", "Total time duration tasks in the container have waited due to IO congestion.", [&](g c) { return seconds(c.used.waiting_io_us); });
    to.each("container_pressure_memory_stalled_seconds_total", "counter", "Total time duration no tasks in the container could make progress due to memory congestion.", [](g) { return 0.0; });
    to.each("container_pressure_memory_waiting_seconds_total", "counter", "Total time duration tasks in the container have waited due to memory congestion.", [](g) { return 0.0; });
  }
  to.each("container_processes", "gauge", "Number of processes running inside the container.", [&](g c) { return whole(c.used.processes); });
  to.bare("container_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", " 0");
  to.each("container_sockets", "gauge", "Number of open sockets for the container.", [&](g c) { return whole(c.used.sockets); });
  to.each("container_spec_cpu_period", "gauge", "CPU period of the container.", [](g) { return 100'000.0; }, false);
  to.each("container_spec_cpu_quota", "gauge", "CPU quota of the container.", [&](g c) { return c.quota_us ? whole(c.quota_us) : -1; }, false);
  to.each("container_spec_cpu_shares", "gauge", "CPU share of the container.", [&](g c) { return whole(c.shares); }, false);
  to.each("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.", [&](g c) { return whole(c.memory_limit); }, false);
  to.each("container_spec_memory_reservation_limit_bytes", "gauge", "Memory reservation limit for the container.", [](g) { return 0.0; }, false);
  to.each("container_spec_memory_swap_limit_bytes", "gauge", "Memory swap limit for the container.", [](g) { return 0.0; }, false);
  to.each("container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.", [&](g c) { return whole(static_cast<std::uint64_t>(c.started_ms / 1000)); }, false);
  per_cgroup_labels(to);
  to.each("container_threads", "gauge", "Number of threads running inside the container", [&](g c) { return whole(c.used.threads); });
  to.each("container_threads_max", "gauge", "Maximum number of threads allowed inside the container, infinity if value is zero", [](g) { return 0.0; });
  if (to.family("container_ulimits_soft", "gauge", "Soft ulimit values for the container root process. Unlimited if -1, except priority and nice")) {
    extra_labels extra;
    extra.after_pod = ",ulimit=\"max_open_files\"";
    for (std::size_t i = 0; i < to.groups().size(); ++i)
      if (to.groups()[i].what == kind::container || to.groups()[i].what == kind::sandbox) to.row(i, extra, 1'048'576, true);
  }
  to.machine("machine_cpu_cores", "Number of logical CPU cores.", whole(node.millicores / 1000));
  to.machine("machine_cpu_physical_cores", "Number of physical CPU cores.", whole(node.millicores / 2000));
  to.machine("machine_cpu_sockets", "Number of CPU sockets.", 1);
  to.machine("machine_memory_bytes", "Amount of memory installed on the machine.", whole(node.bytes));
  to.machine("machine_nvm_avg_power_budget_watts", "NVM power budget.", 0);
  to.machine("machine_nvm_capacity", "NVM capacity value labeled by NVM mode (memory mode or app direct mode).", 0);
  to.bare("machine_scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", " 0");
  to.machine("machine_swap_bytes", "Amount of swap memory available on the machine.", 0);
  return std::move(to).take();
}

}  // namespace computelocator::simulate
