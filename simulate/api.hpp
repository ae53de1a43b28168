// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "cluster.hpp"
#include "server.hpp"

namespace computelocator::simulate {

struct api_options {
  std::string token;
  std::set<std::string> denied;
  /// Address and port of each node's kubelet, by index.
  std::function<std::pair<std::string, std::uint16_t>(std::size_t)> kubelet;
  /// Answers for the kubelet of a node, as its proxy.
  std::function<reply(std::size_t, const request&)> proxied;
};

/// What the API server answers: nodes and pods with paging, selectors and watch, discovery for
/// kubectl, and the proxy to kubelets.
class api {
 public:
  api(const cluster& of, api_options options);
  reply operator()(const request& asked) const;

 private:
  struct object {
    std::string json;
    std::string name, namespace_name, node;
    std::map<std::string, std::string> labels;
  };
  reply list(const request& asked, const std::vector<object>& all, const char* kind,
             const std::string& namespace_name) const;
  reply failure(int status, const char* why, const std::string& message) const;

  const cluster* cluster_;
  api_options options_;
  std::vector<object> nodes_, pods_;
};

}  // namespace computelocator::simulate
