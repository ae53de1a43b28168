// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/openmetrics.hpp>

#include <optional>
#include <random>

#include "captures.hpp"

namespace {

using namespace computelocator;
using namespace std::string_literals;

constexpr parse_options strictly{dialect::openmetrics, policy::strict};

struct counting {
  std::size_t samples = 0;
  std::vector<parse_error> errors;
  bool go_on = false;
  void on_sample(const sample_view&) { ++samples; }
  bool on_error(const parse_error& error) {
    errors.push_back(error);
    return go_on;
  }
};

std::optional<parse_error> fault_of(std::string_view page) {
  counting sink;
  return parse(page, validating(sink), strictly).error;
}

struct rule_case {
  const char* name;
  std::string page;  ///< without its "# EOF"
  parse_errc code;
  std::size_t line, column;
};

TEST(openmetrics, each_rule_says_which_and_where) {
  using enum parse_errc;
  const std::vector<rule_case> rows = {
      {"two TYPE lines", "# TYPE a gauge\n# TYPE a gauge\n", repeated_metadata, 2, 1},
      {"two HELP lines", "# HELP a x\n# TYPE a gauge\n# HELP a x\n", repeated_metadata, 3, 1},
      {"two UNIT lines, the first empty", "# UNIT a_s \n# UNIT a_s s\n", repeated_metadata, 2, 1},
      {"HELP behind samples", "# TYPE a gauge\na 1\n# HELP a x\n", misplaced_metadata, 3, 1},
      {"TYPE behind samples that had none", "a 1\n# TYPE a gauge\n", misplaced_metadata, 2, 1},
      {"interleaved families", "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na 2\n", repeated_family, 5, 1},
      {"metadata of a family that ended", "# TYPE a gauge\na 1\n# TYPE b gauge\n# HELP a x\n", repeated_family, 4, 8},
      {"quoted and plain name of one family", "a 1\nb 1\n{\"a\"} 1\n", repeated_family, 3, 3},
      {"an escaped name is compared as it is meant", "{\"a\\\\b\"} 1\nb 1\n{\"a\\\\b\"} 2\n", repeated_family, 3, 3},
      {"gauge like the created time of a counter", "# TYPE a counter\na_total 1\n# TYPE a_created gauge\n", clashing_name, 3, 8},
      {"counter behind a gauge like its created time", "# TYPE a_created gauge\n# TYPE a counter\n", clashing_name, 2, 8},
      {"counter behind a summary of the same samples", "# TYPE a summary\n# TYPE a_sum counter\n", clashing_name, 2, 8},
      {"two that may make the same sample", "# TYPE a histogram\n# TYPE a_bucket counter\n", clashing_name, 2, 8},
      {"counter without _total", "# TYPE a counter\na 1\n", name_not_of_type, 2, 1},
      {"info without _info", "# TYPE a info\na{b=\"c\"} 1\n", name_not_of_type, 2, 1},
      {"unit of an info", "# TYPE a_s info\n# UNIT a_s s\n", unit_not_allowed, 2, 12},
      {"stateset behind its unit", "# UNIT a_s s\n# TYPE a_s stateset\n", unit_not_allowed, 2, 12},
      {"interleaved metrics", "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 1\na{x=\"1\"} 1\n", interleaved_metric, 4, 1},
      {"interleaved, labels in another order", "# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na 1\na{y=\"2\",x=\"1\"} 1\n", interleaved_metric, 4, 1},
      {"interleaved, one empty label more", "# TYPE a gauge\na{x=\"1\"} 1\na 1\na{x=\"1\",y=\"\"} 1\n", interleaved_metric, 4, 1},
      {"interleaved, escaped otherwise", "# TYPE a gauge\na{x=\"\\z\"} 1\na 1\na{x=\"\\\\z\"} 1\n", interleaved_metric, 4, 1},
      {"interleaved histograms", "# TYPE a histogram\na_bucket{x=\"1\",le=\"+Inf\"} 1\na_bucket{x=\"2\",le=\"+Inf\"} 1\na_sum{x=\"1\"} 1\n", interleaved_metric, 4, 1},
      {"interleaved points", "# TYPE a summary\na_count 1 1\na_count 1 2\na_sum 1 1\n", timestamp_goes_back, 4, 9},
      {"a gauge twice", "# TYPE a gauge\na 1\na 1\n", repeated_sample, 3, 1},
      {"a counter twice", "# TYPE a counter\na_total 1\na_total 1\n", repeated_sample, 3, 1},
      {"a created time twice", "# TYPE a counter\na_created 1\na_created 1\n", repeated_sample, 3, 1},
      {"a stamped created time of a histogram twice", "# TYPE a histogram\na_created 1 5\na_created 1 5\n", repeated_sample, 3, 1},
      {"a state twice", "# TYPE a stateset\na{a=\"x\"} 1\na{a=\"y\"} 1\na{a=\"x\"} 1\n", repeated_sample, 4, 1},
      {"a quantile twice", "# TYPE a summary\na{quantile=\"0.5\"} 1\na{quantile=\"0.5\"} 1\n", repeated_sample, 3, 1},
      {"an info twice", "# TYPE a info\na_info{x=\"1\"} 1\na_info{x=\"2\"} 1\na_info{x=\"1\"} 1\n", repeated_sample, 4, 1},
      {"a count twice", "# TYPE a summary\na_count 1\na_count 1\n", repeated_sample, 3, 1},
      {"a sum twice, stamped", "# TYPE a summary\na_sum 1 5\na_sum 1 5\n", repeated_sample, 3, 1},
      {"timestamp on one of two", "# TYPE a counter\na_total 1 5\na_created 1\n", mixed_timestamps, 3, 11},
      {"no timestamp on one of two", "# TYPE a counter\na_total 1\na_created 1 5\n", mixed_timestamps, 3, 13},
      {"back by less than a millisecond", "# TYPE a gauge\na 1 1.00002\na 1 1.00001\n", timestamp_goes_back, 3, 5},
      {"back below zero", "# TYPE a gauge\na 1 -1.5\na 1 -1.75\n", timestamp_goes_back, 3, 5},
      {"back across zero", "# TYPE a gauge\na 1 0.5\na 1 -0.5\n", timestamp_goes_back, 3, 5},
      {"back by an exponent", "# TYPE a gauge\na 1 1e3\na 1 999\n", timestamp_goes_back, 3, 5},
      {"back by a digit", "# TYPE a gauge\na 1 0100\na 1 99\n", timestamp_goes_back, 3, 5},
      {"counter below zero", "# TYPE a counter\na_total -1\n", impossible_value, 2, 9},
      {"counter NaN", "# TYPE a counter\na_total NaN\n", impossible_value, 2, 9},
      {"quantile below zero", "# TYPE a summary\na{quantile=\"0\"} -1\n", impossible_value, 2, 17},
      {"sum NaN", "# TYPE a histogram\na_sum NaN\n", impossible_value, 2, 7},
      {"gsum NaN", "# TYPE a gaugehistogram\na_gsum NaN\n", impossible_value, 2, 8},
      {"gcount below zero", "# TYPE a gaugehistogram\na_gcount -1\n", impossible_value, 2, 10},
      {"bucket below zero", "# TYPE a histogram\na_bucket{le=\"1\"} -1\n", impossible_value, 2, 18},
      {"count of one and a half", "# TYPE a summary\na_count 1.5\n", count_not_integer, 2, 9},
      {"bucket of one and a half", "# TYPE a histogram\na_bucket{le=\"1\"} 1.5\n", count_not_integer, 2, 18},
      {"infinite bucket", "# TYPE a histogram\na_bucket{le=\"+Inf\"} +Inf\n", count_not_integer, 2, 21},
      {"state of two", "# TYPE a stateset\na{a=\"x\"} 2\n", bad_state_value, 2, 10},
      {"info of zero", "# TYPE a info\na_info 0\n", bad_state_value, 2, 8},
      {"bucket without le", "# TYPE a histogram\na_bucket 1\n", bad_bucket_label, 2, 1},
      {"le is no number", "# TYPE a histogram\na_bucket{le=\"x\"} 1\n", bad_bucket_label, 2, 14},
      {"le NaN", "# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n", bad_bucket_label, 2, 14},
      {"infinity by another name", "# TYPE a histogram\na_bucket{le=\"Inf\"} 1\n", bad_bucket_label, 2, 14},
      {"le is empty", "# TYPE a histogram\na_bucket{le=\"\"} 1\n", bad_bucket_label, 2, 14},
      {"summary without quantile", "# TYPE a summary\na 1\n", bad_quantile_label, 2, 1},
      {"quantile is no number", "# TYPE a summary\na{quantile=\"x\"} 1\n", bad_quantile_label, 2, 13},
      {"quantile below zero", "# TYPE a summary\na{quantile=\"-0.5\"} 1\n", bad_quantile_label, 2, 13},
      {"quantile above one", "# TYPE a summary\na{quantile=\"1.5\"} 1\n", bad_quantile_label, 2, 13},
      {"state without its label", "# TYPE a stateset\na{b=\"x\"} 1\n", missing_state_label, 2, 1},
      {"le on a sum", "# TYPE a histogram\na_sum{le=\"1\"} 1\n", label_not_allowed, 2, 7},
      {"quantile on a count", "# TYPE a summary\na_count{quantile=\"1\"} 1\n", label_not_allowed, 2, 9},
      {"buckets fall back", "# TYPE a histogram\na_bucket{le=\"2\"} 1\na_bucket{le=\"1\"} 1\n", buckets_out_of_order, 3, 18},
      {"bucket twice", "# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"1.0\"} 1\n", buckets_out_of_order, 3, 20},
      {"bucket behind +Inf", "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_bucket{le=\"1\"} 1\n", buckets_out_of_order, 3, 18},
      {"bucket counts less", "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"2\"} 1\n", buckets_not_cumulative, 3, 18},
      {"no +Inf", "# TYPE a histogram\na_bucket{le=\"1\"} 1\n", missing_inf_bucket, 2, 1},
      {"no bucket", "# TYPE a histogram\na_count 1\na_sum 1\nb 1\n", missing_inf_bucket, 3, 1},
      {"no +Inf at the first of two times", "# TYPE a histogram\na_bucket{le=\"1\"} 1 1\na_bucket{le=\"+Inf\"} 1 2\n", missing_inf_bucket, 2, 1},
      {"count behind buckets", "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 2\n", count_mismatch, 3, 9},
      {"count before buckets", "# TYPE a histogram\na_count 2\na_bucket{le=\"+Inf\"} 1\n", count_mismatch, 3, 21},
      {"count without sum", "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n", count_and_sum_apart, 3, 1},
      {"gsum without gcount", "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum 1\n", count_and_sum_apart, 3, 1},
      {"sum behind negative buckets", "# TYPE a histogram\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_sum 1\n", sum_beside_negative_buckets, 4, 7},
      {"sum before negative buckets", "# TYPE a histogram\na_sum 1\na_bucket{le=\"-1\"} 1\n", sum_beside_negative_buckets, 3, 19},
      {"negative gsum behind", "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\na_gsum -1\n", sum_beside_negative_buckets, 3, 8},
      {"negative gsum before", "# TYPE a gaugehistogram\na_gsum -1\na_bucket{le=\"1\"} 1\n", sum_beside_negative_buckets, 3, 18},
      {"counter of a created time alone", "# TYPE a counter\na_created 1\nb 1\n", missing_total, 2, 1},
      {"exemplar on a gauge", "# TYPE a gauge\na 1 # {} 1\n", misplaced_exemplar, 2, 7},
      {"exemplar on a sum", "# TYPE a summary\na_sum 1 # {} 1\n", misplaced_exemplar, 2, 11},
      {"exemplar on a created time", "# TYPE a counter\na_created 1 # {} 1\n", misplaced_exemplar, 2, 15},
      {"exemplar without a type", "a_total 1 # {} 1\n", misplaced_exemplar, 1, 13},
      {"exemplar of 129 characters", "# TYPE a counter\na_total 1 # {t=\"" + std::string(128, 'x') + "\"} 1\n", long_exemplar, 2, 13},
      {"exemplar beyond its bucket", "# TYPE a histogram\na_bucket{le=\"1\"} 1 # {} 1.5\n", exemplar_outside_bucket, 2, 22},
  };
  for (const rule_case& row : rows) {
    const tests::exact_copy page(row.page + "# EOF\n");
    const auto fault = fault_of(page.view());
    ASSERT_TRUE(fault) << row.name;
    EXPECT_EQ(fault->code, row.code) << row.name << ": " << what(fault->code);
    const position at = locate(page.view(), fault->offset);
    EXPECT_EQ(at.line, row.line) << row.name;
    EXPECT_EQ(at.column, row.column) << row.name;
    const std::string_view line = page.view().substr(fault->offset - at.column + 1);
    EXPECT_EQ(fault->line, line.substr(0, line.find('\n'))) << row.name;
    counting sink;
    EXPECT_FALSE(parse(page.view(), sink, strictly).error) << row.name << ": the grammar alone allows it";

    // The same with lines behind it, so that this one is read quickly.
    const tests::exact_copy longer(row.page + "# TYPE zz gauge\nzz{some_label=\"of some length\"} 1\nzz{some_label=\"of another\"} 2\n# EOF\n");
    const auto again = fault_of(longer.view());
    ASSERT_TRUE(again) << row.name;
    EXPECT_EQ(again->code, row.code) << row.name << ": " << what(again->code);
    EXPECT_EQ(again->offset, fault->offset) << row.name;
    EXPECT_EQ(again->line, fault->line) << row.name;
  }
}

TEST(openmetrics, what_the_rules_allow) {
  const std::pair<const char*, std::string> rows[] = {
      {"no page", ""},
      {"metadata in any order, without samples", "# HELP a_s \n# UNIT a_s s\n# TYPE a_s counter\n"},
      {"samples without metadata", "a 1\nb_total 2\nc_bucket 3\n"},
      {"another family whose name begins alike", "# TYPE a counter\na_total 1\n# TYPE a_b gauge\na_b 1\na_c 1\n"},
      {"a sample that a gauge cannot have", "# TYPE a gauge\na_total 1\n"},
      {"equal times, which may have been cut", "# TYPE a gauge\na 1 5\na 2 5\na 3 5.0\n"},
      {"equal times of a state and a counter", "# TYPE s stateset\ns{s=\"x\"} 1 5\ns{s=\"x\"} 0 5\n# TYPE a counter\na_total 1 5\na_created 1 5\na_total 1 5\n"},
      {"a stamped created time of a counter twice", "# TYPE a counter\na_total 1 5\na_created 1 5\na_created 1 5\n"},
      {"a created time before its counter", "# TYPE a counter\na_created 1\na_total 1\n"},
      {"times across zero, with a plus and more digits", "# TYPE a gauge\na 1 -1\na 1 +1\na 1 +9.5\na 1 10\n"},
      {"times below zero and exponents", "# TYPE a gauge\na 1 -2\na 1 -1.5\na 1 -0\na 1 0\na 1 1e2\na 1 1e3\n"},
      {"points of one summary", "# TYPE a summary\na_count{b=\"c\"} 0 1\na_sum{b=\"c\"} 0 1\na_count{b=\"c\"} 0 2\na_sum{b=\"c\"} 0 2\na_count 0 1\n"},
      {"quantiles", "# TYPE a summary\na{quantile=\"0\"} NaN\na{quantile=\"1\"} 1\na_count 1\na_sum 1\na_created 1\n"},
      {"states", "# TYPE a stateset\na{a=\"x\"} 0\na{a=\"y\"} 1\na{a=\"\"} 1\na{b=\"c\",a=\"x\"} 0\n"},
      {"infos", "# TYPE a info\na_info{x=\"1\"} 1 2\na_info{x=\"2\"} 1 1\na_info{x=\"1\"} 1 1\n"},
      {"histogram", "# TYPE a histogram\na_bucket{le=\"-Inf\"} 0\na_bucket{le=\"1e-3\"} 1 # {t=\"x\"} 0.0001\na_bucket{le=\"+Inf\"} 2 # {} 5 1\na_created 1\n"},
      {"histogram, count first", "# TYPE a histogram\na_count 2\na_sum 1\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 2\n"},
      {"gaugehistogram below zero", "# TYPE a gaugehistogram\na_gsum -1\na_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\na_gcount 1\n"},
      {"exemplar of 128 characters in more bytes", "# TYPE a counter\na_total 1 # {t=\"\xE2\x98\x83\\n\\\\\\\"" + std::string(123, 'x') + "\"} 1\n"},
      {"unknown may be anything", "# TYPE a unknown\na NaN\na{le=\"x\"} -1\na{quantile=\"x\"} 1.5\n"},
      {"infinite counter", "# TYPE a counter\na_total +Inf\n"},
  };
  for (const auto& [name, text] : rows) {
    const tests::exact_copy page(text + "# EOF\n");
    const auto fault = fault_of(page.view());
    EXPECT_FALSE(fault) << name << ": " << (fault ? what(fault->code) : "");
  }
}

TEST(openmetrics, reading_goes_on_where_the_sink_says_so) {
  counting sink;
  sink.go_on = true;
  const std::string page =
      "# TYPE a histogram\na_bucket{le=\"1\"} 1\n# TYPE b counter\nb_total -1\nb_total 2\n# TYPE c counter\nc_created 1\n# EOF\n";
  const parse_result result = parse(page, validating(sink), strictly);
  EXPECT_FALSE(result.error);
  EXPECT_TRUE(result.saw_eof);
  EXPECT_EQ(result.rejected, 3u);
  EXPECT_EQ(sink.samples, 3u);  // what came before a fault of the whole was handed over already
  ASSERT_EQ(sink.errors.size(), 3u);
  EXPECT_EQ(sink.errors[0].code, parse_errc::missing_inf_bucket);
  EXPECT_EQ(sink.errors[0].line, "a_bucket{le=\"1\"} 1");
  EXPECT_EQ(sink.errors[1].line, "b_total -1");
  EXPECT_EQ(sink.errors[2].code, parse_errc::missing_total);
}

TEST(openmetrics, what_is_open_at_the_end_comes_before_a_missing_EOF) {
  const auto fault = fault_of("# TYPE a counter\na_created 1\n");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->code, parse_errc::missing_total);
  counting sink;
  sink.go_on = true;
  EXPECT_EQ(parse("# TYPE a counter\na_created 1\n", validating(sink), strictly).error->code, parse_errc::missing_eof);
  ASSERT_EQ(sink.errors.size(), 2u);
  EXPECT_EQ(sink.errors[0].code, parse_errc::missing_total);
}

TEST(openmetrics, a_sink_may_have_rules_of_its_own) {
  struct stricter : counting {
    std::optional<line_fault> check(const sample_view& sample) {
      if (sample.value() < 9) return std::nullopt;
      return line_fault{parse_errc::value_out_of_range, sample.offset()};
    }
    std::optional<line_fault> check(const metadata_view& meta) {
      if (meta.what != metadata_view::kind::unit) return std::nullopt;
      return line_fault{parse_errc::unit_not_allowed, meta.offset};
    }
    std::optional<line_fault> check_end() {
      if (samples != 0) return std::nullopt;
      return line_fault{parse_errc::missing_value, 0, true};
    }
  };
  const auto code_of = [](std::string_view page) {
    stricter sink;
    const auto error = parse(page, validating(sink), strictly).error;
    return error ? std::optional(error->code) : std::nullopt;
  };
  EXPECT_EQ(code_of("# TYPE a gauge\na 1\n# EOF\n"), std::nullopt);
  EXPECT_EQ(code_of("# TYPE a gauge\na 9\n# EOF\n"), parse_errc::value_out_of_range);
  EXPECT_EQ(code_of("# UNIT a_s s\na_s 1\n# EOF\n"), parse_errc::unit_not_allowed);
  EXPECT_EQ(code_of("# TYPE a gauge\n# EOF\n"), parse_errc::missing_value);
  EXPECT_EQ(code_of("# TYPE a counter\na_total -1\n# EOF\n"), parse_errc::impossible_value);
}

TEST(openmetrics, characters_are_counted_as_they_are_meant) {
  std::mt19937 random(4);
  constexpr std::string_view alphabet = "\\\\\\n\"ab\xC3\xA9";
  for (int i = 0; i < 20'000; ++i) {
    std::string raw;
    for (std::size_t n = random() % 7; n > 0; --n) raw += alphabet[random() % alphabet.size()];
    std::size_t characters = 0;
    for (const char byte : label_view({}, raw).decoded()) characters += (static_cast<unsigned char>(byte) & 0xC0u) != 0x80u;
    EXPECT_EQ(detail::decoded_characters(raw), characters) << raw;
  }
}

TEST(openmetrics, a_sink_that_wants_some_metrics_has_all_checked) {
  struct wanting {
    std::vector<std::string> names;
    bool wants(std::string_view name) { return name != "a_sum"; }
    bool wants(const sample_view& sample) { return sample.label_block().empty(); }
    void on_sample(const sample_view& sample) { names.emplace_back(sample.name()); }
  } sink;
  const std::string good = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n# EOF\n";
  const parse_result result = parse(good, validating(sink), strictly);
  EXPECT_FALSE(result.error);
  EXPECT_EQ(sink.names, std::vector<std::string>{"a_count"});
  EXPECT_EQ(result.samples, 1u);
  EXPECT_EQ(result.skipped, 2u);
  EXPECT_TRUE(parse("# TYPE a histogram\na_sum -1\n# EOF\n", validating(sink), strictly).error);
}

TEST(openmetrics, memory_is_bounded_by_the_largest_family) {
  std::string page;
  for (int family = 0; family < 50; ++family) {
    const std::string name = "f" + std::to_string(family);
    page += "# TYPE " + name + " gauge\n";
    for (int i = 0; i < 1000; ++i) page += name + "{x=\"" + std::to_string(i) + "\"} 1\n";
  }
  page += "# EOF\n";
  counting sink;
  validating checked(sink);
  EXPECT_FALSE(parse(page, checked, strictly).error);
  EXPECT_EQ(sink.samples, 50'000u);
  EXPECT_LE(checked.rules().bytes(), 1000u * 96 + 100u * 96 + 4096);
}

TEST(openmetrics, a_large_family_does_not_slow_those_behind_it) {
  // Each small family empties the sets; were that a pass over their memory, this would take minutes.
  std::string page = "# TYPE big gauge\n";
  for (int i = 0; i < 200'000; ++i) page += "big{x=\"" + std::to_string(i) + "\"} 1\n";
  for (int i = 0; i < 100'000; ++i) page += "s" + std::to_string(i) + " 1\n";
  page += "# EOF\n";
  counting sink;
  EXPECT_FALSE(parse(page, validating(sink), strictly).error);
  EXPECT_EQ(sink.samples, 300'000u);
}

TEST(openmetrics, all_cases_of_the_conformance_suite) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the conformance cases are not beside this checkout: set COMPUTELOCATOR_SHARED";
  int good = 0, bad = 0;
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    const bool is_good = file.path().filename().string().starts_with("good.");
    ++(is_good ? good : bad);
    const tests::exact_copy page(tests::read_file(file.path()));
    const auto fault = fault_of(page.view());
    EXPECT_EQ(!fault, is_good) << file.path().filename() << ": " << (fault ? what(fault->code) : "accepted");
  }
  EXPECT_EQ(good, 44);
  EXPECT_EQ(bad, 167);
}

}  // namespace
