// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Prints whole metrics instead of lines: histograms and summaries put together, each with its mean.
// Needs families.hpp alone: no library is linked.

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <computelocator/families.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s PAGE\n", values[0]);
    return 2;
  }
  std::ifstream file(values[1], std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(file)), {});

  cl::families all(page, {cl::detect_dialect(page), cl::policy::prometheus});
  for (const cl::family_view& family : all) {
    std::cout << family.name << " (" << cl::to_string(family.type) << "), " << family.series.size() << " series\n";
    for (const cl::series_view& series : family.series) {
      if (!series.sum || !series.count || *series.count == 0) continue;
      std::cout << " ";
      for (const cl::label_view& label : series.labels()) std::cout << ' ' << label.name() << '=' << label.decoded();
      std::cout << "  mean " << *series.sum / *series.count;
      for (const cl::bucket_view& bucket : series.buckets) std::cout << "  <=" << bucket.le << ": " << bucket.count;
      for (const cl::quantile_view& each : series.quantiles) std::cout << "  q" << each.quantile << ": " << each.value;
      std::cout << '\n';
    }
  }
  if (const auto& wrong = all.result().error) {
    const cl::position at = cl::locate(page, wrong->offset);
    std::cerr << values[1] << ':' << at.line << ':' << at.column << ": " << cl::what(wrong->code) << '\n';
    return 1;
  }
  return 0;
}
