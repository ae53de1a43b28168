// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstring>

#include <computelocator/impl/text_blocks.hpp>
#include <computelocator/impl/text_bytes.hpp>
#include <computelocator/impl/text_index.hpp>
#include <computelocator/impl/text_number.hpp>
#include <computelocator/impl/text_utf8.hpp>
#include <computelocator/impl/text_words.hpp>
#include <computelocator/text.hpp>

namespace computelocator {

namespace detail {

inline bool is_blank(char c) noexcept { return c == ' ' || c == '\t'; }

/// Past the closing quote of the string whose opening quote is at `open`; `limit` + 1 where it
/// does not end before `limit`.
inline std::size_t end_of_string(std::string_view text, std::size_t open, std::size_t limit) noexcept {
  for (std::size_t from = open + 1; from < limit;) {
    const void* const found = std::memchr(text.data() + from, '"', limit - from);
    if (found == nullptr) break;
    const std::size_t at = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
    std::size_t escapes = at;
    while (escapes > open + 1 && text[escapes - 1] == '\\') --escapes;
    if ((at - escapes) % 2 == 0) return at + 1;
    from = at + 1;
  }
  return limit + 1;
}

struct no_sink {};

}  // namespace detail

inline void labels_view::iterator::advance() noexcept {
  if (marked_ == 0) return look();
  const char* const open = base_ + marks_[0];
  const char* const close = base_ + marks_[1];
  at_ = rest_.data();
  label_ = label_view({at_, static_cast<std::size_t>(open - at_) - 1}, {open + 1, static_cast<std::size_t>(close - open) - 1});
  rest_ = --marked_ == 0 ? std::string_view() : std::string_view(close + 2, 1);
  marks_ += 2;
}

inline void labels_view::iterator::look() noexcept {
  std::size_t i = 0;
  while (i < rest_.size()) {
    while (i < rest_.size() && (detail::is_blank(rest_[i]) || rest_[i] == ',' || rest_[i] == '{')) ++i;
    if (i >= rest_.size() || rest_[i] == '}') break;
    const std::size_t start = i;
    std::string_view name;
    if (rest_[i] == '"') {
      const std::size_t past = detail::end_of_string(rest_, i, rest_.size());
      if (past > rest_.size()) break;
      name = rest_.substr(i + 1, past - i - 2);
      i = past;
    } else {
      // The block was checked: what stands before '=' and blanks is the name.
      while (i < rest_.size() && rest_[i] != '=' && !detail::is_blank(rest_[i])) ++i;
      name = rest_.substr(start, i - start);
    }
    while (i < rest_.size() && detail::is_blank(rest_[i])) ++i;
    if (i >= rest_.size() || rest_[i] != '=') {
      continue;  // the metric's own quoted name
    }
    ++i;
    while (i < rest_.size() && detail::is_blank(rest_[i])) ++i;
    const std::size_t past = detail::end_of_string(rest_, i, rest_.size());
    if (past > rest_.size()) break;
    label_ = label_view(name, rest_.substr(i + 1, past - i - 2));
    at_ = rest_.data() + start;
    rest_ = rest_.substr(past);
    return;
  }
  rest_ = {};
  at_ = nullptr;
}

/// Where the reading of a page stands that comes in pieces, each of whole lines.
struct page_progress {
  std::size_t base = 0;         ///< bytes before this piece
  std::size_t last_sample = 0;  ///< offset of the last sample line that check() took
  bool over = false;
  parse_result so_far;
};

/// Walks a page line by line and calls its sink. `parse` and `samples` are the ways to it.
template <class Sink>
class page_walker {
 public:
  page_walker(std::string_view page, Sink& sink, parse_options options,
              const detail::kernel& kernel = detail::best_kernel(), const page_progress& from = {}) noexcept
      : page_(page), sink_(sink), options_(options), index_(page, kernel), kernel_(kernel), base_(from.base),
        last_sample_(from.last_sample), over_(from.over), result_(from.so_far) {
    // The scalar kernel is the specification: it reads every line with care.
    if (kernel.index != detail::index_scalar && page.size() > detail::line_index::margin && !result_.saw_eof)
      quick_until_ = page.size() - detail::line_index::margin;
    if (base_ == 0 && page_.starts_with("\xEF\xBB\xBF")) {
      if (lenient()) at_ = 3;
      else fail(parse_errc::byte_order_mark, 0);
    }
  }

  /// Reads one line. False where the page is at its end, or was ended by a fault before.
  bool step() {
    if (at_ < quick_until_ && quick_line()) return true;
    if (over_) return false;
    if (at_ >= page_.size()) {
      finish();
      return false;
    }
    begin_ = at_;
    end_ = index_.end_of_line(at_);
    const bool newline = end_ < page_.size();
    at_ = newline ? end_ + 1 : end_;
    if (lenient() && end_ > begin_ && page_[end_ - 1] == '\r') --end_;
    if (!newline && strict() && !openmetrics()) return fail(parse_errc::missing_newline, end_);
    if (result_.saw_eof) {
      end_page();
      fail(parse_errc::text_after_eof, begin_);
      return false;
    }
    std::size_t first = begin_;
    if (!openmetrics() || lenient())
      while (first < end_ && detail::is_blank(page_[first])) ++first;
    if (first == end_) {
      if (openmetrics() && !lenient()) return fail(parse_errc::blank_line, begin_);
      return true;
    }
    return page_[first] == '#' ? read_comment(first) : read_sample(first);
  }

  const parse_result& result() const noexcept { return result_; }

  /// True where step() would find no line, but the end of the page.
  bool at_end() const noexcept { return over_ || at_ >= page_.size(); }
  page_progress progress() const noexcept { return {base_ + page_.size(), last_sample_, over_, result_}; }

 private:
  bool openmetrics() const noexcept { return options_.syntax == dialect::openmetrics; }
  bool strict() const noexcept { return options_.rules == policy::strict; }
  bool lenient() const noexcept { return options_.rules == policy::lenient; }

  /// The part of the page from `at` on; both ends lie within the page.
  std::string_view cut(std::size_t at, std::size_t length) const noexcept {
    return {page_.data() + at, length};
  }

  std::string_view line() const noexcept { return cut(begin_, end_ - begin_); }

  static constexpr bool checks = requires(Sink& sink, const sample_view& sample) { sink.check(sample); };

  bool fail(parse_errc code, std::size_t offset) {
    return fail(parse_error{code, base_ + offset, line()});
  }

  /// A fault of a line before this one, which may be gone already.
  bool fail_earlier(parse_errc code, std::size_t offset) {
    if (offset < base_) return fail(parse_error{code, offset, {}});
    const std::size_t at = offset - base_;
    const std::size_t begin = at == 0 ? 0 : page_.rfind('\n', at - 1) + 1;
    const std::size_t end = std::min(page_.find('\n', at), page_.size());
    return fail(parse_error{code, offset, cut(begin, end - begin)});
  }

  /// What the sink finds wrong with a line that the grammar allows. False: the line was rejected or
  /// the page ended, and `going` says which.
  template <class View>
  bool passes(const View& view, bool& going) {
    if constexpr (requires { sink_.check(view); })
      while (const std::optional<line_fault> found = sink_.check(view)) {
        going = found->earlier ? fail_earlier(found->code, found->offset) : fail(found->code, found->offset - base_);
        if (!going || !found->earlier) return false;
      }
    return true;
  }

  bool passes_end() {
    if constexpr (requires { sink_.check_end(); })
      while (const std::optional<line_fault> found = sink_.check_end())
        if (!fail_earlier(found->code, found->offset)) return false;
    return true;
  }

  bool fail(const parse_error& error) {
    bool go_on = lenient();
    if constexpr (requires { { sink_.on_error(error) } -> std::convertible_to<bool>; })
      go_on = sink_.on_error(error);
    if (go_on) {
      ++result_.rejected;
      return true;
    }
    result_.error = error;
    end_page();
    return false;
  }

  void end_page() noexcept {
    over_ = true;
    quick_until_ = 0;
  }

  void finish() {
    end_page();
    if (!result_.saw_eof && !passes_end()) return;
    if (openmetrics() && !result_.saw_eof) {
      // The mark that the page is whole is missing: no policy can know what was cut off.
      begin_ = end_ = page_.size();
      const parse_error error{parse_errc::missing_eof, base_ + page_.size(), {}};
      if constexpr (requires { sink_.on_error(error); }) (void)sink_.on_error(error);
      result_.error = error;
    }
  }

  std::size_t skip_blanks(std::size_t at, std::size_t limit) const noexcept {
    while (at < limit && detail::is_blank(page_[at])) ++at;
    return at;
  }

  std::size_t end_of_name(std::size_t at, std::uint8_t first, std::uint8_t more) const noexcept {
    if (at >= end_ || !detail::is(page_[at], first)) return at;
    ++at;
    while (at < end_ && detail::is(page_[at], more)) ++at;
    return at;
  }

  bool quick_line();
  void take_line(const char* line, const char* newline, std::size_t block) noexcept;
  std::size_t known_block(const char* block);
  bool quick_metadata(const char* line);
  bool quick_name(const char* line) noexcept;
  std::size_t long_name(const char* line) const noexcept;
  bool skip_lines(const char* line) noexcept;
  const char* quick_labels(const char* brace) noexcept;
  bool is_separator(const char* before, const char* open) const noexcept;
  bool labels_differ(std::size_t count) const noexcept;
  const char* quick_numbers(const char* at) noexcept;
  void hand_over();

  bool wants(std::string_view name) {
    if constexpr (requires { { sink_.wants(name) } -> std::convertible_to<bool>; }) return sink_.wants(name);
    else return true;
  }
  bool read_comment(std::size_t first);
  bool read_sample(std::size_t first);
  bool read_labels(std::size_t& at, std::size_t limit, std::string_view& name, bool exemplar);
  bool read_numbers(std::size_t at);
  bool read_exemplar(std::size_t at);

  std::string_view page_;
  Sink& sink_;
  parse_options options_;
  detail::line_index index_;
  const detail::kernel& kernel_;
  std::size_t at_ = 0, begin_ = 0, end_ = 0;
  std::size_t quick_until_ = 0;  // quick reading looks line_index::margin bytes ahead; 0 when over_
  std::size_t base_, last_sample_;
  bool over_;
  bool failed_line_ = false;
  detail::known_text name_before_;  // the name on an earlier line, as these stand together
  detail::time_reader time_before_;
  bool asked_ = false;              // the sink was asked for it
  bool wanted_ = true;              // and said this
  sample_view sample_;
  parse_result result_;

  // What stood around the names of the labels of an earlier line, from '{' or '"' to '"'. Bytes that
  // are equal to those need no other check; lines of a page mostly have the same names.
  static constexpr std::size_t most_separators = 64;
  struct separator : detail::known_text {
    std::string_view name() const noexcept {
      const std::size_t first = *data() == '{' ? 1 : 2;
      return {data() + first, size() - first - 2};
    }
  };
  std::array<separator, most_separators> separators_;
  std::size_t distinct_ = 0;  // so many of them, from the first on, have names that differ

  static constexpr bool sink_knows = requires(Sink& sink) { { sink.known_block(std::string_view()) } -> std::convertible_to<std::size_t>; };
  struct nothing {};
  [[no_unique_address]] std::conditional_t<sink_knows, nothing, detail::block_memory> blocks_;
};

template <class Sink>
bool page_walker<Sink>::read_comment(std::size_t first) {
  const auto comment = [&](parse_errc code, std::size_t offset) {
    if (openmetrics()) return fail(code, offset);
    if constexpr (requires { sink_.on_comment(line()); }) sink_.on_comment(line());
    return true;
  };
  if (openmetrics()) {
    if (line() == "# EOF" || (lenient() && cut(first, end_ - first) == "# EOF")) {
      if (!passes_end()) return false;
      result_.saw_eof = true;
      quick_until_ = 0;
      if constexpr (requires { sink_.on_eof(); }) sink_.on_eof();
      return true;
    }
    if (page_.substr(first, 2) != "# " || first != begin_)
      return comment(parse_errc::unexpected_comment, first);
  }
  std::size_t at = first + 1;
  if (at < end_ && !detail::is_blank(page_[at])) return comment(parse_errc::unexpected_comment, first);
  at = openmetrics() ? at + 1 : skip_blanks(at, end_);
  std::size_t word_end = at;
  while (word_end < end_ && !detail::is_blank(page_[word_end])) ++word_end;
  const std::string_view word = cut(at, word_end - at);
  metadata_view meta;
  if (word == "HELP") meta.what = metadata_view::kind::help;
  else if (word == "TYPE") meta.what = metadata_view::kind::type;
  else if (word == "UNIT" && openmetrics()) meta.what = metadata_view::kind::unit;
  else return comment(parse_errc::unexpected_comment, first);

  at = word_end;
  if (at == end_)  // to Prometheus a comment like any other
    return openmetrics() || strict() ? fail(parse_errc::bad_metadata, at) : comment(parse_errc::bad_metadata, at);
  if (openmetrics() && !lenient() && page_[at] != ' ') return fail(parse_errc::unexpected_blank, at);
  at = openmetrics() ? at + 1 : skip_blanks(at, end_);
  std::size_t name_end;
  if (at < end_ && page_[at] == '"') {
    name_end = detail::end_of_string(page_, at, end_);
    if (name_end > end_) return fail(parse_errc::unterminated_value, at);
    meta.name = cut(at + 1, name_end - at - 2);
    if (meta.name.empty()) return fail(parse_errc::bad_name, at);
    if (!detail::is_utf8(meta.name)) return fail(parse_errc::invalid_utf8, at);
  } else {
    name_end = end_of_name(at, detail::name_first, detail::name_more);
    meta.name = cut(at, name_end - at);
  }
  if (meta.name.empty()) return fail(parse_errc::bad_metadata, at);
  if (name_end < end_ && !detail::is_blank(page_[name_end])) return fail(parse_errc::bad_name, name_end);
  at = name_end;
  // The specification ignores blanks around the type; Prometheus holds them for a part of it.
  const bool exact_type = meta.what == metadata_view::kind::type && options_.rules == policy::prometheus;
  if (at == end_) {
    if (openmetrics() || meta.what == metadata_view::kind::type) return fail(parse_errc::bad_metadata, at);
  } else if (openmetrics()) {
    if (page_[at] != ' ') return fail(parse_errc::unexpected_blank, at);
    ++at;
  } else {
    at = exact_type ? at + 1 : skip_blanks(at, end_);
  }
  std::size_t text_end = end_;
  if (meta.what == metadata_view::kind::type && !openmetrics() && !exact_type)
    while (text_end > at && detail::is_blank(page_[text_end - 1])) --text_end;
  meta.text = cut(at, text_end - at);
  if (meta.what == metadata_view::kind::type) {
    const auto type = detail::type_of_word(meta.text);
    const bool word_of_dialect =
        type && (lenient() || (openmetrics() ? meta.text != "untyped" : detail::is_classic_type(meta.text)));
    if (!word_of_dialect) return fail(parse_errc::bad_type, at);
    meta.type = *type;
  } else if (!detail::is_utf8(meta.text)) {
    return fail(parse_errc::invalid_utf8, at);
  }
  if (meta.what == metadata_view::kind::unit && !meta.text.empty() &&
      !(meta.name.ends_with(meta.text) && meta.name.size() > meta.text.size() &&
        meta.name[meta.name.size() - meta.text.size() - 1] == '_'))
    return fail(parse_errc::unit_not_in_name, at);
  meta.quotes_escaped = openmetrics();
  meta.line = line();
  meta.offset = base_ + begin_;
  if (bool going = true; !passes(std::as_const(meta), going)) return going;
  if constexpr (requires { sink_.on_metadata(meta); }) sink_.on_metadata(meta);
  return true;
}

/// Reads from '{' at `at` to past the matching '}'. On a fault `failed_line_` is set and what
/// fail() said is given back. `name` takes a quoted metric name, which must come first.
template <class Sink>
bool page_walker<Sink>::read_labels(std::size_t& at, std::size_t limit, std::string_view& name, bool exemplar) {
  const auto bad = [&](parse_errc code, std::size_t offset) {
    failed_line_ = true;
    return fail(code, offset);
  };
  // Only the offsets of names are kept, for the look for duplicates; a sample with more labels
  // than this is checked against those that came first.
  constexpr std::size_t remembered = 64;
  struct {
    const char* data;
    std::size_t size;
  } seen[remembered];  // left as it is: to clear it would cost more than the look itself
  std::size_t count = 0;
  const bool blanks = !openmetrics() || lenient();
  const std::size_t open = at++;
  bool first = true;
  for (;;) {
    if (blanks) at = skip_blanks(at, limit);
    if (at >= limit) return bad(parse_errc::missing_brace, open);
    if (page_[at] == '}') {
      ++at;
      return true;
    }
    if (page_[at] == ',') return bad(parse_errc::stray_comma, at);
    std::string_view label;
    const std::size_t start = at;
    if (page_[at] == '"') {
      const std::size_t past = detail::end_of_string(page_, at, limit);
      if (past > limit) return bad(parse_errc::unterminated_value, at);
      label = cut(at + 1, past - at - 2);
      if (label.empty()) return bad(parse_errc::bad_label_name, at);
      if (!detail::is_utf8(label)) return bad(parse_errc::invalid_utf8, at);
      at = past;
    } else {
      at = end_of_name(at, detail::label_first, detail::label_more);
      label = cut(start, at - start);
      if (label.empty()) return bad(parse_errc::bad_label_name, at);
    }
    if (blanks) at = skip_blanks(at, limit);
    if (at >= limit || page_[at] != '=') {
      const bool is_name = page_[start] == '"' && at < limit && (page_[at] == ',' || page_[at] == '}');
      if (!is_name || exemplar) return bad(parse_errc::missing_equals, at);
      if (!name.empty()) return bad(parse_errc::second_name, start);
      if (!first && strict()) return bad(parse_errc::second_name, start);
      name = label;
    } else {
      ++at;
      if (blanks) at = skip_blanks(at, limit);
      if (at >= limit || page_[at] != '"') return bad(parse_errc::missing_quote, at);
      const std::size_t past = detail::end_of_string(page_, at, limit);
      if (past > limit) return bad(parse_errc::unterminated_value, at);
      if (!detail::is_utf8(cut(at + 1, past - at - 2)))
        return bad(parse_errc::invalid_utf8, at);
      at = past;
      if (options_.rules != policy::prometheus) {
        for (std::size_t i = 0; i < count; ++i)
          if (seen[i].size == label.size() && std::memcmp(seen[i].data, label.data(), label.size()) == 0)
            return bad(parse_errc::duplicate_label, start);
        if (count < remembered) seen[count++] = {label.data(), label.size()};
        if (label == "__name__") return bad(parse_errc::reserved_label, start);
      }
    }
    first = false;
    if (blanks) at = skip_blanks(at, limit);
    if (at >= limit) return bad(parse_errc::missing_brace, open);
    if (page_[at] == '}') {
      ++at;
      return true;
    }
    if (page_[at] != ',') return bad(parse_errc::missing_comma, at);
    ++at;
    if (openmetrics() && strict() && at < limit && page_[at] == '}')
      return bad(parse_errc::stray_comma, at - 1);
  }
}

template <class Sink>
bool page_walker<Sink>::read_exemplar(std::size_t at) {
  const auto bad = [&](std::size_t offset) {
    failed_line_ = true;
    return fail(parse_errc::bad_exemplar, offset);
  };
  exemplar_view exemplar;
  const std::size_t open = at;
  if (at >= end_ || page_[at] != '{') return bad(at);
  std::string_view none;
  const bool going = read_labels(at, end_, none, true);
  if (failed_line_) return going;
  exemplar.label_block = cut(open, at - open);
  if (at >= end_ || page_[at] != ' ') return bad(at);
  const std::size_t value_at = ++at;
  while (at < end_ && page_[at] != ' ') ++at;
  if (detail::parse_value(cut(value_at, at - value_at), exemplar.value) != detail::number_fault::none)
    return bad(value_at);
  if (at < end_) {
    const std::size_t time_at = ++at;
    std::int64_t time = 0;
    if (detail::parse_seconds_ms(cut(time_at, end_ - time_at), time) != detail::number_fault::none)
      return bad(time_at);
    exemplar.timestamp_ms = time;
  }
  sample_.exemplar_ = exemplar;
  return true;
}

template <class Sink>
bool page_walker<Sink>::read_sample(std::size_t first) {
  failed_line_ = false;
  sample_ = {};
  std::size_t at = end_of_name(first, detail::name_first, detail::name_more);
  sample_.name_ = cut(first, at - first);
  const bool named = !sample_.name_.empty();
  if (!named && page_[first] != '{') return fail(parse_errc::bad_name, first);
  name_before_.forget();
  const auto unwanted = [&] {
    wanted_ = wants(sample_.name_);
    if (checks || wanted_) return false;
    ++result_.skipped;
    return true;
  };
  if (named && unwanted()) return true;

  const std::size_t after_name = at;
  if (!openmetrics()) at = skip_blanks(at, end_);
  if (at < end_ && page_[at] == '{') {
    const std::size_t open = at;
    const bool going = read_labels(at, end_, sample_.name_, false);
    if (failed_line_) return going;
    sample_.labels_.block_ = cut(open, at - open);
    if (sample_.name_.empty()) return fail(parse_errc::missing_name, open);
    if (!named && unwanted()) return true;
  } else if (at < end_ && at == after_name && !detail::is_blank(page_[at])) {
    // In text 0.0.4 a value that does not merge with the name may follow at once: a+1.
    if (openmetrics() || (page_[at] != '+' && page_[at] != '-' && page_[at] != '.'))
      return fail(parse_errc::bad_name, at);
  }
  return read_numbers(at);
}

/// The rest of a line, from what follows its labels on, and the end of a sample.
template <class Sink>
bool page_walker<Sink>::read_numbers(std::size_t at) {
  failed_line_ = false;
  const bool blanks = !openmetrics() || lenient();
  if (at >= end_) return fail(parse_errc::missing_value, at);
  if (openmetrics()) {
    if (page_[at] != ' ') return fail(parse_errc::unexpected_blank, at);
    ++at;
  } else {
    at = skip_blanks(at, end_);
  }
  const std::size_t value_at = at;
  while (at < end_ && page_[at] != ' ' && !(blanks && page_[at] == '\t')) ++at;
  sample_.value_text_ = cut(value_at, at - value_at);
  if (sample_.value_text_.empty()) return fail(parse_errc::missing_value, value_at);
  if (const auto fault = detail::parse_value(sample_.value_text_, sample_.value_);
      fault != detail::number_fault::none) {
    if (page_[end_ - 1] == '\r') return fail(parse_errc::carriage_return, end_ - 1);
    if (detail::is(page_[value_at - 1], detail::name_more)) return fail(parse_errc::bad_name, value_at);
    return fail(fault == detail::number_fault::range ? parse_errc::value_out_of_range
                                                     : parse_errc::bad_value, value_at);
  }

  const auto exemplar_at = [&](std::size_t offset) {
    return openmetrics() && cut(offset, end_ - offset).starts_with("# ");
  };
  const auto next = [&]() -> bool {  // past one blank (OpenMetrics) or any number of them
    if (at >= end_) return false;
    if (openmetrics() && !blanks) {
      ++at;
      return true;
    }
    at = skip_blanks(at, end_);
    return at < end_;
  };
  if (next()) {
    if (!exemplar_at(at)) {
      const std::size_t time_at = at;
      while (at < end_ && page_[at] != ' ' && !(blanks && page_[at] == '\t')) ++at;
      sample_.timestamp_text_ = cut(time_at, at - time_at);
      std::int64_t time = 0;
      const auto fault = openmetrics()
                             ? detail::parse_seconds_ms(sample_.timestamp_text_, time)
                             : detail::parse_int64(sample_.timestamp_text_,
                                                   options_.rules != policy::prometheus, time);
      if (fault != detail::number_fault::none) {
        if (page_[end_ - 1] == '\r') return fail(parse_errc::carriage_return, end_ - 1);
        return fail(fault == detail::number_fault::range ? parse_errc::timestamp_out_of_range
                                                         : parse_errc::bad_timestamp, time_at);
      }
      sample_.timestamp_ms_ = time;
      if (next() && !exemplar_at(at)) return fail(parse_errc::trailing_text, at);
    }
    if (at < end_) {  // an exemplar
      const bool going = read_exemplar(at + 2);
      if (failed_line_) return going;
    }
  }
  hand_over();
  return !over_;
}

template <class Sink>
[[gnu::always_inline]] inline void page_walker<Sink>::hand_over() {
  sample_.line_ = line();
  sample_.offset_ = base_ + begin_;
  if constexpr (checks) {
    if (bool going = true; !passes(std::as_const(sample_), going)) return;
    last_sample_ = sample_.offset_;
    if (!wanted_) {
      ++result_.skipped;
      return;
    }
  }
  if constexpr (requires { { sink_.wants(std::as_const(sample_)) } -> std::convertible_to<bool>; })
    if (!sink_.wants(std::as_const(sample_))) {
      ++result_.skipped;
      return;
    }
  ++result_.samples;
  if constexpr (requires { sink_.on_sample(std::as_const(sample_)); }) sink_.on_sample(std::as_const(sample_));
}

template <class Sink>
parse_result parse(std::string_view page, Sink&& sink, parse_options options) {
  page_walker<std::remove_reference_t<Sink>> walker(page, sink, options);
  while (walker.step()) {
  }
  return walker.result();
}

class samples {
 public:
  class iterator {
   public:
    using value_type = sample_view;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    const sample_view& operator*() const noexcept { return *owner_->sink_.sample; }
    const sample_view* operator->() const noexcept { return owner_->sink_.sample; }
    iterator& operator++() { owner_->advance(); return *this; }
    void operator++(int) { owner_->advance(); }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.at_end(); }

   private:
    friend class samples;
    explicit iterator(samples* owner) noexcept : owner_(owner) {}
    bool at_end() const noexcept { return owner_->sink_.sample == nullptr; }
    samples* owner_;
  };

  explicit samples(std::string_view page, parse_options options = {}) noexcept
      : walker_(page, sink_, options) {}
  samples(std::string&& page, parse_options options = {}) = delete;  // the page would be gone
  samples(const samples&) = delete;
  samples& operator=(const samples&) = delete;

  iterator begin() { advance(); return iterator(this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// What became of the page; complete once the range was walked to its end.
  const parse_result& result() const noexcept { return walker_.result(); }

 private:
  struct one_sample {
    const sample_view* sample = nullptr;  // the walker's own, until its next step
    void on_sample(const sample_view& found) noexcept { sample = &found; }
  };
  void advance() {
    sink_.sample = nullptr;
    while (sink_.sample == nullptr && walker_.step()) {
    }
  }
  one_sample sink_;
  page_walker<one_sample> walker_;
};

}  // namespace computelocator

#include <computelocator/impl/text_quick.hpp>
