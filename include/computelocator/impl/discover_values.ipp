// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <computelocator/discover.hpp>
#include <computelocator/impl/token_file.hpp>

namespace computelocator {
namespace detail::discover_ {

inline std::string encode(std::string_view text) {
  constexpr char hex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += hex[byte >> 4];
      out += hex[byte & 15u];
    }
  }
  return out;
}

using token_::clean_token;
using token_::file_error;
using token_::read_file;

}  // namespace detail::discover_

std::string cluster_config::url() const {
  std::string text = scheme == computelocator::scheme::https ? "https://" : "http://";
  text += host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return text + ":" + std::to_string(port) + base_path;
}

std::optional<double> parse_quantity(std::string_view text) noexcept {
  const auto end = text.find_first_not_of("+-.0123456789");
  const std::string_view digits = text.substr(0, end);
  const std::string_view suffix = end == std::string_view::npos ? "" : text.substr(end);
  char buffer[96];
  std::string_view body = digits;
  if (!body.empty() && body.front() == '+') body.remove_prefix(1);
  if (body.empty() || body.size() > 64) return std::nullopt;
  if (digits.front() == '+' && body.front() == '-') return std::nullopt;
  int ten = 0, two = 0;
  if (suffix == "n") ten = -9;
  else if (suffix == "u") ten = -6;
  else if (suffix == "m") ten = -3;
  else if (suffix == "k") ten = 3;
  else if (suffix == "M") ten = 6;
  else if (suffix == "G") ten = 9;
  else if (suffix == "T") ten = 12;
  else if (suffix == "P") ten = 15;
  else if (suffix == "E") ten = 18;
  else if (suffix == "Ki") two = 10;
  else if (suffix == "Mi") two = 20;
  else if (suffix == "Gi") two = 30;
  else if (suffix == "Ti") two = 40;
  else if (suffix == "Pi") two = 50;
  else if (suffix == "Ei") two = 60;
  else if (!suffix.empty()) {
    if (suffix[0] != 'e' && suffix[0] != 'E') return std::nullopt;
    std::string_view power = suffix.substr(1);
    if (!power.empty() && power[0] == '+') power.remove_prefix(1);
    if (power.empty() || (suffix[1] == '+' && power[0] == '-')) return std::nullopt;
    const auto read = std::from_chars(power.data(), power.data() + power.size(), ten);
    if (read.ec != std::errc{} || read.ptr != power.data() + power.size()) return std::nullopt;
    if (ten > 300 || ten < -300) return std::nullopt;
  }
  // The power of ten goes into the text, so that there is one rounding, and it is from_chars'.
  std::memcpy(buffer, body.data(), body.size());
  char* tail = buffer + body.size();
  *tail++ = 'e';
  tail = std::to_chars(tail, buffer + sizeof buffer, ten).ptr;
  double value = 0;
  const auto read = std::from_chars(buffer, tail, value);
  if (read.ec != std::errc{} || read.ptr != tail) return std::nullopt;
  return std::ldexp(value, two);
}

std::string metrics_query(std::span<const std::string_view> names) {
  std::string text;
  for (std::string_view name : names) {
    if (name == "container_memory_limit_bytes") name = "container_spec_memory_limit_bytes";
    if (!text.empty()) text += '&';
    text += "name%5B%5D=" + detail::discover_::encode(name);
  }
  return text;
}

}  // namespace computelocator
