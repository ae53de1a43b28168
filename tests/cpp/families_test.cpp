// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/families.hpp>

#include <cmath>
#include <cstdio>

#include "captures.hpp"

namespace {

using namespace computelocator;

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// A family, written plainly.
std::string said(const family_view& family) {
  std::string text = std::string(family.name) + " " + std::string(to_string(family.type));
  if (!family.help.empty()) text += " help=" + family.decoded_help();
  if (!family.unit.empty()) text += " unit=" + std::string(family.unit);
  for (const series_view& series : family.series) {
    text += "; {";
    for (const label_view& label : series.labels()) text += std::string(label.name()) + "=" + label.decoded() + ",";
    text += "}";
    if (series.value) text += " " + number(*series.value);
    if (series.exemplar) text += " ex " + number(series.exemplar->value);
    for (const bucket_view& bucket : series.buckets) {
      text += " le " + number(bucket.le) + ":" + number(bucket.count);
      if (bucket.exemplar) text += " ex " + number(bucket.exemplar->value);
    }
    for (const quantile_view& each : series.quantiles) text += " q " + number(each.quantile) + ":" + number(each.value);
    if (series.sum) text += " sum " + number(*series.sum);
    if (series.count) text += " count " + number(*series.count);
    if (series.created_s) text += " created " + number(*series.created_s);
    if (series.timestamp_ms) text += " @" + std::to_string(*series.timestamp_ms);
  }
  return text + "\n";
}

std::string all_of(std::string_view text, dialect syntax = dialect::prometheus, policy rules = policy::strict) {
  const tests::exact_copy page(text);
  std::string made;
  families range(page.view(), {syntax, rules});
  for (const family_view& family : range) made += said(family);
  if (range.result().error) made += "error";
  if (range.result().rejected != 0) made += "rejected";
  return made;
}

TEST(families, histograms_and_summaries_are_put_together) {
  EXPECT_EQ(all_of("# HELP h Sizes \\\\ of\\nthings.\n# TYPE h histogram\n"
                   "h_bucket{p=\"/\",le=\"0.5\"} 1\nh_bucket{p=\"/\",le=\"+Inf\"} 3\nh_sum{p=\"/\"} 4.5\nh_count{p=\"/\"} 3\n"
                   "h_bucket{le=\"+Inf\",p=\"/a\"} 0 7\nh_sum{p=\"/a\"} 0 7\nh_count{p=\"/a\"} 0 7\n"
                   "# TYPE s summary\ns{quantile=\"0.5\"} 2\ns{quantile=\"1\"} NaN\ns_sum 9\ns_count 4\n"),
            "h histogram help=Sizes \\ of\nthings.; {p=/,} le 0.5:1 le inf:3 sum 4.5 count 3; {p=/a,} le inf:0 sum 0 count 0 @7\n"
            "s summary; {} q 0.5:2 q 1:nan sum 9 count 4\n");
}

TEST(families, also_where_their_lines_stand_apart) {
  EXPECT_EQ(all_of("# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 1\nh_bucket{x=\"2\",le=\"1\"} 5\nh_bucket{le=\"+Inf\",x=\"1\"} 2\n"
                   "h_bucket{x=\"2\",le=\"+Inf\"} 6\nh_sum{x=\"2\"} 8\nh_sum{x=\"1\",y=\"\"} 7\n"),
            "h histogram; {x=1,} le 1:1 le inf:2 sum 7; {x=2,} le 1:5 le inf:6 sum 8\n");
}

TEST(families, every_type_of_openmetrics) {
  EXPECT_EQ(all_of("# TYPE c_seconds counter\n# UNIT c_seconds seconds\n# HELP c_seconds \\\"h\\\"\n"
                   "c_seconds_total 1 # {t=\"x\"} 0.5\nc_seconds_created 12.5\n"
                   "# TYPE g gauge\ng{a=\"b\"} 2 1.5\n# TYPE gh gaugehistogram\ngh_bucket{le=\"+Inf\"} 3 # {} 2\ngh_gcount 3\ngh_gsum 1\n"
                   "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\ns{s=\"off\"} 0\n# TYPE none gauge\nu 5\n# EOF\n",
                   dialect::openmetrics),
            "c_seconds counter help=\"h\" unit=seconds; {} 1 ex 0.5 created 12.5\n"
            "g gauge; {a=b,} 2 @1500\n"
            "gh gaugehistogram; {} le inf:3 ex 2 sum 1 count 3\n"
            "i info; {v=1,} 1\n"
            "s stateset; {s=on,} 1; {s=off,} 0\n"
            "none gauge\n"
            "u unknown; {} 5\n");
}

TEST(families, counters_of_text_004_and_samples_without_metadata) {
  EXPECT_EQ(all_of("# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 2\nb_bucket{le=\"1\"} 1\nb_sum 2\n# HELP c text\n"),
            "a_total counter; {x=1,} 1; {x=2,} 2\nb_bucket unknown; {le=1,} 1\nb_sum unknown; {} 2\nc unknown help=text\n");
}

TEST(families, a_sample_that_the_type_does_not_have_is_a_family_of_its_own) {
  const auto alone = [](const std::string& type, const std::string& name) {
    const std::string line = name + " 1\n";
    EXPECT_EQ(all_of("# TYPE a " + type + "\n" + line + "# EOF\n", dialect::openmetrics),
              "a " + type + "\n" + name + " unknown; {} 1\n");
  };
  for (const char* type : {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"}) alone(type, "a_x");
  for (const char* type : {"gauge", "stateset", "unknown"}) alone(type, "a_total");
  for (const char* type : {"histogram", "gaugehistogram"}) alone(type, "a");
  EXPECT_EQ(all_of("# TYPE s summary\ns_created 5\ns_count 1\n# TYPE h histogram\nh_created 6\n# TYPE i info\ni 1\n# EOF\n",
                   dialect::openmetrics),
            "s summary; {} count 1 created 5\nh histogram; {} created 6\ni info; {} 1\n");
}

TEST(families, a_created_time_may_stand_before_its_value) {
  EXPECT_EQ(all_of("# TYPE c counter\nc_created{x=\"1\"} 5\nc_total{x=\"1\"} 2\n# EOF\n", dialect::openmetrics),
            "c counter; {x=1,} 2 created 5\n");
}

TEST(families, nothing_is_lost) {
  EXPECT_EQ(all_of("a 1\na 2\na 3 5\n# TYPE h histogram\nh_bucket 1\nh_bucket{le=\"x\"} 2\nh_sum 1\nh_sum 2\na 4\n"),
            "a unknown; {} 1; {} 2; {} 3 @5\nh histogram; {} le nan:1 le nan:2 sum 1; {} sum 2\na unknown; {} 4\n");
  EXPECT_EQ(all_of("# TYPE a gauge\n# TYPE b gauge\n# HELP a later\n"), "a gauge\nb gauge\na unknown help=later\n");
  EXPECT_EQ(all_of("# TYPE a gauge\na 1\n# HELP a later\n"), "a gauge; {} 1\na unknown help=later\n");
  EXPECT_EQ(all_of("# TYPE s summary\ns_count 1\ns_count 2\ns_created 3\ns_created 4\n"),
            "s summary; {} count 1; {} count 2 created 3; {} created 4\n");
  EXPECT_EQ(all_of(""), "");
}

TEST(families, faults) {
  EXPECT_EQ(all_of("a 1\nb x\nc 2\n"), "a unknown; {} 1\nerror");
  EXPECT_EQ(all_of("a 1\nb x\nc 2\n", dialect::prometheus, policy::lenient), "a unknown; {} 1\nc unknown; {} 2\nrejected");
}

TEST(families, views_point_into_the_page) {
  const std::string page = "# HELP a text\n# TYPE a gauge\na{b=\"c\"} 1\n";
  families range(page);
  const family_view first = *range.begin();
  EXPECT_EQ(first.name.data(), page.data() + 7);
  EXPECT_EQ(first.help.data(), page.data() + 9);
  EXPECT_EQ(first.series[0].offset, page.find("a{"));
  static_assert(!std::is_constructible_v<families, std::string&&>);
}

TEST(families, and_their_labels_are_ranges) {
  const std::string page = "# TYPE h histogram\nh_bucket{le=\"1\",a=\"b\",c=\"d\"} 1\nh_count 1\ng 1\n";
  families range(page);
  auto family = range.begin();
  EXPECT_EQ(family->name, "h");
  auto label = family->series[0].labels().begin();
  EXPECT_EQ(label->name(), "a");
  EXPECT_EQ((label++)->raw_value(), "b");
  EXPECT_EQ(label->name(), "c");
  EXPECT_TRUE(family->series[1].labels().empty());
  family++;
  EXPECT_EQ(family->name, "g");
}

TEST(families, a_large_family_does_not_slow_those_behind_it) {
  std::string page = "# TYPE big gauge\n";
  for (int i = 0; i < 200'000; ++i) page += "big{x=\"" + std::to_string(i) + "\"} 1\n";
  for (int i = 0; i < 50'000; ++i) page += "s" + std::to_string(i) + " 1\n";
  std::size_t count = 0, series = 0;
  for (const family_view& family : families(page)) ++count, series += family.series.size();
  EXPECT_EQ(count, 50'001u);
  EXPECT_EQ(series, 250'000u);
}

TEST(families, every_sample_of_a_capture_is_in_one_series) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the conformance cases are not beside this checkout: set COMPUTELOCATOR_SHARED";
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    const std::string page = tests::read_file(file.path());
    std::size_t samples = 0, gathered = 0;
    struct counter {
      std::size_t& samples;
      void on_sample(const sample_view&) { ++samples; }
    } sink{samples};
    const parse_options options{dialect::openmetrics, policy::lenient};
    parse(page, sink, options);
    for (const family_view& family : families(page, options))
      for (const series_view& each : family.series)
        gathered += each.buckets.size() + each.quantiles.size() + each.value.has_value() + each.sum.has_value() +
                    each.count.has_value() + each.created_s.has_value();
    EXPECT_EQ(gathered, samples) << file.path().filename();
  }
}

}  // namespace
