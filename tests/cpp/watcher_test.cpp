// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Sweeps again and again over a simulated cluster that changes: its API server is watched.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <computelocator/collect.hpp>
#include <computelocator/impl/collect_ticks.hpp>

#include "simulated.hpp"

namespace {

namespace cl = computelocator;
namespace sim = computelocator::simulate;
using namespace std::chrono_literals;
using cl::test::cluster_fixture;
using cl::test::code_of;
using cl::test::small;
using clock = std::chrono::steady_clock;

/// A collector and its watcher.
struct watching {
  std::unique_ptr<cl::collector> with;
  std::unique_ptr<cl::watcher> watcher;

  explicit watching(const cl::collect_options& options, cl::watch_options how = {100ms, std::nullopt})
      : with(std::make_unique<cl::collector>(cl::collector::open(options).value())),
        watcher(std::make_unique<cl::watcher>(cl::watcher::open(*with, how).value())) {}
};

cl::snapshot next(watching& of) {
  auto made = of.watcher->next();
  EXPECT_TRUE(made) << made.error().message();
  return made ? std::move(made).value() : cl::snapshot();
}

/// UIDs, of nodes and pods in order, as the snapshot and as the cluster has them.
std::string told(const cl::snapshot& of) {
  std::string text;
  for (const cl::node& each : of.inventory.nodes) text += each.uid + ' ';
  std::set<std::string> pods;
  for (const cl::pod& each : of.inventory.pods) pods.insert(each.uid);
  for (const std::string& each : pods) text += each + ' ';
  return text;
}

std::string actual(const sim::simulation& of) {
  const auto world = of.world();
  std::map<std::string, std::string> nodes;
  std::set<std::string> pods;
  for (const sim::sim_node& node : world->nodes()) {
    if (node.gone) continue;
    nodes[node.name] = node.uid;
    for (const sim::sim_pod& pod : node.pods) pods.insert(pod.uid);
  }
  std::string text;
  for (const auto& [name, uid] : nodes) text += uid + ' ';
  for (const std::string& each : pods) text += each + ' ';
  return text;
}

/// The next snapshot of which it holds, of at most 40.
cl::snapshot until(watching& of, const std::function<bool(const cl::snapshot&)>& holds) {
  for (int i = 0; i < 40; ++i)
    if (cl::snapshot got = next(of); holds(got)) return got;
  ADD_FAILURE() << "it never was so";
  return {};
}

TEST(watcher, many_sweeps_make_one_list_each_of_nodes_and_pods) {
  const cluster_fixture world(small());
  watching watch(world.options());
  for (int i = 0; i < 12; ++i) {
    const cl::snapshot got = next(watch);
    EXPECT_EQ(got.pages.size(), 3u);
    EXPECT_EQ(told(got), actual(*world.running));
    EXPECT_EQ(got.warnings, std::vector<std::string>());
    EXPECT_LE(got.inventory_age, 500ms);
  }
  const auto counts = world.running->counts();
  EXPECT_EQ(counts.node_lists, 1u);
  EXPECT_EQ(counts.pod_lists, 1u);
  EXPECT_EQ(counts.watches, 2u);
}

TEST(watcher, what_comes_and_goes_is_seen_without_a_list) {
  const cluster_fixture world(small(4, 8));
  watching watch(world.options(cl::route::direct));
  next(watch);
  const std::function<void()> changes[] = {
      [&] { world.running->replace_pods(1, 3); },
      [&] { world.running->remove_node(2); },
      [&] { world.running->replace_node(2, true); },
      [&] { world.running->replace_node(3, false); },
      [&] { world.running->replace_node(0, true); },
  };
  std::size_t nodes = 4;
  for (const auto& change : changes) {
    change();
    nodes = world.running->world()->nodes()[2].gone ? 3 : 4;
    const std::string now = actual(*world.running);
    const cl::snapshot got = until(watch, [&](const cl::snapshot& of) { return told(of) == now; });
    EXPECT_EQ(got.outcomes.size(), nodes);
    for (const cl::outcome& of : got.outcomes) EXPECT_EQ(code_of(of), "") << of.node;
  }
  EXPECT_EQ(world.running->counts().node_lists, 1u);
  EXPECT_EQ(world.running->counts().pod_lists, 1u);
}

TEST(watcher, however_a_watch_ends_nothing_is_missed) {
  for (const std::string how : {"in-order", "in-half", "garbled", "forgotten"}) {
    SCOPED_TRACE(how);
    const cluster_fixture world(small(2, 6));
    watching watch(world.options());
    next(watch);
    until(watch, [&](const cl::snapshot& of) { return of.inventory_age == 0ms; });
    world.running->end_watches(how);
    world.running->replace_pods(0, 2);
    if (how == "forgotten") world.running->end_watches(how);  // what was changed is not in memory, either
    const std::string now = actual(*world.running);
    bool warned = false;
    until(watch, [&](const cl::snapshot& of) {
      warned = warned || !of.warnings.empty();
      EXPECT_EQ(of.pages.size(), 2u);
      return told(of) == now && of.inventory_age == 0ms && of.warnings.empty();
    });
    const bool listed_again = how == "garbled" || how == "forgotten";
    EXPECT_EQ(world.running->counts().pod_lists, listed_again ? 2u : 1u);
    EXPECT_EQ(world.running->counts().node_lists, listed_again ? 2u : 1u);
    EXPECT_EQ(warned, listed_again);
  }
}

TEST(watcher, while_the_api_server_is_away_the_last_known_nodes_are_scraped) {
  const cluster_fixture world(small());
  watching watch(world.options(cl::route::direct));
  next(watch);
  const std::string before = actual(*world.running);
  world.running->pause_api(true);
  world.running->replace_pods(0, 2);
  const cl::snapshot away = until(watch, [](const cl::snapshot& of) { return of.inventory_age > 1s && !of.warnings.empty(); });
  EXPECT_EQ(away.pages.size(), 3u);
  EXPECT_EQ(told(away), before);
  ASSERT_EQ(away.warnings.size(), 2u);
  EXPECT_EQ(away.warnings[0].find("nodes are the last known ones: API server https://127.0.0.1:"), 0u) << away.warnings[0];
  EXPECT_NE(away.warnings[0].find("refused"), std::string::npos) << away.warnings[0];
  world.running->pause_api(false);
  const std::string now = actual(*world.running);
  const cl::snapshot back = until(watch, [&](const cl::snapshot& of) { return told(of) == now && of.inventory_age == 0ms; });
  EXPECT_EQ(back.warnings, std::vector<std::string>());
  EXPECT_EQ(world.running->counts().pod_lists, 1u);
}

TEST(watcher, an_api_server_that_was_never_there_is_the_error_of_each_sweep_until_it_comes) {
  const cluster_fixture world(small(1, 2));
  world.running->pause_api(true);
  watching watch(world.options());
  for (int i = 0; i < 3; ++i) {
    const auto got = watch.watcher->next();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, cl::errc::connect_refused);
    EXPECT_NE(got.error().message().find("API server"), std::string::npos);
  }
  world.running->pause_api(false);
  EXPECT_EQ(next(watch).pages.size(), 1u);
}

TEST(watcher, who_may_not_watch_lists_at_each_sweep_and_is_told_once) {
  const cluster_fixture world([] {
    auto made = small(2, 4);
    made.denied = {"watch"};
    return made;
  }());
  watching watch(world.options());
  std::vector<std::string> said;
  for (int i = 0; i < 6; ++i) {
    if (i == 4) world.running->replace_pods(0, 1);
    const cl::snapshot got = next(watch);
    said.insert(said.end(), got.warnings.begin(), got.warnings.end());
    EXPECT_EQ(told(got), actual(*world.running));
  }
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].find("nodes are listed at each sweep"), std::string::npos) << said[0];
  EXPECT_NE(said[0].find("`watch` on nodes"), std::string::npos) << said[0];
  EXPECT_NE(said[1].find("`watch` on pods"), std::string::npos) << said[1];
  EXPECT_GE(world.running->counts().node_lists, 5u);
  EXPECT_LE(world.running->counts().node_lists, 6u);
  EXPECT_EQ(world.running->counts().watches, 0u);
}

TEST(watcher, pods_that_may_not_be_listed_are_not_asked_for_again_and_again) {
  const cluster_fixture world([] {
    auto made = small(2, 4);
    made.denied = {"pods"};
    return made;
  }());
  watching watch(world.options());
  for (int i = 0; i < 8; ++i) {
    const cl::snapshot got = next(watch);
    EXPECT_EQ(got.pages.size(), 2u);
    EXPECT_FALSE(got.inventory.pods_known);
    EXPECT_NE(got.inventory.pods_unknown_because.find("forbidden"), std::string::npos);
  }
  world.running->deny("pods", false);
  until(watch, [](const cl::snapshot& of) { return of.inventory.pods_known && of.inventory.pods.size() == 8; });
  // Rights that are taken away leave what is known.
  world.running->deny("pods", true);
  world.running->end_watches("forgotten");
  const cl::snapshot got = until(watch, [](const cl::snapshot& of) {
    return std::any_of(of.warnings.begin(), of.warnings.end(), [](const std::string& each) { return each.find("pods are the last known ones") == 0; });
  });
  EXPECT_EQ(got.inventory.pods.size(), 8u);
}

TEST(watcher, a_server_that_ends_each_watch_at_once_is_asked_more_and_more_rarely) {
  const cluster_fixture world(small(1, 2));
  world.running->watches_last(0ms);
  watching watch(world.options());
  for (int i = 0; i < 30; ++i) EXPECT_EQ(next(watch).pages.size(), 1u);  // three seconds
  EXPECT_GE(world.running->counts().watches, 4u);
  EXPECT_LE(world.running->counts().watches, 10u);
  EXPECT_EQ(world.running->counts().node_lists, 1u);
}

TEST(watcher, an_address_that_another_node_has_now_is_noticed) {
  for (const auto mode : {cl::tls_mode::verify, cl::tls_mode::pin}) {
    auto what = small(3, 2);
    if (mode == cl::tls_mode::pin) what.certificates = sim::kubelet_certificates::self_signed;
    const cluster_fixture world(what);
    auto options = world.options(cl::route::direct);
    options.kubelet_tls = mode;
    watching watch(options);
    const cl::snapshot first = next(watch);
    const auto pins = watch.with->pins();
    next(watch);
    world.running->replace_node(1, false);
    const std::string now = actual(*world.running);
    bool apart = false;  // on a slow machine a sweep may fall between the end of the one and the beginning of the other
    const cl::snapshot got = until(watch, [&](const cl::snapshot& of) {
      apart = apart || of.inventory.nodes.size() < 3;
      return told(of) == now;
    });
    for (const cl::outcome& of : got.outcomes) EXPECT_EQ(code_of(of), "") << of.node;
    EXPECT_EQ(got.outcomes[1].node, "node-001-1");
    EXPECT_GT(got.outcomes[1].tls_time.count(), 0) << "a connection to the node before was used";
    EXPECT_EQ(got.outcomes[0].tls_time.count(), 0);
    EXPECT_EQ(got.warnings, apart ? std::vector<std::string>()
                                  : std::vector<std::string>{"node-001-1 has the address 127.1.0.2 that node-001 had before"});
    EXPECT_EQ(next(watch).warnings, std::vector<std::string>());
    if (mode != cl::tls_mode::pin) continue;
    // The key of the machine that is gone is forgotten, that of the other one is held from now on.
    const auto after = watch.with->pins();
    EXPECT_EQ(after.size(), 3u);
    EXPECT_EQ(after.count(first.inventory.nodes[1].uid), 0u);
    EXPECT_NE(after.at(got.inventory.nodes[1].uid), pins.at(first.inventory.nodes[1].uid));
    world.running->new_key(1);
    EXPECT_EQ(code_of(next(watch).outcomes[1]), "tls_pin_mismatch");
  }
}

TEST(watcher, nodes_have_their_places_in_the_interval_and_the_sweep_ends_within_it) {
  auto what = small(12, 2);
  what.faults = {{5, sim::fault::silent}};
  const cluster_fixture world(what);
  auto options = world.options(cl::route::direct);
  options.timeout = 600ms;
  watching watch(options, {1200ms, true});
  std::map<std::string, std::vector<double>> places;
  for (const cl::outcome& of : next(watch).outcomes) places[of.node].clear();  // which is not spread
  for (int i = 0; i < 3; ++i) {
    const cl::snapshot got = next(watch);
    EXPECT_EQ(got.pages.size(), 11u);
    EXPECT_EQ(code_of(got.outcomes[5]), "timed_out");
    EXPECT_LT(got.ended - got.started, 1200ms);
    for (const cl::outcome& of : got.outcomes)
      places[of.node].push_back(std::chrono::duration<double>(of.started - got.started).count());
  }
  double least = 9, most = 0;
  for (const auto& [node, at] : places) {
    EXPECT_NEAR(at[0], at[1], 0.05) << node;
    EXPECT_NEAR(at[0], at[2], 0.05) << node;
    least = std::min(least, at[0]);
    most = std::max(most, at[0]);
  }
  EXPECT_LT(least, 0.15);
  EXPECT_GT(most, 0.4);
  EXPECT_LT(most, 0.65);
  EXPECT_EQ(watch.watcher->missed(), 0u);
}

TEST(watcher, a_stop_ends_the_wait_and_every_socket_at_once) {
  const cluster_fixture world(small(1, 2));
  watching watch(world.options(), {60s, std::nullopt});
  next(watch);
  std::stop_source stop;
  std::jthread later([&] {
    std::this_thread::sleep_for(200ms);
    stop.request_stop();
  });
  const auto begun = clock::now();
  const auto got = watch.watcher->next(stop.get_token());
  EXPECT_LT(clock::now() - begun, 2s);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, cl::errc::cancelled);
}

TEST(watcher, without_it_a_collector_lists_again_or_keeps_its_own_watches) {
  const cluster_fixture world(small(1, 4));
  watching watch(world.options());
  next(watch);
  watch.watcher.reset();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(watch.with->sweep());
  EXPECT_EQ(world.running->counts().node_lists, 3u);

  auto options = world.options();
  options.watch_objects = true;
  auto alone = cl::collector::open(options);
  ASSERT_TRUE(alone);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(alone->sweep());
    world.running->replace_pods(0, 1);
  }
  alone->keep_fresh(clock::now() + 200ms);
  const auto got = alone->sweep();
  ASSERT_TRUE(got);
  EXPECT_EQ(told(*got), actual(*world.running));
  EXPECT_EQ(world.running->counts().node_lists, 4u);
}

TEST(watcher, run_gives_snapshots_until_told) {
  const cluster_fixture world(small(1, 2));
  watching watch(world.options());
  int count = 0;
  watch.watcher->run([&](cl::result<cl::snapshot> got) {
    EXPECT_TRUE(got);
    return ++count < 3;
  });
  EXPECT_EQ(count, 3);
  std::stop_source stop;
  watch.watcher->run([&](cl::result<cl::snapshot>) { return stop.request_stop(); }, stop.get_token());
  EXPECT_TRUE(stop.stop_requested());
}

TEST(watcher, intervals_that_cannot_be) {
  const cluster_fixture world(small(1, 1));
  auto collector = cl::collector::open(world.options());
  ASSERT_TRUE(collector);
  for (const auto interval : {0ms, 99ms, 86'400'001ms})
    EXPECT_EQ(cl::watcher::open(*collector, {interval, std::nullopt}).error().code, cl::errc::invalid_argument);
}

TEST(ticks, are_a_fixed_grid_and_those_that_passed_are_missed) {
  cl::detail::collect_::ticks ticks(1000ms);
  const clock::time_point t0 = clock::time_point() + 5000s;
  const auto at = [&](std::chrono::milliseconds since) { return t0 + since; };
  EXPECT_EQ(ticks.next(at(0ms)), at(0ms));
  EXPECT_EQ(ticks.next(at(1ms)), at(1000ms));
  EXPECT_EQ(ticks.next(at(1999ms)), at(2000ms));
  EXPECT_EQ(ticks.next(at(3050ms)), at(3000ms)) << "late by less than a tenth";
  EXPECT_EQ(ticks.missed(), 0u);
  EXPECT_EQ(ticks.next(at(4101ms)), at(5000ms));
  EXPECT_EQ(ticks.missed(), 1u);
  EXPECT_EQ(ticks.next(at(600'000ms)), at(600'000ms)) << "asleep for ten minutes: one sweep, no burst";
  EXPECT_EQ(ticks.missed(), 595u);
  EXPECT_EQ(ticks.next(at(600'001ms)), at(601'000ms));
}

TEST(ticks, nodes_are_asked_over_half_of_the_interval_or_more) {
  EXPECT_EQ(cl::detail::collect_::spread_over(15s, 10s), 7500ms);
  EXPECT_EQ(cl::detail::collect_::spread_over(60s, 10s), 50s);
  EXPECT_EQ(cl::detail::collect_::spread_over(1s, 10s), 500ms);
  double sum = 0;
  int early = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double place = cl::place_in_interval("uid-" + std::to_string(i));
    ASSERT_GE(place, 0);
    ASSERT_LT(place, 1);
    sum += place;
    early += place < 0.1 ? 1 : 0;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
  EXPECT_NEAR(early, 1000, 150);
  EXPECT_EQ(cl::place_in_interval("a"), cl::place_in_interval("a"));
}

}  // namespace
