// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/impl/collect_sweep.ipp>

namespace computelocator {

/// Asks the nodes whose pages came for /stats/summary as well. One that does not answer costs a node
/// nothing but these values, which is a warning.
void collector::state::add_summaries(const std::vector<node>& mine, snapshot& made) {
  std::vector<node> asked;
  std::vector<collected_page*> into;
  auto next = mine.begin();  // pages come in the order of their nodes
  for (collected_page& page : made.pages) {
    while (next != mine.end() && next->name != page.node) ++next;
    if (next == mine.end()) break;
    asked.push_back(*next);
    into.push_back(&page);
  }
  route_options way = route_to_kubelets();
  way.path = "/stats/summary";
  way.metrics.clear();
  const std::vector<node_target> found = kubelet_targets(asked, cluster, way);
  std::vector<target> targets;
  std::vector<std::size_t> place;
  std::vector<std::optional<error>> failures(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i].target) {
      failures[i] = found[i].target.error();
      continue;
    }
    targets.push_back(*found[i].target);
    place.push_back(i);
  }
  scrape_events events;
  events.on_page = [&](std::size_t index, scraped_page page, outcome about) {
    const std::size_t at = place[index];
    pool.add([this, at, &into, &failures, page = std::make_shared<scraped_page>(std::move(page)), about = std::move(about)]() mutable {
      const std::string where = about.node + " (" + about.url + ")";
      {
        std::optional<detail::collect_::text_rooms::lease> room;
        auto text = text_of(*page, room, about);
        result<batch> read = text ? read_stats_summary(*text, where) : result<batch>(std::move(text).error());
        if (read) into[at]->summary = std::make_shared<const batch>(std::move(read).value());
        else failures[at] = std::move(read).error();
      }
      if (failures[at] && failures[at]->where.empty()) failures[at]->where = where;
      pages.release(page->held, std::move(page->bytes));
    });
  };
  const bool direct = way.route == route::direct || (way.route == route::automatic && cluster.in_cluster);
  events.on_failure = [&](std::size_t index, outcome about) {
    if (about.failure->code == errc::forbidden)
      about.failure->advice = direct ? "allow `get` on nodes/stats to this user or service account" : "allow `get` on nodes/proxy to this user";
    failures[place[index]] = std::move(about.failure);
  };
  if (report) events.tick = [&] { report(made.outcomes.size(), made.outcomes.size() - made.pages.size(), made.outcomes.size()); };
  pages.sweep(targets, events, stop);
  pool.wait();
  std::size_t failed = 0;
  const error* first = nullptr;
  for (const std::optional<error>& each : failures)
    if (each && ++failed == 1) first = &*each;
  if (first != nullptr)
    made.warnings.push_back(std::to_string(failed) + " of " + std::to_string(found.size()) +
                            " nodes gave no /stats/summary: " + first->message());
}

}  // namespace computelocator
