// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster.hpp"

namespace computelocator::simulate {

enum class fault : std::uint8_t {
  none,
  slow,               ///< answers after `slow_for`
  dead,               ///< nothing listens on its port
  unreachable,        ///< connections are neither taken nor refused, as behind a firewall
  silent,             ///< takes the connection and never answers
  cut_off,            ///< ends the connection in the middle of the body
  wrong_certificate,  ///< of an authority that nobody trusts
  forbidden,          ///< 403
  bad_line,           ///< one line of the page is damaged
  bad_page            ///< HTML in place of a page
};

/// "slow", "dead", "unreachable", "silent", "cut-off", "wrong-certificate", "forbidden", "bad-line", "bad-page".
fault fault_named(const std::string& name);

enum class kubelet_certificates : std::uint8_t { of_the_authority, self_signed };

struct simulation_options {
  cluster_options cluster;
  bool hold = true;                      ///< pages stand still; else a step each `pace`
  std::chrono::milliseconds pace{10'000}; ///< time that a step of `cluster.step` really takes
  kubelet_certificates certificates = kubelet_certificates::of_the_authority;
  bool client_certificate = false;       ///< the kubeconfig holds a client certificate, not a token
  bool honours_name = true;              ///< ?name[]= filters the page, as new kubelets do
  bool gzip = true;
  std::size_t distinct = 0;              ///< pages: the other nodes serve those of the first; 0: one a node
  std::map<std::size_t, fault> faults;   ///< by index of the node
  std::chrono::milliseconds slow_for{3000};
  std::set<std::string> denied;          ///< "nodes", "pods", "watch", "nodes/proxy", "nodes/metrics", "nodes/stats"
  std::string kubeconfig;                ///< file to write; empty: none
  std::size_t threads = 2;
};

/// What was asked of the simulated servers, for tests.
struct simulation_counts {
  std::uint64_t api_requests = 0, kubelet_requests = 0, tokens_seen_by_kubelets = 0;
  std::uint64_t node_lists = 0, pod_lists = 0, watches = 0;
};

/// An API server and a kubelet for each node, listening on loopback from construction to
/// destruction. Throws std::runtime_error where a socket or file cannot be had.
class simulation {
 public:
  explicit simulation(simulation_options options);
  ~simulation();
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;

  std::string api_url() const;
  std::string kubeconfig_text() const;
  std::string token() const;
  std::string authority_pem() const;
  /// As it is now.
  std::shared_ptr<const cluster> world() const;
  std::string kubelet_address(std::size_t node) const;
  std::uint16_t kubelet_port(std::size_t node) const;
  simulation_counts counts() const;
  /// The kubelet of `node` is started again with another key and certificate. Throws
  /// std::runtime_error where it does not run.
  void new_key(std::size_t node);

  // What happens to a cluster. A node counts from 0 and keeps its address; std::runtime_error where
  // there is none of that number.
  void replace_pods(std::size_t node, std::size_t count);
  /// Another machine at the same address, with another key; under the same name if that is kept.
  void replace_node(std::size_t node, bool keep_name);
  void remove_node(std::size_t node);
  /// "in-order", "in-half", "garbled" or "forgotten": how the watches that are open end now.
  void end_watches(const std::string& how);
  /// How long watches last that begin from now on.
  void watches_last(std::chrono::milliseconds time);
  /// The API server's port is closed, or open again.
  void pause_api(bool on);
  /// What the user may not do: one of `simulation_options::denied`.
  void deny(const std::string& resource, bool denied);
  /// Makes and compresses the pages of all nodes now, so that no request waits for it.
  /// `names` are families as name[] asks for them; empty: all.
  void prepare(const std::vector<std::string>& names = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace computelocator::simulate
