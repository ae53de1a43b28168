// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// A keyed hash of 128 bits for label blocks, with the instructions for AES where there are any.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>

#include <computelocator/impl/text_index.hpp>

#ifdef COMPUTELOCATOR_X86_KERNELS
#include <cpuid.h>
#endif

namespace computelocator::detail::columns_ {

/// Secret words, made once a process.
struct hash_keys {
  static constexpr std::size_t stretch = 1024;                  ///< bytes of a block that have keys of their own
  alignas(32) std::uint64_t words[(stretch + 16 * 8) / 8];      ///< those, then 8 keys of 16 bytes
};

inline const hash_keys& keys() {
  static const hash_keys random = [] {
    std::random_device device;
    hash_keys made{};
    for (std::uint64_t& word : made.words) word = (std::uint64_t{device()} << 32 | device()) | 1;
    return made;
  }();
  return random;
}

/// Writes the hash of `size` bytes to out[0] and out[1]. Reads those bytes and nothing else.
using block_hash = void (*)(const hash_keys& secret, const char* bytes, std::size_t size, std::uint64_t* out);

/// 128 bits of a product folded to 64: the mixing step of wyhash (Wang Yi, public domain idea).
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using wide_product = unsigned __int128;
  const wide_product product = static_cast<wide_product>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline void hash_products(const hash_keys& secret, const char* bytes, std::size_t size, std::uint64_t* out) noexcept {
  const std::uint64_t* const k = secret.words;
  const auto load = [](const char* from) {
    std::uint64_t word;
    std::memcpy(&word, from, 8);
    return word;
  };
  // Four lanes that do not wait for one another: a product's latency is four of them.
  std::uint64_t low[4] = {k[0] ^ size, k[1], k[2], k[3]}, high[4] = {k[1] + size, k[3], k[4], k[5]};
  const auto take = [&](const char* from, std::size_t lane) {
    const std::uint64_t a = load(from), b = load(from + 8);
    low[lane] = mix(a ^ k[2] ^ low[lane], b ^ k[3]);
    high[lane] = mix(a ^ k[4], b ^ k[5] ^ high[lane]);
  };
  std::size_t at = 0;
  for (; size - at >= 64; at += 64)
    for (std::size_t lane = 0; lane < 4; ++lane) take(bytes + at + 16 * lane, lane);
  for (; size - at >= 16; at += 16) take(bytes + at, 0);
  // The last 16 bytes, some of them for the second time: cheaper than a copy of what is left.
  char copy[16] = {};
  if (size < 16 && size != 0) std::memcpy(copy, bytes, size);
  take(size < 16 ? copy : bytes + size - 16, 0);
  out[0] = mix(mix(low[0] ^ k[0], low[1] ^ k[4]) ^ mix(low[2] ^ k[5], low[3] ^ k[1]) ^ k[5], k[0]);
  out[1] = mix(mix(high[0] ^ k[1], high[1] ^ k[2]) ^ mix(high[2] ^ k[3], high[3] ^ k[0]) ^ k[2], k[1]);
}

#ifdef COMPUTELOCATOR_X86_KERNELS
// Each 16 bytes of a block, with a key of their own, go through four rounds of AES, and the sum of
// what comes out is the hash. Two blocks that differ have the same sum with a probability near
// 2^-113, that of the best differential through four rounds with keys that nobody knows (Keliher and
// Sui, "Exact maximum expected differential and linear probability for two-round AES", 2007).
// Blocks beyond 1 KiB go on with the same keys from a sum that was encrypted in between.

#define COMPUTELOCATOR_AES __attribute__((target("aes,sse2")))

COMPUTELOCATOR_AES inline __m128i four_rounds(__m128i of, const __m128i* rounds) noexcept {
  for (int i = 0; i < 4; ++i) of = _mm_aesenc_si128(of, _mm_load_si128(rounds + i));
  return of;
}

/// What both variants do with the last bytes and the size.
COMPUTELOCATOR_AES inline void finish_hash(const hash_keys& secret, const char* bytes, std::size_t size, __m128i sum,
                                           std::uint64_t* out) noexcept {
  const auto* const rounds = reinterpret_cast<const __m128i*>(secret.words + hash_keys::stretch / 8);
  // The last 16 bytes, some of them for the second time.
  char copy[16] = {};
  if (size < 16 && size != 0) std::memcpy(copy, bytes, size);
  const auto* const last = reinterpret_cast<const __m128i*>(size < 16 ? copy : bytes + size - 16);
  const __m128i whole = _mm_xor_si128(_mm_loadu_si128(last), _mm_load_si128(rounds + 4));
  sum = _mm_xor_si128(sum, four_rounds(whole, rounds));
  const __m128i length = _mm_xor_si128(_mm_set_epi64x(0, static_cast<long long>(size)), _mm_load_si128(rounds + 5));
  sum = _mm_xor_si128(sum, four_rounds(length, rounds));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), sum);
}

COMPUTELOCATOR_AES inline void hash_aes(const hash_keys& secret, const char* bytes, std::size_t size,
                                           std::uint64_t* out) noexcept {
  const auto* const own = reinterpret_cast<const __m128i*>(secret.words);
  const __m128i* const rounds = own + hash_keys::stretch / 16;
  __m128i sum = _mm_setzero_si128();
  const std::size_t whole = size / 16 * 16;
  for (std::size_t from = 0; from < whole; from += hash_keys::stretch) {
    if (from != 0) sum = four_rounds(_mm_xor_si128(sum, _mm_load_si128(rounds + 6)), rounds);
    const std::size_t until = std::min(whole - from, hash_keys::stretch);
    for (std::size_t at = 0; at < until; at += 16) {
      prefetch(bytes + from + at);
      const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + from + at));
      sum = _mm_xor_si128(sum, four_rounds(_mm_xor_si128(some, _mm_load_si128(own + at / 16)), rounds));
    }
  }
  finish_hash(secret, bytes, size, sum, out);
}
#undef COMPUTELOCATOR_AES

#define COMPUTELOCATOR_VAES __attribute__((target("vaes,aes,avx2")))

/// 32 bytes at a time.
COMPUTELOCATOR_VAES inline void hash_avx2_aes(const hash_keys& secret, const char* bytes, std::size_t size,
                                                 std::uint64_t* out) noexcept {
  const auto* const own = reinterpret_cast<const __m256i*>(secret.words);
  const auto* const rounds = reinterpret_cast<const __m128i*>(secret.words + hash_keys::stretch / 8);
  __m256i round[4];
  for (int i = 0; i < 4; ++i) round[i] = _mm256_broadcastsi128_si256(_mm_load_si128(rounds + i));
  __m256i sum = _mm256_setzero_si256();
  const std::size_t whole = size / 32 * 32;
  for (std::size_t from = 0; from < whole; from += hash_keys::stretch) {
    if (from != 0) {
      sum = _mm256_xor_si256(sum, _mm256_broadcastsi128_si256(_mm_load_si128(rounds + 6)));
      for (int i = 0; i < 4; ++i) sum = _mm256_aesenc_epi128(sum, round[i]);
    }
    const std::size_t until = std::min(whole - from, hash_keys::stretch);
    for (std::size_t at = 0; at < until; at += 32) {
      prefetch(bytes + from + at);
      __m256i some = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + from + at)),
                                      _mm256_load_si256(own + at / 32));
      for (int i = 0; i < 4; ++i) some = _mm256_aesenc_epi128(some, round[i]);
      sum = _mm256_xor_si256(sum, some);
    }
  }
  __m128i both = _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  if (size - whole >= 16) {
    __m128i some = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + whole)),
                                 _mm_load_si128(rounds + 7));
    for (int i = 0; i < 4; ++i) some = _mm_aesenc_si128(some, _mm256_castsi256_si128(round[i]));
    both = _mm_xor_si128(both, some);
  }
  finish_hash(secret, bytes, size, both, out);
}
#undef COMPUTELOCATOR_VAES

inline bool has_avx2_aes() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c >> 9 & 1) != 0;
}

inline bool has_aes() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 25 & 1) != 0;
}
#endif

/// Follows the choice of the kernel: the AVX kernels bring those for AES along.
inline block_hash choose_block_hash() noexcept {
#ifdef COMPUTELOCATOR_X86_KERNELS
  const auto chosen = best_kernel().index;
  if (chosen == index_avx2 || chosen == index_avx512) {
    if (has_avx2_aes() && has_aes()) return hash_avx2_aes;
    if (has_aes()) return hash_aes;
  }
#endif
  return hash_products;
}

}  // namespace computelocator::detail::columns_
