// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <computelocator/error.hpp>

namespace computelocator {

/// True where `bytes` start as gzip (RFC 1952) does.
bool is_gzip(std::string_view bytes) noexcept;

/// The text of a gzip file of one or more members, at most `max_bytes` of it. Check sums and
/// lengths are verified. errc::too_large past the bound, errc::truncated where the file ends
/// early, errc::bad_encoding for anything else that is not gzip; `where` is left to the caller.
result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes);

/// Memory to inflate into, page after page: what is not made anew need not be mapped and cleared anew. It
/// is the system's own and goes back to it, past the heap, which would keep what is as large as a page.
class inflate_room {
 public:
  inflate_room() = default;
  /// Throws std::bad_alloc where there is not so much.
  explicit inflate_room(std::size_t bytes);
  inflate_room(inflate_room&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  inflate_room& operator=(inflate_room&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~inflate_room();

  char* data() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return size_; }

 private:
  char* bytes_ = nullptr;
  std::size_t size_ = 0;
};

/// The same into `room`, which is replaced where it is smaller than what is inflated or, if that is less,
/// `max_bytes` + 1. The view lives until `room` is used again or ends.
result<std::string_view> gunzip(std::string_view bytes, std::size_t max_bytes, inflate_room& room);

/// What the file says that it inflates to and one byte, within reason and at most `max_bytes` + 1: how much
/// room gunzip() is given at first.
std::size_t room_for(std::string_view gzip, std::size_t max_bytes) noexcept;

}  // namespace computelocator
