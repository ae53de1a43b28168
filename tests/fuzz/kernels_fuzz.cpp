// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
// What the scalar kernel makes of a page, every other one makes of it too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "../cpp/transcript.hpp"

namespace {

namespace cl = computelocator;

void compare(std::string_view page, cl::parse_options options) {
  const auto expected = tests::transcript::of(page, options, cl::detail::scalar_kernel);
  for (const cl::detail::kernel& kernel : cl::detail::kernels)
    if (kernel.available() && tests::transcript::of(page, options, kernel) != expected) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The last 64 bytes of a page are read with care: lines behind put the input before them. And of
  // exactly its size, so that the address sanitizer sees a byte too many.
  static constexpr std::string_view behind = "last{a=\"b\",c=\"d\"} 1 1700000000000\nlast{a=\"b\",c=\"e\"} 2.5\n# TYPE last gauge\n";
  for (const std::size_t more : {std::size_t{0}, behind.size()}) {
    const std::unique_ptr<char[]> copy(new char[size + more]);
    if (size != 0) std::memcpy(copy.get(), data, size);
    std::memcpy(copy.get() + size, behind.data(), more);
    for (const auto syntax : {cl::dialect::prometheus, cl::dialect::openmetrics})
      for (const auto rules : {cl::policy::strict, cl::policy::prometheus, cl::policy::lenient})
        compare({copy.get(), size + more}, {syntax, rules});
  }
  return 0;
}
