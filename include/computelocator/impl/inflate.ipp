// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <isa-l/igzip_lib.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include <computelocator/inflate.hpp>

namespace computelocator {

bool is_gzip(std::string_view bytes) noexcept {
  return bytes.size() >= 3 && bytes[0] == '\x1f' && bytes[1] == '\x8b' && bytes[2] == '\x08';
}

namespace detail::inflate_ {

/// Deflate packs no more than 1032 to 1.
inline std::size_t most_of(std::string_view gzip) noexcept { return gzip.size() * 1032 + 4096; }

/// Begins with `size` bytes; `grow(made, size)` gives so many, the first `made` of which are those of before.
template <class Grow>
result<std::size_t> gunzip(std::string_view bytes, std::size_t max_bytes, std::size_t size, Grow&& grow) {
  const auto bad = [](errc code, const char* what, const char* advice) {
    return error{code, {}, what, advice};
  };
  const auto truncated = [&] {
    return bad(errc::truncated, "the gzip data ends early", "fetch it again");
  };
  if (!is_gzip(bytes))
    return bad(errc::bad_encoding, "this is not gzip", "have the peer send gzip or identity");
  // The state is 80 KB: too much for the stacks of small threads.
  const auto state = std::make_unique<inflate_state>();
  char* text = grow(0, size);
  std::size_t made = 0, taken = 0;
  while (taken < bytes.size()) {
    if (!is_gzip(bytes.substr(taken))) {
      if (taken == 0 || bytes.size() - taken < 3) return truncated();
      return bad(errc::bad_encoding, "bytes behind the gzip data", "have the peer send one gzip body");
    }
    isal_inflate_init(state.get());
    state->crc_flag = ISAL_GZIP;
    const std::size_t left = bytes.size() - taken;
    if (left > std::numeric_limits<std::uint32_t>::max())
      return bad(errc::too_large, "more than 4 GiB of gzip data", "split the file");
    state->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data() + taken));
    state->avail_in = static_cast<std::uint32_t>(left);
    do {
      if (made == size) {
        if (made > max_bytes)
          return bad(errc::too_large, "more than the limit once inflated", "ask for fewer metrics, or raise the limit");
        size = std::min(std::max<std::size_t>(size * 2, 64 * 1024), max_bytes + 1);
        text = grow(made, size);
      }
      const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(size - made, 1u << 30));
      state->next_out = reinterpret_cast<std::uint8_t*>(text + made);
      state->avail_out = room;
      const int fault = isal_inflate(state.get());
      made += room - state->avail_out;
      if (fault == ISAL_INCORRECT_CHECKSUM)
        return bad(errc::bad_encoding, "gzip data whose check sum is wrong", "fetch it again");
      if (fault < 0) return bad(errc::bad_encoding, "damaged gzip data", "fetch it again");
      if (state->block_state != ISAL_BLOCK_FINISH && state->avail_in == 0 && state->avail_out != 0)
        return truncated();
    } while (state->block_state != ISAL_BLOCK_FINISH);
    if (made > max_bytes)
      return bad(errc::too_large, "more than the limit once inflated", "ask for fewer metrics, or raise the limit");
    taken = bytes.size() - state->avail_in;
  }
  return made;
}

}  // namespace detail::inflate_

std::size_t room_for(std::string_view gzip, std::size_t max_bytes) noexcept {
  // The length that the last member says is the peer's word.
  std::uint32_t said = 0;
  if (gzip.size() >= 18) std::memcpy(&said, gzip.data() + gzip.size() - 4, 4);
  return std::min({std::size_t{said} + 1, detail::inflate_::most_of(gzip), max_bytes + 1});
}

result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes) {
  std::string text;
  const std::size_t begin = std::min(room_for(bytes, max_bytes), bytes.size() * 40 + 4096);
  const auto made = detail::inflate_::gunzip(bytes, max_bytes, begin, [&](std::size_t, std::size_t size) {
    text.resize(size);
    return text.data();
  });
  if (!made) return made.error();
  text.resize(*made);
  return text;
}

result<std::string_view> gunzip(std::string_view bytes, std::size_t max_bytes, inflate_room& room) {
  // All of it at once: to grow would be to hold it twice.
  const std::size_t begin = std::min(max_bytes + 1, detail::inflate_::most_of(bytes));
  const auto made = detail::inflate_::gunzip(bytes, max_bytes, begin, [&](std::size_t had, std::size_t size) {
    if (room.size() >= size) return room.data();
    if (had == 0) room = inflate_room();
    inflate_room larger(size);
    if (had != 0) std::memcpy(larger.data(), room.data(), had);
    room = std::move(larger);
    return room.data();
  });
  if (!made) return made.error();
  return std::string_view(room.data(), *made);
}

inflate_room::inflate_room(std::size_t bytes) {
  void* const got = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (got == MAP_FAILED) throw std::bad_alloc();
  bytes_ = static_cast<char*>(got);
  size_ = bytes;
}

inflate_room::~inflate_room() {
  if (bytes_ != nullptr) ::munmap(bytes_, size_);
}

}  // namespace computelocator
