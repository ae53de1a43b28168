// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The quick half of the walk: it accepts lines that look as nearly all do, and leaves all others, with
// whatever is wrong in them, to the careful half.

#include <cstring>

#include <computelocator/impl/text_walk.hpp>

namespace computelocator {

/// Reads a line that looks as nearly all do: name{label="value",...} number time. False, with nothing
/// done, where it does not: it is then read with care, and so is whatever is wrong.
template <class Sink>
[[gnu::always_inline]] inline bool page_walker<Sink>::quick_line() {
  const char* const line = page_.data() + at_;
  if (*line == '#') return quick_metadata(line);
  if (!quick_name(line)) return false;
  if (!asked_) {
    wanted_ = wants({line, name_before_.size()});
    if constexpr (!sink_knows) blocks_.start_family();
    asked_ = true;
  }
  if (!checks && !wanted_) return skip_lines(line);

  const char* const behind_name = line + name_before_.size();
  sample_.labels_.marked_ = 0;
  sample_.timestamp_text_ = {};
  sample_.timestamp_ms_.reset();
  sample_.exemplar_.reset();
  // Where only numbers are left to be read, they show where the line ends.
  std::size_t block = *behind_name == '{' ? known_block(behind_name) : 0;
  const char* end = nullptr;
  if ((block != 0 || *behind_name == ' ') && behind_name < page_.data() + quick_until_) end = quick_numbers(behind_name + block);
  if (end == nullptr) {
    index_.seek(at_);
    const char* at = behind_name;
    if (*at == '{') {
      at = quick_labels(at);
      if (at == nullptr) return false;
    } else if (*at != ' ' || at + 1 == page_.data() + page_.size() || at[1] == '{' || detail::is_blank(at[1])) {
      return false;  // text 0.0.4 takes labels behind a blank
    }
    while (index_.cursor >= index_.count())
      if (!index_.extend(at_)) return false;
    const std::size_t newline = index_.begin() + index_.marks()[index_.cursor];
    if (page_[newline] != '\n') return false;
    if (!index_.is_utf8(at_, newline) && !detail::is_utf8(cut(at_, newline - at_))) return false;
    ++index_.cursor;
    block = static_cast<std::size_t>(at - behind_name);
    if constexpr (!sink_knows) blocks_.add(behind_name, block);
    end = quick_numbers(at);
    if (end == nullptr) {
      take_line(line, page_.data() + newline, block);
      if (lenient() && page_[end_ - 1] == '\r') --end_;
      read_numbers(static_cast<std::size_t>(at - page_.data()));
      return true;
    }
  }
  take_line(line, end, block);
  hand_over();
  return true;
}

/// Goes on behind the line, whose name is name_before_ and whose labels take `block` bytes.
template <class Sink>
[[gnu::always_inline]] inline void page_walker<Sink>::take_line(const char* line, const char* newline, std::size_t block) noexcept {
  sample_.name_ = {line, name_before_.size()};
  sample_.labels_.block_ = {line + name_before_.size(), block};
  begin_ = at_;
  end_ = static_cast<std::size_t>(newline - page_.data());
  at_ = end_ + 1;
}

/// The size of the block at `block`, if these very bytes stood behind a name before and were found good.
template <class Sink>
[[gnu::always_inline]] inline std::size_t page_walker<Sink>::known_block(const char* block) {
  const char* const until = page_.data() + quick_until_;
  if constexpr (sink_knows) {
    const std::size_t size = sink_.known_block({block, static_cast<std::size_t>(page_.data() + page_.size() - block)});
    return block < until && size < static_cast<std::size_t>(until - block) ? size : 0;
  } else {
    return blocks_.looking() && block < until ? blocks_.find(block, until, kernel_.same) : 0;
  }
}

/// Reads "# HELP name text" and "# TYPE name word"; false, with nothing done, where a line is another.
template <class Sink>
bool page_walker<Sink>::quick_metadata(const char* line) {
  constexpr std::size_t head = sizeof "# HELP " - 1;
  metadata_view meta;
  if (detail::same_bytes(line, "# TYPE ", head)) meta.what = metadata_view::kind::type;
  else if (!detail::same_bytes(line, "# HELP ", head)) return false;
  if (!quick_name(line + head)) return false;
  const char* const text = line + head + name_before_.size() + 1;
  const char* end = page_.data() + quick_until_;
  if (text >= end || text[-1] != ' ' || detail::is_blank(*text)) return false;
  if (meta.what == metadata_view::kind::type) {
    end = detail::quick_type(text, meta.type);
    if (end == nullptr || (openmetrics() && *text == 'u')) return false;
  } else {
    end = detail::end_of_ascii_line(text, end);
    if (end == nullptr) {
      const std::size_t newline = index_.end_of_line(at_);
      end = page_.data() + newline;
      if (newline >= quick_until_) return false;
      if (!index_.is_utf8(at_, newline) && !detail::is_utf8({text, static_cast<std::size_t>(end - text)})) return false;
    }
    if (end == text || detail::is_blank(end[-1]) || end[-1] == '\r') return false;
  }
  meta.name = {line + head, name_before_.size()};
  meta.text = {text, static_cast<std::size_t>(end - text)};
  begin_ = at_;
  end_ = static_cast<std::size_t>(end - page_.data());
  at_ = end_ + 1;
  meta.quotes_escaped = openmetrics();
  meta.line = this->line();
  meta.offset = base_ + begin_;
  if (bool going = true; !passes(std::as_const(meta), going)) return true;
  if constexpr (requires { sink_.on_metadata(meta); }) sink_.on_metadata(meta);
  return true;
}

/// Makes the metric's name at `line` name_before_; false where there is none. It mostly is that already,
/// as the lines of a family stand together.
template <class Sink>
[[gnu::always_inline]] inline bool page_walker<Sink>::quick_name(const char* line) noexcept {
  if (name_before_.size() != 0 && detail::lines_named{name_before_, page_.data() + page_.size()}.have(line)) return true;
  std::size_t size = detail::name_bytes<true>(line);
  if (size == 16) size = long_name(line);
  if (size == 0 || detail::is_digit(*line)) return false;
  name_before_.set(line, size);
  asked_ = false;
  return true;
}

/// The size of a name of at least 16 bytes; 0 where it is near to the end of the page.
template <class Sink>
[[gnu::noinline]] std::size_t page_walker<Sink>::long_name(const char* line) const noexcept {
  const char* const last = page_.data() + page_.size() - 16;
  for (const char* at = line + 16; at <= last; at += 16)
    if (const std::size_t some = detail::name_bytes<true>(at); some != 16) return static_cast<std::size_t>(at - line) + some;
  return 0;
}

/// Leaves out the lines from `line` on that have its name. False where that is none, as it is too near
/// to the end of the page, or ends there.
template <class Sink>
bool page_walker<Sink>::skip_lines(const char* line) noexcept {
  const char* const until = page_.data() + quick_until_;
  const char* const behind = kernel_.skip(line, until, {name_before_, page_.data() + page_.size()}, result_.skipped);
  at_ = static_cast<std::size_t>(behind - page_.data());
  return behind != line;
}

/// Reads the labels behind `brace` by the marks of their quotes and gives the byte behind them; the
/// cursor is then at the end of the line. nullptr where they are to be read with care.
template <class Sink>
[[gnu::always_inline]] inline const char* page_walker<Sink>::quick_labels(const char* brace) noexcept {
  const char* window = page_.data() + index_.begin();
  const detail::mark* first = index_.marks() + index_.cursor;
  const detail::mark* at = first;
  const char* before = brace;  // then the quote that ended the last value
  separator* like = separators_.data();
  for (;;) {
    const detail::mark* const last = index_.marks() + index_.count();
    if (at >= last) {  // the line goes on behind the window
      if (!index_.extend(at_)) return nullptr;
      window = page_.data() + index_.begin();
      at = first = index_.marks();
      before = brace;
      like = separators_.data();
      continue;
    }
    const char* const open = window + *at;
    const auto size = static_cast<std::size_t>(open - before) + 1;
    if (like->size() != size || !like->begins(before)) {
      if (*open == '\n') break;
      if (like == separators_.data() + most_separators - 1 || !is_separator(before, open)) return nullptr;
      like->set(before, size);
      distinct_ = 0;
    }
    before = window + at[1];
    at += 2;
    ++like;
  }
  const auto label = static_cast<std::size_t>(like - separators_.data());
  if (before[1] != '}' || (label != 0 && *before != '"')) return nullptr;
  if (label > distinct_ && options_.rules != policy::prometheus) {
    if (!labels_differ(label)) return nullptr;
    distinct_ = label;
  }
  if (label <= labels_view::most_marked) {
    sample_.labels_.base_ = window;
    sample_.labels_.marked_ = static_cast<std::uint32_t>(label);
    std::memcpy(sample_.labels_.marks_, first, sizeof sample_.labels_.marks_);
  }
  index_.cursor = static_cast<std::size_t>(at - index_.marks());
  return before + 2;
}

/// True for {name=" and ",name=" with a good name; `open` is a quote.
template <class Sink>
bool page_walker<Sink>::is_separator(const char* before, const char* open) const noexcept {
  const char* name = before + 1;
  if (*before != '{' && (*before != '"' || *name++ != ',')) return false;
  const char* const equals = open - 1;
  if (*equals != '=' || name >= equals || detail::is_digit(*name)) return false;
  const std::string_view whole(name, static_cast<std::size_t>(equals - name));
  if (whole == "__name__" && options_.rules != policy::prometheus) return false;
  while (equals - name >= 16 && detail::name_bytes<false>(name) == 16) name += 16;
  return detail::name_bytes<false>(name) == static_cast<std::size_t>(equals - name);
}

template <class Sink>
bool page_walker<Sink>::labels_differ(std::size_t count) const noexcept {
  for (std::size_t i = 1; i < count; ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (separators_[i].name().size() == separators_[j].name().size() && separators_[i].name() == separators_[j].name())
        return false;
  return true;
}

/// Reads " number" or " number time" up to the end of the line, which it gives; nullptr where these
/// are to be read with care.
template <class Sink>
[[gnu::always_inline]] inline const char* page_walker<Sink>::quick_numbers(const char* at) noexcept {
  if (*at != ' ') return nullptr;
  const char* const first = at + 1;
  const char* end = detail::quick_value(first, sample_.value_);
  if (end == nullptr) return nullptr;
  sample_.value_text_ = {first, static_cast<std::size_t>(end - first)};
  if (*end == '\n') return end;
  if (*end != ' ' || openmetrics()) return nullptr;
  const char* const second = end + 1;
  std::int64_t time = 0;
  end = time_before_.read(second, time);
  if (end == nullptr || *end != '\n') return nullptr;
  sample_.timestamp_text_ = {second, static_cast<std::size_t>(end - second)};
  sample_.timestamp_ms_ = time;
  return end;
}

}  // namespace computelocator
