// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <computelocator/collect.hpp>

#include "register.hpp"
#include "snapshots.hpp"
#include "tables.hpp"

namespace py = pybind11;

namespace computelocator::bindings {

namespace {

using maker = table (*)(const snapshot&);

py_table make(const py_snapshot& from, maker of) {
  const py::gil_scoped_release unlocked;
  return {std::make_shared<const table>(of(*from.held))};
}

/// The same sweep, seen through other namespaces. Pages are copied shallowly where they can be.
py_snapshot narrowed(const py_snapshot& from, const std::vector<std::string>& namespaces) {
  auto copy = std::make_shared<snapshot>(*from.held);
  copy->namespaces = namespaces;
  return {std::move(copy)};
}

std::int64_t milliseconds(std::chrono::system_clock::time_point at) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

policy policy_named(const std::string& name) {
  return name == "strict" ? policy::strict : name == "prometheus" ? policy::prometheus : policy::lenient;
}

/// What is kept and what is dropped by labels.
using py_choices = std::vector<std::tuple<std::string, std::vector<std::string>, bool>>;

std::vector<label_choice> choices(const py_choices& given) {
  std::vector<label_choice> made;
  for (const auto& [label, values, dropped] : given) made.push_back({label, values, dropped});
  return made;
}

py_snapshot parse_one(const py::buffer& source, const std::string& name, const std::string& syntax,
                      const std::string& rules, const std::vector<std::string>& metrics,
                      const std::vector<std::string>& dropped_metrics, const py_choices& labels,
                      const std::vector<std::string>& namespaces) {
  const py::buffer_info bytes = source.request();
  if (bytes.ndim != 1 || (bytes.size > 0 && bytes.strides[0] != bytes.itemsize))
    throw py::value_error("a contiguous buffer of one dimension is needed");
  parse_page_options options;
  options.name = name;
  options.detect_dialect = syntax == "auto";
  options.syntax = syntax == "openmetrics" ? dialect::openmetrics : dialect::prometheus;
  options.rules = policy_named(rules);
  options.metrics = metrics;
  options.dropped_metrics = dropped_metrics;
  options.labels = choices(labels);
  options.namespaces = namespaces;
  const std::string_view page(static_cast<const char*>(bytes.ptr), static_cast<std::size_t>(bytes.size * bytes.itemsize));
  auto parsed = [&] {
    const py::gil_scoped_release unlocked;
    return parse_page(page, options);
  }();
  if (!parsed) raise(parsed.error());
  return {std::make_shared<const snapshot>(std::move(parsed).value())};
}

py_snapshot read_json(const py::buffer& source, const std::string& name, const std::string& metric,
                      const std::string& node_label, std::size_t max_bytes, std::size_t max_samples) {
  const py::buffer_info bytes = source.request();
  if (bytes.ndim != 1 || (bytes.size > 0 && bytes.strides[0] != bytes.itemsize))
    throw py::value_error("a contiguous buffer of one dimension is needed");
  prometheus_json_options options;
  options.name = name;
  options.metric = metric;
  options.node_label = node_label;
  options.max_bytes = max_bytes;
  options.max_samples = max_samples;
  const std::string_view answer(static_cast<const char*>(bytes.ptr), static_cast<std::size_t>(bytes.size * bytes.itemsize));
  auto read = [&] {
    const py::gil_scoped_release unlocked;
    return parse_prometheus_json(answer, options);
  }();
  if (!read) raise(read.error());
  return {std::make_shared<const snapshot>(std::move(read).value())};
}

/// Reports progress to Python and looks for Ctrl-C, ten times a second at most.
struct listener {
  std::stop_source stop;
  py::object report;                 // None or callable(done, failed, total)
  py::object raised_type, raised_value, raised_trace;
  std::chrono::steady_clock::time_point next{};

  void operator()(std::size_t done, std::size_t failed, std::size_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (stop.stop_requested() || (now < next && done != total)) return;
    next = now + std::chrono::milliseconds(90);
    const py::gil_scoped_acquire locked;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!report.is_none() && total > 0) report(done, failed, total);
    } catch (py::error_already_set& raised) {
      raised_type = raised.type();
      raised_value = raised.value();
      raised_trace = raised.trace();
      stop.request_stop();
    }
  }
};

struct py_collector {
  std::unique_ptr<collector> held;
  bool busy = false;
};

std::chrono::milliseconds seconds(double given) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(given * 1000));
}

/// None, or (me, all).
node_share share_of(const py::handle& given) {
  node_share made;
  if (!given.is_none()) std::tie(made.me, made.all) = py::cast<std::pair<std::string, std::vector<std::string>>>(given);
  return made;
}

tls_mode tls_named(const std::string& mode) {
  return mode == "pin" ? tls_mode::pin : mode == "insecure" ? tls_mode::insecure : tls_mode::verify;
}

exporter_options exporters_of(const py::dict& given) {
  exporter_options made;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (name == "addresses") made.addresses = py::cast<std::vector<std::string>>(value);
    else if (name == "files") made.files = py::cast<std::vector<std::string>>(value);
    else if (name == "annotated_pods") made.annotated_pods = py::cast<bool>(value);
    else if (name == "labels") made.labels = py::cast<target_labels>(value);
    else if (name == "tls") made.who.tls = tls_named(py::str(value));
    else if (name == "ca") made.who.ca_file = py::cast<std::string>(value);
    else if (name == "server_name") made.who.server_name = py::cast<std::string>(value);
    else if (name == "token_file") made.who.token_file = py::cast<std::string>(value);
    else if (name == "username") made.who.username = py::cast<std::string>(value);
    else if (name == "password_file") made.who.password_file = py::cast<std::string>(value);
    else if (name == "certificate") made.who.client_certificate_file = py::cast<std::string>(value);
    else if (name == "key") made.who.client_key_file = py::cast<std::string>(value);
    else throw py::key_error(name);
  }
  return made;
}

std::unique_ptr<py_collector> open_collector(const py::dict& given) {
  collect_options options;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (name == "kubeconfig") options.kubeconfig = py::cast<std::string>(value);
    else if (name == "context") options.context = py::cast<std::string>(value);
    else if (name == "exec_plugins") {
      const std::string rule = py::str(value);
      options.exec_plugins = rule == "allow" ? exec_rule::allow : rule == "deny" ? exec_rule::deny : exec_rule::automatic;
    } else if (name == "route") {
      const std::string way = py::str(value);
      options.route = way == "direct" ? route::direct : way == "api_server" ? route::api_server : route::automatic;
    } else if (name == "node_selector") options.node_selector = py::cast<std::string>(value);
    else if (name == "kubelet_tls") options.kubelet_tls = tls_named(py::str(value));
    else if (name == "kubelet_ca") options.kubelet_ca_file = py::cast<std::string>(value);
    else if (name == "allowed_ranges") options.allowed_ranges = py::cast<std::vector<std::string>>(value);
    else if (name == "all_metrics") options.all_metrics = py::cast<bool>(value);
    else if (name == "metrics") options.metrics = py::cast<std::vector<std::string>>(value);
    else if (name == "dropped_metrics") options.dropped_metrics = py::cast<std::vector<std::string>>(value);
    else if (name == "labels") options.labels = choices(py::cast<py_choices>(value));
    else if (name == "path") options.path = py::cast<std::string>(value);
    else if (name == "stats_summary") options.stats_summary = py::cast<bool>(value);
    else if (name == "exporters") options.exporters = exporters_of(py::cast<py::dict>(value));
    else if (name == "namespaces") options.namespaces = py::cast<std::vector<std::string>>(value);
    else if (name == "pins") options.pins = py::cast<std::map<std::string, std::string>>(value);
    else if (name == "share") options.share = share_of(value);
    else if (name == "policy") options.rules = policy_named(py::str(value));
    else if (name == "keep_pages") options.keep_pages = py::cast<bool>(value);
    else if (name == "timeout") options.timeout = seconds(py::cast<double>(value));
    else if (name == "concurrency") options.concurrency = py::cast<std::size_t>(value);
    else if (name == "max_page_bytes") options.max_page_bytes = py::cast<std::size_t>(value);
    else throw py::key_error(name);
  }
  auto opened = [&] {
    const py::gil_scoped_release unlocked;
    return collector::open(std::move(options));
  }();
  if (!opened) raise(opened.error());
  auto made = std::make_unique<py_collector>();
  made->held = std::make_unique<collector>(std::move(opened).value());
  return made;
}

/// (snapshot or None, what was raised meanwhile or None)
template <class How>
py::tuple swept(py_collector& with, const py::object& report, How&& how) {
  if (with.busy) throw std::runtime_error("one sweep at a time");
  with.busy = true;
  listener heard;
  heard.report = report;
  auto made = [&] {
    const py::gil_scoped_release unlocked;
    return how(heard, [&](std::size_t done, std::size_t failed, std::size_t total) { heard(done, failed, total); });
  }();
  with.busy = false;
  py::object raised = heard.raised_value ? heard.raised_value : py::none();
  if (!made) {
    if (!raised.is_none() || heard.stop.stop_requested()) return py::make_tuple(py::none(), raised);
    raise(made.error());
  }
  return py::make_tuple(py::cast(py_snapshot{std::make_shared<const snapshot>(std::move(made).value())}), raised);
}

py::tuple sweep(py_collector& with, const py::object& report) {
  return swept(with, report, [&with](listener& heard, const progress_report& told) {
    return with.held->sweep(heard.stop.get_token(), told);
  });
}

struct py_watcher {
  py_collector* with = nullptr;  // kept alive by Python
  std::unique_ptr<watcher> held;
  std::atomic<bool> over{false};
  std::uint64_t missed = 0;
};

std::unique_ptr<py_watcher> open_watcher(py_collector& with, double interval, std::optional<bool> spread) {
  auto opened = watcher::open(*with.held, {seconds(interval), spread});
  if (!opened) raise(opened.error());
  auto made = std::make_unique<py_watcher>();
  made->with = &with;
  made->held = std::make_unique<watcher>(std::move(opened).value());
  return made;
}

/// As sweep(), at the next time; (None, None) where it is over.
py::tuple next(py_watcher& of, const py::object& report) {
  if (of.over) return py::make_tuple(py::none(), py::none());
  auto got = swept(*of.with, report, [&of](listener& heard, const progress_report& told) {
    return of.held->next(heard.stop.get_token(), [&](std::size_t done, std::size_t failed, std::size_t total) {
      if (of.over) heard.stop.request_stop();
      told(done, failed, total);
    });
  });
  of.missed = of.held->missed();
  if (of.over) of.held.reset();
  return got;
}

/// Every socket is closed, by whoever is in next() at the moment.
void close(py_watcher& of) {
  of.over = true;
  if (!of.with->busy) of.held.reset();
}

}  // namespace

void register_snapshot(py::module_& module) {
  py::class_<py_snapshot>(module, "Snapshot")
      .def_property_readonly("source", [](const py_snapshot& of) { return of.held->source; })
      .def_property_readonly("samples", [](const py_snapshot& of) { return of.held->samples(); })
      .def_property_readonly("targets", [](const py_snapshot& of) { return of.held->outcomes.size(); })
      .def_property_readonly("of_nodes", [](const py_snapshot& of) { return of.held->of_nodes; })
      .def_property_readonly("interrupted", [](const py_snapshot& of) { return of.held->interrupted; })
      .def_property_readonly("started_ms", [](const py_snapshot& of) { return milliseconds(of.held->started); })
      .def_property_readonly("ended_ms", [](const py_snapshot& of) { return milliseconds(of.held->ended); })
      .def_property_readonly("namespaces", [](const py_snapshot& of) { return of.held->namespaces; })
      .def_property_readonly("warnings", [](const py_snapshot& of) { return of.held->warnings; })
      .def_property_readonly("inventory_age_ms", [](const py_snapshot& of) { return of.held->inventory_age.count(); })
      .def("narrowed", &narrowed)
      .def_property_readonly("failed", [](const py_snapshot& of) {
        return std::count_if(of.held->outcomes.begin(), of.held->outcomes.end(), [](const outcome& each) { return !each.ok(); });
      })
      .def_property_readonly("pods_unknown_because", [](const py_snapshot& of) { return of.held->inventory.pods_unknown_because; })
      .def("page", [](const py_snapshot& of, const std::string& node) -> py::object {
        for (const collected_page& each : of.held->pages)
          if (each.node == node) return py::bytes(each.text);
        return py::none();
      })
      .def("samples_table", [](const py_snapshot& of) { return make(of, samples_table); })
      .def("containers_table", [](const py_snapshot& of) { return make(of, containers_table); })
      .def("pods_table", [](const py_snapshot& of) { return make(of, pods_table); })
      .def("nodes_table", [](const py_snapshot& of) { return make(of, nodes_table); })
      .def("reasons_table", [](const py_snapshot& of) { return make(of, reasons_table); })
      .def("outcomes_table", [](const py_snapshot& of) { return make(of, outcomes_table); })
      .def("meta_table", [](const py_snapshot& of) { return make(of, meta_table); })
      .def("inventory_table", [](const py_snapshot& of) { return make(of, inventory_table); })
      .def("rejects_table", [](const py_snapshot& of) { return make(of, rejects_table); });

  py::class_<py_collector>(module, "Collector")
      .def(py::init(&open_collector))
      .def("sweep", &sweep)
      .def("share", [](py_collector& of, const py::object& given) {
        if (auto set = of.held->share(share_of(given)); !set) raise(set.error());
      })
      .def("pins", [](const py_collector& of) { return of.held->pins(); })
      .def("metrics", [](const py_collector& of) { return of.held->metrics(); });

  py::class_<py_watcher>(module, "Watcher")
      .def(py::init(&open_watcher), py::keep_alive<1, 2>())
      .def("next", &next)
      .def("close", &close)
      .def_property_readonly("over", [](const py_watcher& of) { return of.over.load(); })
      .def_readonly("missed", &py_watcher::missed);

  module.def("parse", &parse_one, py::arg("source"), py::kw_only(), py::arg("name"), py::arg("dialect"),
             py::arg("policy"), py::arg("metrics"), py::arg("dropped_metrics"), py::arg("labels"), py::arg("namespaces"));
  module.def("read_prometheus_json", &read_json, py::arg("source"), py::kw_only(), py::arg("name"), py::arg("metric"),
             py::arg("node_label"), py::arg("max_bytes"), py::arg("max_samples"));
  module.def("container_metrics", [] {
    py::list names;
    for (const std::string_view name : container_metrics()) names.append(py::str(name.data(), name.size()));
    return names;
  });
}

}  // namespace computelocator::bindings
