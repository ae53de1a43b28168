// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/error.hpp>
#include <computelocator/secret.hpp>

namespace computelocator {

enum class scheme : std::uint8_t { https, http };

/// How the peer's certificate is judged.
enum class tls_mode : std::uint8_t {
  verify,   ///< issuer and name are checked; the default
  pin,      ///< the peer's public key must be the pinned one, or is taken at first use and then held
  insecure  ///< nothing is checked; a client certificate is sent, a token never
};

struct tls_settings {
  tls_mode mode = tls_mode::verify;
  std::string ca_pem;         ///< certificates trusted; empty: the system's
  std::string ca_file;        ///< read again when a handshake finds it changed; beside ca_pem, ca_pem wins
  std::string server_name;    ///< checked and sent as SNI in place of the host; empty: the host
  std::string pin;            ///< sha256 of the peer's SubjectPublicKeyInfo, lower-case hex; empty with `pin`: first use
};

/// A program that gives a credential (client.authentication.k8s.io), as a kubeconfig names it.
struct exec_plugin {
  std::string where;                 ///< what messages call it
  std::vector<std::string> command;  ///< the program and its arguments
  std::vector<std::pair<std::string, std::string>> environment;  ///< set beside our own
  std::string api_version;           ///< "client.authentication.k8s.io/v1" or "/v1beta1"
  std::string install_hint;          ///< shown where the program is missing
};

/// Who we are to a peer. A token goes only to a peer that is verified or pinned,
/// never over plain HTTP.
struct credentials {
  secret token;                    ///< bearer token given as text
  std::string token_file;          ///< read again at most every 60 s, and once after a 401
  std::string client_certificate_pem;
  secret client_key_pem;
  std::string client_certificate_file;  ///< read again when a handshake finds it changed; empty: the text alone
  std::string client_key_file;
  std::shared_ptr<const exec_plugin> exec;  ///< gives what stands above; run by whoever asks the API server
  std::string username;            ///< basic authentication
  secret password;
};

/// How a proxy is asked for a way to the peer.
enum class proxy_protocol : std::uint8_t {
  http,   ///< CONNECT of HTTP/1.1
  socks5  ///< RFC 1928, without a login; names are left to the proxy to resolve
};

/// A server that connects us to the peer: TLS to the peer runs inside, so it sees neither tokens nor pages.
struct proxy_settings {
  std::string host;  ///< name or address, IPv6 without brackets; empty: none
  std::uint16_t port = 80;
  proxy_protocol speaks = proxy_protocol::http;
};

/// Everything that targets of one kind have in common: shared, never changed.
struct access {
  tls_settings tls;
  credentials who;
  proxy_settings proxy;  ///< of https peers alone
  /// Why not to connect to an address that a host's name stands for; empty: to all of them.
  std::function<std::optional<error>(const std::string& address)> refuses;
};

/// Where to scrape: one HTTP GET that gives one page.
struct target {
  std::string node;        ///< the node's name; for other targets whatever names them
  std::string node_uid;    ///< the Node object's UID: what pins and label caches belong to
  computelocator::scheme scheme = computelocator::scheme::https;
  std::string host;        ///< name or address, IPv6 without brackets
  std::uint16_t port = 10250;
  std::string path = "/metrics/cadvisor";  ///< path and query, percent-encoded
  std::shared_ptr<const computelocator::access> access;
  std::vector<std::pair<std::string, std::string>> labels;  ///< added to each row of this target

  /// "https://host:port/path" without the query and without user information; what messages call this target.
  std::string url() const;
};

}  // namespace computelocator
