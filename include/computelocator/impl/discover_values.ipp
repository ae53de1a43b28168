// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <computelocator/discover.hpp>

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

inline error file_error(const std::string& path, std::string what) {
  return {errc::file_failed, printable(path), std::move(what), "check the path and its permissions"};
}

/// Opened without blocking and judged by its own descriptor: a FIFO or device cannot hold us up.
inline result<std::string> read_file(const std::string& path, std::size_t limit = 1u << 20) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) return file_error(path, std::strerror(errno));
  struct stat about {};
  if (::fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(descriptor);
    return file_error(path, "is not a regular file");
  }
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(descriptor, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int why = errno;
      ::close(descriptor);
      return file_error(path, std::strerror(why));
    }
    if (got == 0) break;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > limit) {
      ::close(descriptor);
      return file_error(path, "is larger than " + std::to_string(limit) + " bytes");
    }
  }
  ::close(descriptor);
  return text;
}

/// The token without white space around it; one with anything but visible ASCII inside is never echoed.
inline result<secret> clean_token(std::string text, const std::string& where) {
  const auto last = text.find_last_not_of(" \t\r\n");
  text.erase(last == std::string::npos ? 0 : last + 1);
  text.erase(0, std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  for (const char c : text)
    if (c <= 0x20 || c > 0x7E)
      return error{errc::bad_configuration, printable(where),
                   "the token has white space or a control character inside",
                   "write the token on one line"};
  return secret(std::move(text));
}

}  // namespace detail::discover_

std::string cluster_config::url() const {
  std::string text = scheme == computelocator::scheme::https ? "https://" : "http://";
  text += host.find(':') != std::string::npos ? "[" + host + "]" : host;
  return text + ":" + std::to_string(port) + base_path;
}

result<secret> token_reader::read(clock::time_point now) {
  if (read_at_ && now - *read_at_ < every_ && !token_.empty()) return token_;
  return refresh(now);
}

result<secret> token_reader::refresh(clock::time_point now) {
  read_at_ = now;
  auto text = detail::discover_::read_file(path_);
  if (!text) return token_.empty() ? result<secret>(text.error()) : result<secret>(token_);
  auto token = detail::discover_::clean_token(std::move(text).value(), path_);
  if (token && !token->empty()) token_ = *token;
  if (!token_.empty()) return token_;
  if (!token) return token.error();
  return error{errc::bad_configuration, printable(path_), "the token file is empty",
               "wait until it is written, or name another"};
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
