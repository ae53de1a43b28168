// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// What each consumer builds and runs: a page to a table, and an error that has its words.

#include <cstdio>

#include <computelocator/collect.hpp>

int main() {
  namespace cl = computelocator;
  const auto page = cl::parse_page("a{b=\"c\"} 1\nd 2\n");
  if (!page || cl::samples_table(*page).rows != 2) return 1;
  cl::collect_options options;
  options.kubeconfig = "/nonexistent/kubeconfig";
  const auto nowhere = cl::collector::open(options);
  if (nowhere || nowhere.error().code != cl::errc::bad_configuration) return 1;
  std::puts(nowhere.error().message().c_str());
  return 0;
}
