// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cluster.hpp"

namespace computelocator::simulate {

/// The page that the kubelet of node number `node` serves at /metrics/cadvisor at `step`, in text
/// 0.0.4. With `only_families` these alone, in the order of the page, as ?name[]= does.
std::string cadvisor_page(const cluster& of, std::size_t node, std::int64_t step,
                          std::span<const std::string_view> only_families = {});

/// A number as Go's strconv.FormatFloat(value, 'g', -1, 64) writes it: 100000, 1.271808e+07.
void append_number(std::string& to, double value);

}  // namespace computelocator::simulate
