// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Counts the samples of a page that comes in pieces, from standard input: no page-sized memory.
// Needs push.hpp alone: no library is linked.

#include <cstdio>
#include <iostream>
#include <string>

#include <computelocator/push.hpp>

namespace cl = computelocator;

struct counter {
  std::size_t stamped = 0;
  void on_sample(const cl::sample_view& sample) { stamped += sample.timestamp_ms().has_value(); }
};

int main() {
  counter sink;
  cl::push_parser parser(sink, {cl::dialect::prometheus, cl::policy::strict});
  char buffer[4096];
  while (std::cin.read(buffer, sizeof buffer), std::cin.gcount() > 0)
    if (!parser.feed({buffer, static_cast<std::size_t>(std::cin.gcount())})) break;  // no more is wanted
  const cl::parse_result& result = parser.finish();
  if (result.error) {
    const cl::position at = parser.locate(result.error->offset);
    std::cerr << "-:" << at.line << ':' << at.column << ": " << cl::what(result.error->code) << '\n';
    return 1;
  }
  std::cout << result.samples << " samples, " << sink.stamped << " with a timestamp\n";
  return 0;
}
