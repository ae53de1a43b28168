// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/collect.hpp>

#include "register.hpp"
#include "tables.hpp"

namespace py = pybind11;

namespace computelocator::bindings {

namespace {

using shared_snapshot = std::shared_ptr<const snapshot>;

struct py_snapshot {
  shared_snapshot held;
};

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

py_snapshot parse_one(const py::buffer& source, const std::string& name, const std::string& syntax,
                      const std::string& rules, const std::vector<std::string>& metrics,
                      const std::vector<std::string>& namespaces) {
  const py::buffer_info bytes = source.request();
  if (bytes.ndim != 1 || (bytes.size > 0 && bytes.strides[0] != bytes.itemsize))
    throw py::value_error("a contiguous buffer of one dimension is needed");
  parse_page_options options;
  options.name = name;
  options.detect_dialect = syntax == "auto";
  options.syntax = syntax == "openmetrics" ? dialect::openmetrics : dialect::prometheus;
  options.rules = rules == "strict" ? policy::strict : rules == "prometheus" ? policy::prometheus : policy::lenient;
  options.metrics = metrics;
  options.namespaces = namespaces;
  const std::string_view page(static_cast<const char*>(bytes.ptr), static_cast<std::size_t>(bytes.size * bytes.itemsize));
  auto parsed = [&] {
    const py::gil_scoped_release unlocked;
    return parse_page(page, options);
  }();
  if (!parsed) raise(parsed.error());
  return {std::make_shared<const snapshot>(std::move(parsed).value())};
}

}  // namespace

void register_snapshot(py::module_& module) {
  py::class_<py_snapshot>(module, "Snapshot")
      .def_property_readonly("source", [](const py_snapshot& of) { return of.held->source; })
      .def_property_readonly("samples", [](const py_snapshot& of) { return of.held->samples(); })
      .def_property_readonly("targets", [](const py_snapshot& of) { return of.held->outcomes.size(); })
      .def_property_readonly("interrupted", [](const py_snapshot& of) { return of.held->interrupted; })
      .def_property_readonly("started_ms", [](const py_snapshot& of) { return milliseconds(of.held->started); })
      .def_property_readonly("ended_ms", [](const py_snapshot& of) { return milliseconds(of.held->ended); })
      .def_property_readonly("namespaces", [](const py_snapshot& of) { return of.held->namespaces; })
      .def("narrowed", &narrowed)
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
      .def("rejects_table", [](const py_snapshot& of) { return make(of, rejects_table); });

  module.def("parse", &parse_one, py::arg("source"), py::kw_only(), py::arg("name"), py::arg("dialect"),
             py::arg("policy"), py::arg("metrics"), py::arg("namespaces"));
  module.def("container_metrics", [] {
    py::list names;
    for (const std::string_view name : container_metrics()) names.append(py::str(name.data(), name.size()));
    return names;
  });
}

}  // namespace computelocator::bindings
