// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// A page in pieces says what the whole says, with and without the rules of OpenMetrics; its families
// hold every sample; a selection by label takes nothing away that it should keep.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <computelocator/families.hpp>
#include <computelocator/openmetrics.hpp>
#include <computelocator/push.hpp>
#include <computelocator/selection.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

/// A running hash of all that a sink is told, with its places.
struct listener {
  cl::detail::hash128 heard;
  std::size_t samples = 0;
  bool go_on = false;

  void hear(std::string_view text, std::size_t at) {
    heard = cl::detail::keyed_hash(text, {heard.low + at, heard.high});
  }
  void on_sample(const cl::sample_view& of) {
    ++samples;
    hear(of.line(), of.offset());
    hear(of.name(), of.label_block().size());
    for (const cl::label_view& label : of.labels()) hear(label.name(), label.raw_value().size());
  }
  void on_metadata(const cl::metadata_view& of) { hear(of.line, of.offset); }
  void on_comment(std::string_view line) { hear(line, 1); }
  void on_eof() { hear("EOF", 2); }
  bool on_error(const cl::parse_error& of) {
    hear({}, of.offset + (static_cast<std::size_t>(of.code) << 40));
    return go_on;
  }
};

bool same(const cl::parse_result& a, const cl::parse_result& b) {
  return a.samples == b.samples && a.skipped == b.skipped && a.rejected == b.rejected && a.saw_eof == b.saw_eof &&
         a.error.has_value() == b.error.has_value() &&
         (!a.error || (a.error->code == b.error->code && a.error->offset == b.error->offset));
}

template <class Whole, class Pieces>
void compare(std::string_view page, cl::parse_options options, std::uint32_t cuts, Whole& whole, Pieces& pieces) {
  const cl::parse_result expected = cl::parse(page, whole, options);
  cl::push_parser parser(pieces, options);
  for (std::string_view rest = page; !rest.empty();) {
    cuts = cuts * 1664525u + 1013904223u;
    const std::size_t size = (cuts >> 16) % (cuts & 256 ? 7 : 100);
    // Each piece in memory of its own, so that nothing reads what was before or comes behind.
    const std::string_view part = rest.substr(0, size);
    const std::unique_ptr<char[]> copy(new char[part.size()]);
    if (!part.empty()) std::memcpy(copy.get(), part.data(), part.size());
    parser.feed({copy.get(), part.size()});
    rest.remove_prefix(part.size());
  }
  const cl::parse_result& result = parser.finish();
  must(same(result, expected));
  if (result.error) {
    const cl::position theirs = parser.locate(result.error->offset), ours = cl::locate(page, result.error->offset);
    must(theirs.line == ours.line && theirs.column == ours.column);
  }
}

void read(std::string_view page, cl::parse_options options, std::uint32_t cuts) {
  listener whole, pieces;
  whole.go_on = pieces.go_on = (cuts & 1) != 0;
  compare(page, options, cuts, whole, pieces);
  must(whole.heard == pieces.heard && whole.samples == pieces.samples);

  listener whole_inner, pieces_inner;
  whole_inner.go_on = pieces_inner.go_on = (cuts & 2) != 0;
  cl::validating whole_checked(whole_inner);
  cl::validating pieces_checked(pieces_inner);
  compare(page, options, cuts, whole_checked, pieces_checked);
  must(whole_inner.heard == pieces_inner.heard);

  std::size_t gathered = 0;
  cl::families all(page, options);
  for (const cl::family_view& family : all) {
    must(family.decoded_help().size() <= family.help.size());
    for (const cl::series_view& each : family.series) {
      for (const cl::label_view& label : each.labels()) must(label.name() != each.without || each.without.empty());
      gathered += each.buckets.size() + each.quantiles.size() + each.value.has_value() + each.sum.has_value() +
                  each.count.has_value() + each.created_s.has_value();
    }
  }
  must(gathered == all.result().samples);

  listener with, without;
  cl::label_selection has;
  has.keep("b", {"c"});
  cl::parse(page, cl::selecting(with, {}, has), options);
  cl::parse(page, cl::selecting(without), options);
  must(with.samples <= without.samples);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint32_t cuts = data[size - 1] * 2654435761u + static_cast<std::uint32_t>(size);
  const std::unique_ptr<char[]> copy(new char[size]);
  std::memcpy(copy.get(), data, size);
  for (const auto syntax : {cl::dialect::prometheus, cl::dialect::openmetrics})
    for (const auto rules : {cl::policy::strict, cl::policy::prometheus, cl::policy::lenient})
      read({copy.get(), size}, {syntax, rules}, cuts);
  return 0;
}
