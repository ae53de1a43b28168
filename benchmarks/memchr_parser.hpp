// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

namespace bench {

/// What a careful programmer writes in an afternoon: memchr finds the next mark, nothing is checked,
/// nothing is copied. The bar for a parser that does check.
///   void on_label(std::string_view name, std::string_view raw_value);
///   void on_sample(std::string_view name, double value, std::int64_t timestamp_ms);
template <class Sink>
void memchr_parse(std::string_view page, Sink&& sink) {
  const auto find = [](const char* at, const char* end, char mark) {
    const void* const found = std::memchr(at, mark, static_cast<std::size_t>(end - at));
    return found ? static_cast<const char*>(found) : end;
  };
  const auto view = [](const char* from, const char* to) {
    return std::string_view(from, static_cast<std::size_t>(to - from));
  };
  const auto number = [](const char* at, const char* end) {
    double value = 0;
    std::uint64_t digits = 0;
    const char* digit = at;
    while (digit < end && *digit >= '0' && *digit <= '9' && digit - at < 15)
      digits = digits * 10 + static_cast<std::uint64_t>(*digit++ - '0');
    if (digit == end) return static_cast<double>(digits);
    if (*at == '+') ++at;
    if (std::from_chars(at, end, value).ec == std::errc::result_out_of_range)
      value = std::numeric_limits<double>::infinity();
    return value;
  };
  const char* at = page.data();
  const char* const end = at + page.size();
  while (at < end) {
    const char* const line_end = find(at, end, '\n');
    if (at == line_end || *at == '#') {
      at = line_end + 1;
      continue;
    }
    const char* const brace = find(at, line_end, '{');
    const char* next = brace;
    std::string_view name;
    if (brace < line_end) {
      name = view(at, brace);
      ++next;
      while (next < line_end && *next != '}') {
        const char* const equals = find(next, line_end, '=');
        const char* close = equals + 1;
        do {
          close = find(close + 1, line_end, '"');
        } while (close < line_end && [&] {
          const char* before = close;
          while (before[-1] == '\\') --before;
          return (close - before) % 2 != 0;
        }());
        if (close >= line_end) break;
        sink.on_label(view(next, equals), view(equals + 2, close));
        next = close + 1;
        if (next < line_end && *next == ',') ++next;
      }
      ++next;
    } else {
      next = find(at, line_end, ' ');
      name = view(at, next);
    }
    if (next < line_end && *next == ' ') ++next;
    const char* const value_end = next < line_end ? find(next, line_end, ' ') : line_end;
    const double value = number(next, value_end);
    std::int64_t timestamp = 0;
    for (const char* digit = value_end + 1; digit < line_end; ++digit) timestamp = timestamp * 10 + (*digit - '0');
    sink.on_sample(name, value, timestamp);
    at = line_end + 1;
  }
}

}  // namespace bench
