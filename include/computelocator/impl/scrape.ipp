// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/scrape.hpp>

namespace computelocator {

result<secret> token_store::token_for(const std::shared_ptr<const access>& who, bool again) {
  // Nothing is checked of an insecure peer: whoever answers would hold the token.
  if (!who || who->tls.mode == tls_mode::insecure) return secret();
  if (!who->who.token.empty()) return who->who.token;
  if (who->who.token_file.empty()) return secret();
  const auto at = readers_.try_emplace(who.get(), entry{who, token_reader(who->who.token_file)}).first;
  const auto now = token_reader::clock::now();
  return again ? at->second.reader.refresh(now) : at->second.reader.read(now);
}

retry_plan plan_retry(const http_answer& of, int attempt, int attempts,
                      std::chrono::milliseconds left, bool token_renewed) noexcept {
  if (of.failure) {
    const bool lost = of.failure->code == errc::connection_lost || of.failure->code == errc::truncated;
    return {lost && attempt < attempts && left.count() > 0 ? retry::at_once : retry::no, {}};
  }
  if (of.status == 401)
    return {token_renewed ? retry::no : retry::with_new_token, {}};
  if ((of.status == 429 || of.status == 503) && attempt < attempts) {
    std::int64_t seconds = 1;
    const char* const end = of.retry_after.data() + of.retry_after.size();
    const auto read = std::from_chars(of.retry_after.data(), end, seconds);
    if (read.ec == std::errc::result_out_of_range || seconds < 0 || seconds > 300) return {};
    const std::chrono::milliseconds wait(seconds * 1000);
    if (wait < left) return {retry::later, wait};
  }
  return {};
}

std::size_t ramp(std::size_t ended, std::chrono::milliseconds since, std::size_t concurrency) noexcept {
  constexpr std::size_t first = 8;
  const auto time = static_cast<std::size_t>(std::max<std::int64_t>(since.count(), 0) / 10);
  return std::min(concurrency, first + ended + time);
}

std::optional<error> status_error(const http_answer& of, std::string said) {
  if (of.status == 200) return std::nullopt;
  if (!said.empty()) said.insert(0, ": ");
  const std::string status = "HTTP status " + std::to_string(of.status);
  if (of.status >= 300 && of.status < 400)
    return error{errc::redirect_refused, {}, status + " to " + printable(of.location) + " was not followed",
                 "name the address that serves the page itself"};
  switch (of.status) {
    case 401:
      return error{errc::unauthorized, {}, status + ", not known to the peer" + said,
                   "give a valid token or client certificate"};
    case 403: return error{errc::forbidden, {}, status + ", not permitted" + said, "ask for the permission"};
    case 404: return error{errc::not_found, {}, status + said, "this peer does not serve that path"};
    case 429:
      return error{errc::too_many_requests, {}, status + said, "ask less often or with a lower concurrency"};
    default: return error{errc::http_status, {}, status + said, ""};
  }
}

/// The sweep under way: which targets are waiting, which under way, and what they may cost.
struct scraper::run : std::enable_shared_from_this<run> {
  scraper& owner;
  std::span<const target> targets;
  const scrape_events& events;
  const sweep_times times;
  std::size_t next = 0, active = 0, unreleased = 0, ended = 0;
  std::size_t in_flight = 0, reserved = 0;  // of pages not yet released, and of those under way
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  bool stopped = false;
  bool returned = false;  // sweep() has: what was posted before comes too late

  struct job {
    std::size_t index = 0;
    std::size_t reserved = 0;  // of the bytes in flight
    std::size_t wanted = 0;    // where it was put off: as much as it would have needed
    int attempt = 0;
    bool token_renewed = false;
    std::chrono::steady_clock::time_point begun, deadline;
    outcome about;
  };
  struct waiting {
    std::chrono::steady_clock::time_point due;
    std::shared_ptr<job> what;
  };
  std::vector<waiting> later;
  std::deque<std::shared_ptr<job>> put_off;  // until there is room for them
  std::vector<std::string> spare;            // memory of pages that were dealt with, for those to come

  run(scraper& from, std::span<const target> all, const scrape_events& to, const sweep_times& when)
      : owner(from), targets(all), events(to), times(when) {}

  bool finished() const { return active == 0 && put_off.empty() && (next == targets.size() || stopped); }

  bool ramping() const {
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
    return next < targets.size() && ramp(ended, since, owner.options_.concurrency) < owner.options_.concurrency;
  }

  bool fits(std::size_t bytes) const {
    // One page always gets through, whatever the budget.
    return in_flight + reserved == 0 ? active == 0 : in_flight + reserved + bytes <= owner.options_.bytes_in_flight;
  }

  std::size_t unusual() const { return owner.options_.bytes_in_flight / 8; }

  std::size_t estimate(const target& of) const {
    const auto known = owner.last_bytes_.find(of.node_uid);
    return known != owner.last_bytes_.end() ? known->second : std::min(owner.usual_bytes_, unusual());
  }

  /// When the next target may be begun.
  std::chrono::steady_clock::time_point due() const {
    return next < times.begin.size() ? times.begin[next] : std::chrono::steady_clock::time_point::min();
  }

  void fill() {
    if (returned) return;
    const auto now = std::chrono::steady_clock::now();
    const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now - begun);
    // Pages that wait for a parser count: to get more than can be parsed takes memory and no less time.
    while (!stopped && active + unreleased < ramp(ended, since, owner.options_.concurrency)) {
      // What was put off goes first where it fits. For what is not too large others wait, or it would
      // never fit.
      const auto again = std::find_if(put_off.begin(), put_off.end(), [&](const auto& each) { return fits(each->wanted); });
      if (again != put_off.end()) {
        const auto of = *again;
        put_off.erase(again);
        begin(of, of->wanted);
        continue;
      }
      const bool others = std::any_of(put_off.begin(), put_off.end(), [&](const auto& each) { return each->wanted <= unusual(); });
      if (others || next == targets.size() || due() > now || !fits(estimate(targets[next]))) break;
      const target& of = targets[next];
      auto made = std::make_shared<job>();
      made->index = next++;
      made->begun = now;
      made->deadline = std::min(now + owner.options_.timeout, times.end);
      made->about.node = of.node;
      made->about.url = of.url();
      made->about.started = std::chrono::system_clock::now();
      begin(made, estimate(of));
    }
    if (finished()) owner.client_->leave();  // run() returns at once instead of at its time
  }

  void begin(const std::shared_ptr<job>& of, std::size_t bytes) {
    of->reserved = bytes;
    of->wanted = 0;
    reserved += bytes;
    ++active;
    ask(of);
  }

  /// Memory that was mapped before need not be mapped anew. What is spare counts as in flight, too.
  std::string spare_memory(std::size_t bytes) {
    std::string found;
    for (std::string& each : spare)
      if (each.capacity() >= bytes && each.capacity() <= 2 * bytes + 4096) {
        found = std::move(each);
        std::swap(each, spare.back());
        spare.pop_back();
        break;
      }
    std::size_t held = in_flight + reserved;
    for (const std::string& each : spare) held += each.capacity();
    for (; !spare.empty() && held > owner.options_.bytes_in_flight; spare.pop_back()) held -= spare.back().capacity();
    return found;
  }

  /// Whether the page of a target that is under way may have so much memory.
  bool may_hold(job& of, std::size_t bytes) {
    const std::size_t others = in_flight + reserved - of.reserved;
    if (others != 0 && others + bytes > owner.options_.bytes_in_flight) {
      // What is unusually large comes last, and then has its memory at once: to grow is to hold twice as much.
      of.wanted = bytes <= unusual() ? bytes : std::max(bytes, owner.options_.limits.max_body_bytes);
      return false;
    }
    reserved += bytes - of.reserved;
    of.reserved = bytes;
    return true;
  }

  void ask(std::shared_ptr<job> of) {
    const target& at = targets[of->index];
    ++of->about.attempts;
    ++of->attempt;
    auto token = owner.tokens_.token_for(at.access, false);
    if (!token) {
      http_answer none;
      none.failure = std::move(token).error();
      finish(*of, std::move(none));
      return;
    }
    http_request request;
    request.scheme = at.scheme;
    request.host = at.host;
    request.port = at.port;
    request.path = at.path;
    request.accept = owner.options_.accept;
    request.gzip = owner.options_.gzip;
    request.access = at.access;
    request.limits = owner.options_.limits;
    request.expected_bytes = of->reserved;
    request.memory = spare_memory(of->reserved);
    if (const std::size_t has = request.memory.capacity(); has > of->reserved) {
      reserved += has - of->reserved;
      of->reserved = has;
    }
    request.may_hold = [this, of = of.get()](std::size_t bytes) { return may_hold(*of, bytes); };
    request.deadline = of->deadline;
    request.token = std::move(token).value();
    if (at.access && at.access->tls.mode == tls_mode::pin) {
      const auto held = owner.pins_.find(at.node_uid);
      request.pin = !at.access->tls.pin.empty() ? at.access->tls.pin
                    : held != owner.pins_.end() ? held->second : std::string();
    }
    owner.client_->get(std::move(request), [self = shared_from_this(), of](http_answer answer) {
      self->answered(of, std::move(answer));
    });
  }

  void answered(const std::shared_ptr<job>& of, http_answer answer) {
    const auto now = std::chrono::steady_clock::now();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(of->deadline - now);
    const target& at = targets[of->index];
    // Held from the first handshake on, whatever was answered: the token has been shown to that key.
    if (at.access && at.access->tls.mode == tls_mode::pin && !at.node_uid.empty() && !answer.peer_pin.empty() &&
        !(answer.failure && answer.failure->code == errc::tls_pin_mismatch))
      owner.pins_.try_emplace(at.node_uid, answer.peer_pin);
    if (!stopped && of->wanted != 0 && left.count() > 0) {
      --of->attempt;
      reserved -= of->reserved;
      --active;
      put_off.push_back(of);
      owner.client_->post([self = shared_from_this()] { self->fill(); });
      return;
    }
    // Descriptors come free as other targets end: wait for one, as long as there is time.
    constexpr std::chrono::milliseconds pause(50);
    if (!stopped && answer.failure && answer.failure->code == errc::out_of_descriptors && pause < left) {
      --of->attempt;
      later.push_back({now + pause, of});
      return;
    }
    const retry_plan plan = stopped ? retry_plan{}
                                    : plan_retry(answer, of->attempt, owner.options_.attempts, left,
                                                 of->token_renewed || !at.access || at.access->who.token_file.empty());
    switch (plan.what) {
      case retry::no: break;
      case retry::at_once: ask(of); return;
      case retry::with_new_token:
        of->token_renewed = true;
        if (owner.tokens_.token_for(at.access, true)) {
          ask(of);
          return;
        }
        break;
      case retry::later: later.push_back({now + plan.after, of}); return;
    }
    finish(*of, std::move(answer));
  }

  void finish(job& of, http_answer answer) {
    const target& at = targets[of.index];
    outcome& about = of.about;
    about.reached = answer.reached;
    about.http_status = answer.status;
    about.wire_bytes = answer.body.empty() ? answer.wire_bytes : answer.body.size();
    about.peer_pin = answer.peer_pin;
    about.resolve_time = answer.resolve_time;
    about.connect_time = answer.connect_time;
    about.tls_time = answer.tls_time;
    about.first_byte_time = answer.first_byte_time;
    about.body_time = answer.body_time;
    about.took = std::chrono::steady_clock::now() - of.begun;
    std::optional<error> failure = std::move(answer.failure);
    if (!failure) {
      const auto& describe = owner.options_.describe;
      std::string_view body = answer.body;
      while (!body.empty() && body.back() == '\n') body.remove_suffix(1);
      failure = status_error(answer, describe ? describe(body) : printable(body));
      if (failure) about.reached = stage::status;
    }
    const std::size_t held = answer.body.capacity();
    reserved -= of.reserved;
    --active;
    ++ended;
    if (failure) {
      if (failure->where.empty()) failure->where = about.node + " (" + about.url + ")";
      about.failure = std::move(failure);
      events.on_failure(of.index, std::move(about));
    } else {
      // The next page may be a little larger, and is not to be copied for that.
      const std::size_t next_time = answer.body.size() + answer.body.size() / 8 + 4096;
      owner.last_bytes_[at.node_uid] = next_time;
      // On average, or one huge page would let few of the unknown ones begin.
      constexpr std::size_t least = std::size_t{1} << 20;
      owner.usual_bytes_ = std::max(least, owner.usual_bytes_ - owner.usual_bytes_ / 8 + next_time / 8);
      in_flight += held;
      ++unreleased;
      scraped_page page{std::move(answer.body), held, answer.content_encoding == "gzip",
                        std::move(answer.content_type), std::chrono::system_clock::now()};
      events.on_page(of.index, std::move(page), std::move(about));
    }
    // From the loop, so that a row of instant failures does not nest calls.
    owner.client_->post([self = shared_from_this()] { self->fill(); });
  }

  void wake(std::chrono::steady_clock::time_point now) {
    std::vector<std::shared_ptr<job>> due;
    std::erase_if(later, [&](waiting& each) {
      if (each.due > now && !stopped) return false;
      due.push_back(std::move(each.what));
      return true;
    });
    for (auto& each : due) {
      if (stopped) finish(*each, cancelled());
      else ask(std::move(each));
    }
    std::vector<std::shared_ptr<job>> over;
    std::erase_if(put_off, [&](std::shared_ptr<job>& each) {
      if (each->deadline > now && !stopped) return false;
      over.push_back(std::move(each));
      return true;
    });
    for (auto& each : over) {
      ++active;
      each->reserved = 0;
      finish(*each, stopped ? cancelled() : no_room());
    }
    fill();
  }

  static http_answer cancelled() {
    http_answer none;
    none.failure = error{errc::cancelled, {}, "cancelled", ""};
    return none;
  }

  static http_answer no_room() {
    http_answer none;
    none.reached = stage::body;
    none.failure = error{errc::timed_out, {}, "the deadline passed before there was room for its page",
                         "raise bytes_in_flight, or lower the concurrency"};
    return none;
  }

  void stop() {
    if (stopped) return;
    stopped = true;
    owner.client_->cancel();
    wake({});
    for (; next < targets.size(); ++next) {
      outcome about;
      about.node = targets[next].node;
      about.url = targets[next].url();
      about.failure = cancelled().failure;
      about.failure->where = about.node + " (" + about.url + ")";
      events.on_failure(next, std::move(about));
    }
    if (finished()) owner.client_->leave();
  }
};

scraper::scraper(http_client& client, scrape_options options)
    : client_(&client), options_(std::move(options)) {}

void scraper::sweep(std::span<const target> targets, const scrape_events& events,
                    std::stop_token stop, const sweep_times& times) {
  const auto running = std::make_shared<run>(*this, targets, events, times);
  running_ = running;
  client_->hold(true);
  const std::stop_callback on_stop(stop, [this, weak = std::weak_ptr<run>(running)] {
    client_->post([weak] {
      if (const auto still = weak.lock()) still->stop();
    });
  });
  running->fill();
  while (!running->finished()) {
    const auto now = std::chrono::steady_clock::now();
    const bool busy = !running->later.empty() || !running->put_off.empty() || running->ramping();
    const auto until = now + std::chrono::milliseconds(busy ? 10 : 100);
    client_->run(running->due() > now ? std::min(until, running->due()) : until);
    running->wake(std::chrono::steady_clock::now());
    if (events.tick) events.tick();
  }
  running->returned = true;
  client_->hold(false);
  if (last_bytes_.size() > 2 * targets.size() + 100) last_bytes_.clear();  // most are of nodes that are gone
}

void scraper::release(std::size_t held, std::string memory) {
  client_->post([weak = running_, held, memory = std::move(memory)]() mutable {
    const auto still = weak.lock();
    if (!still) return;
    still->in_flight -= std::min(held, still->in_flight);
    still->unreleased -= std::min<std::size_t>(1, still->unreleased);
    if (memory.capacity() > 4096) still->spare.push_back(std::move(memory));
    still->fill();
  });
}

}  // namespace computelocator
