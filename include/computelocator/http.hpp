// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <computelocator/error.hpp>
#include <computelocator/outcome.hpp>
#include <computelocator/secret.hpp>
#include <computelocator/target.hpp>

namespace computelocator {

/// What one answer may cost. Passing a limit ends the connection; nothing is drained.
struct http_limits {
  std::size_t max_header_bytes = std::size_t{16} << 10;
  std::size_t max_body_bytes = std::size_t{64} << 20;        ///< as sent, of a 200
  std::size_t max_error_body_bytes = std::size_t{16} << 10;  ///< as sent, of any other status
  /// Chunk lines, chunk extensions and trailers beside what the chunks' own bytes explain.
  std::size_t max_framing_excess = std::size_t{16} << 10;
  int max_interim_answers = 5;                               ///< 1xx before the answer
};

/// A body that is taken as it comes, whatever it comes to: of a 200, sent without an encoding. Other
/// answers come whole, as ever.
struct http_stream {
  /// Takes a piece of the body; first an empty one, once the header is read. False: no more is
  /// wanted, the connection is closed and the answer is errc::cancelled. Empty function: no stream.
  std::function<bool(std::string_view piece)> sink;
  std::chrono::milliseconds idle{60'000};  ///< from the header on, without a byte: errc::timed_out
};

/// One GET.
struct http_request {
  computelocator::scheme scheme = computelocator::scheme::https;
  std::string host;             ///< name or address, IPv6 without brackets
  std::uint16_t port = 443;
  std::string path = "/";       ///< path and query, percent-encoded
  std::string accept;
  bool gzip = true;             ///< offer gzip; the body comes as it was sent
  std::shared_ptr<const computelocator::access> access;  ///< may be null
  std::string pin;              ///< with tls_mode::pin: the key expected; empty: take the first
  secret token;                 ///< sent as bearer token to a verified or pinned peer alone
  http_limits limits;
  std::size_t expected_bytes = 0;                  ///< of a 200's body: memory that is had at once
  std::string memory;                              ///< what it is put into, in place of what was in it
  /// Asked before the body of a 200 gets memory beyond expected_bytes; false ends it with errc::too_large.
  std::function<bool(std::size_t bytes)> may_hold;
  std::chrono::steady_clock::time_point deadline;  ///< absolute; covers name resolution
  http_stream stream;           ///< with a sink `deadline` is that of the header alone
};

/// What came of it. `failure` is about the transport: any status is an answer.
struct http_answer {
  std::optional<error> failure;  ///< `where` is left to the caller
  stage reached = stage::queued; ///< where it failed, or stage::body
  int status = 0;
  std::string content_type;
  std::string content_encoding;  ///< "" or "gzip"; others are a failure
  std::string retry_after;
  std::string location;          ///< never followed
  std::string body;              ///< as sent, whole; of an error answer perhaps only its start
  std::string peer_pin;          ///< sha256 of the peer's public key, hex; empty without TLS
  std::uint64_t wire_bytes = 0;  ///< of header, framing and body
  bool reused = false;           ///< on a connection that was kept
  std::chrono::nanoseconds resolve_time{}, connect_time{}, tls_time{}, first_byte_time{}, body_time{};
};

/// Carries out requests, many at once, on the thread that calls run(). Keeps connections for the
/// next request to the same peer with the same access. Follows no redirect, retries only a kept
/// connection that the peer closed before a byte of the answer.
class http_client {
 public:
  using handler = std::function<void(http_answer)>;
  using clock = std::chrono::steady_clock;

  http_client();
  http_client(http_client&&) noexcept;
  http_client& operator=(http_client&&) noexcept;
  ~http_client();

  /// Begins; `done` is called once, from run(). Call from `done` or between runs.
  void get(http_request request, handler done);

  /// Works until `until`, or until `until` has passed or nothing is under way.
  void run(clock::time_point until);
  /// Runs `work` on the thread of run(), soon. The one call that is safe from other threads;
  /// run() keeps waiting for it while hold() is in force.
  void post(std::function<void()> work);
  /// While held, run() goes on though no request is under way.
  void hold(bool on);
  /// Has run() return as soon as it can, whatever is under way. Call from `done`, `work` or a sink.
  void leave();

  std::size_t under_way() const noexcept;
  std::size_t kept_connections() const noexcept;
  /// Ends every request with errc::cancelled and closes their sockets.
  void cancel();
  void close_kept();
  /// Those to one peer, whoever asked; those that were not used since `at`.
  void close_kept(const std::string& host, std::uint16_t port);
  void close_kept(clock::time_point at);

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace computelocator
