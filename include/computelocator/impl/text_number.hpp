// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>

#include <computelocator/impl/text_bytes.hpp>

namespace computelocator::detail {

enum class number_fault : std::uint8_t { none, syntax, range };

inline constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Powers of ten that a double holds exactly.
inline constexpr double exact_powers_of_ten[] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

inline bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c) != lower[i]) return false;
  }
  return true;
}

/// Digits with at most one point and an optional exponent, sign already taken: the shape both
/// formats share. std::from_chars would also take "inf", "nan" and stop early; it gets no chance.
inline bool is_decimal(std::string_view text) noexcept {
  std::size_t i = 0, digits = 0;
  while (i < text.size() && is_digit(text[i])) ++i, ++digits;
  if (i < text.size() && text[i] == '.') {
    ++i;
    while (i < text.size() && is_digit(text[i])) ++i, ++digits;
  }
  if (digits == 0) return false;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    const std::size_t first = i;
    while (i < text.size() && is_digit(text[i])) ++i;
    if (i == first) return false;
  }
  return i == text.size();
}

inline number_fault slow_value(std::string_view text, double& value) noexcept {
  bool negative = false;
  std::string_view rest = text;
  const bool has_sign = !rest.empty() && (rest[0] == '+' || rest[0] == '-');
  if (has_sign) {
    negative = rest[0] == '-';
    rest.remove_prefix(1);
  }
  if (equals_ignoring_case(rest, "inf") || equals_ignoring_case(rest, "infinity")) {
    value = negative ? -std::numeric_limits<double>::infinity()
                     : std::numeric_limits<double>::infinity();
    return number_fault::none;
  }
  if (!has_sign && equals_ignoring_case(rest, "nan")) {
    value = std::numeric_limits<double>::quiet_NaN();
    return number_fault::none;
  }
  if (!is_decimal(rest)) return number_fault::syntax;
  double parsed = 0;
  if (std::from_chars(rest.data(), rest.data() + rest.size(), parsed).ec == std::errc::result_out_of_range) {
    // from_chars says the same of 1e400 and 1e-400, and leaves the value alone. Only the former
    // is beyond a double; what tells them apart is where the first significant digit stands.
    long long magnitude = 0;
    bool significant = false, point = false;
    std::size_t i = 0;
    for (; i < rest.size() && rest[i] != 'e' && rest[i] != 'E'; ++i) {
      if (rest[i] == '.') {
        point = true;
      } else if (significant || rest[i] != '0') {
        significant = true;
        if (!point) ++magnitude;
      } else if (point) {
        --magnitude;
      }
    }
    bool exponent_negative = false;
    long long exponent = 0;
    if (i < rest.size()) {
      ++i;
      if (rest[i] == '+' || rest[i] == '-') exponent_negative = rest[i++] == '-';
      for (; i < rest.size() && exponent < 1'000'000'000'000; ++i)
        exponent = exponent * 10 + (rest[i] - '0');
    }
    magnitude += exponent_negative ? -exponent : exponent;
    if (magnitude > 0) return number_fault::range;
    parsed = 0;
  }
  value = negative ? -parsed : parsed;
  return number_fault::none;
}

/// The number that the first `count` >= 1 bytes of a word of digits say.
inline std::uint64_t digits_of_word(std::uint64_t word, std::size_t count) noexcept {
  // Moved so that zeros lead; then pairs, fours and all eight come together.
  const std::uint64_t digits = (word ^ each_byte('0')) << (64 - 8 * count);
  const std::uint64_t pairs = digits * 10 + (digits >> 8);
  constexpr std::uint64_t lanes = 0x000000FF000000FFu;
  return ((pairs & lanes) * (100 + (1000000ull << 32)) + ((pairs >> 16) & lanes) * (1 + (10000ull << 32))) >> 32;
}

inline constexpr std::uint64_t small_powers_of_ten[] = {1,      10,      100,      1000,     10000,
                                                        100000, 1000000, 10000000, 100000000};

/// Digits from `p` on are put behind `mantissa`; gives where they end, or where 24 have been taken. Past 19
/// digits in all the mantissa means nothing.
[[gnu::always_inline]] inline const char* take_digits(const char* p, std::uint64_t& mantissa) noexcept {
  const auto take = [&]() __attribute__((always_inline)) {
    const std::uint64_t word = load_word(p);
    const std::size_t count = bytes_before(not_digits(word));
    if (count == 0) return false;
    mantissa = mantissa * small_powers_of_ten[count] + digits_of_word(word, count);
    p += count;
    return count == 8;
  };
  if (take() && take()) take();
  return p;
}

#ifdef __SIZEOF_INT128__
__extension__ using uint128 = unsigned __int128;

/// A power of ten: `bits` * 2^`exponent` and less than one more bit; the highest bit is set.
struct power_of_ten {
  uint128 bits;
  int exponent;
};

inline constexpr int largest_power = 38;  // 10^38 has 127 bits

inline constexpr std::array<power_of_ten, 2 * largest_power + 1> make_powers_of_ten() {
  std::array<power_of_ten, 2 * largest_power + 1> made{};
  uint128 power = 1;
  for (int n = 0; n <= largest_power; ++n, power *= 10) {
    power_of_ten up{power, 0};
    while (up.bits >> 127 == 0) up.bits <<= 1, --up.exponent;
    made[static_cast<std::size_t>(largest_power + n)] = up;
    // 1 / power by long division, bit for bit, until there are 128 significant ones.
    power_of_ten down{0, 0};
    uint128 rest = 1;
    while (down.bits >> 127 == 0) {
      const bool fits = rest >= power;
      down.bits = down.bits << 1 | fits;
      rest = (fits ? rest - power : rest) << 1;
      --down.exponent;
    }
    ++down.exponent;
    if (n != 0) made[static_cast<std::size_t>(largest_power - n)] = down;
  }
  return made;
}
inline constexpr std::array<power_of_ten, 2 * largest_power + 1> powers_of_ten = make_powers_of_ten();

/// The double nearest to mantissa * 10^exponent, from the 128 highest bits of the product; false
/// where these leave two doubles to choose from.
inline bool scale_exactly(std::uint64_t mantissa, int exponent, double& value) noexcept {
  if (mantissa == 0 || exponent < -largest_power || exponent > largest_power) return false;
  const power_of_ten& power = powers_of_ten[static_cast<std::size_t>(exponent + largest_power)];
  const int spare = std::countl_zero(mantissa);
  const std::uint64_t factor = mantissa << spare;
  // The true product is at least `low`, and less than low + 2: one for what the power lacks, one
  // for the bits cut off here.
  const uint128 low = static_cast<uint128>(factor) * static_cast<std::uint64_t>(power.bits >> 64) +
                   (static_cast<uint128>(factor) * static_cast<std::uint64_t>(power.bits) >> 64);
  const int cut = low >> 127 != 0 ? 75 : 74;  // 53 bits stay
  const uint128 rounded = low + (uint128{1} << (cut - 1));
  const uint128 rest = rounded & ((uint128{1} << cut) - 1);
  if (rest == 0 || rest + 2 >= uint128{1} << cut) return false;
  const int scale = power.exponent + 64 - spare + cut;
  value = static_cast<double>(static_cast<std::uint64_t>(rounded >> cut)) *
          std::bit_cast<double>(static_cast<std::uint64_t>(1023 + scale) << 52);
  return true;
}
#else
inline bool scale_exactly(std::uint64_t, int, double&) noexcept { return false; }
#endif

/// Digits, a point, digits, an exponent, and NaN: nearly every value that a page holds, up to 19
/// digits of it, read without knowing where it ends. Gives the byte behind it; nullptr where it
/// needs a closer look. At least 64 bytes may be read.
[[gnu::noinline]] inline const char* quick_decimal(const char* p, double& value) noexcept {
  const bool negative = *p == '-';
  p += negative;
  std::uint64_t mantissa = 0;
  const char* end = take_digits(p, mantissa);
  std::ptrdiff_t digits = end - p;
  if (digits == 0) {
    if (negative || p[0] != 'N' || p[1] != 'a' || p[2] != 'N') return nullptr;
    value = std::numeric_limits<double>::quiet_NaN();
    return p + 3;
  }
  int exponent = 0;
  if (*end == '.') {
    const char* const point = ++end;
    end = take_digits(point, mantissa);
    digits += end - point;
    exponent = -static_cast<int>(end - point);
  }
  if (digits > 19) {  // but zeros in front are none of its digits
    if (digits > 32) return nullptr;  // so that the time behind it is within the bytes that may be read
    for (const char* zero = p; *zero == '0' || *zero == '.'; ++zero) digits -= *zero == '0';
    if (digits > 19) return nullptr;
  }
  if ((*end | 0x20) == 'e') {
    const char sign = *++end;
    end += sign == '+' || sign == '-';
    if (!is_digit(*end)) return nullptr;
    int size = *end++ - '0';
    if (is_digit(*end)) size = size * 10 + (*end++ - '0');
    exponent += sign == '-' ? -size : size;
  }
  // Up to 53 bits and a power of ten up to 22 are exact in a double, and so is one multiplication
  // or division of the two (Clinger, "How to read floating point numbers accurately", 1990).
  double parsed = static_cast<double>(mantissa);
  if (mantissa > std::uint64_t{1} << 53 || exponent < -22 || exponent > 22) {
    if (!scale_exactly(mantissa, exponent, parsed)) return nullptr;
  } else if (exponent < 0) {
    parsed /= exact_powers_of_ten[-exponent];
  } else if (exponent > 0) {
    parsed *= exact_powers_of_ten[exponent];
  }
  value = negative ? -parsed : parsed;
  return end;
}

/// The same. Half of all values are one digit: these are read in place.
[[gnu::always_inline]] inline const char* quick_value(const char* p, double& value) noexcept {
  if (!is_digit(p[0]) || p[1] > ' ') return quick_decimal(p, value);
  value = p[0] - '0';
  return p + 1;
}

/// Reads milliseconds of 13 digits, as the times of this age are. Their first eight mostly are those of the
/// time before.
class time_reader {
 public:
  /// Gives the byte behind them, or nullptr. At least 14 bytes may be read.
  [[gnu::always_inline]] inline const char* read(const char* p, std::int64_t& time) noexcept {
    const std::uint64_t first = load_word(p), last = load_word(p + 5);
    if (not_digits(last) != 0 || is_digit(p[13])) return nullptr;
    if (first != first_) {
      if (not_digits(first) != 0) return nullptr;
      first_ = first;
      value_ = digits_of_word(first, 8) * 100000;
    }
    time = static_cast<std::int64_t>(value_ + digits_of_word(last >> 24, 5));
    return p + 13;
  }

 private:
  std::uint64_t first_ = 0, value_ = 0;
};

/// The double nearest to `text`. NaN and Inf in any case; neither hexadecimal nor underscores.
inline number_fault parse_value(std::string_view text, double& value) noexcept {
  char copy[96] = {};
  if (!text.empty() && text.size() <= 28) {
    std::memcpy(copy, text.data(), text.size());
    if (quick_value(copy, value) == copy + text.size()) return number_fault::none;
  }
  return slow_value(text, value);
}

/// A whole number that fits std::int64_t, with an optional sign.
inline number_fault parse_int64(std::string_view text, bool plus_allowed, std::int64_t& value) noexcept {
  if (!text.empty() && text[0] == '+') {
    if (!plus_allowed) return number_fault::syntax;
    text.remove_prefix(1);
    if (text.empty() || !is_digit(text[0])) return number_fault::syntax;
  }
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault == std::errc::result_out_of_range) {
    for (std::size_t i = text[0] == '-' ? 1 : 0; i < text.size(); ++i)
      if (!is_digit(text[i])) return number_fault::syntax;
    return number_fault::range;
  }
  return fault == std::errc{} && end == text.data() + text.size() ? number_fault::none
                                                                  : number_fault::syntax;
}

/// OpenMetrics seconds ("1395066363.1239", "1.5e9") as milliseconds, exactly where the text is
/// plain decimal; what is finer than a millisecond is cut toward zero, as Prometheus does. The format
/// has times that 64 bits of milliseconds have not: they become the last time that can be said.
inline number_fault parse_seconds_ms(std::string_view text, std::int64_t& value) noexcept {
  std::size_t i = 0;
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) ++i;
  std::uint64_t whole = 0;
  std::size_t digits = 0;
  constexpr std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 1000 - 1;
  bool range = false;
  for (; i < text.size() && is_digit(text[i]); ++i, ++digits) {
    if (whole > most) range = true;
    else whole = whole * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  std::uint64_t thousandths = 0;
  if (i < text.size() && text[i] == '.') {
    ++i;
    std::uint64_t weight = 100;
    for (; i < text.size() && is_digit(text[i]); ++i, ++digits) {
      thousandths += weight * static_cast<std::uint64_t>(text[i] - '0');
      weight /= 10;
    }
  }
  if (i == text.size()) {
    if (digits == 0) return number_fault::syntax;
    constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
    const std::int64_t total = range || whole > most ? last : static_cast<std::int64_t>(whole * 1000 + thousandths);
    value = negative ? -total : total;
    return number_fault::none;
  }
  double seconds = 0;
  if (const number_fault fault = parse_value(text, seconds); fault != number_fault::none) return fault;
  if (!(seconds - seconds == 0)) return number_fault::syntax;  // NaN and Inf are no times
  const double scaled = seconds * 1000;
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  value = scaled >= 9.2e18 ? last : scaled <= -9.2e18 ? -last : static_cast<std::int64_t>(scaled);
  return number_fault::none;
}

}  // namespace computelocator::detail
