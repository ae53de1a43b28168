// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Where a kubeconfig leads, without opening a socket.

#include <cstdio>

#include <computelocator/discover.hpp>

namespace cl = computelocator;

int main(int count, char** values) {
  cl::cluster_options options;
  if (count == 2) options.kubeconfig = values[1];
  const auto cluster = cl::find_cluster(options);
  if (!cluster) {
    std::fprintf(stderr, "%s\n", cluster.error().message().c_str());
    return 1;
  }
  std::printf("%s\n%s\n", cluster->source.c_str(), cluster->url().c_str());
  cl::list_options list;
  list.base_path = cluster->base_path;
  std::printf("GET %s\n", cl::node_lister(list).path().c_str());
  return 0;
}
