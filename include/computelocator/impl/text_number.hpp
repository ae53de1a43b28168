// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>

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
  const auto [end, fault] = std::from_chars(rest.data(), rest.data() + rest.size(), parsed);
  if (fault == std::errc::result_out_of_range) {
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
  } else if (fault != std::errc{} || end != rest.data() + rest.size()) {
    return number_fault::syntax;
  }
  value = negative ? -parsed : parsed;
  return number_fault::none;
}

/// The double nearest to `text`. NaN and Inf in any case; neither hexadecimal nor underscores.
inline number_fault parse_value(std::string_view text, double& value) noexcept {
  // Up to 15 significant digits and a power of ten up to 22 are exact in a double, and so is one
  // multiplication or division of the two (Clinger, "How to read floating point numbers
  // accurately", 1990). That is nearly every value a page holds.
  const char* p = text.data();
  const char* const end = p + text.size();
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  std::uint64_t mantissa = 0;
  int digits = 0, scale = 0;
  const char* const first = p;
  while (p != end && is_digit(*p)) {
    mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p++ - '0');
    ++digits;
  }
  if (p != end && *p == '.' && p != first) {
    const char* const point = ++p;
    while (p != end && is_digit(*p)) {
      mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p++ - '0');
      ++digits;
    }
    scale = static_cast<int>(p - point > 400 ? 400 : p - point);
  }
  if (digits == 0 || digits > 15) return slow_value(text, value);
  int exponent = 0;
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool exponent_negative = p != end && *p == '-';
    if (p != end && (*p == '-' || *p == '+')) ++p;
    const char* const exponent_first = p;
    while (p != end && is_digit(*p) && exponent < 1000) exponent = exponent * 10 + (*p++ - '0');
    if (p == exponent_first) return number_fault::syntax;
    if (exponent_negative) exponent = -exponent;
  }
  if (p != end) return slow_value(text, value);
  exponent -= scale;
  if (exponent < -22 || exponent > 22) return slow_value(text, value);
  double parsed = static_cast<double>(mantissa);
  if (exponent < 0) parsed /= exact_powers_of_ten[-exponent];
  else parsed *= exact_powers_of_ten[exponent];
  value = negative ? -parsed : parsed;
  return number_fault::none;
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
