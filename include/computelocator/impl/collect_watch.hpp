// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include <computelocator/discover.hpp>

namespace computelocator::detail::collect_ {

/// Nodes, or pods, as a list and the watch behind it tell of them.
template <class T>
struct followed {
  using clock = std::chrono::steady_clock;
  enum class phase { idle, listing, asking, watching };

  explicit followed(object_watch_options options) : objects(std::move(options)) {}

  object_watcher<T> objects;
  phase doing = phase::idle;
  bool known = false;           // they were listed once
  bool list_next = true;        // what is due: a list, or a watch
  bool permitted = true;        // to watch; else each sweep lists
  std::optional<error> refusal; // why it is not, until that was told
  clock::time_point ask_again{};  // whether it is permitted
  bool token_renewed = false;
  int failures = 0;             // in a row
  clock::time_point due{};
  clock::time_point begun{};    // the watch that is under way
  clock::time_point current{};  // when they were last known to be so
  std::uint64_t events = 0;     // that were taken before
  std::shared_ptr<const access> asked_with;
  std::optional<watch_step> step;  // with which the events ended the watch
  std::optional<error> failure;    // why they may not be current
};

inline double chance() {
  thread_local std::minstd_rand source{std::random_device{}()};
  return std::uniform_real_distribution<double>()(source);
}

}  // namespace computelocator::detail::collect_
