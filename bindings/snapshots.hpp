// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <computelocator/collect.hpp>

namespace computelocator::bindings {

using shared_snapshot = std::shared_ptr<const snapshot>;

struct py_snapshot {
  shared_snapshot held;
};

}  // namespace computelocator::bindings
