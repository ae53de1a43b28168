// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/history.hpp>

#include "register.hpp"
#include "snapshots.hpp"
#include "tables.hpp"

namespace py = pybind11;

namespace computelocator::bindings {

namespace {

struct py_history {
  explicit py_history(history_options options) : held(options) {}
  history held;
};

std::unique_ptr<py_history> make(std::size_t max_bytes, std::int64_t max_age_ms, std::int64_t stale_after_ms) {
  history_options options;
  options.max_bytes = max_bytes;
  options.max_age = std::chrono::milliseconds(max_age_ms);
  options.stale_after = std::chrono::milliseconds(stale_after_ms);
  return std::make_unique<py_history>(options);
}

history_query query(const std::string& level, const py::dict& given) {
  history_query made;
  made.level = level == "pod" ? reading_level::pod : level == "node" ? reading_level::node : reading_level::container;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (name == "since_ms") made.since_ms = py::cast<std::int64_t>(value);
    else if (name == "until_ms") made.until_ms = py::cast<std::int64_t>(value);
    else if (name == "limit") made.limit = py::cast<std::size_t>(value);
    else if (name == "nodes") made.nodes = py::cast<std::vector<std::string>>(value);
    else if (name == "namespaces") made.namespaces = py::cast<std::vector<std::string>>(value);
    else if (name == "pods") made.pods = py::cast<std::vector<std::string>>(value);
    else if (name == "containers") made.containers = py::cast<std::vector<std::string>>(value);
    else if (name == "metrics") made.metrics = py::cast<std::vector<std::string>>(value);
    else throw py::key_error(name);
  }
  return made;
}

template <class Ask>
py_table unlocked(Ask&& ask) {
  const py::gil_scoped_release released;
  return {std::make_shared<const table>(ask())};
}

py_table changes(const py_history& of, const std::string& what, const std::string& level, const py::dict& given) {
  const history_query asked = query(level, given);
  const change kind = what == "rate" ? change::rate : what == "increase" ? change::increase : change::delta;
  return unlocked([&] { return of.held.changes(kind, asked); });
}

py_table usage(const py_history& of, const std::vector<std::int64_t>& starts, const std::vector<std::int64_t>& ends,
               const std::vector<std::string>& namespaces, const std::vector<std::string>& pods,
               const std::vector<std::string>& containers) {
  std::vector<usage_event> events(starts.size());
  for (std::size_t i = 0; i < events.size(); ++i)
    events[i] = {starts[i], ends.at(i), namespaces.at(i), pods.at(i), containers.at(i)};
  return unlocked([&] { return of.held.usage(events); });
}

}  // namespace

void register_history(py::module_& module) {
  py::class_<py_history>(module, "History")
      .def(py::init(&make), py::kw_only(), py::arg("max_bytes"), py::arg("max_age_ms"), py::arg("stale_after_ms"))
      .def("add", [](py_history& to, const py_snapshot& from) {
        const py::gil_scoped_release released;
        add(to.held, *from.held);
      })
      .def("samples", [](const py_history& of, const std::string& level, const py::dict& given) {
        const history_query asked = query(level, given);
        return unlocked([&] { return of.held.samples(asked); });
      })
      .def("rows", [](const py_history& of, const std::string& level, const py::dict& given) {
        const history_query asked = query(level, given);
        return unlocked([&] { return of.held.rows(asked); });
      })
      .def("series", [](const py_history& of, const std::string& level, const py::dict& given) {
        const history_query asked = query(level, given);
        return unlocked([&] { return of.held.series(asked); });
      })
      .def("changes", &changes)
      .def("usage", &usage)
      .def_property_readonly("bytes", [](const py_history& of) { return of.held.bytes(); })
      .def_property_readonly("sweeps", [](const py_history& of) { return of.held.sweeps(); })
      .def_property_readonly("dropped", [](const py_history& of) { return of.held.dropped(); })
      .def_property_readonly("span_ms", [](const py_history& of) {
        const py::gil_scoped_release released;
        return of.held.span_ms();
      });
}

}  // namespace computelocator::bindings
