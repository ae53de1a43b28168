// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "register.hpp"

namespace py = pybind11;

namespace computelocator::bindings {

void register_errors(py::module_&) {}

/// The exception classes are Python's (errors.py), so that they can also be the built-in ones.
void raise(const error& failure) {
  const py::object raiser = py::module_::import("computelocator._errors").attr("from_core");
  const py::object made = raiser(std::string(to_string(failure.code)), failure.where, failure.what, failure.advice);
  PyErr_SetObject(py::type::handle_of(made).ptr(), made.ptr());
  throw py::error_already_set();
}

}  // namespace computelocator::bindings
