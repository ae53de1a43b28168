// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// A simulated cluster, and what tests ask of a sweep over it.

#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <computelocator/collect.hpp>
#include <simulate/simulation.hpp>

namespace computelocator::test {

namespace cl = computelocator;
namespace sim = computelocator::simulate;

class cluster_fixture {
 public:
  explicit cluster_fixture(sim::simulation_options options) {
    static std::atomic<int> count{0};
    options.kubeconfig = ::testing::TempDir() + "computelocator_kubeconfig_" + std::to_string(::getpid()) + "_" + std::to_string(count++);
    kubeconfig = options.kubeconfig;
    running = std::make_unique<sim::simulation>(std::move(options));
  }
  cl::collect_options options(cl::route way = cl::route::automatic) const {
    cl::collect_options made;
    made.kubeconfig = kubeconfig;
    made.route = way;
    made.parsers = 2;
    return made;
  }
  std::string kubeconfig;
  std::unique_ptr<sim::simulation> running;
};

inline sim::simulation_options small(std::size_t nodes = 3, std::size_t pods = 8) {
  sim::simulation_options made;
  made.cluster.nodes = nodes;
  made.cluster.pods = pods;
  return made;
}

inline std::string code_of(const cl::outcome& of) { return of.failure ? std::string(cl::to_string(of.failure->code)) : ""; }

}  // namespace computelocator::test
