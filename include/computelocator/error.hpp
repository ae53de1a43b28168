// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace computelocator {

/// What went wrong, for programs. One list for every room, so that an outcome,
/// an exception and a message mean the same thing by the same word.
enum class errc : std::uint8_t {
  // configuration and discovery
  invalid_argument,    ///< an option that cannot be
  no_configuration,    ///< neither a kubeconfig nor in-cluster files
  bad_configuration,   ///< a kubeconfig, token or certificate file that cannot be used
  unsupported,         ///< asked for something that is known and not (yet) done
  json_malformed,      ///< an answer of the API server that is not what it should be
  expired_list,        ///< 410: the continue token is too old; the list starts again
  address_refused,     ///< a node address that a target must not have (loopback, link-local)
  // transport
  resolve_failed,
  connect_refused,
  connect_failed,      ///< unreachable, reset while connecting
  timed_out,           ///< the absolute deadline of the target passed
  cancelled,
  connection_lost,     ///< closed or reset before the answer was whole
  out_of_descriptors,
  // TLS
  tls_untrusted,       ///< unknown or self-signed issuer
  tls_expired,         ///< expired or not yet valid
  tls_wrong_name,      ///< the certificate is for another host
  tls_pin_mismatch,    ///< the peer's key is not the pinned one
  tls_client_certificate, ///< ours was refused, or its key does not fit
  tls_protocol,        ///< no TLS on that port, no common version, damaged records
  // HTTP
  http_malformed,
  redirect_refused,
  unauthorized,        ///< 401
  forbidden,           ///< 403
  not_found,           ///< 404
  too_many_requests,   ///< 429
  http_status,         ///< any other status but 200
  truncated,           ///< the body ended early: the page is refused whole
  too_large,           ///< a limit was passed: the page is refused whole
  bad_encoding,        ///< damaged gzip, or an encoding nobody asked for
  bad_content_type,    ///< a page of HTML, say
  // content
  page_refused,        ///< the page cannot be read under the policy asked for
  query_failed,        ///< a Prometheus server says why it has no answer
  file_failed          ///< a local file that cannot be read or written
};

/// The snake_case name of `code`, as it stands in outcome tables.
std::string_view to_string(errc code) noexcept;

/// An expected failure, as a value. `message()` reads "where: what; advice".
/// Peer text in `what` is cut at 256 bytes and escaped; secrets never get here.
struct error {
  errc code = errc::invalid_argument;
  std::string where;   ///< a file, URL, node or option
  std::string what;    ///< what is wrong, in words
  std::string advice;  ///< what to do about it; may be empty

  std::string message() const;
};

/// A value, or the error that took its place (std::expected is not in C++20).
/// Reading the side that is not there is a broken precondition.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(computelocator::error failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & noexcept { assert(has_value()); return *std::get_if<0>(&state_); }
  const T& value() const& noexcept { assert(has_value()); return *std::get_if<0>(&state_); }
  T&& value() && noexcept { assert(has_value()); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

  computelocator::error& error() & noexcept { assert(!has_value()); return *std::get_if<1>(&state_); }
  const computelocator::error& error() const& noexcept { assert(!has_value()); return *std::get_if<1>(&state_); }
  computelocator::error&& error() && noexcept { assert(!has_value()); return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, computelocator::error> state_;
};

/// For a call that gives nothing back but may fail.
inline result<std::monostate> ok() { return std::monostate{}; }

/// `peer` made safe to print: cut at `limit` bytes, with control characters,
/// DEL, C1 and bidirectional overrides escaped as \xNN or \u{NNNN}.
std::string printable(std::string_view peer, std::size_t limit = 256);

}  // namespace computelocator
