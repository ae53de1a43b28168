// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <computelocator/history.hpp>
#include <computelocator/impl/history_codec.hpp>

namespace {

namespace cl = computelocator;
namespace inside = computelocator::detail::history_;

constexpr std::int64_t t0 = 1'700'000'000'000;  // milliseconds
constexpr std::int64_t second = 1'000'000'000;  // nanoseconds

std::string uid(int n) {
  std::string made = "00000000-0000-0000-0000-000000000000";
  const std::string digits = std::to_string(n);
  return made.replace(made.size() - digits.size(), digits.size(), digits);
}

/// One page written line by line, as a kubelet on containerd would.
class page {
 public:
  page& row(const std::string& metric, const std::string& labels, double value, std::int64_t at_ms) {
    char number[64];
    std::snprintf(number, sizeof number, "%.17g", value);
    text_ += metric + "{" + labels + "} " + number + (at_ms == cl::no_timestamp ? "" : " " + std::to_string(at_ms)) + "\n";
    return *this;
  }
  static std::string container(int pod, const std::string& instance, const std::string& name = "c", const std::string& namespace_name = "n") {
    return "container=\"" + name + "\",id=\"/kubepods/pod" + uid(pod + (namespace_name == "n" ? 0 : 500)) + "/" + instance + "\",image=\"i\",name=\"" + instance +
           "\",namespace=\"" + namespace_name + "\",pod=\"p" + std::to_string(pod) + "\"";
  }
  static std::string pod(int pod, const std::string& namespace_name = "n") {
    return "container=\"\",id=\"/kubepods/pod" + uid(pod + (namespace_name == "n" ? 0 : 500)) + "\",image=\"\",name=\"\",namespace=\"" + namespace_name + "\",pod=\"p" + std::to_string(pod) + "\"";
  }
  static std::string sandbox(int pod, const std::string& instance = "5a", const std::string& namespace_name = "n") {
    return "container=\"\",id=\"/kubepods/pod" + uid(pod + (namespace_name == "n" ? 0 : 500)) + "/" + instance + "\",image=\"pause\",interface=\"eth0\",name=\"" + instance +
           "\",namespace=\"" + namespace_name + "\",pod=\"p" + std::to_string(pod) + "\"";
  }
  page& cpu(const std::string& labels, double value, std::int64_t at_ms) {
    return row("container_cpu_usage_seconds_total", labels + ",cpu=\"total\"", value, at_ms);
  }
  page& memory(const std::string& labels, double value, std::int64_t at_ms) {
    return row("container_memory_working_set_bytes", labels, value, at_ms);
  }
  void add_to(cl::history& to, std::int64_t now_ms, const std::string& node = "node-a") const {
    cl::label_cache cache;
    const cl::column_result read = cl::read_columns(text_, cache);
    ASSERT_FALSE(read.stopped) << text_;
    ASSERT_TRUE(read.columns.rejects.empty()) << read.columns.rejects[0].text;
    const cl::node_page pages[] = {{&read.columns, node, now_ms}};
    to.add(pages, known(), now_ms);
  }
  /// Without a pod's specification nobody knows whether its network is its own.
  static cl::inventory known(bool host_network = false) {
    cl::inventory made;
    made.pods_known = true;
    made.pods.emplace_back().namespace_name = "n";
    made.pods[0].name = "p1";
    made.pods[0].host_network = host_network;
    return made;
  }

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

double number(const cl::table& of, const char* name, std::size_t row) { return (*of.find(name)->float64)[row]; }
std::int64_t whole(const cl::table& of, const char* name, std::size_t row) { return (*of.find(name)->int64)[row]; }
std::string word(const cl::table& of, const char* name, std::size_t row) {
  const cl::column& from = *of.find(name);
  const std::int32_t code = (*from.codes)[row];
  return code < 0 ? "" : (*from.dictionary)[static_cast<std::size_t>(code)];
}

cl::usage_event event(double from_s, double to_s, const char* pod = "p1", const char* container = "c", const char* space = "n") {
  const auto at = [](double s) { return t0 * 1'000'000 + static_cast<std::int64_t>(std::llround(s * 1e9)); };
  return {at(from_s), at(to_s), space, pod, container};
}

cl::table used(const cl::history& of, const cl::usage_event& one) { return of.usage(std::vector{one}); }

// --- the codec

TEST(history_codec, gives_back_every_value_bit_by_bit) {
  std::mt19937_64 random(7);
  std::vector<inside::record> written;
  inside::octets stream;
  inside::codec_state state;
  std::array<double, inside::slots> held{};
  for (int i = 0; i < 4000; ++i) {
    inside::record each;
    each.time_ms = i % 50 == 0 ? static_cast<std::int64_t>(random()) : t0 + i * 10'000 - static_cast<std::int64_t>(random() % 9000);
    each.mask = static_cast<std::uint16_t>(random());
    each.repeats = i % 3 == 0 ? static_cast<std::uint16_t>(random()) : 0;
    each.row = random() % 2 == 0;
    each.instance = 1 + random() % 3;
    each.network_instance = random() % 2;
    for (std::size_t s = 0; s < inside::slots; ++s) {
      if (!(each.mask >> s & 1)) continue;
      switch (random() % 8) {
        case 0: held[s] = std::bit_cast<double>(random()); break;
        case 1: held[s] = -0.0; break;
        case 2: held[s] = std::numeric_limits<double>::infinity(); break;
        case 3: held[s] += 4096; break;
        case 4: held[s] = static_cast<double>(random() % 1'000'000'000'000) / 1e6; break;
        case 5: held[s] = static_cast<double>(random() % 9'000'000'000'000'000) / 1e9; break;
        case 6: held[s] = 9007199254740993.0; break;
        default: held[s] = static_cast<double>(static_cast<std::int64_t>(random()) >> (random() % 60)); break;
      }
    }
    each.value = held;
    inside::put_record(stream, state, each);
    written.push_back(each);
  }
  inside::record_reader reader(stream);
  inside::record read;
  for (const inside::record& each : written) {
    ASSERT_TRUE(reader.next(read));
    ASSERT_EQ(read.time_ms, each.time_ms);
    ASSERT_EQ(read.mask, each.mask);
    ASSERT_EQ(read.repeats, each.repeats);
    ASSERT_EQ(read.row, each.row);
    ASSERT_EQ(read.instance, each.instance);
    ASSERT_EQ(read.network_instance, each.network_instance);
    for (std::size_t s = 0; s < inside::slots; ++s) {
      if (each.mask >> s & 1) {
        ASSERT_EQ(std::bit_cast<std::uint64_t>(read.value[s]), std::bit_cast<std::uint64_t>(each.value[s])) << s;
      }
    }
  }
  EXPECT_FALSE(reader.next(read));
}

// --- what is stored

TEST(history, stores_a_repeated_sample_once) {
  cl::history history;
  for (const std::int64_t at : {0, 0, 10'000, 10'000, 5'000})
    page().cpu(page::container(1, "aa"), 1 + static_cast<double>(at) / 1000, t0 + at).memory(page::container(1, "aa"), 7, t0 + at).add_to(history, t0 + 20'000 + at);
  const cl::table got = history.samples({});
  ASSERT_EQ(got.rows, 4u);
  cl::history_query cpu;
  cpu.metrics = {"container_cpu_usage_seconds_total"};
  const cl::table only = history.samples(cpu);
  ASSERT_EQ(only.rows, 2u);
  EXPECT_EQ(whole(only, "timestamp", 0), t0);
  EXPECT_EQ(whole(only, "timestamp", 1), t0 + 10'000);
  EXPECT_EQ(number(only, "value", 1), 11);
  EXPECT_EQ(word(only, "node", 0), "node-a");
  EXPECT_EQ(word(only, "namespace", 0), "n");
  EXPECT_EQ(word(only, "pod", 0), "p1");
  EXPECT_EQ(word(only, "container", 0), "c");
  EXPECT_EQ(history.sweeps(), 5u);
  const auto span = history.span_ms();
  ASSERT_TRUE(span);
  EXPECT_EQ(span->first, t0);
  EXPECT_EQ(span->second, t0 + 10'000);
}

TEST(history, a_row_repeats_what_the_page_repeated) {
  cl::history history;
  const auto add = [&](double cpu, std::int64_t at, double received, std::int64_t network_at, std::int64_t now) {
    page().cpu(page::pod(1), cpu, at).row("container_network_receive_bytes_total", page::sandbox(1), received, network_at).add_to(history, now);
  };
  add(5, t0, 100, t0 + 1000, t0 + 2000);
  add(5, t0, 300, t0 + 11'000, t0 + 12'000);
  add(9, t0 + 20'000, 300, t0 + 11'000, t0 + 22'000);
  cl::history_query query;
  query.level = cl::reading_level::pod;
  const cl::table rows = history.rows(query);
  ASSERT_EQ(rows.rows, 3u);
  EXPECT_EQ(whole(rows, "timestamp", 0), t0 + 1000);
  EXPECT_EQ(whole(rows, "timestamp", 1), t0 + 11'000);
  EXPECT_EQ(whole(rows, "timestamp", 2), t0 + 20'000);
  EXPECT_EQ(number(rows, "container_cpu_usage_seconds_total", 1), 5);
  EXPECT_EQ(number(rows, "container_network_receive_bytes_total", 1), 300);
  EXPECT_EQ(number(rows, "container_cpu_usage_seconds_total", 2), 9);
  EXPECT_EQ(number(rows, "container_network_receive_bytes_total", 2), 300);
  EXPECT_TRUE(std::isnan(number(rows, "container_memory_usage_bytes", 0)));
  EXPECT_EQ((*rows.find("container_memory_usage_bytes")->valid)[0], 0);
}

TEST(history, a_sample_without_time_takes_its_cgroups_or_the_scrapes) {
  cl::history history;
  page().cpu(page::container(1, "aa"), 5, t0).row("container_spec_memory_limit_bytes", page::container(1, "aa"), 64, cl::no_timestamp)
      .row("container_spec_memory_limit_bytes", page::container(2, "bb"), 32, cl::no_timestamp).add_to(history, t0 + 9000);
  cl::history_query limits;
  limits.metrics = {"container_memory_limit_bytes"};
  const cl::table got = history.samples(limits);
  ASSERT_EQ(got.rows, 2u);
  EXPECT_EQ(whole(got, "timestamp", 0), t0);
  EXPECT_EQ(number(got, "value", 0), 64);
  EXPECT_EQ(whole(got, "timestamp", 1), t0 + 9000);
}

TEST(history, queries_select_and_limit) {
  cl::history history;
  for (int i = 0; i < 5; ++i) {
    page written;
    for (int pod = 1; pod <= 3; ++pod)
      written.cpu(page::container(pod, "aa", "c", pod == 3 ? "other" : "n"), i, t0 + i * 10'000 + pod);
    written.add_to(history, t0 + i * 10'000 + 5000, "node-a");
    page().cpu(page::container(4, "dd"), i, t0 + i * 10'000).add_to(history, t0 + i * 10'000 + 5000, "node-b");
  }
  EXPECT_EQ(history.samples({}).rows, 20u);
  cl::history_query one;
  one.pods = {"p2", "p3"};
  EXPECT_EQ(history.samples(one).rows, 10u);
  one.namespaces = {"other"};
  EXPECT_EQ(history.samples(one).rows, 5u);
  one = {};
  one.nodes = {"node-b"};
  EXPECT_EQ(history.samples(one).rows, 5u);
  one = {};
  one.since_ms = t0 + 10'002;
  one.until_ms = t0 + 20'001;
  EXPECT_EQ(history.samples(one).rows, 4u);  // p2, p3, then p4 and p1
  one = {};
  one.limit = 3;
  const cl::table newest = history.samples(one);
  ASSERT_EQ(newest.rows, 3u);
  EXPECT_EQ(whole(newest, "timestamp", 0), t0 + 40'001);
  EXPECT_EQ(newest.meta, (cl::metadata{{"truncated", "true"}}));
  EXPECT_TRUE(history.samples({}).meta.empty());
  one = {};
  one.metrics = {"container_cpu"};
  EXPECT_THROW(history.samples(one), std::invalid_argument);
}

TEST(history, no_network_of_containers_and_none_of_a_pod_on_the_hosts) {
  cl::history history;
  const std::string text = "container_network_receive_bytes_total{" + page::sandbox(1) + "} 5 " + std::to_string(t0) + "\n";
  cl::label_cache cache;
  const cl::column_result read = cl::read_columns(text, cache);
  const cl::node_page pages[] = {{&read.columns, "node-a", t0}};
  history.add(pages, page::known(true), t0);
  cl::history_query query;
  query.level = cl::reading_level::pod;
  EXPECT_EQ(history.samples(query).rows, 0u);
}

TEST(history, of_part_of_a_page_the_newest_counts_and_what_is_absent_says_nothing) {
  const std::string disk = page::container(1, "aa") + ",device=\"/dev/sda\"", other = page::container(1, "aa") + ",device=\"/dev/sdb\"";
  const std::string text = "container_fs_writes_bytes_total{" + disk + "} 5 " + std::to_string(t0) + "\n" +
                           "container_fs_writes_bytes_total{" + disk + "} 7 " + std::to_string(t0 + 10'000) + "\n" +
                           "container_fs_writes_bytes_total{" + other + "} 100 " + std::to_string(t0 + 10'000) + "\n" +
                           "container_cpu_usage_seconds_total{" + page::container(2, "bb") + "} 1 " + std::to_string(t0) + "\n";
  cl::label_cache cache;
  const cl::column_result read = cl::read_columns(text, cache);
  cl::history history;
  const cl::node_page pages[] = {{&read.columns, "node-a", t0, false}};
  history.add(pages, page::known(), t0);
  const cl::table got = history.samples({});
  ASSERT_EQ(got.rows, 2u);
  EXPECT_EQ(word(got, "metric", 0), "container_cpu_usage_seconds_total");
  EXPECT_EQ(number(got, "value", 1), 107);
  EXPECT_EQ(whole(got, "timestamp", 1), t0 + 10'000);
  // On a whole page what is absent is zero so far.
  const cl::node_page everything[] = {{&read.columns, "node-b", t0, true}};
  history.add(everything, page::known(), t0);
  cl::history_query zero;
  zero.nodes = {"node-b"};
  zero.pods = {"p1"};
  zero.metrics = {"container_cpu_usage_seconds_total"};
  EXPECT_EQ(number(history.samples(zero), "value", 0), 0);
}

// --- counters over time

TEST(history, changes_of_adjacent_samples_with_resets) {
  cl::history history;
  const std::string aa = page::container(1, "aa"), bb = page::container(1, "bb");
  page().cpu(aa, 10, t0).memory(aa, 50, t0).add_to(history, t0);
  page().cpu(aa, 14, t0 + 10'000).memory(aa, 40, t0 + 10'000).add_to(history, t0 + 10'000);
  page().cpu(aa, 1, t0 + 20'000).memory(aa, 45, t0 + 20'000).add_to(history, t0 + 20'000);  // fell
  page().cpu(bb, 3, t0 + 30'000).memory(bb, 5, t0 + 30'000).add_to(history, t0 + 30'000);   // another instance, though it did not fall
  page().cpu(bb, 4, t0 + 1'000'000).add_to(history, t0 + 1'000'000);                        // after a gap
  cl::history_query cpu;
  cpu.metrics = {"container_cpu_usage_seconds_total"};
  const cl::table rate = history.changes(cl::change::rate, cpu), increase = history.changes(cl::change::increase, cpu);
  ASSERT_EQ(rate.rows, 3u);
  EXPECT_DOUBLE_EQ(number(rate, "value", 0), 0.4);
  EXPECT_DOUBLE_EQ(number(rate, "value", 1), 0.1);
  EXPECT_DOUBLE_EQ(number(increase, "value", 0), 4);
  EXPECT_DOUBLE_EQ(number(increase, "value", 1), 1);
  EXPECT_DOUBLE_EQ(number(increase, "value", 2), 3);
  EXPECT_EQ(*increase.find("reset")->boolean, (std::vector<std::uint8_t>{0, 1, 1}));
  EXPECT_DOUBLE_EQ(number(increase, "seconds", 2), 10);
  cl::history_query memory;
  memory.metrics = {"container_memory_working_set_bytes"};
  const cl::table delta = history.changes(cl::change::delta, memory);
  ASSERT_EQ(delta.rows, 3u);
  EXPECT_DOUBLE_EQ(number(delta, "value", 0), -10);
  EXPECT_DOUBLE_EQ(number(delta, "value", 2), -40);
  EXPECT_THROW(history.changes(cl::change::rate, memory), std::invalid_argument);
  EXPECT_THROW(history.changes(cl::change::delta, cpu), std::invalid_argument);
  const cl::table series = history.series({});
  ASSERT_EQ(series.rows, 1u);
  EXPECT_EQ(whole(series, "samples", 0), 5);
  EXPECT_EQ(whole(series, "restarts", 0), 1);
  EXPECT_EQ(whole(series, "first", 0), t0);
  EXPECT_EQ(whole(series, "last", 0), t0 + 1'000'000);
}

TEST(history, a_start_between_two_samples_is_a_restart_and_an_earlier_one_is_not) {
  for (const auto& [start_s, restarts, increase] : {std::tuple(t0 / 1000 + 5, 1, 12.0), std::tuple(t0 / 1000 - 500, 0, 2.0)}) {
    cl::history history;
    const std::string aa = page::container(1, "aa");
    page().cpu(aa, 10, t0).row("container_start_time_seconds", aa, static_cast<double>(t0 / 1000 - 100), cl::no_timestamp).add_to(history, t0);
    page().cpu(aa, 12, t0 + 10'000).row("container_start_time_seconds", aa, static_cast<double>(start_s), cl::no_timestamp).add_to(history, t0 + 10'000);
    EXPECT_EQ(whole(history.series({}), "restarts", 0), restarts);
    EXPECT_DOUBLE_EQ(number(history.changes(cl::change::increase, {}), "value", 0), increase);
  }
}

TEST(history, a_page_without_the_pods_own_row_is_no_restart) {
  cl::history history;
  const auto network = [&](page& to, double value, std::int64_t at) { to.row("container_network_receive_bytes_total", page::sandbox(1), value, at); };
  for (int i = 0; i < 3; ++i) {
    page written;
    network(written, i * 10, t0 + i * 10'000);
    if (i != 1) written.cpu(page::pod(1), i, t0 + i * 10'000);
    written.add_to(history, t0 + i * 10'000);
  }
  cl::history_query pods;
  pods.level = cl::reading_level::pod;
  EXPECT_EQ(whole(history.series(pods), "restarts", 0), 0);
  const cl::table increase = history.changes(cl::change::increase, pods);
  ASSERT_EQ(increase.rows, 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ((*increase.find("reset")->boolean)[i], 0);
}

TEST(history, says_what_is_stale) {
  cl::history history;
  page().cpu(page::container(1, "aa"), 1, t0).cpu(page::container(2, "bb"), 1, t0).add_to(history, t0);
  page().cpu(page::container(2, "bb"), 2, t0 + 310'000).add_to(history, t0 + 310'000);
  const cl::table series = history.series({});
  ASSERT_EQ(series.rows, 2u);
  EXPECT_EQ(*series.find("stale")->boolean, (std::vector<std::uint8_t>{1, 0}));
}

// --- usage

/// CPU 0, 4, 6, then a new instance with 3, then 8; every 10 s; memory 100, 300, 200, 50, 80.
void five_samples(cl::history& to) {
  const double cpu[] = {0, 4, 6, 3, 8}, memory[] = {100, 300, 200, 50, 80};
  for (int i = 0; i < 5; ++i) {
    const std::string of = page::container(1, i < 3 ? "aa" : "bb");
    const std::int64_t at = t0 + i * 10'000;
    page().cpu(of, cpu[i], at).memory(of, memory[i], at).row("container_memory_usage_bytes", of, memory[i] + 1, at)
        .row("container_network_receive_bytes_total", page::sandbox(1), i * 1000, at + 2000)
        .cpu(page::pod(1), cpu[i] + 1, at).add_to(to, at + 3000);
  }
}

TEST(history_usage, interpolates_between_the_samples_own_times) {
  cl::history history;
  five_samples(history);
  struct row { const char* name; double from, to, cpu, peak; int samples; };
  for (const row& each : {row{"within one pair", 2, 7, 2.0, 240, 0}, row{"over a sample", 5, 15, 3.0, 300, 1},
                          row{"from sample to sample", 10, 20, 2.0, 300, 2}, row{"over the restart", 15, 32, 1 + 3 + 1, 250, 2},
                          row{"within the restart", 24, 26, 0.6, std::nan(""), 0}, row{"all that the network covers, too", 2, 40, 3.2 + 2 + 3 + 5, 300, 4}}) {
    const cl::table got = used(history, event(each.from, each.to));
    EXPECT_NEAR(number(got, "cpu_seconds", 0), each.cpu, 1e-9) << each.name;
    if (std::isnan(each.peak)) {
      EXPECT_TRUE(std::isnan(number(got, "memory_peak_working_set_bytes", 0))) << each.name;
    } else {
      EXPECT_NEAR(number(got, "memory_peak_working_set_bytes", 0), each.peak, 1e-9) << each.name;
      EXPECT_NEAR(number(got, "memory_peak_usage_bytes", 0), each.peak + 1, 1e-9) << each.name;
    }
    EXPECT_EQ(whole(got, "samples", 0), each.samples) << each.name;
    EXPECT_NEAR(number(got, "network_receive_bytes", 0), (each.to - each.from) * 100, 1e-6) << each.name;
    EXPECT_EQ(number(got, "coverage", 0), 1) << each.name;
    EXPECT_EQ(word(got, "reason", 0), "") << each.name;
    EXPECT_EQ(word(got, "node", 0), "node-a");
    EXPECT_NEAR(number(got, "seconds", 0), each.to - each.from, 1e-9);
    EXPECT_TRUE(std::isnan(number(got, "throttled_seconds", 0)));
  }
}

TEST(history_usage, seconds_that_a_limit_held_a_container_back) {
  cl::history history;
  const double throttled[] = {5, 5.5, 8.5, 0.25};  // of a new instance at last
  for (int i = 0; i < 4; ++i) {
    const std::string of = page::container(1, i < 3 ? "aa" : "bb");
    const std::int64_t at = t0 + i * 10'000;
    page().cpu(of, i < 3 ? i : 0.5, at).row("container_cpu_cfs_throttled_seconds_total", of, throttled[i], at).add_to(history, at);
  }
  EXPECT_NEAR(number(used(history, event(0, 20)), "throttled_seconds", 0), 3.5, 1e-9);
  EXPECT_NEAR(number(used(history, event(5, 12)), "throttled_seconds", 0), 0.25 + 0.6, 1e-9);
  EXPECT_NEAR(number(used(history, event(10, 30)), "throttled_seconds", 0), 3.25, 1e-9) << "a restart";
}

TEST(history_usage, whole_events_add_up_whatever_way_they_are_cut) {
  cl::history history;
  five_samples(history);
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> cuts{2, 40};
    for (int i = 0; i < 9; ++i) cuts.push_back(std::uniform_real_distribution<>(2, 40)(random));
    std::sort(cuts.begin(), cuts.end());
    double cpu = 0, received = 0;
    for (std::size_t i = 1; i < cuts.size(); ++i) {
      const cl::table got = used(history, event(cuts[i - 1], cuts[i]));
      cpu += number(got, "cpu_seconds", 0);
      received += number(got, "network_receive_bytes", 0);
    }
    EXPECT_NEAR(cpu, 13.2, 1e-6);
    EXPECT_NEAR(received, 3800, 1e-4);
  }
}

TEST(history_usage, an_event_of_a_few_nanoseconds_is_covered_whole) {
  cl::history history;
  five_samples(history);
  for (const std::int64_t length : {1, 7, 255, 257, 1'000, 12'345}) {
    const std::int64_t start = t0 * 1'000'000 + 3'000'000'001;
    const cl::table got = used(history, {start, start + length, "n", "p1", "c"});
    EXPECT_EQ(number(got, "coverage", 0), 1) << length;
    EXPECT_EQ(word(got, "reason", 0), "") << length;
    EXPECT_NEAR(number(got, "cpu_seconds", 0), 0.4e-9 * static_cast<double>(length), 1e-15) << length;
  }
}

TEST(history_usage, an_event_without_a_container_is_the_pods) {
  cl::history history;
  five_samples(history);
  const cl::table got = used(history, event(2, 7, "p1", ""));
  EXPECT_NEAR(number(got, "cpu_seconds", 0), 2, 1e-9);
  EXPECT_EQ(word(got, "container", 0), "");
  EXPECT_EQ(number(got, "coverage", 0), 1);
}

TEST(history_usage, states_its_coverage_and_why_it_is_not_whole) {
  cl::history_options options;
  cl::history history(options);
  const std::string aa = page::container(1, "aa");
  for (const std::int64_t s : {0, 10, 20, 1000, 1010}) page().cpu(aa, static_cast<double>(s), t0 + s * 1000).add_to(history, t0 + s * 1000);
  page().cpu(page::container(2, "bb"), 5, t0).add_to(history, t0);
  page().cpu(page::container(3, "cc", "c", "n"), 5, t0).cpu(page::container(3, "cc", "c", "m"), 5, t0).add_to(history, t0);
  struct row { double from, to; const char* pod; const char* container; const char* space; double coverage, cpu; const char* reason; };
  const double none = std::nan("");
  for (const row& each : {row{-10, -5, "p1", "c", "n", 0, none, "before_history"}, row{-10, 0, "p1", "c", "n", 0, none, "before_history"},
                          row{2000, 2001, "p1", "c", "n", 0, none, "after_history"}, row{1010, 1012, "p1", "c", "n", 0, none, "after_history"},
                          row{-10, 10, "p1", "c", "n", 0.5, 10, "partly_before"}, row{1005, 1015, "p1", "c", "n", 0.5, 5, "partly_after"},
                          row{100, 200, "p1", "c", "n", 0, none, "gap"}, row{15, 25, "p1", "c", "n", 0.5, 5, "gap"},
                          row{-10, 1020, "p1", "c", "n", 30.0 / 1030, 30, "partly_before_and_after"}, row{0, 5, "p2", "c", "n", 0, none, "one_sample"},
                          row{-5, 5, "p2", "c", "n", 0, none, "one_sample"},
                          row{0, 5, "p9", "c", "n", 0, none, "unknown_pod"}, row{0, 5, "p1", "c", "other", 0, none, "unknown_pod"},
                          row{0, 5, "p1", "x", "n", 0, none, "unknown_container"}, row{0, 5, "p3", "c", "", 0, none, "ambiguous_pod"},
                          row{0, 5, "p1", "c", "", 1, 5, ""}, row{5, 5, "p1", "c", "n", 1, 0, ""}, row{20, 20, "p1", "c", "n", 1, 0, ""},
                          row{500, 500, "p1", "c", "n", 0, none, "gap"}}) {
    const cl::table got = used(history, event(each.from, each.to, each.pod, each.container, each.space));
    const std::string name = std::string(each.pod) + " " + std::to_string(each.from) + " " + std::to_string(each.to);
    EXPECT_NEAR(number(got, "coverage", 0), each.coverage, 1e-9) << name;
    EXPECT_EQ(word(got, "reason", 0), each.reason) << name;
    if (std::isnan(each.cpu)) {
      EXPECT_TRUE(std::isnan(number(got, "cpu_seconds", 0))) << name;
    } else {
      EXPECT_NEAR(number(got, "cpu_seconds", 0), each.cpu, 1e-9) << name;
    }
  }
  EXPECT_THROW(used(history, event(5, 4)), std::invalid_argument);
  EXPECT_THROW(used(history, event(4, 5, "")), std::invalid_argument);
  EXPECT_THROW((void)history.usage(std::vector<cl::usage_event>{{std::numeric_limits<std::int64_t>::min(), 0, "", "p1", ""}}), std::invalid_argument);
  EXPECT_EQ(history.usage({}).rows, 0u);
}

TEST(history_usage, the_network_that_is_behind_counts_for_the_coverage) {
  cl::history history;
  five_samples(history);
  const cl::table got = used(history, event(0, 40));
  EXPECT_NEAR(number(got, "coverage", 0), 38.0 / 40, 1e-9);
  EXPECT_EQ(word(got, "reason", 0), "partly_before");
  EXPECT_NEAR(number(got, "cpu_seconds", 0), 4 + 2 + 3 + 5, 1e-9);
  EXPECT_NEAR(number(got, "network_receive_bytes", 0), 3800, 1e-6);
}

TEST(history_usage, a_pod_that_moved_is_looked_for_on_each_node) {
  cl::history history;
  for (int i = 0; i < 3; ++i) page().cpu(page::pod(1), i, t0 + i * 10'000).add_to(history, t0 + i * 10'000, "node-a");
  for (int i = 10; i < 13; ++i) page().cpu(page::pod(1), i * 7, t0 + i * 10'000).add_to(history, t0 + i * 10'000, "node-b");
  const cl::table first = used(history, event(1, 9, "p1", "")), second_one = used(history, event(101, 109, "p1", ""));
  EXPECT_EQ(word(first, "node", 0), "node-a");
  EXPECT_NEAR(number(first, "cpu_seconds", 0), 0.8, 1e-9);
  EXPECT_EQ(word(second_one, "node", 0), "node-b");
  EXPECT_NEAR(number(second_one, "cpu_seconds", 0), 5.6, 1e-9);
}

// --- bounds

void churn(cl::history& to, int sweep, int pods) {
  page written;
  for (int i = 0; i < pods; ++i) {
    const int number = 1 + sweep / 3 * pods + i;  // pods live for three sweeps
    const std::string of = page::container(number, "aa" + std::to_string(number));
    written.cpu(of, sweep + i * 0.125, t0 + sweep * 10'000 + i).memory(of, sweep * 4096.0 * i, t0 + sweep * 10'000 + i);
  }
  written.add_to(to, t0 + sweep * 10'000 + 500);
}

TEST(history_bounds, memory_is_flat_while_pods_come_and_go) {
  cl::history_options options;
  options.max_bytes = std::size_t{1} << 20;
  cl::history history(options);
  std::size_t most = 0;
  for (int sweep = 0; sweep < 400; ++sweep) {
    churn(history, sweep, 40);
    ASSERT_LE(history.bytes(), options.max_bytes);
    most = std::max(most, history.bytes());
  }
  EXPECT_GT(most, options.max_bytes / 2);
  EXPECT_GT(history.dropped(), 0u);
  // The newest are there, the oldest went, and nothing between them is missing.
  const auto span = history.span_ms();
  ASSERT_TRUE(span);
  EXPECT_EQ(span->second, t0 + 399 * 10'000 + 39);
  cl::history_query cpu;
  cpu.metrics = {"container_cpu_usage_seconds_total"};
  const cl::table got = history.samples(cpu);
  ASSERT_EQ(got.rows % 40, 0u);
  EXPECT_EQ(got.rows / 40, static_cast<std::size_t>((span->second - span->first) / 10'000 + 1));
  EXPECT_EQ(got.rows * 2 + history.dropped(), 400u * 40u * 2u);
}

TEST(history_bounds, what_is_too_old_goes) {
  cl::history_options options;
  options.max_age = std::chrono::minutes(10);
  cl::history history(options);
  for (int sweep = 0; sweep < 300; ++sweep) {
    churn(history, sweep, 5);
    const auto span = history.span_ms();
    ASSERT_TRUE(span);
    const std::int64_t held = span->second - span->first;
    ASSERT_LE(held, 600'000 + 600'000 / 16 + 20'000);
    if (sweep > 70) {
      ASSERT_GE(held, 590'000);
    }
  }
}

TEST(history_bounds, a_sweep_that_does_not_fit_is_dropped_and_counted) {
  cl::history_options options;
  options.max_bytes = std::size_t{1} << 20;
  cl::history history(options);
  churn(history, 0, 4000);
  EXPECT_LE(history.bytes(), options.max_bytes);
  EXPECT_EQ(history.samples({}).rows, 0u);
  EXPECT_EQ(history.dropped(), 8000u);
  churn(history, 3, 4);
  EXPECT_EQ(history.samples({}).rows, 8u);
}

TEST(history_bounds, series_go_on_over_the_stretches_that_it_is_kept_in) {
  cl::history_options options;
  options.max_age = std::chrono::hours(1);
  cl::history history(options);
  const std::string aa = page::container(1, "aa");
  for (int i = 0; i < 350; ++i) {  // 58 minutes, 15 stretches
    page().cpu(aa, i * 0.5, t0 + i * 10'000).memory(aa, 4096, t0 + i * 10'000).add_to(history, t0 + i * 10'000);
    page().cpu(aa, i * 0.5, t0 + i * 10'000).add_to(history, t0 + i * 10'000 + 5000);
  }
  const cl::table increase = history.changes(cl::change::increase, {});
  ASSERT_EQ(increase.rows, 349u);
  for (std::size_t i = 0; i < increase.rows; ++i) {
    EXPECT_EQ(number(increase, "value", i), 0.5);
    EXPECT_EQ((*increase.find("reset")->boolean)[i], 0);
  }
  EXPECT_EQ(whole(history.series({}), "restarts", 0), 0);
  EXPECT_NEAR(number(used(history, event(5, 3485)), "cpu_seconds", 0), 174, 1e-9);
}

TEST(history_bounds, options_that_cannot_be) {
  cl::history_options small, ageless, staleless;
  small.max_bytes = 1000;
  ageless.max_age = std::chrono::milliseconds(0);
  staleless.stale_after = std::chrono::milliseconds(-1);
  for (const auto& each : {small, ageless, staleless}) EXPECT_THROW(cl::history{each}, std::invalid_argument);
}

TEST(history_bounds, times_that_nobody_can_mean_are_not_stored) {
  cl::history history;
  page().cpu(page::container(1, "aa"), 1, std::numeric_limits<std::int64_t>::max()).cpu(page::container(2, "bb"), 1, -9'000'000'000'000).add_to(history, t0);
  EXPECT_EQ(history.samples({}).rows, 0u);
}

// --- threads

TEST(history_threads, one_writes_while_many_read) {
  cl::history_options options;
  options.max_bytes = std::size_t{1} << 20;
  options.max_age = std::chrono::minutes(3);
  cl::history history(options);
  std::atomic<bool> over{false};
  std::vector<std::thread> readers;
  for (int r = 0; r < 4; ++r)
    readers.emplace_back([&, r] {
      cl::history_query query;
      while (!over) {
        switch (r) {
          case 0: {
            const cl::table got = history.changes(cl::change::increase, query);
            for (std::size_t i = 0; i < got.rows; ++i) EXPECT_EQ(number(got, "value", i), 1);
            break;
          }
          case 1: EXPECT_EQ(history.usage(std::vector<cl::usage_event>(20, event(1, 5))).rows, 20u); break;
          case 2: (void)history.rows(query), (void)history.series(query); break;
          default: (void)history.samples(query), (void)history.span_ms(), (void)history.bytes(); break;
        }
      }
    });
  for (int sweep = 0; sweep < 60; ++sweep) {
    page written;
    for (int i = 1; i <= 20; ++i) written.cpu(page::container(i, "aa"), sweep, t0 + sweep * 10'000);
    written.add_to(history, t0 + sweep * 10'000);
  }
  over = true;
  for (std::thread& each : readers) each.join();
  EXPECT_EQ(history.sweeps(), 60u);
}

TEST(history, a_machine_under_the_name_of_another_begins_anew) {
  for (const bool same : {true, false}) {
    cl::history history;
    for (const int round : {0, 1}) {
      page of;
      of.cpu(R"(container="",id="/",image="",name="",namespace="",pod="")", 100 + 50 * round, t0 + 10'000 * round);
      cl::label_cache cache;
      const cl::column_result read = cl::read_columns(of.text(), cache);
      const cl::node_page pages[] = {{&read.columns, "node-a", t0 + 10'000 * round}};
      cl::inventory known;
      known.nodes.emplace_back().name = "node-a";
      known.nodes[0].uid = same || round == 0 ? "one" : "other";
      history.add(pages, known, t0 + 10'000 * round);
    }
    cl::history_query nodes;
    nodes.level = cl::reading_level::node;
    EXPECT_EQ(whole(history.series(nodes), "restarts", 0), same ? 0 : 1);
    const cl::table increase = history.changes(cl::change::increase, nodes);
    ASSERT_EQ(increase.rows, 1u);
    EXPECT_EQ(number(increase, "value", 0), same ? 50 : 150);
  }
}

}  // namespace
