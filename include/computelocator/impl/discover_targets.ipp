// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/discover.hpp>
#include <computelocator/impl/discover_values.ipp>

namespace computelocator {

namespace detail::discover_ {

/// An address as 16 bytes; IPv4 in its v4-mapped form, so that both are judged by one rule.
struct ip {
  std::array<std::uint8_t, 16> bytes{};
  bool four() const {
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    return std::equal(mapped.begin(), mapped.end(), bytes.begin());
  }
};

inline std::optional<ip> read_ip(const std::string& text) {
  if (text.find('\0') != std::string::npos) return std::nullopt;  // where inet_pton would stop reading
  ip made;
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) {
    made.bytes[10] = made.bytes[11] = 0xFF;
    std::memcpy(made.bytes.data() + 12, &four, 4);
    return made;
  }
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) {
    std::memcpy(made.bytes.data(), &six, 16);
    return made;
  }
  return std::nullopt;
}

inline bool is_loopback(const ip& of) {
  if (of.four()) return of.bytes[12] == 127;
  return of.bytes[15] == 1 && std::all_of(of.bytes.begin(), of.bytes.begin() + 15,
                                          [](std::uint8_t x) { return x == 0; });
}

/// Why a node must not claim this address; null where it may. A node writes its own status: it
/// must not send us to ourselves or to a cloud's metadata service.
inline const char* refused_because(const ip& of) {
  const auto& b = of.bytes;
  if (is_loopback(of)) return "is a loopback address";
  if (of.four()) {
    if (b[12] == 0) return "is unspecified";
    if (b[12] == 169 && b[13] == 254) return "is link-local";
    if (b[12] >= 224) return "is multicast or reserved";
    return nullptr;
  }
  if (std::all_of(b.begin(), b.begin() + 15, [](std::uint8_t x) { return x == 0; }))
    return b[15] == 0 ? "is unspecified" : "is an IPv4-compatible address";
  if (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) return "is link-local";
  if (b[0] == 0xFF) return "is multicast";
  return nullptr;
}

inline result<bool> within(const ip& of, const std::string& range) {
  const std::size_t slash = range.find('/');
  const auto base = read_ip(range.substr(0, slash));
  int bits = -1;
  if (base && slash != std::string::npos) {
    const char* const end = range.data() + range.size();
    const auto read = std::from_chars(range.data() + slash + 1, end, bits);
    if (read.ec != std::errc{} || read.ptr != end || bits < 0 || bits > (base->four() ? 32 : 128))
      bits = -1;
  }
  if (bits < 0)
    return error{errc::invalid_argument, "allowed range",
                 "\"" + printable(range) + "\" is no range of addresses", "write it as 10.0.0.0/8"};
  if (base->four()) bits += 96;
  for (int i = 0; i < 16 && bits > 0; ++i, bits -= 8) {
    const auto mask = static_cast<std::uint8_t>(bits >= 8 ? 0xFF : 0xFF << (8 - bits));
    if ((of.bytes[static_cast<std::size_t>(i)] & mask) !=
        (base->bytes[static_cast<std::size_t>(i)] & mask))
      return false;
  }
  return true;
}

/// RFC 1123 subdomain: what Kubernetes lets a node be called.
inline bool is_subdomain(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (;;) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    const std::string_view part = name.substr(0, dot);
    if (part.empty() || part.front() == '-' || part.back() == '-' ||
        !std::all_of(part.begin(), part.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
        }))
      return false;
    if (dot == name.size()) return true;
    name.remove_prefix(dot + 1);
  }
}

inline bool is_local_name(std::string_view lower) {
  const std::size_t dot = lower.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? lower : lower.substr(dot + 1);
  return last == "localhost" || lower == "localhost.localdomain" || lower == "ip6-localhost" ||
         lower == "ip6-loopback";
}

/// Odd spellings of numbers (127.1, 0x7f000001) would slip past the rules for addresses: a name
/// whose last part is a number is none. That is how URLs are read, too.
inline bool is_host_name(std::string_view lower) {
  if (!is_subdomain(lower) || is_local_name(lower)) return false;
  std::string_view last = lower.substr(lower.rfind('.') + 1);  // npos + 1 is 0
  const bool hex = last.substr(0, 2) == "0x";
  if (hex) last.remove_prefix(2);
  return last.find_first_not_of(hex ? "0123456789abcdef" : "0123456789") != std::string_view::npos;
}

/// Where the API server itself is on this machine (a simulated cluster), so are its nodes.
inline bool is_local_cluster(const cluster_config& cluster) {
  const auto server = read_ip(cluster.host);
  return server ? is_loopback(*server) : is_local_name(cluster.host);
}

inline std::optional<error> check_address(const std::string& address, const std::string& where, bool local_cluster,
                                          const std::vector<std::string>& allowed_ranges) {
  const auto number = read_ip(address);
  bool allowed = false;
  for (const std::string& range : allowed_ranges) {
    auto inside = within(number.value_or(ip{}), range);
    if (!inside) return std::move(inside).error();
    allowed = allowed || (number && *inside);
  }
  if (!number) {
    std::string lower = address;
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (is_host_name(lower)) return std::nullopt;
    return error{
        errc::address_refused, where,
        "its address " + printable(address) + " is neither an IP address nor a host's name",
        "correct the node's addresses, or go through the API server"};
  }
  const char* const why = refused_because(*number);
  if (why == nullptr || allowed || (is_loopback(*number) && local_cluster))
    return std::nullopt;
  return error{errc::address_refused, where,
               "its address " + printable(address) + " " + why + " and is refused",
               "if it is meant, allow its range (allowed_ranges)"};
}

/// The rule for pins is told here once, and not as a mismatch at every handshake.
inline bool is_pin(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

inline std::string with_query(std::string path, const route_options& options) {
  const std::vector<std::string_view> names(options.metrics.begin(), options.metrics.end());
  const std::string query = metrics_query(names);
  return query.empty() ? path : std::move(path) + "?" + query;
}

inline result<target> target_of(const node& of, const cluster_config& cluster,
                                const route_options& options,
                                std::shared_ptr<const access> kubelets) {
  const std::string where = "node " + printable(of.name);
  if (!is_subdomain(of.name))
    return error{errc::address_refused, where, "has a name that no node can have",
                 "see `kubectl get nodes`"};
  if (cluster.access == nullptr)
    return error{errc::invalid_argument, where, "the cluster's configuration holds no access",
                 "take one that find_cluster() gave"};
  constexpr std::string_view paths[] = {"/metrics/cadvisor", "/metrics", "/metrics/resource",
                                        "/metrics/probes", "/stats/summary"};
  if (std::find(std::begin(paths), std::end(paths), options.path) == std::end(paths))
    return error{errc::invalid_argument, "path",
                 "\"" + printable(options.path) + "\" is none of the kubelet's metrics paths",
                 "take /metrics/cadvisor"};
  target made;
  made.node = of.name;
  made.node_uid = of.uid;
  const bool direct =
      options.route == route::direct || (options.route == route::automatic && cluster.in_cluster);
  if (!direct) {
    made.scheme = cluster.scheme;
    made.host = cluster.host;
    made.port = cluster.port;
    made.access = cluster.access;
    made.path = with_query(
        cluster.base_path + "/api/v1/nodes/" + encode(of.name) + "/proxy" + options.path, options);
    return made;
  }
  const std::string* address = nullptr;
  for (const std::string& type : options.address_types) {
    for (const node_address& each : of.addresses)
      if (address == nullptr && each.type == type && !each.address.empty()) address = &each.address;
  }
  if (address == nullptr)
    return error{
        errc::address_refused, where, "has no address of the types asked for",
        "see `kubectl get node " + printable(of.name) + " -o yaml`, or go through the API server"};
  if (auto refused = check_address(*address, where, is_local_cluster(cluster), options.allowed_ranges)) return std::move(*refused);
  if (options.tls == tls_mode::pin) {
    const auto pin = options.pins.find(of.uid);
    if (pin != options.pins.end() && !is_pin(pin->second))
      return error{errc::invalid_argument, where, "its pin is no sha256 in lower-case hex",
                   "give the 64 digits of the sha256 of the key"};
  }
  made.scheme = scheme::https;
  made.host = *address;
  made.port = of.kubelet_port != 0 ? of.kubelet_port : 10250;
  made.path = with_query(options.path, options);
  made.access = std::move(kubelets);
  return made;
}

inline std::shared_ptr<const access> pinned(const access& all, const node& of,
                                            const route_options& options) {
  const auto pin = options.pins.find(of.uid);
  if (options.tls != tls_mode::pin || pin == options.pins.end()) return nullptr;
  access own = all;
  own.tls.pin = pin->second;
  return std::make_shared<const access>(std::move(own));
}

/// FNV-1a over both names, then the finalizer of splitmix64, so that one letter moves every bit.
inline std::uint64_t claim(std::string_view collector, std::string_view node) noexcept {
  std::uint64_t hash = 0xCBF29CE484222325u;
  const auto take = [&hash](unsigned char byte) { hash = (hash ^ byte) * 0x100000001B3u; };
  for (const char c : collector) take(static_cast<unsigned char>(c));
  take(0);
  for (const char c : node) take(static_cast<unsigned char>(c));
  hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
  return hash ^ hash >> 31;
}

}  // namespace detail::discover_

result<std::monostate> check(const node_share& share) {
  if (share.all.empty() && share.me.empty()) return ok();
  const auto among = std::count(share.all.begin(), share.all.end(), share.me);
  if (among == 0)
    return error{errc::invalid_argument, "share", "\"" + printable(share.me) + "\" is not among the names of all collectors",
                 "name this collector there, too"};
  std::vector<std::string> sorted = share.all;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
    return error{errc::invalid_argument, "share", "\"" + printable(*twice) + "\" stands there twice",
                 "give each collector a name of its own"};
  return ok();
}

double place_in_interval(std::string_view node_uid) noexcept {
  return static_cast<double>(detail::discover_::claim({}, node_uid) >> 11) * 0x1p-53;
}

bool in_share(const node_share& share, std::string_view node) noexcept {
  using detail::discover_::claim;
  const std::uint64_t mine = claim(share.me, node);
  return std::none_of(share.all.begin(), share.all.end(), [&](const std::string& other) {
    const std::uint64_t theirs = claim(other, node);
    return theirs > mine || (theirs == mine && other < share.me);
  });
}

std::shared_ptr<const access> kubelet_access(const cluster_config& cluster,
                                             const route_options& options) {
  access made;
  // Without one, target_of() says what is amiss.
  if (cluster.access == nullptr) return std::make_shared<const access>();
  made.who = cluster.access->who;
  // Kubelets know no passwords: it would be shown to every node for nothing.
  made.who.username.clear();
  made.who.password = {};
  made.tls.mode = options.tls;
  if (!options.ca_pem.empty()) {
    made.tls.ca_pem = options.ca_pem;
  } else {
    made.tls.ca_pem = cluster.access->tls.ca_pem;
    made.tls.ca_file = cluster.access->tls.ca_file;
  }
  made.refuses = [local = detail::discover_::is_local_cluster(cluster),
                  ranges = options.allowed_ranges](const std::string& address) {
    return detail::discover_::check_address(address, {}, local, ranges);
  };
  return std::make_shared<const access>(std::move(made));
}

result<target> kubelet_target(const node& of, const cluster_config& cluster,
                              const route_options& options) {
  using namespace detail::discover_;
  auto shared = options.access ? options.access : kubelet_access(cluster, options);
  auto own = pinned(*shared, of, options);
  return target_of(of, cluster, options, own ? std::move(own) : std::move(shared));
}

std::vector<node_target> kubelet_targets(std::span<const node> nodes, const cluster_config& cluster,
                                         const route_options& options) {
  using namespace detail::discover_;
  const auto shared = options.access ? options.access : kubelet_access(cluster, options);
  std::vector<node_target> made;
  made.reserve(nodes.size());
  for (const node& each : nodes) {
    auto own = pinned(*shared, each, options);
    made.push_back({each.name, target_of(each, cluster, options, own ? std::move(own) : shared)});
  }
  return made;
}

}  // namespace computelocator
