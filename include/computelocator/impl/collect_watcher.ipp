// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <computelocator/collect.hpp>
#include <computelocator/impl/collect_sweep.ipp>
#include <computelocator/impl/collect_ticks.hpp>

namespace computelocator {

struct watcher::state {
  collector* with;
  watch_options how;
  std::chrono::milliseconds over;
  detail::collect_::ticks ticks;
  bool swept = false;
};

result<watcher> watcher::open(collector& with, watch_options how) {
  using namespace std::chrono_literals;
  if (how.interval < 100ms || how.interval > 24h)
    return error{errc::invalid_argument, "interval", std::to_string(how.interval.count()) + " ms cannot be", "100 ms to a day can"};
  with.state_->options.watch_objects = true;
  const bool spread = how.spread.value_or(how.interval >= 5s);
  return watcher(std::make_unique<state>(state{&with, how,
                                               spread ? detail::collect_::spread_over(how.interval, with.state_->options.timeout) : 0ms,
                                               detail::collect_::ticks(how.interval)}));
}

watcher::watcher(std::unique_ptr<state> kept) noexcept : state_(std::move(kept)) {}
watcher::watcher(watcher&&) noexcept = default;
watcher& watcher::operator=(watcher&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
watcher::~watcher() {
  if (!state_) return;
  collector::state& of = *state_->with->state_;
  of.options.watch_objects = false;
  of.client.cancel();
  of.let_end();
}

result<snapshot> watcher::next(std::stop_token stop, const progress_report& report) {
  const auto tick = state_->ticks.next(std::chrono::steady_clock::now());
  state_->with->keep_fresh(tick, stop, report);
  if (stop.stop_requested()) return error{errc::cancelled, {}, "cancelled", ""};
  sweep_spread spread;
  if (std::exchange(state_->swept, true) && state_->over.count() > 0) {
    spread.over = state_->over;
    spread.end = tick + state_->how.interval - state_->how.interval / 20;
  }
  return state_->with->sweep(std::move(stop), report, spread);
}

void watcher::run(const std::function<bool(result<snapshot>)>& take, std::stop_token stop) {
  while (!stop.stop_requested() && take(next(stop))) {}
}

std::uint64_t watcher::missed() const noexcept { return state_->ticks.missed(); }

}  // namespace computelocator
