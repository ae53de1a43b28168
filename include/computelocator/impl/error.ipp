// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <computelocator/error.hpp>

namespace computelocator {

std::string_view to_string(errc code) noexcept {
  switch (code) {
    case errc::invalid_argument: return "invalid_argument";
    case errc::no_configuration: return "no_configuration";
    case errc::bad_configuration: return "bad_configuration";
    case errc::unsupported: return "unsupported";
    case errc::json_malformed: return "json_malformed";
    case errc::expired_list: return "expired_list";
    case errc::address_refused: return "address_refused";
    case errc::resolve_failed: return "resolve_failed";
    case errc::connect_refused: return "connect_refused";
    case errc::connect_failed: return "connect_failed";
    case errc::timed_out: return "timed_out";
    case errc::cancelled: return "cancelled";
    case errc::connection_lost: return "connection_lost";
    case errc::out_of_descriptors: return "out_of_descriptors";
    case errc::tls_untrusted: return "tls_untrusted";
    case errc::tls_expired: return "tls_expired";
    case errc::tls_wrong_name: return "tls_wrong_name";
    case errc::tls_pin_mismatch: return "tls_pin_mismatch";
    case errc::tls_client_certificate: return "tls_client_certificate";
    case errc::tls_protocol: return "tls_protocol";
    case errc::http_malformed: return "http_malformed";
    case errc::redirect_refused: return "redirect_refused";
    case errc::unauthorized: return "unauthorized";
    case errc::forbidden: return "forbidden";
    case errc::not_found: return "not_found";
    case errc::too_many_requests: return "too_many_requests";
    case errc::http_status: return "http_status";
    case errc::truncated: return "truncated";
    case errc::too_large: return "too_large";
    case errc::bad_encoding: return "bad_encoding";
    case errc::bad_content_type: return "bad_content_type";
    case errc::page_refused: return "page_refused";
    case errc::query_failed: return "query_failed";
    case errc::file_failed: return "file_failed";
  }
  return "unknown";
}

std::string error::message() const {
  std::string text;
  if (!where.empty()) text = where + ": ";
  text += what;
  if (!advice.empty()) text += "; " + advice;
  return text;
}

namespace detail::error_ {

/// Length of the well-formed UTF-8 sequence at the front of `text`, its code point in `point`; 0: none.
inline std::size_t decode(std::string_view text, std::uint32_t& point) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80) { point = first; return 1; }
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  point = first & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return 0;
    point = point << 6 | (byte(i) & 0x3Fu);
  }
  if ((length == 3 && point < 0x800) || (length == 4 && point < 0x10000) || point > 0x10FFFF ||
      (point >= 0xD800 && point <= 0xDFFF)) return 0;
  return length;
}

inline bool disturbs(std::uint32_t point) noexcept {
  return point == 0x61C || point == 0x200E || point == 0x200F ||
         (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) ||
         point == 0xFEFF;
}

}  // namespace detail::error_

std::string printable(std::string_view peer, std::size_t limit) {
  constexpr char hex[] = "0123456789abcdef";
  std::string text;
  std::size_t at = 0;
  while (at < peer.size()) {
    std::uint32_t point = 0;
    const std::size_t length = detail::error_::decode(peer.substr(at), point);
    // Cut on a whole character, so that the cut itself is not taken for damage.
    if (at + (length == 0 ? 1 : length) > limit) { text += "..."; break; }
    if (length == 0 || point < 0x20 || (point >= 0x7F && point < 0xA0)) {
      const unsigned value = length == 0 ? static_cast<unsigned char>(peer[at]) : point;
      text += "\\x";
      text += hex[value >> 4 & 15u];
      text += hex[value & 15u];
    } else if (detail::error_::disturbs(point)) {
      text += "\\u{";
      for (int shift = 12; shift >= 0; shift -= 4) text += hex[point >> shift & 15u];
      text += '}';
    } else {
      text += peer.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
  return text;
}

}  // namespace computelocator
