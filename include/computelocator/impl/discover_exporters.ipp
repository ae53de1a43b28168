// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/discover_exporters.hpp>
#include <computelocator/impl/discover_lists.ipp>
#include <computelocator/impl/discover_targets.ipp>

namespace computelocator {

namespace detail::discover_ {

/// Where a target's page is, as its address says it.
struct place_of_page {
  std::optional<computelocator::scheme> scheme;
  std::string host;
  std::optional<std::uint16_t> port;
  std::string path;      ///< empty: not said
  std::string instance;  ///< host and port as they were written
};

inline error no_target(std::string_view address, std::string what, std::string advice) {
  return {errc::invalid_argument, "target " + printable(address), std::move(what), std::move(advice)};
}

/// The address without a password that somebody wrote into it: it is to be named in messages.
inline std::string without_user(std::string_view address) {
  const std::size_t slashes = address.find("://");
  const std::size_t begin = slashes == std::string_view::npos ? 0 : slashes + 3;
  const std::size_t end = std::min(address.find_first_of("/?#", begin), address.size());
  const std::size_t at = address.substr(0, end).rfind('@');
  if (at == std::string_view::npos || at < begin) return std::string(address);
  return std::string(address.substr(0, begin)) + "[user]" + std::string(address.substr(at));
}

inline std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

/// What can stand in a request's first line behind GET.
inline bool is_path(std::string_view path) {
  return !path.empty() && path.front() == '/' && path.find('#') == std::string_view::npos &&
         std::all_of(path.begin(), path.end(), [](char c) { return c > 0x20 && c <= 0x7E; });
}

/// A path that stays where it is put: behind ".." of a pod's own words the API server would be asked
/// for something else, with our credential.
inline bool stays_below(std::string_view path) {
  std::string lower(path.substr(0, path.find('?')));
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  for (const std::string_view odd : {"//", "\\", "%2e", "%2f", "%5c", "%25"})
    if (lower.find(odd) != std::string::npos) return false;
  for (std::size_t at = 0; at < lower.size();) {
    const std::size_t end = std::min(lower.find('/', at), lower.size());
    const std::string_view part = std::string_view(lower).substr(at, end - at);
    if (part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

inline result<place_of_page> read_address(std::string_view address) {
  const std::string shown = without_user(address);
  place_of_page made;
  std::string_view rest = address;
  if (const std::size_t slashes = rest.find("://"); slashes != std::string_view::npos) {
    const std::string_view given = rest.substr(0, slashes);
    if (given == "https") made.scheme = scheme::https;
    else if (given == "http") made.scheme = scheme::http;
    else return no_target(shown, "has a scheme other than http and https", "write it as http://HOST:PORT/metrics");
    rest.remove_prefix(slashes + 3);
  }
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  made.path = std::string(rest.substr(end));
  if (!made.path.empty() && made.path.front() == '?') made.path.insert(0, "/");
  if (!made.path.empty() && !is_path(made.path))
    return no_target(shown, "has a path with a space, a fragment or what is not ASCII", "percent-encode it");
  if (authority.find('@') != std::string_view::npos)
    return no_target(shown, "holds a user or password, which would stand in tables and messages",
                     "give the user name and a password file as options");
  made.instance = std::string(authority);
  std::string_view port;
  bool has_port = false;
  if (!authority.empty() && authority.front() == '[') {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return no_target(shown, "has a bracket that is not closed", "write IPv6 as [::1]:9100");
    made.host = std::string(authority.substr(1, close - 1));
    const auto number = read_ip(made.host);
    if (!number || number->four() != (made.host.find(':') == std::string::npos) || made.host.find(':') == std::string::npos)
      return no_target(shown, "has no IPv6 address in its brackets", "write IPv6 as [::1]:9100");
    authority.remove_prefix(close + 1);
    has_port = !authority.empty();
    if (has_port && authority.front() != ':') return no_target(shown, "has something behind its brackets", "write IPv6 as [::1]:9100");
    if (has_port) port = authority.substr(1);
  } else {
    const std::size_t colon = authority.find(':');
    has_port = colon != std::string_view::npos;
    made.host = std::string(authority.substr(0, colon));
    if (has_port) port = authority.substr(colon + 1);
    if (port.find(':') != std::string_view::npos)
      return no_target(shown, "has more than one colon", "write IPv6 in brackets, as [::1]:9100");
    const auto of_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    };
    if (made.host.empty() || made.host.size() > 253 || !std::all_of(made.host.begin(), made.host.end(), of_name))
      return no_target(shown, "names no host", "write it as HOST:PORT or http://HOST:PORT/metrics");
  }
  if (has_port) {
    made.port = read_port(port);
    if (!made.port) return no_target(shown, "has a port that is none of 1 to 65535", "write it as HOST:PORT");
  }
  return made;
}

inline const std::string* label_of(const target_labels& in, std::string_view name) {
  for (const auto& [key, value] : in)
    if (key == name) return &value;
  return nullptr;
}

/// "a=1&b=2" of the labels `__param_a` and `__param_b`.
inline std::string params_of(const target_labels& labels) {
  constexpr std::string_view prefix = "__param_";
  std::string query;
  for (const auto& [key, value] : labels)
    if (key.starts_with(prefix) && key.size() > prefix.size())
      query += (query.empty() ? "" : "&") + encode(std::string_view(key).substr(prefix.size())) + "=" + encode(value);
  return query;
}

inline void add_query(std::string& path, const std::string& query) {
  if (!query.empty()) path += (path.find('?') == std::string::npos ? "?" : "&") + query;
}

/// What a target is told from others by: caches of label sets belong to it.
inline std::string identity_of(const target& of) {
  std::string text = of.url() + "?" + of.path;
  for (const auto& [key, value] : of.labels) text += '\0' + key + '\0' + value;
  return text;
}

constexpr std::string_view annotated = "prometheus.io/";

inline result<target> target_of(const pod& of, const cluster_config& cluster, const pod_route_options& options,
                                const std::shared_ptr<const access>& directly) {
  const std::string where = "pod " + printable(of.namespace_name) + "/" + printable(of.name);
  const auto annotation = [&](std::string_view name) -> const std::string* {
    const auto found = of.annotations.find(std::string(annotated) + std::string(name));
    return found == of.annotations.end() || found->second.empty() ? nullptr : &found->second;
  };
  const auto nonsense = [&](std::string_view name, const char* what, std::string advice) {
    return error{errc::invalid_argument, where,
                 "its annotation " + std::string(annotated) + std::string(name) + " " + what, std::move(advice)};
  };
  if (!is_label(of.namespace_name) || !is_subdomain(of.name))
    return error{errc::invalid_argument, where, "has a name that no pod can have", "see `kubectl get pods -A`"};
  target made;
  made.scheme = scheme::http;
  if (const std::string* const given = annotation("scheme")) {
    if (*given != "http" && *given != "https") return nonsense("scheme", "is neither http nor https", "correct it");
    if (*given == "https") made.scheme = scheme::https;
  }
  const std::string* const port = annotation("port");
  if (port == nullptr) return nonsense("port", "is missing", "annotate the port that serves the metrics");
  const auto number = read_port(*port);
  if (!number) return nonsense("port", "is none of 1 to 65535", "annotate the number of the port");
  made.path = "/metrics";
  if (const std::string* const given = annotation("path")) {
    made.path = given->front() == '/' ? *given : "/" + *given;
    if (!is_path(made.path) || !stays_below(made.path) || made.path.size() > 2048)
      return nonsense("path", "is no plain path", "annotate one such as /metrics");
  }
  target_labels params;
  for (const auto& [key, value] : of.annotations)
    if (key.starts_with("prometheus.io/param_")) params.emplace_back("__" + key.substr(annotated.size()), value);
  add_query(made.path, params_of(params));
  const bool six = of.pod_ip.find(':') != std::string::npos;
  const std::string address = six ? "[" + of.pod_ip + "]" : of.pod_ip;
  made.node = of.namespace_name + "/" + of.name + ":" + *port;
  made.labels = {{"instance", address + ":" + *port}, {"namespace", of.namespace_name}, {"node", of.node}, {"pod", of.name}};
  const bool direct = options.route == route::direct || (options.route == route::automatic && cluster.in_cluster);
  if (!direct) {
    made.path = cluster.base_path + "/api/v1/namespaces/" + encode(of.namespace_name) + "/pods/" +
                (made.scheme == scheme::https ? "https:" : "") + encode(of.name) + ":" + *port + "/proxy" + made.path;
    made.scheme = cluster.scheme;
    made.host = cluster.host;
    made.port = cluster.port;
    made.access = cluster.access;
    return made;
  }
  if (of.pod_ip.empty() || !read_ip(of.pod_ip))
    return error{errc::address_refused, where, "has no IP address (yet)", "see `kubectl get pod -o wide`"};
  if (auto refused = check_address(of.pod_ip, where, false, options.allowed_ranges)) return std::move(*refused);
  made.host = of.pod_ip;
  made.port = *number;
  made.access = directly;
  return made;
}

}  // namespace detail::discover_

result<std::shared_ptr<const access>> exporter_access(const exporter_credentials& who) {
  using namespace detail::discover_;
  const auto refuse = [](const char* what, const char* advice) {
    return error{errc::invalid_argument, "credentials of targets", what, advice};
  };
  if (who.tls == tls_mode::pin) return refuse("keys of targets cannot be pinned", "verify them, with their CA file");
  if (!who.token_file.empty() && !who.username.empty()) return refuse("are a token and a user", "give one of them");
  if (who.username.empty() != who.password_file.empty())
    return refuse("are a user name or a password file alone", "give both");
  if (who.username.find_first_of(":\r\n") != std::string::npos)
    return refuse("have a user name with a colon or a line break", "no such user can be sent");
  if (who.client_certificate_file.empty() != who.client_key_file.empty())
    return refuse("are a client certificate or its key alone", "give both");
  if (who.tls == tls_mode::insecure && (!who.token_file.empty() || !who.username.empty()))
    return refuse("would go to peers of which nothing is checked", "give the CA file that signs them");
  access made;
  made.tls.mode = who.tls;
  made.tls.server_name = who.server_name;
  for (const std::string* const file : {&who.ca_file, &who.token_file})
    if (!file->empty())
      if (auto text = read_file(*file); !text) return std::move(text).error();
  made.tls.ca_file = who.ca_file;
  made.who.token_file = who.token_file;
  if (!who.client_key_file.empty()) {
    auto certificate = read_file(who.client_certificate_file);
    if (!certificate) return std::move(certificate).error();
    auto key = read_file(who.client_key_file);
    if (!key) return std::move(key).error();
    made.who.client_certificate_pem = std::move(certificate).value();
    made.who.client_key_pem = secret(std::move(key).value());
    made.who.client_certificate_file = who.client_certificate_file;
    made.who.client_key_file = who.client_key_file;
  }
  if (!who.username.empty()) {
    auto text = read_file(who.password_file);
    if (!text) return std::move(text).error();
    while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
    made.who.username = who.username;
    made.who.password = secret(std::move(text).value());
  }
  return std::make_shared<const access>(std::move(made));
}

result<target> exporter_target(std::string_view address, const target_labels& labels,
                               const std::shared_ptr<const access>& who) {
  using namespace detail::discover_;
  auto place = read_address(address);
  if (!place) return std::move(place).error();
  target made;
  made.scheme = place->scheme.value_or(scheme::http);
  if (const std::string* const given = label_of(labels, "__scheme__"); given != nullptr && !place->scheme) {
    if (*given != "http" && *given != "https")
      return no_target(address, "has a __scheme__ that is neither http nor https", "correct the label");
    made.scheme = *given == "https" ? scheme::https : scheme::http;
  }
  made.host = place->host;
  made.port = place->port.value_or(made.scheme == scheme::https ? 443 : 80);
  made.path = "/metrics";
  if (!place->path.empty()) {
    made.path = place->path;
  } else if (const std::string* const given = label_of(labels, "__metrics_path__"); given != nullptr && !given->empty()) {
    made.path = *given;
    if (!is_path(made.path)) return no_target(address, "has a __metrics_path__ that is no path", "let it begin with / and percent-encode it");
  }
  add_query(made.path, params_of(labels));
  for (const auto& label : labels)
    if (!label.first.starts_with("__") && !label.second.empty()) made.labels.push_back(label);
  if (label_of(made.labels, "instance") == nullptr) made.labels.emplace_back("instance", place->instance);
  std::sort(made.labels.begin(), made.labels.end());
  made.node = *label_of(made.labels, "instance");
  made.access = who;
  const bool has_secret = who && (!who->who.token_file.empty() || !who->who.token.empty() || !who->who.username.empty());
  if (made.scheme == scheme::http && has_secret)
    return no_target(address, "is plain HTTP, over which anybody on the way reads a token or password",
                     "use https, or ask it without credentials, by a scrape of its own");
  made.node_uid = identity_of(made);
  return made;
}

std::vector<node_target> exporter_targets(const std::vector<target_group>& groups, const target_labels& labels,
                                          const std::shared_ptr<const access>& who) {
  using namespace detail::discover_;
  std::vector<node_target> made;
  std::set<std::string> known;
  for (const target_group& group : groups) {
    target_labels all = group.labels;
    for (const auto& label : labels)
      if (label_of(group.labels, label.first) == nullptr) all.push_back(label);
    for (const std::string& address : group.addresses) {
      auto found = exporter_target(address, all, who);
      if (found && !known.insert(found->node_uid).second) continue;
      std::string name = found ? found->node : printable(without_user(address));
      made.push_back({std::move(name), std::move(found)});
    }
  }
  return made;
}

std::shared_ptr<const access> pod_access(const pod_route_options& options) {
  access made;
  made.tls.mode = options.tls;
  made.tls.ca_file = options.ca_file;
  return std::make_shared<const access>(std::move(made));
}

std::optional<node_target> pod_target(const pod& of, const cluster_config& cluster, const pod_route_options& options,
                                      const std::shared_ptr<const access>& direct) {
  using namespace detail::discover_;
  const auto asks = of.annotations.find(std::string(annotated) + "scrape");
  if (asks == of.annotations.end() || asks->second != "true") return std::nullopt;
  if (of.phase != "Running" && of.phase != "Unknown" && !of.phase.empty()) return std::nullopt;
  auto found = target_of(of, cluster, options, direct);
  if (found) found->node_uid = identity_of(*found) + '\0' + of.uid;
  return node_target{found ? found->node : of.namespace_name + "/" + of.name, std::move(found)};
}

}  // namespace computelocator
