// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include <computelocator/error.hpp>
#include <computelocator/http.hpp>
#include <computelocator/outcome.hpp>
#include <computelocator/target.hpp>
#include <computelocator/token.hpp>

namespace computelocator {

/// The tokens of those who ask, each file read again when it is due.
class token_store {
 public:
  /// The token to be sent with `who`; empty where there is none, or where it must not be sent.
  /// With `again` a token file is read anew, as after a 401.
  result<secret> token_for(const std::shared_ptr<const access>& who, bool again = false);

 private:
  struct entry {
    std::shared_ptr<const access> kept;
    token_reader reader;
  };
  std::map<const access*, entry> readers_;
};

struct scrape_options {
  std::chrono::milliseconds timeout{10'000};  ///< a target's, all attempts together
  std::size_t concurrency = 64;               ///< targets at once, from a few on: see ramp()
  /// Memory of pages asked for and not yet released. A page that does not fit is put off and asked for
  /// anew, as long as there is time; one that is alone may be as large as its own limit.
  std::size_t bytes_in_flight = std::size_t{512} << 20;
  int attempts = 2;                           ///< for a lost connection, 429 or 503
  bool gzip = true;
  /// Kubelets write either dialect; the older one costs them less.
  std::string accept = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
  http_limits limits;
  /// Puts the body of an error answer into words; empty: its start as it came, made printable.
  std::function<std::string(std::string_view body)> describe;
};

/// The bytes of one whole answer, as sent.
struct scraped_page {
  std::string bytes;
  std::size_t held = 0;  ///< memory that counts as in flight, for release()
  bool gzip = false;
  std::string content_type;
  std::chrono::system_clock::time_point received{};
};

/// What a failed answer calls for.
enum class retry : std::uint8_t {
  no,
  at_once,
  with_new_token,  ///< 401: the token file is read again first
  later            ///< after the time the peer asked for
};

struct retry_plan {
  computelocator::retry what = retry::no;
  std::chrono::milliseconds after{0};
};

/// How many targets may be under way at once: few at first, and with each that has ended and every ten
/// milliseconds one more, up to `concurrency`, so that a sweep does not begin with a storm of handshakes.
std::size_t ramp(std::size_t ended, std::chrono::milliseconds since, std::size_t concurrency) noexcept;

/// `attempt` counts from 1; `left` is the time to the deadline. A wait beyond it is no retry.
retry_plan plan_retry(const http_answer& of, int attempt, int attempts,
                      std::chrono::milliseconds left, bool token_renewed) noexcept;

/// The error that an answer's status is; empty for 200. `said` are the peer's words, printable.
std::optional<error> status_error(const http_answer& of, std::string said);

/// When the targets of one sweep are asked.
struct sweep_times {
  using clock = std::chrono::steady_clock;
  std::span<const clock::time_point> begin;  ///< of each target, rising; empty: as soon as there is room
  clock::time_point end = clock::time_point::max();  ///< the deadline of all, beside their timeout
};

/// Called on the thread of sweep(). Every target ends in exactly one of the first two.
struct scrape_events {
  std::function<void(std::size_t index, scraped_page page, outcome about)> on_page;
  std::function<void(std::size_t index, outcome about)> on_failure;
  std::function<void()> tick;  ///< about ten times a second
};

/// Gets the pages of many targets at once.
class scraper {
 public:
  /// `client` outlives the scraper.
  scraper(http_client& client, scrape_options options);

  /// Asks every target once and returns when all are done. Targets that are not begun, or under
  /// way, when a stop is requested end with errc::cancelled.
  void sweep(std::span<const target> targets, const scrape_events& events, std::stop_token stop = {},
             const sweep_times& times = {});

  /// A page that held so much has been dealt with; its memory may serve the next one. Safe from any thread.
  void release(std::size_t held, std::string memory = {});

  /// Keys that nodes showed under tls_mode::pin, by node UID: held from the first use on.
  std::map<std::string, std::string>& pins() noexcept { return pins_; }
  token_store& tokens() noexcept { return tokens_; }

 private:
  struct run;
  http_client* client_;
  scrape_options options_;
  token_store tokens_;
  std::map<std::string, std::string> pins_;
  std::map<std::string, std::size_t> last_bytes_;
  std::size_t usual_bytes_ = std::size_t{1} << 20;  // of a page that nobody has seen yet
  std::weak_ptr<run> running_;
};

}  // namespace computelocator
