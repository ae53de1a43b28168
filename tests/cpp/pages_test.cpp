// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/text.hpp>
#include <simulate/page_store.hpp>
#include <simulate/pages.hpp>

namespace {

namespace cl = computelocator;
namespace sim = computelocator::simulate;

sim::cluster_options one_node(std::size_t pods = 110) {
  sim::cluster_options made;
  made.nodes = 1;
  made.pods = pods;
  return made;
}

std::string page_of(const sim::cluster_options& options, std::int64_t step = 0) {
  return sim::cadvisor_page(sim::cluster(options), 0, step);
}

std::map<std::string, double> series_of(const std::string& page) {
  std::map<std::string, double> made;
  for (const cl::sample_view& each : cl::samples(page))
    EXPECT_TRUE(made.emplace(std::string(each.name()) + std::string(each.label_block()), each.value()).second)
        << each.line();
  return made;
}

void near(double got, double expected, const char* what) {
  EXPECT_GT(got, expected * 0.95) << what;
  EXPECT_LT(got, expected * 1.05) << what;
}

// The figures are those of a measured page of a node of 110 pods.
TEST(pages, a_page_of_110_pods_has_the_size_of_a_real_one) {
  const std::string page = page_of(one_node());
  std::size_t lines = 0, samples = 0, families = 0;
  std::set<std::string_view> blocks;
  for (const char c : page) lines += c == '\n';
  struct {
    std::size_t &samples, &families;
    std::set<std::string_view>& blocks;
    void on_sample(const cl::sample_view& of) {
      ++samples;
      if (!of.label_block().empty()) blocks.insert(of.label_block());
    }
    void on_metadata(const cl::metadata_view& of) { families += of.what == cl::metadata_view::kind::type; }
  } counter{samples, families, blocks};
  const cl::parse_result read = cl::parse(page, counter, {cl::dialect::prometheus, cl::policy::strict});
  EXPECT_FALSE(read.error);
  near(static_cast<double>(page.size()), 13.09e6, "bytes");
  near(static_cast<double>(lines), 32'952, "lines");
  near(static_cast<double>(samples), 32'792, "samples");
  near(static_cast<double>(blocks.size()), 7'788, "label sets");
  near(static_cast<double>(page.size()) / static_cast<double>(sim::gzip_of(page).size()), 7.47, "gzip ratio");
  EXPECT_EQ(families, 80u);
  EXPECT_EQ(series_of(page).size(), samples);
}

TEST(pages, the_same_options_give_the_same_bytes) {
  EXPECT_EQ(page_of(one_node(12), 3), page_of(one_node(12), 3));
  auto other = one_node(12);
  other.seed = 2;
  EXPECT_NE(page_of(one_node(12), 3), page_of(other, 3));
}

TEST(pages, counters_of_living_containers_never_fall) {
  auto before = series_of(page_of(one_node(20), 0));
  for (int step = 1; step < 6; ++step) {
    const std::string page = page_of(one_node(20), step);
    const auto now = series_of(page);
    for (const auto& [name, value] : now) {
      const std::string metric = name.substr(0, name.find('{'));
      const bool counter = metric.size() > 6 && metric.compare(metric.size() - 6, 6, "_total") == 0;
      if (counter && before.count(name)) {
        EXPECT_GE(value, before[name]) << name;
      }
    }
    before = now;
  }
}

TEST(pages, names_choose_whole_families) {
  const sim::cluster of(one_node(10));
  const std::vector<std::string_view> names{"container_memory_usage_bytes", "machine_cpu_cores"};
  const std::string some = sim::cadvisor_page(of, 0, 0, names), whole = sim::cadvisor_page(of, 0, 0);
  std::string expected;
  for (std::size_t at = 0; at < whole.size();) {
    const std::size_t end = whole.find('\n', at) + 1;
    const std::string line = whole.substr(at, end - at);
    for (const std::string_view name : names)
      if (line.rfind(std::string(name) + "{", 0) == 0 || line.rfind("# HELP " + std::string(name) + " ", 0) == 0 ||
          line.rfind("# TYPE " + std::string(name) + " ", 0) == 0)
        expected += line;
    at = end;
  }
  EXPECT_EQ(some, expected);
}

TEST(pages, a_pod_is_the_sum_of_its_cgroups) {
  const std::string page = page_of(one_node(15));
  std::map<std::string, double> pods, parts;
  for (const cl::sample_view& each : cl::samples(page)) {
    if (each.name() != "container_memory_rss") continue;
    std::string id, pod, image;
    for (const cl::label_view& label : each.labels()) {
      if (label.name() == "id") id = label.decoded();
      if (label.name() == "pod") pod = label.decoded();
      if (label.name() == "image") image = label.decoded();
    }
    if (pod.empty()) continue;
    (image.empty() ? pods : parts)[pod] += each.value();
  }
  EXPECT_EQ(pods.size(), 15u);
  for (const auto& [pod, sum] : pods) EXPECT_LE(sum, parts[pod]) << pod;  // a dead instance is in the parts alone
}

TEST(pages, each_runtime_labels_its_rows_its_own_way) {
  auto options = one_node(8);
  options.runtime = sim::runtime_style::docker;
  const std::string docker = page_of(options);
  EXPECT_NE(docker.find("/docker-"), std::string::npos);
  EXPECT_EQ(docker.find("container=\"checkout\""), std::string::npos);
  options.runtime = sim::runtime_style::crio;
  const std::string crio = page_of(options);
  EXPECT_NE(crio.find("container=\"POD\""), std::string::npos);
  EXPECT_NE(crio.find("/crio-"), std::string::npos);
  options.cgroup_v1 = true;
  EXPECT_EQ(page_of(options).find("container_pressure_"), std::string::npos);
}

TEST(pages, numbers_look_as_go_writes_them) {
  const struct { double value; const char* text; } rows[] = {
      {0, "0"}, {1, "1"}, {100000, "100000"}, {1000000, "1e+06"}, {12718080, "1.271808e+07"}, {0.25, "0.25"},
      {0.046336, "0.046336"}, {1234567.5, "1.2345675e+06"}, {0.0001, "0.0001"}, {0.00001, "1e-05"}, {-2, "-2"}};
  for (const auto& row : rows) {
    std::string text;
    sim::append_number(text, row.value);
    EXPECT_EQ(text, row.text);
  }
}

}  // namespace
