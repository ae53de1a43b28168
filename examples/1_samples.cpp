// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Reads a page and prints what stands there. Needs text.hpp alone: no library is linked.

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <computelocator/text.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s PAGE\n", values[0]);
    return 2;
  }
  std::ifstream file(values[1], std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(file)), {});

  cl::samples all(page);  // views into `page`, which outlives them
  for (const cl::sample_view& sample : all) {
    std::cout << sample.name();
    for (const cl::label_view& label : sample.labels())
      std::cout << "  " << label.name() << '=' << label.decoded();
    std::cout << "  " << sample.value() << '\n';
  }
  if (const auto& wrong = all.result().error) {
    const cl::position at = cl::locate(page, wrong->offset);
    std::cerr << values[1] << ':' << at.line << ':' << at.column << ": " << cl::what(wrong->code) << '\n';
    return 1;
  }
  return 0;
}
