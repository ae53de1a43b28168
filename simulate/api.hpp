// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

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

/// What was asked for.
struct api_counts {
  std::uint64_t node_lists = 0, pod_lists = 0, watches = 0;
};

/// How the watches that are open end.
enum class watch_end : std::uint8_t {
  in_order,   ///< as the server closes them from time to time
  in_half,    ///< the connection goes in the middle of an event
  garbled,    ///< after a line that is no event
  forgotten   ///< what they stand at is too old: 410, for those that begin there, too
};

/// What the API server answers: nodes and pods with paging, selectors and watch, discovery for
/// kubectl, and the proxy to kubelets. Safe for concurrent calls.
class api {
 public:
  api(const cluster& of, api_options options);
  reply operator()(const request& asked);

  /// The node is as `of` has it now; whoever watches is told.
  void changed(const cluster& of, std::size_t node);
  void end_watches(watch_end how);
  /// How long watches last that begin from now on, however long they ask for.
  void watches_last(std::chrono::milliseconds time);
  void deny(const std::string& resource, bool denied);
  api_counts counts() const;

 private:
  struct object {
    std::string json;
    std::string name, namespace_name, node, uid;
    std::map<std::string, std::string> labels;
  };
  struct event {
    std::uint64_t version = 0;
    const char* type = "";
    std::shared_ptr<const object> what;
    bool of_node = false;
  };
  /// Which objects a list or watch is about.
  struct choice {
    std::string namespace_name, node, name, labels;
    bool takes(const object& each) const;
  };
  using objects = std::map<std::string, std::shared_ptr<const object>>;  // by namespace/name
  struct watching;

  void put(objects& in, const std::string& key, object made, bool of_node);
  void drop(objects& in, objects::iterator at, bool of_node);
  void note(const char* type, std::shared_ptr<const object> what, bool of_node);
  reply list(const request& asked, bool of_nodes, const std::string& namespace_name);
  reply begin_watch(const request& asked, bool of_nodes, choice what);
  stream::news news_of(watching& of);
  std::string bookmark(bool of_nodes, const char* annotations = "") const;
  reply failure(int status, const char* why, const std::string& message) const;
  bool denied(const std::string& resource) const { return options_.denied.count(resource) > 0; }

  api_options options_;
  mutable std::mutex guarding_;  // of all below, and of options_.denied
  objects nodes_, pods_;
  std::map<std::string, std::size_t> numbers_;  // of nodes, by name
  std::map<std::size_t, std::string> names_;    // of nodes, by number
  std::deque<event> events_;
  std::uint64_t version_ = 1000, forgotten_ = 0;
  std::uint64_t endings_ = 0;
  watch_end ending_ = watch_end::in_order;
  std::optional<std::chrono::milliseconds> lasts_;
  api_counts counts_;
};

}  // namespace computelocator::simulate
