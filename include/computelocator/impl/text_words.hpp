// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <computelocator/impl/text_number.hpp>
#include <computelocator/text.hpp>

namespace computelocator {

namespace detail {

struct type_word {
  char bytes[16];
  std::uint8_t size;
  metric_type type;

  std::string_view text() const noexcept { return {bytes, size}; }
};

inline constexpr type_word type_words[] = {
    {"gauge", 5, metric_type::gauge},         {"counter", 7, metric_type::counter},
    {"histogram", 9, metric_type::histogram}, {"summary", 7, metric_type::summary},
    {"untyped", 7, metric_type::unknown},     {"unknown", 7, metric_type::unknown},
    {"info", 4, metric_type::info},           {"stateset", 8, metric_type::state_set},
    {"gaugehistogram", 14, metric_type::gauge_histogram}};
inline constexpr std::size_t classic_types = 5;  // the first ones: those of text 0.0.4

inline std::optional<metric_type> type_of_word(std::string_view word) noexcept {
  for (const type_word& each : type_words)
    if (word == each.text()) return each.type;
  return std::nullopt;
}

inline bool is_classic_type(std::string_view word) noexcept {
  for (std::size_t i = 0; i < classic_types; ++i)
    if (word == type_words[i].text()) return true;
  return false;
}

/// Reads a type of text 0.0.4 and gives the newline behind it; nullptr where another byte stands there.
/// 16 bytes may be read.
inline const char* quick_type(const char* word, metric_type& type) noexcept {
  for (std::size_t i = 0; i < classic_types; ++i)
    if (const std::size_t size = type_words[i].size; word[size] == '\n' && same_bytes(word, type_words[i].bytes, size)) {
      type = type_words[i].type;
      return word + size;
    }
  return nullptr;
}

inline std::size_t decode_escapes(std::string_view raw, bool quotes, char* out) noexcept {
  char* const start = out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '\\' && i + 1 < raw.size()) {
      const char escaped = raw[i + 1];
      if (escaped == 'n') c = '\n', ++i;
      else if (escaped == '\\' || (quotes && escaped == '"')) c = escaped, ++i;
    }
    *out++ = c;
  }
  return static_cast<std::size_t>(out - start);
}

inline std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

}  // namespace detail

inline std::size_t label_view::decode(char* out) const noexcept {
  if (!escaped()) {
    if (!value_.empty()) std::memcpy(out, value_.data(), value_.size());
    return value_.size();
  }
  return detail::decode_escapes(value_, true, out);
}

inline std::string label_view::decoded() const {
  std::string text(value_.size(), '\0');
  text.resize(decode(text.data()));
  return text;
}

inline std::string metadata_view::decoded() const {
  std::string decoded_text(text.size(), '\0');
  decoded_text.resize(detail::decode_escapes(text, quotes_escaped, decoded_text.data()));
  return decoded_text;
}

inline std::string_view to_string(metric_type type) noexcept {
  switch (type) {
    case metric_type::counter: return "counter";
    case metric_type::gauge: return "gauge";
    case metric_type::histogram: return "histogram";
    case metric_type::gauge_histogram: return "gaugehistogram";
    case metric_type::summary: return "summary";
    case metric_type::info: return "info";
    case metric_type::state_set: return "stateset";
    case metric_type::unknown: break;
  }
  return "unknown";
}

inline std::optional<dialect> dialect_of_content_type(std::string_view content_type) noexcept {
  const std::string_view media = detail::trimmed(content_type.substr(0, content_type.find(';')));
  if (detail::equals_ignoring_case(media, "application/openmetrics-text")) return dialect::openmetrics;
  if (media.empty() || detail::equals_ignoring_case(media, "text/plain")) return dialect::prometheus;
  return std::nullopt;
}

inline dialect detect_dialect(std::string_view page) noexcept {
  while (!page.empty() && (page.back() == '\n' || page.back() == '\r')) page.remove_suffix(1);
  const std::size_t line = page.find_last_of('\n');
  return page.substr(line == std::string_view::npos ? 0 : line + 1) == "# EOF" ? dialect::openmetrics
                                                                              : dialect::prometheus;
}

inline position locate(std::string_view page, std::size_t offset) noexcept {
  offset = std::min(offset, page.size());
  position at;
  std::size_t line_begin = 0;
  for (std::size_t i = 0; i < offset; ++i)
    if (page[i] == '\n') {
      ++at.line;
      line_begin = i + 1;
    }
  at.column = offset - line_begin + 1;
  return at;
}

inline std::string_view what(parse_errc code) noexcept {
  switch (code) {
    case parse_errc::bad_name: return "this is not a metric name";
    case parse_errc::bad_label_name: return "this is not a label name";
    case parse_errc::missing_equals: return "a label name without '='";
    case parse_errc::missing_quote: return "a label value without its opening quote";
    case parse_errc::unterminated_value: return "a quoted string that does not end on its line";
    case parse_errc::invalid_utf8: return "bytes that are not UTF-8";
    case parse_errc::missing_comma: return "two labels without a comma between them";
    case parse_errc::stray_comma: return "a comma without a label";
    case parse_errc::duplicate_label: return "a label name that stands twice";
    case parse_errc::reserved_label: return "the label name __name__, which is the metric's own";
    case parse_errc::second_name: return "a quoted metric name that is not the first thing in the braces";
    case parse_errc::missing_name: return "a sample without a metric name";
    case parse_errc::missing_brace: return "labels without their closing brace";
    case parse_errc::missing_value: return "a sample without a value";
    case parse_errc::bad_value: return "this is not a number";
    case parse_errc::value_out_of_range: return "a value beyond a 64-bit float";
    case parse_errc::bad_timestamp: return "this is not a timestamp";
    case parse_errc::timestamp_out_of_range: return "a timestamp beyond 64 bits of milliseconds";
    case parse_errc::trailing_text: return "text behind the timestamp";
    case parse_errc::unexpected_blank: return "not the single blank that OpenMetrics has here";
    case parse_errc::blank_line: return "a blank line, which OpenMetrics does not have";
    case parse_errc::unexpected_comment: return "a comment other than HELP, TYPE, UNIT and EOF";
    case parse_errc::bad_type: return "this is not a metric type of the format";
    case parse_errc::bad_metadata: return "a HELP, TYPE or UNIT line that is not whole";
    case parse_errc::carriage_return: return "a carriage return at the end of the line";
    case parse_errc::byte_order_mark: return "a byte order mark at the start of the page";
    case parse_errc::missing_newline: return "a last line without its line feed";
    case parse_errc::missing_eof: return "an OpenMetrics page without '# EOF' at its end";
    case parse_errc::text_after_eof: return "text behind '# EOF'";
    case parse_errc::bad_exemplar: return "this is not an exemplar";
    case parse_errc::too_many_samples: return "more samples than the limit";
    case parse_errc::too_many_labels: return "more labels on one sample than the limit";
    case parse_errc::line_too_long: return "a line that is longer than the limit";
    case parse_errc::repeated_metadata: return "a second HELP, TYPE or UNIT line of the same metric family";
    case parse_errc::misplaced_metadata: return "a HELP, TYPE or UNIT line behind samples of its metric family";
    case parse_errc::repeated_family: return "a metric family that stands on this page already";
    case parse_errc::clashing_name: return "a name that samples of another metric family of this page can have";
    case parse_errc::name_not_of_type: return "a sample name that the type of its metric family does not have";
    case parse_errc::unit_not_in_name: return "a unit that is not the end of the metric family's name";
    case parse_errc::unit_not_allowed: return "a unit on an info or a stateset";
    case parse_errc::interleaved_metric: return "labels that stood in this metric family before, with others between";
    case parse_errc::repeated_sample: return "the same sample for the second time";
    case parse_errc::mixed_timestamps: return "samples of the same labels with and without a timestamp";
    case parse_errc::timestamp_goes_back: return "a timestamp before that of the line above with the same labels";
    case parse_errc::impossible_value: return "a value below zero or NaN where the type has none";
    case parse_errc::count_not_integer: return "a count or bucket that is not a whole number";
    case parse_errc::bad_state_value: return "a value other than 1 (info) or 0 and 1 (stateset)";
    case parse_errc::bad_bucket_label: return "a bucket whose label le is missing or not a number";
    case parse_errc::bad_quantile_label: return "a quantile whose label is missing or not from 0 to 1";
    case parse_errc::missing_state_label: return "a state without the label that is called like its metric family";
    case parse_errc::label_not_allowed: return "the label le or quantile on a sample that is no bucket or quantile";
    case parse_errc::buckets_out_of_order: return "a bucket whose le is not above that of the one before";
    case parse_errc::buckets_not_cumulative: return "a bucket that counts less than the one before";
    case parse_errc::missing_inf_bucket: return "a histogram without a bucket le=\"+Inf\" at its end";
    case parse_errc::count_mismatch: return "a count that is not that of the bucket le=\"+Inf\"";
    case parse_errc::count_and_sum_apart: return "a histogram with a count and no sum, or a sum and no count";
    case parse_errc::sum_beside_negative_buckets: return "a sum that the histogram's buckets do not allow";
    case parse_errc::missing_total: return "a counter without its _total";
    case parse_errc::misplaced_exemplar: return "an exemplar on a sample that is neither a bucket nor a counter's _total";
    case parse_errc::long_exemplar: return "an exemplar with more than 128 characters of labels";
    case parse_errc::exemplar_outside_bucket: return "an exemplar beyond the le of its bucket";
  }
  return "not readable";
}

inline std::string_view advice(parse_errc code) noexcept {
  switch (code) {
    case parse_errc::bad_name:
    case parse_errc::bad_label_name: return "names are [a-zA-Z_][a-zA-Z0-9_]* (metrics also ':'); quote any other";
    case parse_errc::unterminated_value: return "end it with '\"'; write \\n for a line feed and \\\" for a quote inside";
    case parse_errc::invalid_utf8: return "have the exporter send UTF-8";
    case parse_errc::bad_value:
    case parse_errc::value_out_of_range: return "write a decimal number, NaN, +Inf or -Inf";
    case parse_errc::bad_timestamp:
    case parse_errc::timestamp_out_of_range: return "write milliseconds (text 0.0.4) or seconds (OpenMetrics) since 1970";
    case parse_errc::carriage_return:
    case parse_errc::byte_order_mark:
    case parse_errc::blank_line: return "remove it, or read with the policy lenient";
    case parse_errc::missing_newline: return "end the page with a line feed, or read with the policy prometheus or lenient";
    case parse_errc::missing_eof: return "the page may be cut off: fetch it again";
    case parse_errc::bad_type: return "text 0.0.4 has counter, gauge, histogram, summary and untyped";
    case parse_errc::too_many_samples: return "ask for fewer metrics, or raise the limit";
    case parse_errc::line_too_long:
    case parse_errc::too_many_labels: return "raise the limit if the target is to be trusted";
    case parse_errc::repeated_metadata:
    case parse_errc::repeated_family: return "write each metric family once, all of its samples together; or read with the policy prometheus";
    case parse_errc::misplaced_metadata: return "write HELP, TYPE and UNIT before the samples; or read with the policy prometheus";
    case parse_errc::clashing_name: return "rename one: _total, _created, _count, _sum, _bucket, _gcount, _gsum and _info belong to the types";
    case parse_errc::name_not_of_type: return "end it as the type wants: counter _total, info _info, histogram _bucket; or read with the policy prometheus";
    case parse_errc::unit_not_in_name: return "end the name in '_' and the unit, or leave the UNIT line out";
    case parse_errc::unit_not_allowed: return "leave the UNIT line out";
    case parse_errc::interleaved_metric:
    case parse_errc::repeated_sample: return "write the samples of one label set together, each once; or read with the policy prometheus";
    case parse_errc::mixed_timestamps:
    case parse_errc::timestamp_goes_back: return "give all of them timestamps, in rising order, or none; or read with the policy prometheus";
    case parse_errc::bad_bucket_label: return "write le as a number, and infinity as \"+Inf\"";
    case parse_errc::sum_beside_negative_buckets: return "leave _sum out where a bucket is below zero; a _gsum below zero needs such a bucket";
    case parse_errc::misplaced_exemplar:
    case parse_errc::exemplar_outside_bucket: return "have the exporter put exemplars on counters and their own buckets; or read with the policy prometheus";
    case parse_errc::long_exemplar: return "shorten its labels; or read with the policy prometheus";
    case parse_errc::impossible_value:
    case parse_errc::count_not_integer:
    case parse_errc::bad_state_value:
    case parse_errc::bad_quantile_label:
    case parse_errc::missing_state_label:
    case parse_errc::label_not_allowed:
    case parse_errc::buckets_out_of_order:
    case parse_errc::buckets_not_cumulative:
    case parse_errc::missing_inf_bucket:
    case parse_errc::count_mismatch:
    case parse_errc::count_and_sum_apart:
    case parse_errc::missing_total: return "mend the exporter, or read with the policy prometheus, which does not look at this";
    default: return "mend the exporter, or read with the policy lenient to keep the other lines";
  }
}

}  // namespace computelocator
