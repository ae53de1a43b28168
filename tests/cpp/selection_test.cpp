// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/openmetrics.hpp>
#include <computelocator/push.hpp>
#include <computelocator/selection.hpp>

#include <random>

#include "captures.hpp"

namespace {

using namespace computelocator;

struct values {
  std::vector<double> seen;
  void on_sample(const sample_view& sample) { seen.push_back(sample.value()); }
};

const std::string page =
    "# TYPE a gauge\na{ns=\"x\",pod=\"1\"} 1\na{ns=\"y\",pod=\"1\"} 2\na{ns=\"x\\n\",pod=\"1\"} 3\na 4\n"
    "{\"b.c\",ns=\"x\"} 5\nb{pod=\"2\",ns=\"x\"} 6\na{\"n\\\"s\"=\"q\"} 7\n";

std::vector<double> chosen(std::vector<label_choice> labels, metric_selection names = {}) {
  const tests::exact_copy copy(page);
  values sink;
  const label_selection selection(std::move(labels));
  const parse_result result = parse(copy.view(), selecting(sink, names, selection), {dialect::prometheus, policy::strict});
  EXPECT_FALSE(result.error);
  EXPECT_EQ(result.samples, sink.seen.size());
  EXPECT_EQ(result.samples + result.skipped, 7u);
  return sink.seen;
}

TEST(selection, by_the_values_of_labels) {
  using seen = std::vector<double>;
  EXPECT_EQ(chosen({}), (seen{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(chosen({{"ns", {"x"}}}), (seen{1, 5, 6}));
  EXPECT_EQ(chosen({{"ns", {"y", "x\n"}}}), (seen{2, 3}));
  EXPECT_EQ(chosen({{"ns", {"x\\n"}}}), seen{});
  EXPECT_EQ(chosen({{"ns", {""}}}), (seen{4, 7}));
  EXPECT_EQ(chosen({{"ns", {"x"}}, {"pod", {"", "2"}}}), (seen{5, 6}));
  EXPECT_EQ(chosen({{"ns", {}}}), seen{});
  EXPECT_EQ(chosen({{"n\"s", {"q"}}}), seen{7});
  EXPECT_EQ(chosen({{"ns", {"x"}}}, metric_selection({"b", "b.c"})), (seen{5, 6}));
  EXPECT_EQ(chosen({}, metric_selection({"nothing"})), seen{});
  values sink;
  parse(page, selecting(sink, {}, label_selection().keep("ns", {"x"}).keep("pod", {"1"})));
  EXPECT_EQ(sink.seen, seen{1});
}

TEST(selection, what_is_dropped_goes_whatever_else_is_wanted) {
  using seen = std::vector<double>;
  EXPECT_EQ(chosen({{"ns", {"x"}, true}}), (seen{2, 3, 4, 7}));
  EXPECT_EQ(chosen({{"ns", {""}, true}}), (seen{1, 2, 3, 5, 6}));
  EXPECT_EQ(chosen({{"ns", {"x"}}, {"pod", {"2"}, true}}), (seen{1, 5}));
  EXPECT_EQ(chosen({{"ns", {}, true}}), (seen{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(chosen({}, metric_selection().drop({"a"})), (seen{5, 6}));
  EXPECT_EQ(chosen({}, metric_selection({"a", "b"}).drop({"a"}).drop({"x"})), seen{6});
  EXPECT_TRUE(metric_selection().drop({}).all());
  EXPECT_FALSE(metric_selection().drop({"a"}).all());
  values sink;
  parse(page, selecting(sink, {}, label_selection().drop("ns", {"x"}).drop("pod", {"1"})));
  EXPECT_EQ(sink.seen, (seen{4, 7}));
}

TEST(selection, a_value_is_compared_as_it_is_meant) {
  std::mt19937 random(3);
  constexpr std::string_view alphabet = "\\\\\\n\"ab";
  for (int i = 0; i < 20'000; ++i) {
    std::string raw, other;
    for (std::size_t n = random() % 7; n > 0; --n) raw += alphabet[random() % alphabet.size()];
    for (std::size_t n = random() % 4; n > 0; --n) other += alphabet[random() % alphabet.size()];
    const std::string decoded = label_view({}, raw).decoded();
    EXPECT_TRUE(detail::decodes_to(raw, decoded)) << raw;
    EXPECT_EQ(detail::decodes_to(raw, other), decoded == other) << raw << " and " << other;
  }
}

TEST(selection, a_sink_and_the_rules_are_asked_too) {
  struct wanting : values {
    bool wants(std::string_view name) { return name != "b"; }
    bool wants(const sample_view& sample) { return sample.value() != 1; }
  } sink;
  const parse_result result = parse(page, selecting(sink, {}, label_selection().keep("ns", {"x"})), {});
  EXPECT_EQ(sink.seen, std::vector<double>{5});
  EXPECT_EQ(result.skipped, 6u);

  values inner;
  validating checked(inner);
  const std::string bad = "# TYPE h histogram\nh_bucket{ns=\"x\",le=\"1\"} 1\n# TYPE g gauge\ng{ns=\"y\"} 2\n# EOF\n";
  const auto refused = parse(bad, selecting(checked, {}, label_selection().keep("ns", {"y"})), {dialect::openmetrics, policy::strict});
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, parse_errc::missing_inf_bucket);

  validating at_the_end(inner);
  const auto open = parse("# TYPE c counter\nc_created 1\n# EOF\n", selecting(at_the_end), {dialect::openmetrics, policy::strict});
  ASSERT_TRUE(open.error);
  EXPECT_EQ(open.error->code, parse_errc::missing_total);
}

TEST(selection, pieces_too) {
  values sink;
  selecting chosen_alone(sink, metric_selection({"a"}), label_selection().keep("pod", {"1"}));
  push_parser parser(chosen_alone, {dialect::prometheus, policy::strict});
  for (const char byte : page) parser.feed({&byte, 1});
  EXPECT_EQ(parser.finish().samples, 3u);
  EXPECT_EQ(sink.seen, (std::vector<double>{1, 2, 3}));
}

}  // namespace
