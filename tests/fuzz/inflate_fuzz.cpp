// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <computelocator/inflate.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t limit = 1 << 16;
  const auto text = computelocator::gunzip({reinterpret_cast<const char*>(data), size}, limit);
  if (text && text->size() > limit) std::abort();
  return 0;
}
