// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// What the rows of a cAdvisor page mean: one row a container, nothing counted twice.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <computelocator/cadvisor.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s PAGE\n", values[0]);
    return 2;
  }
  std::ifstream file(values[1], std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  cl::label_cache cache;
  const cl::batch columns = cl::read_columns(page, cache).columns;

  const std::vector<cl::node_page> nodes{{&columns, "this-node", cl::no_timestamp}};
  const cl::table containers = cl::container_table(nodes, {}, {});
  const cl::column& pod = *containers.find("pod");
  const cl::column& name = *containers.find("container");
  const cl::column& cpu = *containers.find("container_cpu_usage_seconds_total");
  const auto text = [](const cl::column& of, std::size_t row) {
    const std::int32_t code = (*of.codes)[row];
    return code < 0 ? "-" : (*of.dictionary)[static_cast<std::size_t>(code)].c_str();
  };
  for (std::size_t row = 0; row < containers.rows; ++row)
    std::printf("%-40s %-20s %12.2f s\n", text(pod, row), text(name, row), (*cpu.float64)[row]);
  return 0;
}
