// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/error.hpp>
#include <computelocator/secret.hpp>

namespace computelocator {

/// A program to be run without a shell, a terminal or input, and what it may cost.
struct process_request {
  std::vector<std::string> command;  ///< the program, looked up as a shell does, and its arguments
  /// Set beside the variables of this process, in place of those of the same name.
  std::vector<std::pair<std::string, std::string>> environment;
  std::chrono::milliseconds timeout{10'000};
  std::size_t max_output = std::size_t{1} << 20;
  std::size_t max_said = std::size_t{4} << 10;  ///< of its standard error; the rest is read and dropped
  /// Asked about fifty times a second; false ends it. Empty: goes on.
  std::function<bool()> goes_on;
};

struct process_answer {
  int status = 0;       ///< as a shell tells it: 128 and the signal where one ended it
  secret output;        ///< of its standard output, which is likely to hold one
  std::string said;     ///< the start of its standard error, as it came
};

/// Runs it and waits for its end. Past a limit it is killed with all of its process group; a child
/// that outlives it and holds its output open is not waited for. errc::not_found: there is no such
/// program; timed_out, too_large, cancelled: as said. `where` is left to the caller.
result<process_answer> run_process(const process_request& what);

}  // namespace computelocator
