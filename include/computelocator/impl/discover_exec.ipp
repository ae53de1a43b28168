// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Exec plugins (client.authentication.k8s.io): how one is to be run, and what its answer says.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/discover.hpp>
#include <computelocator/impl/discover_values.ipp>
#include <computelocator/impl/discover_yaml.hpp>

namespace computelocator {

namespace detail::discover_ {

inline error bad_config(std::string where, std::string what, std::string advice = {}) {
  return {errc::bad_configuration, std::move(where), std::move(what), std::move(advice)};
}

inline std::string folder_of(const std::string& file) {
  const std::size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : file.substr(0, slash);
}

inline std::string resolved(const std::string& path, const std::string& file) {
  return path.empty() || path.front() == '/' ? path : folder_of(file) + "/" + path;
}

/// A word that is no truth value is refused: a typing error must not decide how a peer is judged.
inline result<bool> truth_of(const yaml_node& in, std::string_view name, const std::string& where) {
  if (!has(in, name)) return false;
  const std::string text = text_of(in, name);
  if (in.find(name)->plain) {
    for (const char* yes : {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
      if (text == yes) return true;
    for (const char* no : {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
      if (text == no) return false;
  }
  return bad_config(where, std::string(name) + " is neither true nor false", "write true or false");
}

inline std::string to_base64(std::string_view text) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > text.size() ? '=' : digits[bits >> (18 - 6 * k) & 63u];
  }
  return out;
}

inline std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out += '"';
}

/// What a kubeconfig holds for the plugin alone, as JSON. The reader bounds its depth and size.
inline std::string to_json(const yaml_node& of) {
  std::string out;
  switch (of.what) {
    case yaml_node::kind::scalar: {
      if (of.null()) return "null";
      double number = 0;
      const char* const end = of.text.data() + of.text.size();
      const auto read = std::from_chars(of.text.data(), end, number);
      const bool numeric = read.ec == std::errc{} && read.ptr == end &&
                           of.text.find_first_not_of("+-.0123456789eE") == std::string::npos &&
                           of.text.front() != '.' && of.text.back() != '.' &&
                           (of.text.front() != '0' || of.text.size() == 1 || of.text[1] == '.');
      return of.plain && (numeric || of.text == "true" || of.text == "false") ? of.text : json_quoted(of.text);
    }
    case yaml_node::kind::list:
      for (const yaml_node& each : of.items) out += (out.empty() ? "" : ",") + to_json(each);
      return "[" + out + "]";
    case yaml_node::kind::map:
      for (const yaml_field& each : of.fields)
        out += (out.empty() ? "" : ",") + json_quoted(each.name) + ":" + to_json(each.value);
      return "{" + out + "}";
  }
  return out;
}

/// KUBERNETES_EXEC_INFO: what the plugin is told.
inline std::string exec_info(const exec_plugin& of, bool with_cluster, const yaml_node& entry, const tls_settings& tls) {
  std::string about;
  if (with_cluster) {
    about = ",\"cluster\":{\"server\":" + json_quoted(text_of(entry, "server"));
    if (!tls.server_name.empty()) about += ",\"tls-server-name\":" + json_quoted(tls.server_name);
    if (tls.mode == tls_mode::insecure) about += ",\"insecure-skip-tls-verify\":true";
    if (!tls.ca_pem.empty()) about += ",\"certificate-authority-data\":" + json_quoted(to_base64(tls.ca_pem));
    const yaml_node* const extensions = entry.find("extensions");
    if (extensions != nullptr)
      for (const yaml_node& each : extensions->items)
        if (text_of(each, "name") == "client.authentication.k8s.io/exec" && each.find("extension") != nullptr)
          about += ",\"config\":" + to_json(*each.find("extension"));
    about += "}";
  }
  return "{\"apiVersion\":" + json_quoted(of.api_version) +
         ",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false" + about + "}}";
}

inline result<exec_plugin> read_exec(const yaml_node& from, const std::string& file, const std::string& where,
                                     const yaml_node& entry, const tls_settings& tls) {
  exec_plugin made;
  const std::string command = text_of(from, "command");
  if (command.empty()) return bad_config(where, "the exec plugin has no command", "name one");
  made.where = where + ", exec plugin " + printable(command);
  made.install_hint = text_of(from, "installHint");
  made.api_version = text_of(from, "apiVersion");
  const bool v1 = made.api_version == "client.authentication.k8s.io/v1";
  if (!v1 && made.api_version != "client.authentication.k8s.io/v1beta1")
    return error{errc::unsupported, made.where,
                 "has the apiVersion \"" + printable(made.api_version) + "\", which is not supported",
                 "write client.authentication.k8s.io/v1 or v1beta1, as the plugin speaks it"};
  const std::string mode = text_of(from, "interactiveMode");
  if (mode == "Always")
    return error{errc::unsupported, made.where, "needs a terminal (interactiveMode Always), and is given none",
                 "log in with kubectl, or give this user a token (kubectl create token NAME)"};
  if (mode.empty() ? v1 : mode != "Never" && mode != "IfAvailable")
    return bad_config(made.where, "has no interactiveMode that can be", "write Never or IfAvailable");
  // As kubectl: a path is one from the kubeconfig's own folder, a mere name is looked up.
  made.command.push_back(command.find('/') == std::string::npos ? command : resolved(command, file));
  if (const yaml_node* const arguments = from.find("args"); arguments != nullptr && !arguments->null()) {
    if (arguments->what != yaml_node::kind::list)
      return bad_config(made.where, "has args that are no list", "compare with `kubectl config view`");
    for (const yaml_node& each : arguments->items) made.command.push_back(each.text);
  }
  if (const yaml_node* const environment = from.find("env"); environment != nullptr && !environment->null()) {
    for (const yaml_node& each : environment->items) {
      const std::string name = text_of(each, "name");
      if (name.empty() || name.find('=') != std::string::npos)
        return bad_config(made.where, "has an env entry without a name that can be", "give name and value");
      made.environment.emplace_back(name, text_of(each, "value"));
    }
  }
  for (const std::string& each : made.command)
    if (each.find('\0') != std::string::npos) return bad_config(made.where, "holds a NUL", "take it out");
  const auto with_cluster = truth_of(from, "provideClusterInfo", made.where);
  if (!with_cluster) return with_cluster.error();
  made.environment.emplace_back("KUBERNETES_EXEC_INFO", exec_info(made, *with_cluster, entry, tls));
  return made;
}

/// RFC 3339; empty where it is none.
inline std::optional<std::chrono::system_clock::time_point> read_time(std::string_view text) {
  using namespace std::chrono;
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = -1;
    if (at + size > text.size()) return -1;
    const auto read = std::from_chars(text.data() + at, text.data() + at + size, value);
    return read.ec == std::errc{} && read.ptr == text.data() + at + size ? value : -1;
  };
  const int y = number(0, 4), mo = number(5, 2), d = number(8, 2), h = number(11, 2), mi = number(14, 2),
            s = number(17, 2);
  if (y < 0 || mo < 0 || d < 0 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 60 || text[4] != '-' ||
      text[7] != '-' || text[13] != ':' || text[16] != ':')
    return std::nullopt;
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d))};
  if (!date.ok()) return std::nullopt;
  std::size_t at = 19;
  if (at < text.size() && text[at] == '.') at = std::min(text.find_first_not_of("0123456789", at + 1), text.size());
  int zone = 0;
  if (text.size() == at + 6 && (text[at] == '+' || text[at] == '-')) {
    const int hours_off = number(at + 1, 2), minutes_off = number(at + 4, 2);
    if (hours_off < 0 || minutes_off < 0 || text[at + 3] != ':') return std::nullopt;
    zone = (text[at] == '-' ? -1 : 1) * (hours_off * 60 + minutes_off);
  } else if (text.substr(at) != "Z" && text.substr(at) != "z") {
    return std::nullopt;
  }
  // The clock counts nanoseconds and ends in 2262: "9999-12-31" is as good as never.
  const sys_seconds at_second = sys_days(date) + hours(h) + minutes(mi - zone) + seconds(s);
  constexpr auto least = time_point_cast<seconds>(system_clock::time_point::min()),
                 most = time_point_cast<seconds>(system_clock::time_point::max());
  return std::clamp<sys_seconds>(at_second, least, most);
}

}  // namespace detail::discover_

result<exec_credential> read_exec_credential(const exec_plugin& from, std::string_view output,
                                             std::chrono::system_clock::time_point now) {
  using namespace detail::discover_;
  namespace dom = simdjson::dom;
  const auto bad = [&](const std::string& what) {
    return error{errc::bad_configuration, from.where, what, "run it by hand to see what it prints"};
  };
  dom::parser parser;
  dom::element root;
  const simdjson::padded_string padded(output);
  if (parser.parse(padded).get(root) != simdjson::SUCCESS || !root.is_object())
    return bad("printed what is no JSON object");
  const auto text_at = [&](const char* path) {
    std::string_view found;
    return root.at_pointer(path).get(found) == simdjson::SUCCESS ? std::string(found) : std::string();
  };
  if (text_at("/kind") != "ExecCredential") return bad("printed no ExecCredential");
  if (text_at("/apiVersion") != from.api_version)
    return bad("answered as \"" + printable(text_at("/apiVersion")) + "\", and was asked as " + from.api_version);
  exec_credential made;
  auto token = clean_token(text_at("/status/token"), from.where);
  if (!token) return std::move(token).error();
  made.token = std::move(token).value();
  made.client_certificate_pem = text_at("/status/clientCertificateData");
  made.client_key_pem = secret(text_at("/status/clientKeyData"));
  if (made.client_certificate_pem.empty() != made.client_key_pem.empty())
    return bad("gave one of certificate and key alone");
  if (made.token.empty() && made.client_certificate_pem.empty()) return bad("gave neither a token nor a certificate");
  if (const std::string until = text_at("/status/expirationTimestamp"); !until.empty()) {
    made.expires = read_time(until);
    if (!made.expires) return bad("gave an expirationTimestamp that is no time");
    if (*made.expires <= now) return bad("gave a credential that expired at " + printable(until));
  }
  return made;
}

}  // namespace computelocator
