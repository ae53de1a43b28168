// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// The example scraper: every node of a cluster, again and again, one line a sweep.
//
//   example_6_scraper [KUBECONFIG [SWEEPS [SECONDS]]]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <computelocator/collect.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  cl::collect_options options;  // the 16 container metrics, with every limit on
  if (count > 1) options.kubeconfig = values[1];
  const int sweeps = count > 2 ? std::atoi(values[2]) : 1;
  const int seconds = count > 3 ? std::atoi(values[3]) : 10;

  auto collector = cl::collector::open(options);
  if (!collector) {
    std::fprintf(stderr, "%s\n", collector.error().message().c_str());
    return 1;
  }
  int failed = 0;
  for (int i = 0; i < sweeps; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::seconds(seconds));
    const auto got = collector->sweep();  // the second reuses connections and label sets
    if (!got) {
      std::fprintf(stderr, "%s\n", got.error().message().c_str());
      return 1;
    }
    for (const cl::outcome& of : got->outcomes)
      if (!of.ok()) {
        ++failed;
        std::fprintf(stderr, "%s\n", of.failure->message().c_str());
      }
    const auto took = std::chrono::duration<double>(got->ended - got->started).count();
    std::printf("%zu nodes, %zu containers, %zu pods, %zu samples in %.3f s\n", got->outcomes.size(),
                cl::containers_table(*got).rows, cl::pods_table(*got).rows, got->samples(), took);
  }
  return failed == 0 ? 0 : 1;
}
