// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "register.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ side of computelocator; use the names of the package instead.";
  module.attr("__version__") = COMPUTELOCATOR_VERSION;
  computelocator::bindings::register_errors(module);
  computelocator::bindings::register_table(module);
  computelocator::bindings::register_snapshot(module);
  computelocator::bindings::register_history(module);
}
