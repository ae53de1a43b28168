// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

#include <computelocator/error.hpp>

namespace computelocator::bindings {

void register_errors(pybind11::module_& module);
void register_table(pybind11::module_& module);
void register_snapshot(pybind11::module_& module);
void register_history(pybind11::module_& module);

/// Raises the Python exception that `failure` stands for.
[[noreturn]] void raise(const error& failure);

}  // namespace computelocator::bindings
