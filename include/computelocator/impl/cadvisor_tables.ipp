// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <memory>
#include <optional>

#include <computelocator/impl/cadvisor_rows.ipp>

namespace computelocator {

namespace detail::cadvisor_ {

struct reason {
  std::string_view code, sentence;
};

inline constexpr reason not_on_page{"not_on_page", "the page has no row of this metric: it was not asked for, or the kubelet does not serve it"};
inline constexpr reason zero_so_far{"zero_so_far", "cAdvisor leaves the row out until there is something to count: 0 so far"};
inline constexpr reason no_cpu_limit{"no_cpu_limit", "there are no CFS periods without a CPU limit"};
inline constexpr reason no_memory_limit{"no_memory_limit", "0 on the page means that there is no limit"};
inline constexpr reason cgroup_v2{"cgroup_v2_constant_zero", "cgroup v2 does not count this: cAdvisor always serves 0"};
inline constexpr reason node_wide_zero{"zero_on_whole_node", "0 for every cgroup of the node: on cgroup v2 it always is"};
inline constexpr reason runtime_none{"runtime_reports_none", "the container runtime reports no disk usage of containers to cAdvisor (containerd: only /stats/summary has it)"};
inline constexpr reason stats_summary{"stats_summary", "of the kubelet's /stats/summary (root file system and logs; the size of that file system), since the page has none"};
inline constexpr reason host_network{"host_network", "the pod is on the host's network: its counters are the node's"};
inline constexpr reason network_unknown{"host_network_unknown", "pods could not be listed and the page does not tell whether the pod is on the host's network"};
inline constexpr reason no_sandbox{"no_sandbox_row", "the page has no network row of this pod"};
inline constexpr reason no_pod_row{"no_pod_row", "the page has no row of the pod's own cgroup"};
inline constexpr reason no_row{"no_row", "the page has no such row"};

/// One row of a table to be: who it is, and a value or a reason for each metric.
struct entity {
  std::string node, namespace_name, pod_name, container, id, image;
  std::int64_t newest = no_timestamp;
  std::array<std::int64_t, slots> time;
  std::array<double, slots> value{};
  std::array<const reason*, slots> why{};
  double start = 0;
  std::string_view network_id;  ///< the cgroup whose network this is
  const pod* spec = nullptr;
  const pod_container* container_spec = nullptr;
  const computelocator::node* node_spec = nullptr;

  entity() noexcept { time.fill(no_timestamp); }

  void miss(std::size_t slot, const reason& because) {
    value[slot] = std::numeric_limits<double>::quiet_NaN();
    why[slot] = &because;
  }
};

inline void read_values(entity& to, const cgroup& from, const page_rows& page) {
  to.newest = from.newest;
  to.id = std::string(from.id);
  to.image = from.image;
  to.start = from.start;
  for (std::size_t s = 0; s < first_network; ++s) {
    to.value[s] = from.value[s];
    to.time[s] = from.time[s];
    if (to.time[s] == no_timestamp) to.time[s] = from.newest;
    if (!page.on_page[s]) {
      to.miss(s, not_on_page);
    } else if (!from.present[s]) {
      if (!page.whole) to.miss(s, no_row);
      else if (s == cpu_usage || s == fs_reads || s == fs_writes) to.value[s] = 0, to.why[s] = &zero_so_far;
      else if (s >= throttled_seconds && s <= periods) to.miss(s, no_cpu_limit);
      else if (s == fs_usage || s == fs_limit) to.miss(s, runtime_none);
      else to.miss(s, no_row);
    } else if (s == memory_limit && from.value[s] == 0) {
      to.miss(s, no_memory_limit);
    } else if (s == failcnt && !page.any_failcnt) {
      to.why[s] = page.pressure ? &cgroup_v2 : &node_wide_zero;
    }
  }
}

inline void read_network(entity& to, const cgroup* from, const page_rows& page) {
  for (std::size_t s = first_network; s < slots; ++s) {
    if (!page.on_page[s]) to.miss(s, not_on_page);
    else if (from == nullptr || !from->present[s]) to.miss(s, no_sandbox);
    else to.value[s] = from->value[s], to.time[s] = from->time[s];
  }
  if (from != nullptr) to.network_id = from->id;
}

/// Without the pod's specification: on the host's network where it sees the node's interfaces with
/// the node's counters. They are read at different moments, so they may be apart by one part in a hundred.
inline bool counts_as_the_node(const cgroup& sandbox, const cgroup& machine) {
  double total = 0;
  for (const auto& [interface, counters] : sandbox.interfaces) {
    if (interface == "lo") continue;
    const auto found = machine.interfaces.find(interface);
    if (found == machine.interfaces.end()) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      const double mine = counters[i], its = found->second[i];
      if (std::abs(mine - its) > 0.01 * std::max(mine, its)) return false;
      total += its;
    }
  }
  return total > 0;
}

inline bool newer(const cgroup& a, const cgroup& b) noexcept {
  if (a.newest != b.newest) return a.newest > b.newest;
  if (a.start != b.start) return a.start > b.start;
  return a.id > b.id;
}

inline bool wanted(const std::string& namespace_name, const row_filter& filter) {
  return filter.namespaces.empty() ||
         std::find(filter.namespaces.begin(), filter.namespaces.end(), namespace_name) != filter.namespaces.end();
}

inline void add_containers(const page_rows& page, const std::string& node, const known_pods& pods,
                           const row_filter& filter, std::vector<entity>& all) {
  std::map<std::array<std::string_view, 3>, const cgroup*> newest;
  for (const cgroup& each : page.cgroups) {
    if (each.kind != row_class::container || !wanted(each.namespace_name, filter)) continue;
    const cgroup*& kept = newest[{each.namespace_name, each.pod, each.container}];
    if (kept == nullptr || newer(each, *kept)) kept = &each;
  }
  for (const auto& [key, from] : newest) {
    entity& made = all.emplace_back();
    made.node = node;
    made.namespace_name = from->namespace_name;
    made.pod_name = from->pod;
    made.container = from->container;
    read_values(made, *from, page);
    if (const auto found = page.disks.find(key); found != page.disks.end())
      for (const std::size_t s : {std::size_t{fs_usage}, std::size_t{fs_limit}}) {
        const double value = found->second.value[s - fs_usage];
        if (!std::isnan(made.value[s]) || std::isnan(value)) continue;
        made.value[s] = value;
        made.time[s] = found->second.time;
        made.why[s] = &stats_summary;
      }
    made.spec = pods.find(made.namespace_name, made.pod_name);
    if (made.spec != nullptr)
      for (const pod_container& inside : made.spec->containers)
        if (inside.name == made.container) made.container_spec = &inside;
  }
}

inline void add_pods(const page_rows& page, const std::string& node, const known_pods& pods,
                     const row_filter& filter, std::vector<entity>& all) {
  struct parts { const cgroup* own = nullptr; const cgroup* sandbox = nullptr; };
  std::map<std::array<std::string_view, 2>, parts> found;
  for (const cgroup& each : page.cgroups) {
    if (each.pod.empty() || !wanted(each.namespace_name, filter)) continue;
    parts& of = found[{each.namespace_name, each.pod}];
    const cgroup** kept = each.kind == row_class::pod ? &of.own : each.kind == row_class::sandbox ? &of.sandbox : nullptr;
    if (kept != nullptr && (*kept == nullptr || newer(each, **kept))) *kept = &each;
  }
  for (const auto& [key, of] : found) {
    entity& made = all.emplace_back();
    made.node = node;
    made.namespace_name = std::string(key[0]);
    made.pod_name = std::string(key[1]);
    made.spec = pods.find(made.namespace_name, made.pod_name);
    if (of.own != nullptr) {
      read_values(made, *of.own, page);
    } else {
      for (std::size_t s = 0; s < first_network; ++s) made.miss(s, page.on_page[s] ? no_pod_row : not_on_page);
    }
    read_network(made, of.sandbox, page);
    if (of.sandbox != nullptr) made.newest = std::max(made.newest, of.sandbox->newest);
    const reason* shared = nullptr;
    if (made.spec != nullptr) {
      if (made.spec->host_network) shared = &host_network;
    } else if (of.sandbox != nullptr && !of.sandbox->interfaces.empty()) {
      if (page.machine == nullptr || page.machine->interfaces.empty()) shared = &network_unknown;
      else if (counts_as_the_node(*of.sandbox, *page.machine)) shared = &host_network;
    }
    if (shared != nullptr)
      for (std::size_t s = first_network; s < slots; ++s) made.miss(s, *shared);
  }
}

inline void add_node(const page_rows& page, const std::string& node, const inventory& known, std::vector<entity>& all) {
  if (page.machine == nullptr) return;
  entity& made = all.emplace_back();
  made.node = node;
  read_values(made, *page.machine, page);
  read_network(made, page.machine, page);
  for (const computelocator::node& each : known.nodes)
    if (each.name == node) made.node_spec = &each;
}

inline std::vector<entity> containers_of(std::span<const node_page> pages, const inventory& known,
                                         const row_filter& filter) {
  const known_pods pods(known);
  std::vector<entity> all;
  for (const node_page& source : pages) add_containers(page_rows(source, pods), source.node, pods, filter, all);
  return all;
}

inline std::vector<entity> pods_of(std::span<const node_page> pages, const inventory& known,
                                   const row_filter& filter) {
  const known_pods pods(known);
  std::vector<entity> all;
  for (const node_page& source : pages) add_pods(page_rows(source, pods), source.node, pods, filter, all);
  return all;
}

inline std::vector<entity> nodes_of(std::span<const node_page> pages, const inventory& known) {
  const known_pods pods(known);
  std::vector<entity> all;
  for (const node_page& source : pages) add_node(page_rows(source, pods), source.node, known, all);
  return all;
}

class table_maker {
 public:
  explicit table_maker(const std::vector<entity>& rows) : rows_(rows) { made_.rows = rows.size(); }

  template <class Function>
  void category(std::string name, Function&& text) {
    auto codes = std::make_shared<std::vector<std::int32_t>>();
    auto dictionary = std::make_shared<std::vector<std::string>>();
    std::unordered_map<std::string, std::int32_t> seen;
    for (const entity& row : rows_) {
      const std::string& value = text(row);
      if (value.empty()) {
        codes->push_back(-1);
        continue;
      }
      const auto [at, fresh] = seen.try_emplace(value, static_cast<std::int32_t>(dictionary->size()));
      if (fresh) dictionary->push_back(value);
      codes->push_back(at->second);
    }
    column& added = add(std::move(name), column_type::category);
    added.codes = std::move(codes);
    added.dictionary = std::move(dictionary);
  }

  template <class Function>
  void number(std::string name, Function&& value, metadata meta) {
    auto cells = std::make_shared<std::vector<double>>();
    auto valid = std::make_shared<std::vector<std::uint8_t>>();
    bool missing = false;
    for (const entity& row : rows_) {
      const double cell = value(row);
      cells->push_back(cell);
      valid->push_back(!std::isnan(cell));
      missing = missing || std::isnan(cell);
    }
    column& added = add(std::move(name), column_type::float64);
    added.float64 = std::move(cells);
    if (missing) added.valid = std::move(valid);
    added.meta = std::move(meta);
  }

  void timestamp() {
    auto cells = std::make_shared<std::vector<std::int64_t>>();
    auto valid = std::make_shared<std::vector<std::uint8_t>>();
    bool missing = false;
    for (const entity& row : rows_) {
      const bool there = row.newest != no_timestamp;
      cells->push_back(there ? row.newest : 0);
      valid->push_back(there);
      missing = missing || !there;
    }
    column& added = add("timestamp", column_type::timestamp_ms);
    added.int64 = std::move(cells);
    if (missing) added.valid = std::move(valid);
  }

  void metrics(std::span<const node_page> pages, std::size_t count) {
    for (std::size_t s = 0; s < count; ++s) {
      metadata meta;
      const std::string_view name = metric_names[s];
      for (const node_page& page : pages) {
        const auto found = std::find_if(page.columns->metrics.begin(), page.columns->metrics.end(),
                                        [&](const metric& each) { return each.name == name; });
        if (found == page.columns->metrics.end()) continue;
        meta.emplace_back("type", std::string(to_string(found->type)));
        if (!found->unit.empty()) meta.emplace_back("unit", found->unit);
        if (!found->help.empty()) meta.emplace_back("help", found->help);
        break;
      }
      number(std::string(metric_names[s]), [s](const entity& row) { return row.value[s]; }, std::move(meta));
    }
  }

  table take() && { return std::move(made_); }

 private:
  column& add(std::string name, column_type type) {
    column& added = made_.columns.emplace_back();
    added.name = std::move(name);
    added.type = type;
    return added;
  }
  const std::vector<entity>& rows_;
  table made_;
};

}  // namespace detail::cadvisor_

void for_each_reading(std::span<const node_page> pages, const inventory& known, const row_filter& filter,
                      const std::function<void(const reading&)>& take) {
  using namespace detail::cadvisor_;
  const known_pods pods(known);
  std::vector<entity> found;
  for (const node_page& source : pages) {
    const page_rows page(source, pods);
    constexpr reading_level levels[] = {reading_level::container, reading_level::pod, reading_level::node};
    for (const reading_level level : levels) {
      found.clear();
      if (level == reading_level::container) add_containers(page, source.node, pods, filter, found);
      else if (level == reading_level::pod) add_pods(page, source.node, pods, filter, found);
      else add_node(page, source.node, known, found);
      for (const entity& each : found) {
        reading made;
        made.level = level;
        made.node = each.node;
        made.namespace_name = each.namespace_name;
        made.pod = each.pod_name;
        made.container = each.container;
        made.id = each.id;
        made.network_id = each.network_id;
        // Every machine has the cgroup "/": what tells one from another is the UID, where it is known.
        if (level == reading_level::node && each.node_spec && !each.node_spec->uid.empty())
          made.id = made.network_id = each.node_spec->uid;
        made.started_s = each.start;
        made.value = each.value;
        made.time_ms = each.time;
        if (level == reading_level::container)
          for (std::size_t s = first_network; s < slots; ++s) made.value[s] = absent;
        for (std::int64_t& at : made.time_ms)
          if (at == no_timestamp) at = source.scraped_ms;
        take(made);
      }
    }
  }
}

table container_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter) {
  using namespace detail::cadvisor_;
  const std::vector<entity> rows = containers_of(pages, known, filter);
  table_maker made(rows);
  made.category("node", [](const entity& row) -> const std::string& { return row.node; });
  made.category("namespace", [](const entity& row) -> const std::string& { return row.namespace_name; });
  made.category("pod", [](const entity& row) -> const std::string& { return row.pod_name; });
  made.category("container", [](const entity& row) -> const std::string& { return row.container; });
  made.timestamp();
  made.metrics(pages, first_network);
  const auto of_spec = [](double pod_container::*field) {
    return [field](const entity& row) { return row.container_spec ? row.container_spec->*field : absent; };
  };
  made.number("request_cpu_cores", of_spec(&pod_container::request_cpu), {{"unit", "cores"}});
  made.number("request_memory_bytes", of_spec(&pod_container::request_memory), {{"unit", "bytes"}});
  made.number("limit_cpu_cores", of_spec(&pod_container::limit_cpu), {{"unit", "cores"}});
  made.number("limit_memory_bytes", of_spec(&pod_container::limit_memory), {{"unit", "bytes"}});
  made.number("restarts", [](const entity& row) { return row.container_spec ? row.container_spec->restarts : absent; }, {});
  made.category("image", [](const entity& row) -> const std::string& { return row.image; });
  made.category("id", [](const entity& row) -> const std::string& { return row.id; });
  return std::move(made).take();
}

table pod_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter) {
  using namespace detail::cadvisor_;
  const std::vector<entity> rows = pods_of(pages, known, filter);
  table_maker made(rows);
  static const std::string none;
  made.category("node", [](const entity& row) -> const std::string& { return row.node; });
  made.category("namespace", [](const entity& row) -> const std::string& { return row.namespace_name; });
  made.category("pod", [](const entity& row) -> const std::string& { return row.pod_name; });
  made.timestamp();
  made.metrics(pages, slots);
  const auto total = [](double pod_container::*field) {
    return [field](const entity& row) {
      if (row.spec == nullptr) return absent;
      double sum = 0;
      bool any = false;
      for (const pod_container& inside : row.spec->containers)
        if (!inside.init && !std::isnan(inside.*field)) sum += inside.*field, any = true;
      return any ? sum : absent;
    };
  };
  made.number("request_cpu_cores", total(&pod_container::request_cpu), {{"unit", "cores"}});
  made.number("request_memory_bytes", total(&pod_container::request_memory), {{"unit", "bytes"}});
  made.category("owner_kind", [](const entity& row) -> const std::string& { return row.spec ? row.spec->owner_kind : none; });
  made.category("owner_name", [](const entity& row) -> const std::string& { return row.spec ? row.spec->owner_name : none; });
  made.category("phase", [](const entity& row) -> const std::string& { return row.spec ? row.spec->phase : none; });
  return std::move(made).take();
}

table node_table(std::span<const node_page> pages, const inventory& known) {
  using namespace detail::cadvisor_;
  const std::vector<entity> rows = nodes_of(pages, known);
  table_maker made(rows);
  static const std::string none;
  made.category("node", [](const entity& row) -> const std::string& { return row.node; });
  made.timestamp();
  made.metrics(pages, slots);
  const auto of_spec = [](double node::*field) {
    return [field](const entity& row) { return row.node_spec ? row.node_spec->*field : absent; };
  };
  made.number("allocatable_cpu_cores", of_spec(&node::allocatable_cpu), {{"unit", "cores"}});
  made.number("allocatable_memory_bytes", of_spec(&node::allocatable_memory), {{"unit", "bytes"}});
  made.category("container_runtime", [](const entity& row) -> const std::string& { return row.node_spec ? row.node_spec->container_runtime : none; });
  made.category("ready", [](const entity& row) -> const std::string& { return row.node_spec ? row.node_spec->ready : none; });
  return std::move(made).take();
}

table reason_table(std::span<const node_page> pages, const inventory& known, const row_filter& filter) {
  using namespace detail::cadvisor_;
  const std::vector<entity> levels[] = {containers_of(pages, known, filter), pods_of(pages, known, filter),
                                        filter.namespaces.empty() ? nodes_of(pages, known) : std::vector<entity>{}};
  constexpr std::string_view names[] = {"container", "pod", "node"};
  // One entity a line, so that the same maker writes them.
  std::vector<entity> rows;
  std::vector<std::string> level_of, metric_of, reason_of, sentence_of;
  for (std::size_t level = 0; level < 3; ++level)
    for (const entity& each : levels[level])
      for (std::size_t s = 0; s < slots; ++s) {
        if (each.why[s] == nullptr) continue;
        entity& row = rows.emplace_back();
        row.node = each.node;
        row.namespace_name = each.namespace_name;
        row.pod_name = each.pod_name;
        row.container = each.container;
        row.value[0] = each.value[s];
        level_of.emplace_back(names[level]);
        metric_of.emplace_back(metric_names[s]);
        reason_of.emplace_back(each.why[s]->code);
        sentence_of.emplace_back(each.why[s]->sentence);
      }
  const auto by_row = [&rows](const std::vector<std::string>& texts) {
    return [&rows, &texts](const entity& row) -> const std::string& { return texts[static_cast<std::size_t>(&row - rows.data())]; };
  };
  table_maker made(rows);
  made.category("level", by_row(level_of));
  made.category("node", [](const entity& row) -> const std::string& { return row.node; });
  made.category("namespace", [](const entity& row) -> const std::string& { return row.namespace_name; });
  made.category("pod", [](const entity& row) -> const std::string& { return row.pod_name; });
  made.category("container", [](const entity& row) -> const std::string& { return row.container; });
  made.category("metric", by_row(metric_of));
  made.number("value", [](const entity& row) { return row.value[0]; }, {});
  made.category("reason", by_row(reason_of));
  made.category("explanation", by_row(sentence_of));
  return std::move(made).take();
}

}  // namespace computelocator
