// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include <computelocator/text.hpp>

namespace computelocator::detail {

struct hash128 {
  std::uint64_t low = 0, high = 0;
  friend bool operator==(const hash128&, const hash128&) = default;
};

/// 128 bits of a product folded to 64: the mixing step of wyhash (Wang Yi, public domain idea).
inline std::uint64_t fold_product(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using wide = unsigned __int128;
  const wide product = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// A page is untrusted: whoever writes one cannot aim at a collision without this key.
inline const std::array<std::uint64_t, 4>& hash_key() {
  static const std::array<std::uint64_t, 4> random = [] {
    std::random_device device;
    std::array<std::uint64_t, 4> made{};
    for (std::uint64_t& word : made) word = (std::uint64_t{device()} << 32 | device()) | 1;
    return made;
  }();
  return random;
}

inline hash128 keyed_hash(std::string_view text, hash128 seed = {}) {
  const std::array<std::uint64_t, 4>& key = hash_key();
  std::uint64_t low = seed.low ^ key[0] ^ text.size(), high = seed.high ^ key[1];
  std::size_t left = text.size();
  for (const char* p = text.data(); left != 0;) {
    std::uint64_t word = 0;
    const std::size_t taken = left < 8 ? left : 8;
    std::memcpy(&word, p, taken);
    low = fold_product(low ^ word, key[2]);
    high = fold_product(high ^ word, key[3]) + low;
    p += taken;
    left -= taken;
  }
  return {fold_product(low ^ key[3], key[1]), fold_product(high ^ key[2], key[0])};
}

/// `raw` itself, or what it means once it is decoded, which `room` then holds.
inline std::string_view decoded_into(std::string_view raw, std::string& room) {
  const label_view text({}, raw);
  if (!text.escaped()) return raw;
  room.resize(raw.size());
  return std::string_view(room).substr(0, text.decode(room.data()));
}

}  // namespace computelocator::detail
