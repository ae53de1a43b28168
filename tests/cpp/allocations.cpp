// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TESTS_COUNT_ALLOCATIONS 0
#else
#define TESTS_COUNT_ALLOCATIONS 1
#endif

namespace {
std::atomic<std::size_t> count{0};
}

namespace tests {
std::size_t allocations() noexcept { return count; }
bool allocations_are_counted() noexcept { return TESTS_COUNT_ALLOCATIONS != 0; }
}  // namespace tests

#if TESTS_COUNT_ALLOCATIONS
void* operator new(std::size_t size) {
  ++count;
  if (void* const made = std::malloc(size == 0 ? 1 : size)) return made;
  throw std::bad_alloc();
}
void operator delete(void* freed) noexcept { std::free(freed); }
void operator delete(void* freed, std::size_t) noexcept { std::free(freed); }
#endif
