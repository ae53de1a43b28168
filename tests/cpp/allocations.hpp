// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace tests {

/// How often this program asked for memory so far, on any thread.
std::size_t allocations() noexcept;
/// False where a sanitizer has the allocator, which then sees more than a count would show.
bool allocations_are_counted() noexcept;

}  // namespace tests
