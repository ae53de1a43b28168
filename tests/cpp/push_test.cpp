// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/openmetrics.hpp>
#include <computelocator/push.hpp>

#include <functional>
#include <random>

#include "allocations.hpp"
#include "captures.hpp"

namespace {

using namespace computelocator;

/// All that a sink is told, written down with its places.
struct recorder {
  std::string said;
  std::function<position(std::size_t)> place;

  void at(std::size_t offset) {
    const position found = place(offset);
    said += std::to_string(offset) + "=" + std::to_string(found.line) + ":" + std::to_string(found.column) + " ";
  }
  void on_sample(const sample_view& sample) {
    at(sample.offset());
    said += std::string(sample.name()) + std::string(sample.label_block());
    for (const label_view& label : sample.labels()) said += "|" + std::string(label.name()) + "=" + label.decoded();
    char number[40];
    std::snprintf(number, sizeof number, " %.17g ", sample.value());
    said += number + std::string(sample.timestamp_text());
    if (sample.exemplar()) said += "#" + std::string(sample.exemplar()->label_block);
    said += "[" + std::string(sample.line()) + "]\n";
  }
  void on_metadata(const metadata_view& meta) {
    at(meta.offset);
    said += std::string(meta.name) + "~" + std::string(meta.text) + "[" + std::string(meta.line) + "]\n";
  }
  void on_comment(std::string_view line) { said += "[" + std::string(line) + "]\n"; }
  void on_eof() { said += "EOF\n"; }
  void note(const parse_error& error) {
    at(error.offset);
    said += std::string(what(error.code)) + "\n";
  }
};

/// With the policy's own answer to faults, or with one that always goes on.
struct obedient : recorder {};
struct forgiving : recorder {
  bool on_error(const parse_error& error) {
    note(error);
    return true;
  }
};

std::string told(const recorder& sink, const parse_result& result, const std::function<position(std::size_t)>& place) {
  std::string said = sink.said + std::to_string(result.samples) + " " + std::to_string(result.rejected) + " " +
                     std::to_string(result.skipped) + (result.saw_eof ? " eof" : "");
  if (result.error) {
    const position at = place(result.error->offset);
    said += "\nended " + std::to_string(static_cast<int>(result.error->code)) + " " + std::to_string(result.error->offset) +
            "=" + std::to_string(at.line) + ":" + std::to_string(at.column);
    if (result.error->code != parse_errc::missing_inf_bucket && result.error->code != parse_errc::missing_total &&
        result.error->code != parse_errc::count_and_sum_apart)  // whose lines may be gone
      said += " [" + std::string(result.error->line) + "]";
  }
  return said;
}

template <class Sink, bool rules>
std::string whole(std::string_view page, parse_options options) {
  Sink sink;
  sink.place = [page](std::size_t offset) { return locate(page, offset); };
  if constexpr (rules) return told(sink, parse(page, validating(sink), options), sink.place);
  else return told(sink, parse(page, sink, options), sink.place);
}

template <class Sink, bool rules>
std::string pushed(std::string_view page, parse_options options, const std::vector<std::size_t>& cuts) {
  Sink sink;
  const auto run = [&](auto& with) {
    push_parser parser(with, options);
    sink.place = [&](std::size_t offset) { return parser.locate(offset); };
    std::size_t from = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
      const std::size_t to = i < cuts.size() ? cuts[i] : page.size();
      // Each piece in memory of its own, which is gone before the next.
      const tests::exact_copy piece(page.substr(from, to - from));
      parser.feed(piece.view());
      from = to;
    }
    const parse_result& result = parser.finish();
    EXPECT_EQ(&parser.finish(), &result);
    return told(sink, result, sink.place);
  };
  if constexpr (rules) {
    validating checked(sink);
    return run(checked);
  } else {
    return run(sink);
  }
}

constexpr parse_options modes[] = {
    {dialect::prometheus, policy::strict},      {dialect::prometheus, policy::prometheus},
    {dialect::prometheus, policy::lenient},     {dialect::openmetrics, policy::strict},
    {dialect::openmetrics, policy::prometheus}, {dialect::openmetrics, policy::lenient}};

void compare(const std::string& name, std::string_view page, const std::vector<std::size_t>& cuts) {
  for (const parse_options mode : modes) {
    const std::string where = name + ", mode " + std::to_string(&mode - modes);
    ASSERT_EQ((pushed<obedient, false>(page, mode, cuts)), (whole<obedient, false>(page, mode))) << where;
    ASSERT_EQ((pushed<forgiving, false>(page, mode, cuts)), (whole<forgiving, false>(page, mode))) << where;
    if (mode.syntax == dialect::openmetrics) {
      ASSERT_EQ((pushed<obedient, true>(page, mode, cuts)), (whole<obedient, true>(page, mode))) << where << ", rules";
      ASSERT_EQ((pushed<forgiving, true>(page, mode, cuts)), (whole<forgiving, true>(page, mode))) << where << ", rules";
    }
  }
}

std::vector<std::pair<std::string, std::string>> fixtures() {
  std::vector<std::pair<std::string, std::string>> pages = {
      {"empty", ""},
      {"line feeds", "\n\n\n"},
      {"carriage returns", "a 1\r\nb 2\r\n\r\n# EOF\r\n"},
      {"byte order mark", "\xEF\xBB\xBF" "a 1\nb 2\n"},
      {"half a byte order mark", "\xEF\xBB"},
      {"byte order mark on a later line", "a 1\n\xEF\xBB\xBF" "b 2\n# EOF\n"},
      {"no line feed at the end", "a 1\nb{c=\"d\"} 2"},
      {"no EOF", "a 1\n"},
      {"EOF without line feed", "a 1\n# EOF"},
      {"behind EOF", "a 1\n# EOF\nb 2\nc 3\n"},
      {"faults", "a 1\nb{c=\"d\" 2\n\xFF 3\n\n# foo\nd 4 x\n# TYPE e meh\ne 1 2 3\n"},
      {"line feed in a value", "a{b=\"x\ny\"} 1\nb 2\n"},
      {"fault of lines before", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\n# TYPE c counter\nc_created 1\n\nx\n# TYPE g gauge\ng 1\n# EOF\n"},
      {"the last metric is wrong", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n# EOF\n"},
      {"a rule of one line", "# TYPE c counter\nc_total 1\nc_total -1\nc_total NaN\n# EOF\n"},
      {"escapes and exemplars", "# HELP c x\\\\y\\n\\\"z\n# TYPE c counter\nc_total{a=\"\\\"\\\\\\n\xC3\xA9\"} 1 1.5 # {t=\"x\"} 2 3\n# EOF\n"},
  };
  for (const char* const name : {"node.prom", "latency.om"})
    pages.emplace_back(name, tests::read_file(std::filesystem::path(COMPUTELOCATOR_SOURCE_DIR) / "tests/fixtures" / name));
  for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(COMPUTELOCATOR_SOURCE_DIR) / "tests/fuzz/corpus/text"))
    pages.emplace_back(file.path().filename().string(), tests::read_file(file.path()));
  return pages;
}

TEST(push, a_page_cut_at_any_byte_says_the_same) {
  for (const auto& [name, page] : fixtures())
    for (std::size_t cut = 0; cut <= page.size(); cut += page.size() > 1000 ? 23 : 1) {
      compare(name + " cut at " + std::to_string(cut), page, {cut});
      if (HasFatalFailure()) return;
    }
}

TEST(push, a_page_in_pieces_of_one_byte_or_none_says_the_same) {
  for (const auto& [name, page] : fixtures()) {
    std::vector<std::size_t> bytes, twice;
    for (std::size_t i = 0; i < page.size(); ++i) bytes.push_back(i), twice.insert(twice.end(), 2, i);
    compare(name + " byte by byte", page, bytes);
    compare(name + " with empty pieces", page, twice);
  }
}

TEST(push, a_page_in_random_pieces_says_the_same) {
  std::mt19937 random(5);
  for (const auto& [name, page] : fixtures())
    for (int round = 0; round < 8; ++round) {
      std::vector<std::size_t> cuts;
      for (std::size_t at = 0; (at += random() % 40) < page.size();) cuts.push_back(at);
      compare(name + " at random", page, cuts);
    }
}

TEST(push, a_long_page_in_random_pieces_says_the_same) {
  std::mt19937 random(9);
  std::string page;
  for (int i = 0; page.size() < 60'000; ++i) {
    const std::string n = std::to_string(i);
    switch (random() % 40) {
      case 0: page += "# HELP other_" + n + " Text.\n# TYPE other_" + n + " gauge\n"; break;
      case 1: page += "broken{a=\"" + n + "\" 1\n"; break;
      case 2: page += "escaped{a=\"x\\ny\\\"\",b=\"\xC3\xA9\"} 1.5e3 170" + n + "\n"; break;
      case 3: page += "# a comment\n\n"; break;
      default: page += "some_metric_bytes{id=\"/kubepods/pod" + n + "\",name=\"n\",pod=\"p-" + n + "\"} " + n + " 1700000000" + std::to_string(100 + i % 900) + "\n";
    }
  }
  for (int round = 0; round < 3; ++round) {
    std::vector<std::size_t> cuts;
    const std::size_t most = round % 2 == 0 ? 20'000 : 900;
    for (std::size_t at = 0; (at += random() % most) < page.size();) cuts.push_back(at);
    compare("a long page", page, cuts);
  }
}

TEST(push, known_cases_in_pieces_say_the_same) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the conformance cases are not beside this checkout: set COMPUTELOCATOR_SHARED";
  int cases = 0;
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    const std::string page = tests::read_file(file.path());
    std::vector<std::size_t> bytes;
    for (std::size_t i = 0; i < page.size(); ++i) bytes.push_back(i);
    compare(file.path().filename().string(), page, bytes);
    for (std::size_t cut = 0; cut <= page.size(); cut += 7) compare(file.path().filename().string(), page, {cut});
    ++cases;
  }
  EXPECT_EQ(cases, 211);
}

struct quiet {
  std::vector<std::string> names;
  std::vector<parse_errc> errors;
  std::vector<position> places;
  std::function<position(std::size_t)> place;
  bool go_on = true;
  void on_sample(const sample_view& sample) { names.emplace_back(sample.name()); }
  bool on_error(const parse_error& error) {
    errors.push_back(error.code);
    places.push_back(place(error.offset));
    return go_on;
  }
};

TEST(push, a_line_beyond_the_limit_is_a_fault_wherever_it_is_cut) {
  const std::string page = "a 1\nb{c=\"0123456789\"} 2\nd 3\nxxxxxxxx 4\nxxxxxxxxx 5\ne 6\nend_without_line_feed 7";
  for (std::size_t cut = 0; cut <= page.size(); ++cut) {
    quiet sink;
    push_parser parser(sink, {dialect::prometheus, policy::lenient}, 10);
    sink.place = [&](std::size_t offset) { return parser.locate(offset); };
    parser.feed(std::string_view(page).substr(0, cut));
    EXPECT_LE(parser.pending(), 11u);
    parser.feed(std::string_view(page).substr(cut));
    const parse_result& result = parser.finish();
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.rejected, 3u);
    EXPECT_EQ(sink.names, (std::vector<std::string>{"a", "d", "xxxxxxxx", "e"})) << cut;
    EXPECT_EQ(sink.errors, std::vector<parse_errc>(3, parse_errc::line_too_long));
    ASSERT_EQ(sink.places.size(), 3u);
    EXPECT_EQ(sink.places[0].line, 2u);
    EXPECT_EQ(sink.places[1].line, 5u);
    EXPECT_EQ(sink.places[2].line, 7u);
    EXPECT_EQ(sink.places[2].column, 1u);
  }
  for (const policy rules : {policy::strict, policy::prometheus}) {
    detail::no_sink none;
    push_parser parser(none, {dialect::prometheus, rules}, 10);
    EXPECT_FALSE(parser.feed(page));
    EXPECT_FALSE(parser.feed("a 1\n"));
    const parse_result& result = parser.finish();
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->code, parse_errc::line_too_long);
    EXPECT_EQ(result.error->line, "b{c=\"01234");
    EXPECT_EQ(result.error->offset, 4u);
    EXPECT_EQ(parser.locate(4).line, 2u);
    EXPECT_EQ(result.samples, 1u);
  }
}

TEST(push, a_long_line_behind_EOF_is_text_behind_EOF) {
  detail::no_sink none;
  push_parser parser(none, {dialect::openmetrics, policy::strict}, 8);
  EXPECT_TRUE(parser.feed("a 1\n# EOF\n"));
  EXPECT_FALSE(parser.feed("bbbbbbbbbbbbbbbbbbbbbbbbb"));
  EXPECT_EQ(parser.finish().error->code, parse_errc::text_after_eof);
}

TEST(push, the_limit_is_a_mebibyte_unless_told_otherwise) {
  const std::string long_line = "a{b=\"" + std::string((1u << 20) - 9, 'x') + "\"} 1";
  ASSERT_EQ(long_line.size(), (1u << 20) - 0u);
  const std::string longer = "a{b=\"" + std::string((1u << 20) - 8, 'x') + "\"} 1";
  detail::no_sink none;
  push_parser fits(none, {dialect::prometheus, policy::strict});
  EXPECT_TRUE(fits.feed(long_line + "\nb 1\n"));
  EXPECT_EQ(fits.finish().samples, 2u);
  push_parser beyond(none, {dialect::prometheus, policy::strict});
  EXPECT_FALSE(beyond.feed(longer + "\nb 1\n"));
  push_parser wider(none, {dialect::prometheus, policy::strict}, 2u << 20);
  EXPECT_TRUE(wider.feed(longer + "\nb 1\n"));
  EXPECT_EQ(wider.finish().samples, 2u);
}

TEST(push, the_error_outlives_the_pieces) {
  detail::no_sink none;
  push_parser parser(none, {dialect::prometheus, policy::strict});
  parser.feed("a 1\nb");
  { const tests::exact_copy piece("ad line\nc 1\n"); EXPECT_FALSE(parser.feed(piece.view())); }
  EXPECT_EQ(parser.result().error->line, "bad line");
  EXPECT_EQ(parser.locate(parser.result().error->offset).line, 2u);
  EXPECT_EQ(parser.locate(0).line, 1u);
}

TEST(push, nothing_is_read_behind_the_end) {
  detail::no_sink none;
  push_parser parser(none);
  parser.feed("a 1\n");
  EXPECT_EQ(parser.finish().samples, 1u);
  parser.feed("b 2\n");
  EXPECT_EQ(parser.finish().samples, 1u);
  push_parser over(none, {dialect::openmetrics, policy::lenient});
  over.feed("a 1\n# EOF\n");
  EXPECT_FALSE(over.feed("b{c=\"" + std::string(100, 'd') + "\"} 2\ne 3\n"));
  EXPECT_EQ(over.finish().samples, 1u);
  EXPECT_EQ(over.result().rejected, 1u);
}

TEST(push, no_sample_allocates) {
  if (!tests::allocations_are_counted()) GTEST_SKIP() << "the sanitizer has the allocator of this build";
  std::string page;
  for (int i = 0; i < 2000; ++i) page += "metric_with_a_name{label=\"a value of some length\",n=\"" + std::to_string(i) + "\"} 1 1700000000000\n";
  struct counter {
    std::size_t samples = 0;
    void on_sample(const sample_view&) noexcept { ++samples; }
  } sink;
  push_parser parser(sink, {dialect::prometheus, policy::strict});
  parser.feed(std::string_view(page).substr(0, 1000));  // once, the line that is cut gets its room
  const std::size_t before = tests::allocations();
  for (std::size_t at = 1000; at < page.size(); at += 1000) parser.feed(std::string_view(page).substr(at, 1000));
  EXPECT_FALSE(parser.finish().error);
  EXPECT_EQ(sink.samples, 2000u);
  EXPECT_LE(tests::allocations() - before, 8u);  // that room growing to the longest line
}

}  // namespace
