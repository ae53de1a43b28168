// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// How a proxy is asked for a way to the peer: by CONNECT of HTTP/1.1 (RFC 9110, 9.3.6) or by SOCKS 5 (RFC 1928).

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <computelocator/http.hpp>
#include <computelocator/impl/http_tls.hpp>

namespace computelocator::detail::http_ {

/// The proxy of a request; null where it goes straight to its peer.
inline const proxy_settings* proxy_of(const http_request& of) {
  return of.access && !of.access->proxy.host.empty() ? &of.access->proxy : nullptr;
}

inline std::string authority(const std::string& host, std::uint16_t port) {
  return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

inline constexpr const char* proxy_advice = "check proxy-url, and whom the proxy lets through";
inline constexpr const char* proxy_login_advice = "use one that asks for none";

/// Why CONNECT made no tunnel, to be read behind the proxy's name; empty where there is one.
inline std::optional<error> connect_refusal(std::string_view said) {
  const std::size_t end = said.find("\r\n\r\n");
  if (end == std::string_view::npos)
    return error{errc::connection_lost, {}, "did not answer CONNECT", proxy_advice};
  const std::string_view line = said.substr(0, said.find("\r\n"));
  if (!line.starts_with("HTTP/1.") || line.size() < 12)
    return error{errc::http_malformed, {}, "does not speak HTTP/1.1", proxy_advice};
  if (line.substr(9, 3) == "407")
    return error{errc::unauthorized, {}, "asks for a login, which is not supported", proxy_login_advice};
  if (line.substr(8, 2) != " 2")
    return error{errc::connect_failed, {}, "answered CONNECT with " + printable(line.substr(9)), proxy_advice};
  // Of TLS the peer says nothing before we do.
  if (said.size() > end + 4)
    return error{errc::http_malformed, {}, "sent more than an answer to CONNECT", proxy_advice};
  return std::nullopt;
}

inline asio::awaitable<std::optional<error>> ask_connect(asio::ip::tcp::socket& socket, std::string whom, std::size_t most) {
  const std::string text = "CONNECT " + whom + " HTTP/1.1\r\nHost: " + whom + "\r\nUser-Agent: computelocator\r\n\r\n";
  boost::system::error_code ec;
  co_await asio::async_write(socket, asio::buffer(text), asio::redirect_error(asio::use_awaitable, ec));
  std::string said, buffer(1024, '\0');
  while (!ec && said.find("\r\n\r\n") == std::string::npos && said.size() < most) {
    const std::size_t got = co_await socket.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, ec));
    said.append(buffer, 0, got);
  }
  co_return connect_refusal(said);
}

/// The host as SOCKS 5 has it: a name is left to the proxy to resolve. Empty where it is too long.
inline std::string socks_address(const std::string& host, std::uint16_t port) {
  std::string made;
  boost::system::error_code none;
  const asio::ip::address address = asio::ip::make_address(host, none);
  const auto take = [&](char kind, const auto& bytes) {
    made = kind;
    made.append(bytes.begin(), bytes.end());
  };
  if (!none && address.is_v4()) take(1, address.to_v4().to_bytes());
  else if (!none) take(4, address.to_v6().to_bytes());
  else if (host.size() <= 255) take(3, std::string(1, static_cast<char>(host.size())) + host);
  else return made;
  made += static_cast<char>(port >> 8);
  made += static_cast<char>(port & 0xFF);
  return made;
}

/// What the proxy answered to CONNECT of SOCKS 5, to be read behind its name; empty where there is a tunnel.
inline std::optional<error> socks_refusal(unsigned char reply) {
  static constexpr std::array words = {"",
                                       "failed",
                                       "does not allow this connection",
                                       "found the network unreachable",
                                       "found the host unreachable",
                                       "was refused the connection",
                                       "gave up: too many hops",
                                       "does not know CONNECT",
                                       "does not know this kind of address"};
  if (reply == 0) return std::nullopt;
  const std::string what = reply < words.size() ? words[reply] : "answered SOCKS with " + std::to_string(reply);
  return error{errc::connect_failed, {}, what, proxy_advice};
}

inline asio::awaitable<std::optional<error>> ask_socks(asio::ip::tcp::socket& socket, const std::string& host, std::uint16_t port) {
  const error silent{errc::connection_lost, {}, "did not answer SOCKS", proxy_advice};
  const error other{errc::http_malformed, {}, "does not speak SOCKS 5", proxy_advice};
  const std::string address = socks_address(host, port);
  if (address.empty()) co_return error{errc::invalid_argument, {}, "takes no name of more than 255 bytes", "shorten it"};
  boost::system::error_code ec;
  std::array<unsigned char, 262> said{};
  const auto read = [&](std::size_t from, std::size_t count) {
    return asio::async_read(socket, asio::buffer(said.data() + from, count), asio::redirect_error(asio::use_awaitable, ec));
  };
  const std::string hello("\x05\x01\x00", 3);  // version 5, one way to log in: none
  co_await asio::async_write(socket, asio::buffer(hello), asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) co_await read(0, 2);
  if (ec) co_return silent;
  if (said[0] != 5) co_return other;
  if (said[1] != 0) co_return error{errc::unauthorized, {}, "asks for a login, which is not supported", proxy_login_advice};
  const std::string connect = std::string("\x05\x01\x00", 3) + address;
  co_await asio::async_write(socket, asio::buffer(connect), asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) co_await read(0, 5);
  if (ec) co_return silent;
  if (said[0] != 5) co_return other;
  if (auto refused = socks_refusal(said[1])) co_return refused;
  // The address that the proxy connects from is of no use, but stands before what the peer says.
  std::size_t rest = 2;
  if (said[3] == 1) rest += 3;
  else if (said[3] == 4) rest += 15;
  else if (said[3] == 3) rest += said[4];
  else co_return other;
  co_await read(5, rest);
  if (ec) co_return silent;
  co_return std::nullopt;
}

/// Asks the proxy at the other end of `socket` for a way to the peer; what it refuses with is to be read
/// behind its name. Of CONNECT's answer at most `most` bytes are read.
inline asio::awaitable<std::optional<error>> ask_proxy(asio::ip::tcp::socket& socket, const proxy_settings& proxy,
                                                       const std::string& host, std::uint16_t port, std::size_t most) {
  if (proxy.speaks == proxy_protocol::socks5) co_return co_await ask_socks(socket, host, port);
  co_return co_await ask_connect(socket, authority(host, port), most);
}

}  // namespace computelocator::detail::http_
