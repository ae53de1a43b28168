// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cluster.hpp"

namespace computelocator::simulate {

/// What the kubelet of node number `node` serves beside /metrics/cadvisor at `step`: the same usage of the
/// same containers.
std::string resource_page(const cluster& of, std::size_t node, std::int64_t step);  ///< /metrics/resource
std::string probes_page(const cluster& of, std::size_t node, std::int64_t step);    ///< /metrics/probes
std::string kubelet_page(const cluster& of, std::size_t node, std::int64_t step);   ///< /metrics
std::string stats_summary(const cluster& of, std::size_t node, std::int64_t step);  ///< JSON

}  // namespace computelocator::simulate
