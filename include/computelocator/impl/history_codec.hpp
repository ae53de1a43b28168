// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/cadvisor.hpp>

namespace computelocator::detail::history_ {

inline constexpr std::size_t slots = 16;
inline constexpr std::size_t first_network = 12;
inline constexpr std::uint16_t network_mask = 0xF000;

using octets = std::vector<std::uint8_t>;

/// What one series said at one moment. The values of one page and cgroup mostly share their time,
/// so a record is that time once and then the differences to the record before.
struct record {
  std::int64_t time_ms = 0;
  std::uint16_t mask = 0;      ///< slots with a new value
  std::uint16_t repeats = 0;   ///< slots whose value stood on this page too, with an old time
  bool row = true;             ///< the first of its page
  std::uint64_t instance = 0, network_instance = 0;  ///< another one: another counter
  std::array<double, slots> value{};                 ///< the last known of each slot
};

enum : std::uint8_t { flag_row = 1, flag_instance = 2, flag_network = 4, flag_repeats = 8, flag_mask = 16 };

inline void put_number(octets& to, std::uint64_t value) {
  while (value >= 0x80) {
    to.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  to.push_back(static_cast<std::uint8_t>(value));
}

inline void put_word(octets& to, std::uint64_t word) {
  for (int i = 0; i < 8; ++i) to.push_back(static_cast<std::uint8_t>(word >> (8 * i)));
}

inline std::uint64_t folded(std::int64_t value) noexcept {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unfolded(std::uint64_t value) noexcept {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

/// Values are decimals with few places: as whole numbers of 1, a millionth or a billionth their
/// differences are short. Only a number that comes back bit by bit is written so.
inline constexpr std::array<double, 3> scales{1, 1e6, 1e9};
inline constexpr std::uint8_t raw_scale = 3;

/// The last value of each slot, from which the next one differs.
struct last_values {
  std::array<std::int64_t, slots> whole{};
  std::array<std::uint8_t, slots> scale{};
};

inline bool as_whole(double value, std::uint8_t scale, std::int64_t& whole) noexcept {
  const double scaled = std::nearbyint(value * scales[scale]);
  if (!(std::abs(scaled) < 9007199254740992.0)) return false;
  whole = static_cast<std::int64_t>(scaled);
  return std::bit_cast<std::uint64_t>(static_cast<double>(whole) / scales[scale]) == std::bit_cast<std::uint64_t>(value);
}

struct codec_state {
  std::int64_t time_ms = 0;
  std::uint16_t mask = 0;
  std::uint64_t instance = 0, network_instance = 0;
  last_values last;
};

inline void put_record(octets& to, codec_state& state, const record& of) {
  std::uint8_t flags = of.row ? flag_row : 0;
  if (of.instance != state.instance) flags |= flag_instance;
  if (of.network_instance != state.network_instance) flags |= flag_network;
  if (of.repeats != 0) flags |= flag_repeats;
  if (of.mask != state.mask) flags |= flag_mask;
  to.push_back(flags);
  // Wraps around for times that are further apart than a signed number says; so does the reader.
  put_number(to, folded(static_cast<std::int64_t>(static_cast<std::uint64_t>(of.time_ms) - static_cast<std::uint64_t>(state.time_ms))));
  if (flags & flag_mask) put_number(to, of.mask);
  if (flags & flag_repeats) put_number(to, of.repeats);
  if (flags & flag_instance) put_word(to, of.instance);
  if (flags & flag_network) put_word(to, of.network_instance);
  for (std::size_t s = 0; s < slots; ++s) {
    if (!(of.mask >> s & 1)) continue;
    std::int64_t whole = 0;
    std::uint8_t scale = raw_scale;
    const std::uint8_t before = state.last.scale[s];
    if (before != raw_scale && as_whole(of.value[s], before, whole)) scale = before;
    for (std::uint8_t each = 0; each < scales.size() && scale == raw_scale; ++each)
      if (as_whole(of.value[s], each, whole)) scale = each;
    if (scale == raw_scale) {
      put_number(to, raw_scale);
      put_word(to, std::bit_cast<std::uint64_t>(of.value[s]));
      whole = 0;
    } else {
      put_number(to, folded(whole - (scale == before ? state.last.whole[s] : 0)) << 2 | scale);
    }
    state.last.whole[s] = whole;
    state.last.scale[s] = scale;
  }
  state.time_ms = of.time_ms;
  state.mask = of.mask;
  state.instance = of.instance;
  state.network_instance = of.network_instance;
}

/// Reads what put_record() wrote from a fresh state on. The bytes are ours: they are not checked.
class record_reader {
 public:
  explicit record_reader(std::span<const std::uint8_t> from) noexcept : at_(from.data()), end_(at_ + from.size()) {}

  bool next(record& to) noexcept {
    if (at_ == end_) return false;
    const std::uint8_t flags = *at_++;
    to.time_ms = static_cast<std::int64_t>(static_cast<std::uint64_t>(time_ms_) + static_cast<std::uint64_t>(unfolded(number())));
    time_ms_ = to.time_ms;
    if (flags & flag_mask) mask_ = static_cast<std::uint16_t>(number());
    to.mask = mask_;
    to.repeats = flags & flag_repeats ? static_cast<std::uint16_t>(number()) : 0;
    to.row = flags & flag_row;
    if (flags & flag_instance) instance_ = word();
    if (flags & flag_network) network_instance_ = word();
    to.instance = instance_;
    to.network_instance = network_instance_;
    for (std::size_t s = 0; s < slots; ++s) {
      if (!(mask_ >> s & 1)) continue;
      const std::uint64_t code = number();
      const auto scale = static_cast<std::uint8_t>(code & 3);
      if (scale == raw_scale) {
        to.value[s] = std::bit_cast<double>(word());
        last_.whole[s] = 0;
      } else {
        last_.whole[s] = unfolded(code >> 2) + (scale == last_.scale[s] ? last_.whole[s] : 0);
        to.value[s] = static_cast<double>(last_.whole[s]) / scales[scale];
      }
      last_.scale[s] = scale;
    }
    return true;
  }

 private:
  std::uint64_t number() noexcept {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const std::uint8_t byte = *at_++;
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
  }
  std::uint64_t word() noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(*at_++) << (8 * i);
    return value;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  std::int64_t time_ms_ = 0;
  std::uint16_t mask_ = 0;
  std::uint64_t instance_ = 0, network_instance_ = 0;
  last_values last_;
};

}  // namespace computelocator::detail::history_
