// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <computelocator/table.hpp>

namespace computelocator::bindings {

struct py_table {
  std::shared_ptr<const table> held;
};

}  // namespace computelocator::bindings
