// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// A page that comes in pieces: from a socket, a pipe, an inflater.
//
//   push_parser parser(sink, {dialect::openmetrics, policy::lenient});
//   while (read_some(buffer)) parser.feed(buffer);
//   const parse_result& result = parser.finish();

#include <cstddef>
#include <string>
#include <string_view>

#include <computelocator/text.hpp>

namespace computelocator {

/// Reads pieces of any size and tells its sink what parse() would, had it the whole page: the same
/// samples, faults, offsets, lines and columns, however the page is cut. The sink is that of parse();
/// what it is told points into the piece or into the line that is kept, and lives until the next call
/// of feed() or finish().
///
/// A piece's whole lines are read where they are. Only a line that is cut is copied, so that memory is
/// bounded by `max_line`; a longer one is a fault, line_too_long, under every policy that goes on
/// rejected, its rest unread. No allocation per sample.
///
/// Neither copied nor moved: the sink may hold views into it.
template <class Sink>
class push_parser {
 public:
  static constexpr std::size_t default_max_line = std::size_t{1} << 20;

  /// `sink` outlives the parser. `max_line` is at least 1, in bytes, without the line feed.
  explicit push_parser(Sink& sink, parse_options options = {}, std::size_t max_line = default_max_line) noexcept
      : sink_(sink), options_(options), max_line_(max_line == 0 ? 1 : max_line) {}
  push_parser(const push_parser&) = delete;
  push_parser& operator=(const push_parser&) = delete;

  /// Reads what `piece` completes. False once the page is over, by a fault or by what stands behind
  /// its end: no more is read.
  bool feed(std::string_view piece);

  /// The page is at its end. Its last line may lack its line feed, as in parse().
  const parse_result& finish();

  /// So far. The line of result().error is kept here, cut at `max_line` bytes.
  const parse_result& result() const noexcept { return progress_.so_far; }

  /// Line and column, over all pieces, of an offset that the sink is just told about, or of the one
  /// in result().error.
  position locate(std::size_t offset) const noexcept;

  /// Bytes of the line that is not whole yet.
  std::size_t pending() const noexcept { return carry_.size(); }

 private:
  bool read(std::string_view lines, bool last);
  bool refuse_line(std::string_view begin);
  void keep_error();

  Sink& sink_;
  parse_options options_;
  std::size_t max_line_;
  std::string carry_, error_line_;
  bool skipping_ = false, finished_ = false, error_kept_ = false;
  std::string_view lines_;           // those that are being read
  std::size_t newlines_ = 0;         // before lines_
  std::size_t last_sample_line_ = 1;
  position error_at_;
  page_progress progress_;
};

}  // namespace computelocator

#include <computelocator/impl/push_parser.hpp>
