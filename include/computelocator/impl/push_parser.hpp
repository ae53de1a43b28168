// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>

#include <computelocator/push.hpp>

namespace computelocator {

template <class Sink>
bool push_parser<Sink>::feed(std::string_view piece) {
  const std::size_t most = max_line_ + 1;  // a line and its line feed
  while (!piece.empty() && !progress_.over) {
    if (skipping_) {
      const std::size_t rest = std::min(piece.find('\n'), piece.size());
      const bool ends = rest < piece.size();
      progress_.base += rest + ends;
      newlines_ += ends;
      skipping_ = !ends;
      piece.remove_prefix(rest + ends);
      continue;
    }
    const std::string_view part = piece.substr(0, most - carry_.size());
    const std::size_t newline = carry_.empty() ? part.rfind('\n') : part.find('\n');
    if (newline == std::string_view::npos) {
      carry_.append(part);
      piece.remove_prefix(part.size());
      if (carry_.size() == most) refuse_line(std::string_view(carry_).substr(0, max_line_));
      continue;
    }
    if (carry_.empty()) {
      read(part.substr(0, newline + 1), false);
    } else {
      carry_.append(part.substr(0, newline + 1));
      read(carry_, false);
      carry_.clear();
    }
    piece.remove_prefix(newline + 1);
  }
  return !progress_.over;
}

template <class Sink>
const parse_result& push_parser<Sink>::finish() {
  if (finished_) return result();
  finished_ = true;
  if (!progress_.over) read(carry_, true);
  return result();
}

template <class Sink>
bool push_parser<Sink>::read(std::string_view lines, bool last) {
  lines_ = lines;
  const std::size_t base = progress_.base;
  {
    page_walker<Sink> walker(lines, sink_, options_, detail::best_kernel(), progress_);
    while ((last || !walker.at_end()) && walker.step()) {
    }
    progress_ = walker.progress();
  }
  if (progress_.so_far.error) {
    progress_.base = base;
    keep_error();
    progress_.base = base + lines.size();
  }
  if (progress_.last_sample >= base)
    last_sample_line_ = newlines_ + 1 + static_cast<std::size_t>(
        std::count(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(progress_.last_sample - base), '\n'));
  newlines_ += static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
  lines_ = {};
  return !progress_.over;
}

/// A fault of the line in carry_, of which no more is kept.
template <class Sink>
bool push_parser<Sink>::refuse_line(std::string_view begin) {
  if (progress_.so_far.saw_eof) return read(carry_, false);
  lines_ = begin;
  const parse_error error{parse_errc::line_too_long, progress_.base, begin};
  bool go_on = options_.rules == policy::lenient;
  if constexpr (requires { { sink_.on_error(error) } -> std::convertible_to<bool>; }) go_on = sink_.on_error(error);
  if (go_on) {
    ++progress_.so_far.rejected;
  } else {
    progress_.so_far.error = error;
    progress_.over = true;
    keep_error();
  }
  progress_.base += carry_.size();
  lines_ = {};
  carry_.clear();
  skipping_ = true;
  return go_on;
}

/// The bytes that the error points into may be gone when it is asked for.
template <class Sink>
void push_parser<Sink>::keep_error() {
  parse_error& error = *progress_.so_far.error;
  error_at_ = locate(error.offset);
  error_line_.assign(error.line.substr(0, max_line_));
  error.line = error_line_;
  error_kept_ = true;
}

template <class Sink>
position push_parser<Sink>::locate(std::size_t offset) const noexcept {
  if (error_kept_ && offset == progress_.so_far.error->offset) return error_at_;
  if (offset < progress_.base) return {last_sample_line_, 1};
  position at = computelocator::locate(lines_, offset - progress_.base);
  at.line += newlines_;
  return at;
}

}  // namespace computelocator
