// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

#include <computelocator/discover.hpp>
#include <computelocator/impl/discover_exec.ipp>
#include <computelocator/impl/discover_values.ipp>
#include <computelocator/impl/discover_yaml.hpp>
#include <computelocator/impl/token_file.hpp>

namespace computelocator {

namespace detail::discover_ {

inline std::optional<std::string> look_up(const environment_lookup& in, const std::string& name) {
  if (in) return in(name);
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

/// RFC 4648 with its padding: without it a cut text would pass. White space is skipped, since
/// YAML folds long lines. Empty where it is none.
inline std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0, padding = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    if (c == '=') {
      if (++padding > 2) return std::nullopt;
      continue;
    }
    int digit = 0;
    if (c >= 'A' && c <= 'Z') digit = c - 'A';
    else if (c >= 'a' && c <= 'z') digit = c - 'a' + 26;
    else if (c >= '0' && c <= '9') digit = c - '0' + 52;
    else if (c == '+') digit = 62;
    else if (c == '/') digit = 63;
    else return std::nullopt;
    if (padding != 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if (++count % 4 != 1) out += static_cast<char>(bits >> (6 - 2 * ((count - 1) % 4)) & 0xFFu);
  }
  if ((count + padding) % 4 != 0) return std::nullopt;
  return out;
}

/// One named entry of clusters, users or contexts, and the file that it stands in.
struct config_entry {
  yaml_node value;
  std::string file;
};

/// kubeconfig files merged: the first that defines a name wins it whole.
struct merged_config {
  std::map<std::string, config_entry> clusters, users, contexts;
  std::string current_context;
  std::vector<std::string> files;
};

/// `kind` is "cluster", "user" or "context": the name of the inner map, too.
inline std::optional<error> take_entries(const yaml_node& root, const std::string& kind,
                                         const std::string& file,
                                         std::map<std::string, config_entry>& to) {
  const yaml_node* const list = root.find(kind + "s");
  if (list == nullptr || list->null()) return std::nullopt;
  if (list->what != yaml_node::kind::list)
    return bad_config(printable(file), kind + "s is not a list",
                      "compare with `kubectl config view`");
  std::set<std::string> seen;
  for (const yaml_node& each : list->items) {
    const yaml_node* const name = each.find("name");
    if (name == nullptr || name->null() || name->what != yaml_node::kind::scalar ||
        name->text.empty())
      return bad_config(printable(file), "an entry of " + kind + "s has no name", "give it one");
    if (!seen.insert(name->text).second)
      return bad_config(printable(file), kind + " " + printable(name->text) + " stands there twice",
                        "take one of them out");
    const yaml_node* const value = each.find(kind);
    config_entry made{value != nullptr ? *value : yaml_node{}, file};
    if (value == nullptr || value->null()) made.value.what = yaml_node::kind::map;
    if (made.value.what != yaml_node::kind::map)
      return bad_config(printable(file), kind + " " + printable(name->text) + " is not a map",
                        "compare with `kubectl config view`");
    to.try_emplace(name->text, std::move(made));
  }
  return std::nullopt;
}

inline std::optional<error> take_file(const std::string& text, const std::string& file,
                                      merged_config& to) {
  yaml_reader reader(text);
  auto root = reader.read();
  if (!root)
    return bad_config(printable(file), root.error().where + ": " + root.error().what,
                      "compare with `kubectl config view`");
  if (root->what != yaml_node::kind::map)
    return bad_config(printable(file), "is no kubeconfig: a map is needed", "name a kubeconfig");
  if (auto failed = take_entries(*root, "cluster", file, to.clusters)) return failed;
  if (auto failed = take_entries(*root, "user", file, to.users)) return failed;
  if (auto failed = take_entries(*root, "context", file, to.contexts)) return failed;
  const yaml_node* const current = root->find("current-context");
  if (to.current_context.empty() && current != nullptr && !current->null())
    to.current_context = current->text;
  to.files.push_back(file);
  return std::nullopt;
}

/// Nothing would silently stand for the system's CAs, or for no certificate.
inline std::optional<error> check_filled(const std::string& text, const std::string& what,
                                         const std::string& where) {
  if (text.find_first_not_of(" \t\r\n") != std::string::npos) return std::nullopt;
  return bad_config(where, what + " is empty", "put the PEM text there");
}

/// "NAME-data" (base64) or, where there is none, the file that "NAME" names.
inline result<std::string> data_or_file(const config_entry& in, const std::string& name,
                                        const std::string& where) {
  const std::string data = text_of(in.value, name + "-data");
  if (!data.empty()) {
    auto decoded = from_base64(data);
    if (!decoded)
      return bad_config(where, name + "-data is not base64", "put the file's base64 text there");
    if (auto failed = check_filled(*decoded, name + "-data", where)) return std::move(*failed);
    return std::move(*decoded);
  }
  const std::string path = text_of(in.value, name);
  if (path.empty()) return std::string();
  auto text = read_file(resolved(path, in.file));
  if (!text) {
    error& why = text.error();
    why = bad_config(where, name + " " + why.where + ": " + why.what,
                     "check the path and its permissions");
  }
  if (!text) return text;
  if (auto failed = check_filled(*text, name + " " + printable(resolved(path, in.file)), where))
    return std::move(*failed);
  return text;
}

/// [scheme://]host[:port][/base]; `tls` says whether anything speaks of TLS, `name` whose URL it is.
inline std::optional<error> read_server(const std::string& text, bool tls, const std::string& where,
                                        cluster_config& to, const std::string& name = "server") {
  const auto bad = [&](const char* what) {
    return bad_config(where, name + " " + what, "write it as " + std::string(name == "server" ? "https" : "http") + "://host:port");
  };
  std::string_view rest = text;
  if (text.find_first_of(" \t\r\n@?#") != std::string::npos)
    return bad("holds what such a URL must not");
  if (rest.rfind("https://", 0) == 0) {
    to.scheme = scheme::https;
    to.port = 443;
    rest.remove_prefix(8);
  } else if (rest.rfind("http://", 0) == 0) {
    to.scheme = scheme::http;
    to.port = 80;
    rest.remove_prefix(7);
  } else if (name == "proxy-url" && rest.rfind("socks5://", 0) == 0) {
    to.port = 1080;
    rest.remove_prefix(9);
  } else if (rest.find("://") != std::string_view::npos) {
    return bad("is neither https nor http");
  } else {
    // As kubectl: without a scheme it is http, unless a CA or the like is given.
    to.scheme = tls ? scheme::https : scheme::http;
    to.port = tls ? 443 : 80;
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  to.base_path = std::string(rest.substr(slash));
  while (!to.base_path.empty() && to.base_path.back() == '/') to.base_path.pop_back();
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos) return bad("has an address without its closing bracket");
    to.host = std::string(authority.substr(1, close - 1));
    authority.remove_prefix(close + 1);
    if (!authority.empty()) {
      if (authority.front() != ':') return bad("has something behind its address");
      port = authority.substr(1);
    }
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    to.host = std::string(authority.substr(0, colon));
    if (colon < authority.size()) port = authority.substr(colon + 1);
  }
  if (to.host.empty()) return bad("has no host");
  if (!port.empty()) {
    unsigned number = 0;
    const auto read = std::from_chars(port.data(), port.data() + port.size(), number);
    if (read.ec != std::errc{} || read.ptr != port.data() + port.size() || number == 0 ||
        number > 65535)
      return bad("has a port that cannot be");
    to.port = static_cast<std::uint16_t>(number);
  }
  return std::nullopt;
}

inline std::optional<error> read_cluster(const config_entry& from, const std::string& where,
                                         cluster_config& to, access& into) {
  const std::string server = text_of(from.value, "server");
  if (server.empty()) return bad_config(where, "has no server", "add server: https://host:port");
  const auto insecure = truth_of(from.value, "insecure-skip-tls-verify", where);
  if (!insecure) return insecure.error();
  auto ca = data_or_file(from, "certificate-authority", where);
  if (!ca) return std::move(ca).error();
  if (auto failed = read_server(server, *insecure || !ca->empty(), where, to)) return failed;
  if (*insecure && !ca->empty())
    return bad_config(where, "has both a certificate authority and insecure-skip-tls-verify",
                      "take insecure-skip-tls-verify out");
  into.tls.mode = *insecure ? tls_mode::insecure : tls_mode::verify;
  into.tls.ca_pem = std::move(ca).value();
  into.tls.server_name = text_of(from.value, "tls-server-name");
  if (!has(from.value, "proxy-url")) return std::nullopt;
  const std::string by = text_of(from.value, "proxy-url");
  const bool socks = by.starts_with("socks5://");
  if (!socks && !by.starts_with("http://"))
    return error{errc::unsupported, where, "proxy-url " + printable(by.substr(0, by.find(':'))) + ":// is not supported",
                 "name an http:// or socks5:// proxy: TLS to the API server runs inside of it"};
  if (to.scheme != scheme::https)
    return error{errc::unsupported, where, "proxy-url with a server of plain http is not supported", "use https"};
  cluster_config proxy;
  if (auto failed = read_server(by, false, where, proxy, "proxy-url")) return failed;
  into.proxy = {std::move(proxy.host), proxy.port, socks ? proxy_protocol::socks5 : proxy_protocol::http};
  return std::nullopt;
}

inline std::optional<error> read_user(const config_entry& from, const std::string& where,
                                      const cluster_config& cluster, const config_entry& cluster_entry,
                                      bool may_run, access& into) {
  constexpr const char* instead =
      "give this user a token (kubectl create token NAME) or a client certificate";
  if (has(from.value, "auth-provider"))
    return error{errc::unsupported, where, "auth-provider is not supported", instead};
  for (const char* name : {"as", "as-uid", "as-groups", "as-user-extra"})
    if (has(from.value, name))
      return error{errc::unsupported, where,
                   std::string("impersonation (") + name + ") is not supported", instead};
  const std::string token = text_of(from.value, "token"),
                    token_file = text_of(from.value, "tokenFile");
  if (!token.empty()) {
    auto clean = clean_token(token, where);
    if (!clean) return std::move(clean).error();
    if (clean->empty()) return bad_config(where, "the token is white space", instead);
    into.who.token = std::move(clean).value();
  } else if (!token_file.empty()) {
    into.who.token_file = resolved(token_file, from.file);
    auto first = token_reader(into.who.token_file).read(token_reader::clock::now());
    if (!first)
      return bad_config(where, "tokenFile " + first.error().where + ": " + first.error().what,
                        first.error().advice);
  }
  auto certificate = data_or_file(from, "client-certificate", where);
  if (!certificate) return std::move(certificate).error();
  auto key = data_or_file(from, "client-key", where);
  if (!key) return std::move(key).error();
  const auto file_of = [&](const std::string& name) {
    return has(from.value, name + "-data") ? std::string() : resolved(text_of(from.value, name), from.file);
  };
  into.who.client_certificate_file = file_of("client-certificate");
  into.who.client_key_file = file_of("client-key");
  if (certificate->empty() != key->empty())
    return bad_config(where, certificate->empty() ? "has a client key but no client certificate"
                                                  : "has a client certificate but no client key",
                      "give both");
  into.who.client_certificate_pem = std::move(certificate).value();
  into.who.client_key_pem = secret(std::move(key).value());
  into.who.username = text_of(from.value, "username");
  into.who.password = secret(text_of(from.value, "password"));
  if (!into.who.username.empty() && (!token.empty() || !token_file.empty()))
    return bad_config(where, "has both a token and a username", "take one of them out");
  if (const yaml_node* const exec = from.value.find("exec"); exec != nullptr && !exec->null()) {
    if (!token.empty() || !token_file.empty() || !into.who.username.empty() || !certificate->empty())
      return bad_config(where, "has both an exec plugin and another credential", "take one of them out");
    auto plugin = read_exec(*exec, from.file, where, cluster_entry.value, into.tls);
    if (!plugin) return std::move(plugin).error();
    if (!may_run)
      return error{errc::unsupported, where,
                   "the exec plugin " + printable(plugin->command.front()) + " is not run: inside a pod, or where "
                   "it was said so, none is", "allow it (exec_plugins=\"allow\"), or " + std::string(instead)};
    into.who.exec = std::make_shared<const exec_plugin>(std::move(plugin).value());
  }
  const bool bearer = !token.empty() || !token_file.empty() || !into.who.username.empty() || into.who.exec;
  if (bearer && cluster.scheme == scheme::http)
    return bad_config(
        where, "has a token or password, and the server is plain http, where it would be readable",
        "use https");
  if (bearer && into.tls.mode == tls_mode::insecure)
    return bad_config(
        where,
        "has a token or password, and insecure-skip-tls-verify would give it to whoever answers",
        "give the cluster a certificate-authority, or the user a client certificate");
  return std::nullopt;
}

}  // namespace detail::discover_

result<cluster_config> read_kubeconfig(const kubeconfig_options& options) {
  using namespace detail::discover_;
  merged_config all;
  std::vector<std::string> files;
  const bool explicit_file = !options.path.empty();
  bool listed = false;
  if (explicit_file) {
    files.push_back(options.path);
  } else if (const auto list = look_up(options.environment, "KUBECONFIG"); list && !list->empty()) {
    listed = true;
    std::string_view rest = *list;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) files.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  } else if (const auto home = look_up(options.environment, "HOME"); home && !home->empty()) {
    files.push_back(*home + "/.kube/config");
  }
  std::string tried;
  for (const std::string& file : files) {
    tried += (tried.empty() ? "" : ", ") + printable(file);
    if (!explicit_file && ::access(file.c_str(), F_OK) != 0 &&
        (errno == ENOENT || errno == ENOTDIR))
      continue;
    auto text = read_file(file);
    if (!text) {
      text.error().code = errc::bad_configuration;
      return std::move(text).error();
    }
    if (auto failed = take_file(*text, file, all)) return std::move(*failed);
  }
  if (all.files.empty())
    return error{errc::no_configuration, listed ? "KUBECONFIG" : "kubeconfig",
                 !tried.empty() ? "there is no file " + tried
                 : listed       ? "names no file"
                                : "no file is named, and HOME is not set",
                 "set KUBECONFIG, or name a file"};
  std::string shown;
  for (const std::string& file : all.files) shown += (shown.empty() ? "" : ", ") + printable(file);
  // `minikube delete` and the like leave an empty file behind: that is as good as none.
  if (!explicit_file && all.clusters.empty() && all.users.empty() && all.contexts.empty())
    return error{errc::no_configuration, shown, "defines no cluster",
                 "set KUBECONFIG, or name a file"};
  const std::string name = options.context.empty() ? all.current_context : options.context;
  if (name.empty())
    return bad_config(shown, "names no current-context",
                      "name a context, or run `kubectl config use-context NAME`");
  const auto context = all.contexts.find(name);
  if (context == all.contexts.end()) {
    std::string there;
    for (const auto& each : all.contexts)
      there += (there.empty() ? "" : ", ") + printable(each.first);
    return bad_config(shown, "there is no context " + printable(name),
                      there.empty() ? "there are none" : "there are " + printable(there, 1000));
  }
  cluster_config made;
  made.context = name;
  made.source = "kubeconfig " + shown + ", context " + printable(name);
  const std::string cluster_name = text_of(context->second.value, "cluster");
  const std::string user_name = text_of(context->second.value, "user");
  if (const std::string space = text_of(context->second.value, "namespace"); !space.empty())
    made.default_namespace = space;
  const auto cluster = all.clusters.find(cluster_name);
  if (cluster == all.clusters.end())
    return bad_config(shown,
                      "context " + printable(name) + " names the cluster \"" +
                          printable(cluster_name) + "\", which is not there",
                      "add it, or correct the context");
  access into;
  const std::string in_context =
      ", context " + printable(name) + ", cluster " + printable(cluster_name);
  const std::string at_cluster = printable(cluster->second.file) + in_context;
  if (auto failed = read_cluster(cluster->second, at_cluster, made, into))
    return std::move(*failed);
  if (!user_name.empty()) {
    const auto user = all.users.find(user_name);
    if (user == all.users.end())
      return bad_config(shown,
                        "context " + printable(name) + " names the user \"" + printable(user_name) +
                            "\", which is not there",
                        "add it, or correct the context");
    const auto in_pod = look_up(options.environment, "KUBERNETES_SERVICE_HOST");
    const bool may_run = options.exec_plugins == exec_rule::allow ||
                         (options.exec_plugins == exec_rule::automatic && (!in_pod || in_pod->empty()));
    const std::string at_user =
        printable(user->second.file) + in_context + ", user " + printable(user_name);
    if (auto failed = read_user(user->second, at_user, made, cluster->second, may_run, into)) return std::move(*failed);
  }
  made.access = std::make_shared<const access>(std::move(into));
  return made;
}

result<cluster_config> read_in_cluster(const in_cluster_options& options) {
  using namespace detail::discover_;
  const auto host = look_up(options.environment, "KUBERNETES_SERVICE_HOST");
  auto port = look_up(options.environment, "KUBERNETES_SERVICE_PORT");
  if (!port || port->empty()) port = look_up(options.environment, "KUBERNETES_SERVICE_PORT_HTTPS");
  if (!host || host->empty() || !port || port->empty())
    return error{errc::no_configuration, "in-cluster",
                 "KUBERNETES_SERVICE_HOST and _PORT are not set",
                 "run in a pod, or name a kubeconfig"};
  cluster_config made;
  made.in_cluster = true;
  made.source = "the pod's service account";
  made.host = host->size() > 2 && host->front() == '[' && host->back() == ']'
                  ? host->substr(1, host->size() - 2)
                  : *host;
  unsigned number = 0;
  const auto read = std::from_chars(port->data(), port->data() + port->size(), number);
  if (read.ec != std::errc{} || read.ptr != port->data() + port->size() || number == 0 ||
      number > 65535)
    return bad_config("KUBERNETES_SERVICE_PORT", "is no port: " + printable(*port),
                      "it is a number of 1 to 65535");
  made.port = static_cast<std::uint16_t>(number);
  access into;
  into.who.token_file = options.directory + "/token";
  auto token = token_reader(into.who.token_file).read(token_reader::clock::now());
  if (!token) {
    // Without the file it is a pod without an account; with one that is of no use it is a fault.
    const bool there = ::access(into.who.token_file.c_str(), F_OK) == 0 || errno == EACCES;
    return error{there ? errc::bad_configuration : errc::no_configuration, "in-cluster",
                 token.error().where + ": " + token.error().what,
                 "check automountServiceAccountToken of the pod"};
  }
  into.tls.ca_file = options.directory + "/ca.crt";
  const auto ca = read_file(into.tls.ca_file);
  if (!ca)
    return bad_config("in-cluster", ca.error().where + ": " + ca.error().what,
                      "check the pod's service account volume");
  if (auto failed = check_filled(*ca, printable(into.tls.ca_file), "in-cluster"))
    return std::move(*failed);
  const auto named = look_up(options.environment, "POD_NAMESPACE");
  if (named && !named->empty()) {
    made.default_namespace = *named;
  } else if (auto text = read_file(options.directory + "/namespace"); text) {
    const std::size_t end = text->find_last_not_of(" \t\r\n");
    if (end != std::string::npos) made.default_namespace = text->substr(0, end + 1);
  }
  made.access = std::make_shared<const access>(std::move(into));
  return made;
}

result<cluster_config> find_cluster(const cluster_options& options) {
  kubeconfig_options file;
  file.path = options.kubeconfig;
  file.context = options.context;
  file.exec_plugins = options.exec_plugins;
  file.environment = options.environment;
  auto from_file = read_kubeconfig(file);
  if (from_file || !options.kubeconfig.empty() || from_file.error().code != errc::no_configuration)
    return from_file;
  // A context stands in a kubeconfig alone: the pod's own cluster is not what was asked for.
  if (!options.context.empty()) {
    from_file.error().advice =
        "set KUBECONFIG: context " + printable(options.context) + " was asked for";
    return from_file;
  }
  in_cluster_options pod;
  pod.directory = options.service_account_directory;
  pod.environment = options.environment;
  auto from_pod = read_in_cluster(pod);
  if (from_pod || from_pod.error().code != errc::no_configuration) return from_pod;
  return error{errc::no_configuration, "",
               "no cluster is known: " + from_file.error().where + ": " + from_file.error().what +
                   "; " + from_pod.error().where + ": " + from_pod.error().what,
               "name a kubeconfig, set KUBECONFIG, or run in a pod; `computelocator simulate` "
               "makes a cluster to try"};
}

}  // namespace computelocator
