// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <computelocator/impl/collect_sweep.ipp>
#include <computelocator/impl/collect_watch.hpp>

namespace computelocator {

namespace detail::collect_ {

constexpr std::chrono::minutes watch_again{10};      // after a 403
constexpr std::chrono::seconds good_watch{10};       // which lasted as long as that: the fault is a new one
constexpr std::chrono::seconds watch_idle{90};       // servers send a bookmark about every minute

/// 429 and 503 may say when to come again.
inline std::chrono::milliseconds asked_to_wait(const http_answer& answer) {
  return plan_retry(answer, 1, 2, std::chrono::minutes(6), true).after;
}

template <class T>
const char* name_of();
template <>
inline const char* name_of<node>() { return "nodes"; }
template <>
inline const char* name_of<pod>() { return "pods"; }

}  // namespace detail::collect_

template <class T>
void collector::state::fail(detail::collect_::followed<T>& of, error why, std::chrono::milliseconds at_least) {
  const auto now = std::chrono::steady_clock::now();
  of.due = now + std::max(at_least, pause_after(++of.failures, detail::collect_::chance()));
  of.failure = std::move(why);
}

template <class T>
void collector::state::begin_list(const std::shared_ptr<detail::collect_::followed<T>>& of) {
  of->doing = detail::collect_::followed<T>::phase::listing;
  const auto listed = std::make_shared<detail::collect_::listing<T>>(listed_objects<T>());
  const auto begun = std::chrono::steady_clock::now();
  listed->ended = [this, of, begun](detail::collect_::listing<T>& from) {
    of->doing = detail::collect_::followed<T>::phase::idle;
    if (from.failure) {
      if (from.failure->code == errc::cancelled) return;
      return fail(*of, std::move(*from.failure), from.wait);
    }
    std::string version = from.lister.resource_version();
    of->objects.reset(std::move(from.lister).items(), std::move(version));
    of->known = true;
    of->list_next = false;
    of->current = begun;
    of->failure.reset();
    of->due = std::chrono::steady_clock::now();
    client.leave();  // somebody may wait for it
  };
  ask(listed, begun + options.discovery_timeout);
}

template <class T>
void collector::state::begin_watch(const std::shared_ptr<detail::collect_::followed<T>>& of) {
  using phase = typename detail::collect_::followed<T>::phase;
  auto token = pages.tokens().token_for(cluster.access);
  if (!token) return fail(*of, std::move(token).error(), {});
  of->doing = phase::asking;
  of->events = of->objects.events();
  of->step.reset();
  of->begun = std::chrono::steady_clock::now();
  of->asked_with = cluster.access;
  http_request request = to_api_server(of->objects.path(), std::move(token).value());
  request.gzip = false;
  request.deadline = of->begun + options.discovery_timeout;
  request.stream.idle = detail::collect_::watch_idle;
  request.stream.sink = [of](std::string_view piece) {
    if (of->doing == phase::asking) {
      of->doing = phase::watching;
      of->failure.reset();
      of->token_renewed = false;
      (void)of->objects.begin(200);
    }
    of->current = std::chrono::steady_clock::now();
    const watch_step step = of->objects.feed(piece);
    if (step != watch_step::go_on) of->step = step;
    return step == watch_step::go_on;
  };
  client.get(std::move(request), [this, of](http_answer answer) { watch_ended(*of, std::move(answer)); });
}

template <class T>
void collector::state::watch_ended(detail::collect_::followed<T>& of, http_answer answer) {
  using phase = typename detail::collect_::followed<T>::phase;
  const auto now = std::chrono::steady_clock::now();
  const bool began = of.doing == phase::watching;
  of.doing = phase::idle;
  of.due = now;
  if (began && now - of.begun >= detail::collect_::good_watch) of.failures = 0;
  if (!of.step && answer.failure && answer.failure->code == errc::cancelled) return;
  if (!began && answer.failure) {
    answer.failure->where = where();
    return fail(of, std::move(*answer.failure), {});
  }
  if (answer.status == 401 && !std::exchange(of.token_renewed, true)) {
    auto renewed = renew_credential(of.asked_with);
    if (!renewed) return fail(of, std::move(renewed).error(), {});
    if (*renewed) return;
  }
  switch (of.step ? *of.step : began ? of.objects.end() : of.objects.begin(answer.status, answer.body)) {
    case watch_step::go_on:
    case watch_step::reconnect:
      // A server that ends each watch at once is not asked again and again, though it does no harm.
      if (now - of.begun < std::chrono::seconds(1) && of.objects.events() == of.events)
        of.due = now + std::min(pause_after(++of.failures, detail::collect_::chance()), std::chrono::milliseconds(4000));
      break;
    case watch_step::back_off:
      if (answer.status == 403) {
        of.permitted = false;
        of.ask_again = now + detail::collect_::watch_again;
        of.refusal = of.objects.failure();
      } else {
        fail(of, of.objects.failure(), detail::collect_::asked_to_wait(answer));
      }
      break;
    case watch_step::list_again:
      of.list_next = true;
      fail(of, of.objects.failure(), {});
      break;
  }
}

template <class T>
void collector::state::go_on(const std::shared_ptr<detail::collect_::followed<T>>& of, std::chrono::steady_clock::time_point now) {
  if (of->doing != detail::collect_::followed<T>::phase::idle || of->due > now) return;
  if (!of->permitted && now < of->ask_again) return;
  of->permitted = true;
  if (of->list_next) begin_list(of);
  else begin_watch(of);
}

void collector::state::go_on_all(std::chrono::steady_clock::time_point now) {
  if (!options.watch_objects || !asks_api_server()) return;
  if (!exporters) go_on(known_nodes, now);
  go_on(known_pods, now);
}

/// Works until then, or until `enough`.
void collector::state::follow(std::chrono::steady_clock::time_point until, const std::function<bool()>& enough) {
  const std::stop_callback on_stop(stop, [this] {
    client.post([this] {
      client.cancel();
      client.leave();
    });
  });
  client.hold(true);
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= until || enough() || stop.stop_requested()) break;
    go_on_all(now);
    client.run(std::min(until, now + std::chrono::milliseconds(20)));
    if (report) report(0, 0, 0);
  }
  client.hold(false);
  if (stop.stop_requested()) let_end();
}

/// What was cancelled has its sockets closed, and is told of it here.
void collector::state::let_end() {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (client.under_way() > 0 && std::chrono::steady_clock::now() < until) client.run(until);
}

template <class T>
bool collector::state::list_now(const std::shared_ptr<detail::collect_::followed<T>>& of, bool anyway) {
  using phase = typename detail::collect_::followed<T>::phase;
  if (of->known && of->permitted) return false;
  if (of->doing == phase::idle && (anyway || of->due <= std::chrono::steady_clock::now())) begin_list(of);
  return of->doing == phase::listing;
}

template <class T>
void collector::state::tell_age(detail::collect_::followed<T>& of, snapshot& to) {
  using std::chrono::milliseconds;
  if (!of.known) return;
  const auto age = of.doing == detail::collect_::followed<T>::phase::watching
                       ? milliseconds(0)
                       : std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - of.current);
  to.inventory_age = std::max(to.inventory_age, age);
  const std::string name = detail::collect_::name_of<T>();
  if (of.failure)
    to.warnings.push_back(name + " are the last known ones: " + of.failure->message());
  if (const auto refusal = std::exchange(of.refusal, std::nullopt))
    to.warnings.push_back(name + " are listed at each sweep, since they may not be watched: " + refusal->message());
}

/// What the watches know, and how old it is. Of exporters pods are all that is asked for.
result<inventory> collector::state::watched(snapshot& to) {
  if (auto fits = check(listed_objects<node>()); !fits) return std::move(fits).error();
  if (auto fits = check(listed_objects<pod>()); !fits) return std::move(fits).error();
  const bool of_nodes = !exporters && list_now(known_nodes, true);
  const bool of_pods = list_now(known_pods, exporters.has_value());
  go_on_all(std::chrono::steady_clock::now());
  using node_phase = detail::collect_::followed<node>::phase;
  using pod_phase = detail::collect_::followed<pod>::phase;
  if (of_nodes || of_pods)
    follow(std::chrono::steady_clock::time_point::max(), [&] {
      return (!of_nodes || known_nodes->doing != node_phase::listing) && (!of_pods || known_pods->doing != pod_phase::listing);
    });
  const error cancelled{errc::cancelled, where(), "cancelled", ""};
  if (stop.stop_requested()) return cancelled;
  if (exporters ? !known_pods->known : !known_nodes->known)
    return (exporters ? known_pods->failure : known_nodes->failure).value_or(cancelled);
  inventory made;
  made.nodes = known_nodes->objects.items();
  made.pods_known = known_pods->known;
  if (known_pods->known) made.pods = known_pods->objects.items();
  else if (known_pods->failure) made.pods_unknown_because = known_pods->failure->message();
  tell_age(*known_nodes, to);
  tell_age(*known_pods, to);
  return made;
}

/// An address that another node had in the last sweep: what is kept open there is not its own.
void collector::state::note_addresses(std::span<const target> targets, snapshot& to) {
  if (exporters) return;
  std::map<std::pair<std::string, std::uint16_t>, std::pair<std::string, std::string>> now;  // UID and name
  for (const target& each : targets) {
    if (each.node_uid.empty() || each.access == cluster.access) continue;
    const std::pair at(each.host, each.port);
    now.try_emplace(at, each.node_uid, each.node);
    const auto before = addresses.find(at);
    if (before == addresses.end() || before->second.first == each.node_uid) continue;
    client.close_kept(each.host, each.port);
    to.warnings.push_back(printable(each.node) + " has the address " + each.host + " that " + printable(before->second.second) +
                          (before->second.second == each.node ? " had before it was made anew" : " had before"));
  }
  addresses = std::move(now);
}

void collector::keep_fresh(std::chrono::steady_clock::time_point until, std::stop_token stop, const progress_report& report) {
  state_->stop = std::move(stop);
  state_->report = report;
  state_->follow(until, [] { return false; });
  state_->report = nullptr;
  state_->stop = {};
}

}  // namespace computelocator
