// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/error.hpp>

namespace computelocator {

/// How far a target got. `done` means that its page is in the snapshot.
enum class stage : std::uint8_t { queued, resolve, connect, tls, write, read, status, body, inflate, parse, done };

std::string_view to_string(stage reached) noexcept;

/// What became of one target. A sweep over 5,000 nodes gives 5,000 of these and
/// never throws for a remote fault.
struct outcome {
  std::string node;                       ///< or the instance of a target that is none
  std::string url;
  std::vector<std::pair<std::string, std::string>> labels;  ///< that the target adds to its rows
  stage reached = stage::queued;          ///< the stage that failed, or `done`
  std::optional<computelocator::error> failure;  ///< empty exactly when `reached` is `done`
  int http_status = 0;                    ///< 0: no status line was read
  std::uint32_t attempts = 0;
  std::uint64_t wire_bytes = 0;           ///< bytes of the body as sent
  std::uint64_t page_bytes = 0;           ///< bytes of the page once inflated
  std::uint64_t samples = 0;              ///< rows kept
  std::uint64_t scraped_samples = 0;      ///< that the page had, wanted or not
  std::uint64_t new_series = 0;           ///< of the rows kept, those that the target's last page had not
  std::uint64_t rejected_lines = 0;
  std::string peer_pin;                   ///< sha256 of the peer's public key, hex; empty without TLS
  std::chrono::system_clock::time_point started{};
  /// Time spent per stage; zero where a stage was skipped (a kept-alive connection).
  std::chrono::nanoseconds resolve_time{}, connect_time{}, tls_time{}, first_byte_time{}, body_time{}, inflate_time{}, parse_time{};
  /// From its start to its end, with all attempts and pauses, and with what it waited for a parser.
  std::chrono::nanoseconds took{};
  /// Of inflate_time and parse_time what the CPU worked, where the system can tell a thread's.
  std::chrono::nanoseconds inflate_cpu{}, parse_cpu{};

  bool ok() const noexcept { return reached == stage::done; }
};

}  // namespace computelocator
