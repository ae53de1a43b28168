// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
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
  std::size_t next = 0, active = 0, in_flight = 0, estimated = 0;
  bool stopped = false;

  struct job {
    std::size_t index = 0;
    std::size_t estimate = 0;
    int attempt = 0;
    bool token_renewed = false;
    std::chrono::steady_clock::time_point deadline;
    outcome about;
  };
  struct waiting {
    std::chrono::steady_clock::time_point due;
    std::shared_ptr<job> what;
  };
  std::vector<waiting> later;

  run(scraper& from, std::span<const target> all, const scrape_events& to)
      : owner(from), targets(all), events(to) {}

  bool finished() const { return active == 0 && (next == targets.size() || stopped); }

  void fill() {
    while (!stopped && next < targets.size() && active < owner.options_.concurrency) {
      const target& of = targets[next];
      const auto known = owner.last_bytes_.find(of.node_uid);
      const std::size_t estimate =
          known == owner.last_bytes_.end() ? std::size_t{1} << 20 : known->second;
      // One page always gets through, whatever the budget.
      if (active > 0 && in_flight + estimated + estimate > owner.options_.bytes_in_flight) break;
      if (active == 0 && in_flight > owner.options_.bytes_in_flight) break;
      auto begun = std::make_shared<job>();
      begun->index = next++;
      begun->estimate = estimate;
      begun->deadline = std::chrono::steady_clock::now() + owner.options_.timeout;
      begun->about.node = of.node;
      begun->about.url = of.url();
      begun->about.started = std::chrono::system_clock::now();
      estimated += estimate;
      ++active;
      ask(std::move(begun));
    }
    if (finished()) owner.client_->hold(false);  // run() returns at once instead of at its time
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
    request.accept = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
    request.gzip = owner.options_.gzip;
    request.access = at.access;
    request.limits = owner.options_.limits;
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
    std::optional<error> failure = std::move(answer.failure);
    if (!failure) {
      const auto& describe = owner.options_.describe;
      std::string_view body = answer.body;
      while (!body.empty() && body.back() == '\n') body.remove_suffix(1);
      failure = status_error(answer, describe ? describe(body) : printable(body));
      if (failure) about.reached = stage::status;
    }
    estimated -= of.estimate;
    --active;
    if (failure) {
      if (failure->where.empty()) failure->where = about.node + " (" + about.url + ")";
      about.failure = std::move(failure);
      events.on_failure(of.index, std::move(about));
    } else {
      owner.last_bytes_[at.node_uid] = answer.body.size();
      in_flight += answer.body.size();
      scraped_page page{std::move(answer.body), answer.content_encoding == "gzip",
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
  }

  static http_answer cancelled() {
    http_answer none;
    none.failure = error{errc::cancelled, {}, "cancelled", ""};
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
    if (finished()) owner.client_->hold(false);
  }
};

scraper::scraper(http_client& client, scrape_options options)
    : client_(&client), options_(std::move(options)) {}

void scraper::sweep(std::span<const target> targets, const scrape_events& events,
                    std::stop_token stop) {
  const auto running = std::make_shared<run>(*this, targets, events);
  running_ = running;
  client_->hold(true);
  const std::stop_callback on_stop(stop, [this, weak = std::weak_ptr<run>(running)] {
    client_->post([weak] {
      if (const auto still = weak.lock()) still->stop();
    });
  });
  running->fill();
  while (!running->finished()) {
    client_->run(std::chrono::steady_clock::now() + std::chrono::milliseconds(
        running->later.empty() ? 100 : 20));
    running->wake(std::chrono::steady_clock::now());
    if (events.tick) events.tick();
  }
  client_->hold(false);
}

void scraper::release(std::size_t bytes) {
  client_->post([weak = running_, bytes] {
    const auto still = weak.lock();
    if (!still) return;
    still->in_flight -= std::min(bytes, still->in_flight);
    still->fill();
  });
}

}  // namespace computelocator
