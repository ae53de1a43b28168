// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <computelocator/token.hpp>

namespace computelocator::detail::token_ {

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

}  // namespace computelocator::detail::token_
