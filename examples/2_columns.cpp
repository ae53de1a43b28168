// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// From text to columns: the sum of one metric by namespace.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <computelocator/columns.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  if (count != 3) {
    std::fprintf(stderr, "usage: %s PAGE METRIC\n", values[0]);
    return 2;
  }
  std::ifstream file(values[1], std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(file)), {});

  cl::column_options options;
  options.metrics = cl::metric_selection({values[2]});  // lines of others are skipped unread
  cl::label_cache cache;                                // keep it for the target's next page
  const cl::batch columns = cl::read_columns(page, cache, options).columns;

  std::map<std::string, double> sums;
  for (std::size_t row = 0; row < columns.rows(); ++row)
    sums[std::string(columns.sets->value_of(columns.label_set_id[row], "namespace"))] += columns.value[row];
  for (const auto& [name, sum] : sums) std::printf("%-20s %g\n", name.empty() ? "-" : name.c_str(), sum);
  return 0;
}
