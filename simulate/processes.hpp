// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cluster.hpp"
#include "node_state.hpp"

namespace computelocator::simulate {

/// What a process of this machine had used when it was looked at.
struct process_reading {
  usage used;
  std::int64_t read_ms = 0;  ///< UTC
};

/// Looks once a step, so that all pages of a step agree; a process that is gone keeps its last reading.
process_reading process_at(std::int32_t pid, std::int64_t step);

/// "NAMESPACE/POD=PID@ADDRESS[,label=value]...". Throws std::invalid_argument.
process_pod process_named(const std::string& text);

}  // namespace computelocator::simulate
