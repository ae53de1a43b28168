// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The grammar of the Prometheus text format 0.0.4 and of OpenMetrics 1.0.
//
//   for (const sample_view& sample : samples(page))
//     use(sample.name(), sample.value());
//
// A view points into the page. It lives as long as the page's bytes do.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace computelocator {

enum class dialect : std::uint8_t {
  prometheus,  ///< text/plain; version=0.0.4: timestamps in milliseconds
  openmetrics  ///< application/openmetrics-text; version=1.0.0: timestamps in seconds, # EOF
};

/// What to make of a page that is not quite right. See docs/grammar.md for every case.
enum class policy : std::uint8_t {
  strict,      ///< the specification's text; the first fault ends the page. What OpenMetrics asks of
               ///< lines beside one another is in openmetrics.hpp
  prometheus,  ///< what Prometheus' own parser accepts, less its faults; the first fault ends the page
  lenient      ///< as prometheus, and CRLF, a byte order mark and blank lines; a bad line is rejected, the rest kept
};

enum class metric_type : std::uint8_t {
  unknown, counter, gauge, histogram, gauge_histogram, summary, info, state_set
};

/// The word of the format: "counter", "gaugehistogram", ...
std::string_view to_string(metric_type type) noexcept;

/// The dialect that a Content-Type header names; empty for HTML, JSON, protobuf and the like.
std::optional<dialect> dialect_of_content_type(std::string_view content_type) noexcept;

/// For pages without a content type: OpenMetrics where the last line is "# EOF".
dialect detect_dialect(std::string_view page) noexcept;

enum class parse_errc : std::uint8_t {
  bad_name, bad_label_name, missing_equals, missing_quote, unterminated_value, invalid_utf8,
  missing_comma, stray_comma, duplicate_label, reserved_label, second_name, missing_name,
  missing_brace, missing_value, bad_value, value_out_of_range, bad_timestamp,
  timestamp_out_of_range, trailing_text, unexpected_blank, blank_line, unexpected_comment,
  bad_type, bad_metadata, carriage_return, byte_order_mark, missing_newline, missing_eof,
  text_after_eof, bad_exemplar, too_many_samples, too_many_labels,
  line_too_long,
  // The rules of OpenMetrics beyond its grammar (openmetrics.hpp).
  repeated_metadata, misplaced_metadata, repeated_family, clashing_name, name_not_of_type,
  unit_not_in_name, unit_not_allowed, interleaved_metric, repeated_sample, mixed_timestamps,
  timestamp_goes_back, impossible_value, count_not_integer, bad_state_value, bad_bucket_label,
  bad_quantile_label, missing_state_label, label_not_allowed, buckets_out_of_order,
  buckets_not_cumulative, missing_inf_bucket, count_mismatch, count_and_sum_apart,
  sum_beside_negative_buckets, missing_total, misplaced_exemplar, long_exemplar,
  exemplar_outside_bucket
};
inline constexpr std::size_t parse_errc_count = static_cast<std::size_t>(parse_errc::exemplar_outside_bucket) + 1;

/// What is wrong, in words.
std::string_view what(parse_errc code) noexcept;
/// What to do about it.
std::string_view advice(parse_errc code) noexcept;

struct parse_error {
  parse_errc code{};
  std::size_t offset = 0;   ///< of the byte where it shows, from the start of the page
  std::string_view line;    ///< the whole line; a view into the page
};

/// What a sink's check() finds wrong with a line that the grammar allows.
struct line_fault {
  parse_errc code{};
  std::size_t offset = 0;  ///< of the byte where it shows, from the start of the page
  bool earlier = false;    ///< it is about lines before this one, and this one is to be asked again
};

struct position {
  std::size_t line = 1, column = 1;  ///< from 1; the column counts bytes
};

/// Line and column of `offset`; reads the page up to there.
position locate(std::string_view page, std::size_t offset) noexcept;

/// One label. Views live as long as the page's bytes do.
class label_view {
 public:
  std::string_view name() const noexcept { return name_; }
  /// The value as the page has it, between the quotes.
  std::string_view raw_value() const noexcept { return value_; }
  /// True where raw_value() holds a backslash, so that decoding may change it.
  bool escaped() const noexcept { return value_.find('\\') != std::string_view::npos; }
  /// Writes the decoded value to `out`, which has room for raw_value().size() bytes; gives its
  /// length. \\, \" and \n are decoded, any other escape is kept as it stands.
  std::size_t decode(char* out) const noexcept;
  std::string decoded() const;

  label_view() = default;
  label_view(std::string_view name, std::string_view raw_value) noexcept
      : name_(name), value_(raw_value) {}

 private:
  std::string_view name_, value_;
};

/// The labels of a checked label block, read as they are walked. A forward range.
class labels_view {
 public:
  class iterator {
   public:
    using value_type = label_view;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    iterator() = default;
    const label_view& operator*() const noexcept { return label_; }
    const label_view* operator->() const noexcept { return &label_; }
    iterator& operator++() noexcept { advance(); return *this; }
    iterator operator++(int) noexcept { iterator before = *this; advance(); return before; }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }

   private:
    friend class labels_view;
    explicit iterator(const labels_view& of) noexcept
        : rest_(of.block_.substr(of.marked_ == 0 ? 0 : 1)), marks_(of.marks_), base_(of.base_), marked_(of.marked_) {
      advance();
    }
    void advance() noexcept;
    void look() noexcept;
    std::string_view rest_;
    const char* at_ = nullptr;  // the label's first byte
    label_view label_;
    const std::uint16_t* marks_ = nullptr;
    const char* base_ = nullptr;
    std::uint32_t marked_ = 0;
  };

  labels_view() = default;
  explicit labels_view(std::string_view block) noexcept : block_(block) {}
  /// Iterators live as long as this object, the labels as long as the page's bytes.
  iterator begin() const noexcept { return iterator(*this); }
  iterator end() const noexcept { return iterator(); }
  bool empty() const noexcept { return begin() == end(); }

 private:
  friend class sample_view;
  template <class Sink> friend class page_walker;
  static constexpr std::size_t most_marked = 16;
  std::string_view block_;
  // Where the walker met the quotes of the values, from base_: so they need not be looked for again.
  const char* base_ = nullptr;
  std::uint32_t marked_ = 0;  // labels; 0: look for them
  std::uint16_t marks_[2 * most_marked]{};
};

struct exemplar_view {
  std::string_view label_block;
  double value = 0;
  std::optional<std::int64_t> timestamp_ms;

  labels_view labels() const noexcept { return labels_view(label_block); }
};

/// One sample line. Views live as long as the page's bytes do.
class sample_view {
 public:
  /// As the page has it; where it stands in quotes, what is between them.
  std::string_view name() const noexcept { return name_; }
  bool name_escaped() const noexcept { return name_.find('\\') != std::string_view::npos; }
  /// From '{' to '}', both included; empty where the line has none. Equal bytes are equal labels.
  std::string_view label_block() const noexcept { return labels_.block_; }
  const labels_view& labels() const& noexcept { return labels_; }
  labels_view labels() && noexcept { return labels_; }
  double value() const noexcept { return value_; }
  std::string_view value_text() const noexcept { return value_text_; }
  std::optional<std::int64_t> timestamp_ms() const noexcept { return timestamp_ms_; }
  std::string_view timestamp_text() const noexcept { return timestamp_text_; }
  const std::optional<exemplar_view>& exemplar() const noexcept { return exemplar_; }
  std::string_view line() const noexcept { return line_; }
  /// Of the line, from the start of the page.
  std::size_t offset() const noexcept { return offset_; }

 private:
  template <class Sink> friend class page_walker;
  std::string_view name_, value_text_, timestamp_text_, line_;
  labels_view labels_;
  double value_ = 0;
  std::optional<std::int64_t> timestamp_ms_;
  std::optional<exemplar_view> exemplar_;
  std::size_t offset_ = 0;
};

/// One HELP, TYPE or UNIT line. Views live as long as the page's bytes do.
struct metadata_view {
  enum class kind : std::uint8_t { help, type, unit };
  kind what = kind::help;
  std::string_view name;                        ///< of the metric family, without quotes
  std::string_view text;                        ///< help, type or unit as the page has it
  metric_type type = metric_type::unknown;      ///< of TYPE lines
  bool quotes_escaped = false;                  ///< OpenMetrics also escapes '"' in help
  std::string_view line;
  std::size_t offset = 0;

  /// `text` with \\ and \n (and \" where quotes_escaped) decoded.
  std::string decoded() const;
};

struct parse_options {
  dialect syntax = dialect::prometheus;
  policy rules = policy::lenient;
};

struct parse_result {
  std::optional<parse_error> error;  ///< what ended the page early; empty: it was read to its end
  std::size_t samples = 0;           ///< handed to the sink
  std::size_t skipped = 0;           ///< lines that the sink did not want; unless it has check(),
                                     ///< they were not looked at
  std::size_t rejected = 0;          ///< faulty lines after which reading went on
  bool saw_eof = false;
};

/// Reads `page` from start to end and tells `sink` what stands there. Every member of the sink is
/// optional and called directly:
///   void on_sample(const sample_view&);
///   void on_metadata(const metadata_view&);
///   void on_comment(std::string_view line);
///   bool on_error(const parse_error&);     false ends the page; without it the policy decides
///   void on_eof();
///   bool wants(std::string_view name);     false: the line is skipped before its labels are read;
///                                          asked once for lines of one name that stand together
///   bool wants(const sample_view&);        false: it is not handed over
///   std::optional<line_fault> check(const sample_view&);     before on_sample: a fault is one of
///   std::optional<line_fault> check(const metadata_view&);   the line, as if the grammar had found
///   std::optional<line_fault> check_end();                   it; with check(), every line is read
///                                          and wants() only decides what is handed over
///   std::size_t known_block(std::string_view rest);
///                                          `rest` is the page from a '{' behind a name on. The size
///                                          of the block at its start if these very bytes were
///                                          handed over before as the label_block() of a sample
///                                          whose name stood before it, under the same options:
///                                          they are not checked again. Else 0
/// No allocation, no recursion, nothing read beyond the page; noexcept where the sink is.
template <class Sink>
parse_result parse(std::string_view page, Sink&& sink, parse_options options = {});

/// The samples of a page as an input range. The first fault ends it under `strict` and
/// `prometheus`; result() says so afterwards.
class samples;

}  // namespace computelocator

#include <computelocator/impl/text_walk.hpp>
