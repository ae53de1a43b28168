// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include <computelocator/error.hpp>
#include <computelocator/secret.hpp>

namespace computelocator {

/// A token file that is replaced while we run. Not safe for concurrent calls.
class token_reader {
 public:
  using clock = std::chrono::steady_clock;

  explicit token_reader(std::string path, clock::duration every = std::chrono::seconds(60))
      : path_(std::move(path)), every_(every) {}

  /// The token. The file is read when it was last read `every` ago or more; while it is empty
  /// or unreadable the token before it is given. An error only where there never was one.
  result<secret> read(clock::time_point now);

  /// As read(), but reads the file whenever it was read; call it once after a 401.
  result<secret> refresh(clock::time_point now);

 private:
  std::string path_;
  clock::duration every_;
  std::optional<clock::time_point> read_at_;
  secret token_;
};

}  // namespace computelocator
