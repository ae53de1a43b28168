// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/columns.hpp>
#include <computelocator/impl/columns_hash.hpp>

#include <random>
#include <set>
#include <thread>

#include "captures.hpp"

namespace {

using namespace computelocator;

const std::string page =
    "# HELP a_seconds_total Time.\n"
    "# TYPE a_seconds_total counter\n"
    "a_seconds_total{x=\"1\",y=\"\"} 1 10\n"
    "a_seconds_total{x=\"2\\n\",y=\"z\"} 2\n"
    "# TYPE h histogram\n"
    "h_bucket{x=\"1\",y=\"\",le=\"+Inf\"} 3\n"
    "h_count{x=\"1\",y=\"\"} 3\n"
    "plain 4\n";

TEST(columns, rows_and_label_sets) {
  label_cache cache;
  const column_result read = read_columns(page, cache);
  ASSERT_FALSE(read.stopped);
  const batch& columns = read.columns;
  ASSERT_EQ(columns.rows(), 5u);
  EXPECT_EQ(columns.value, (std::vector<double>{1, 2, 3, 3, 4}));
  EXPECT_EQ(columns.timestamp_ms[0], 10);
  EXPECT_EQ(columns.timestamp_ms[1], no_timestamp);
  EXPECT_EQ(columns.label_set_id[0], columns.label_set_id[3]) << "the same bytes are the same set";
  const label_sets& sets = *columns.sets;
  EXPECT_EQ(sets.size(), 4u);
  EXPECT_EQ(sets.value_of(columns.label_set_id[1], "x"), "2\n");
  EXPECT_EQ(sets.value_of(columns.label_set_id[1], "absent"), "");
  EXPECT_TRUE(sets[columns.label_set_id[4]].empty());
  ASSERT_EQ(columns.metrics.size(), 4u);
  EXPECT_EQ(columns.metrics[0].type, metric_type::counter);
  EXPECT_EQ(columns.metrics[0].unit, "seconds");
  EXPECT_EQ(columns.metrics[0].help, "Time.");
  EXPECT_EQ(columns.metrics[1].type, metric_type::histogram);
  EXPECT_EQ(columns.metrics[3].type, metric_type::unknown);
}

TEST(columns, a_second_page_is_recognised) {
  label_cache cache;
  const column_result first = read_columns(page, cache);
  const std::size_t bytes = cache.bytes();
  const column_result again = read_columns(page, cache);
  EXPECT_EQ(first.columns.label_set_id, again.columns.label_set_id);
  EXPECT_EQ(first.columns.sets, again.columns.sets);
  EXPECT_EQ(cache.bytes(), bytes);
  // A page with more leaves what the older batch holds as it was.
  const column_result more = read_columns(page + "plain{new=\"v\"} 5\n", cache);
  EXPECT_EQ(first.columns.sets->size(), 4u);
  EXPECT_EQ(more.columns.sets->size(), 5u);
  EXPECT_EQ(more.columns.label_set_id[0], first.columns.label_set_id[0]);
}

TEST(columns, a_full_cache_starts_anew) {
  label_cache cache(20'000);
  std::vector<batch> kept;
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i)
      text += "m{id=\"" + std::to_string(round) + "_" + std::to_string(i) + "\"} 1\n";
    kept.push_back(read_columns(text, cache).columns);
    EXPECT_LT(cache.bytes(), 60'000u);
  }
  EXPECT_GT(cache.generation(), 0u);
  for (int round = 0; round < 50; ++round)
    EXPECT_EQ(kept[round].sets->value_of(kept[round].label_set_id[7], "id"), std::to_string(round) + "_7");
}

TEST(columns, selection_leaves_other_lines_unread) {
  label_cache cache;
  column_options options;
  options.metrics = metric_selection({"plain", "h_count"});
  const column_result read = read_columns("broken{ 1\n" + page, cache, options);
  EXPECT_EQ(read.columns.value, (std::vector<double>{3, 4}));
  EXPECT_TRUE(read.columns.rejects.empty());
  EXPECT_EQ(read.columns.metrics.size(), 2u);
}

TEST(columns, rejects_and_limits) {
  label_cache cache;
  const column_result read = read_columns("a 1\nb{ 2\nc x\n", cache);
  ASSERT_EQ(read.columns.rejects.size(), 2u);
  EXPECT_EQ(read.columns.rejects[1].line, 3u);
  EXPECT_EQ(read.columns.rejects[1].column, 3u);
  EXPECT_EQ(read.columns.rejects[1].text, "c x");
  EXPECT_EQ(read.columns.rejects[1].code, parse_errc::bad_value);

  column_options options;
  options.max_samples = 2;
  const column_result many = read_columns("a 1\nb 2\nc 3\n", cache, options);
  ASSERT_TRUE(many.stopped);
  EXPECT_EQ(many.stopped->code, parse_errc::too_many_samples);
  options = {};
  options.max_labels = 1;
  const column_result wide = read_columns("a{x=\"1\",yy=\"2\"} 1\n", cache, options);
  ASSERT_TRUE(wide.stopped);
  EXPECT_EQ(wide.stopped->code, parse_errc::too_many_labels);
}

TEST(columns, the_tidy_table) {
  label_cache one, two;
  const batch first = read_columns(page, one).columns;
  const batch second = read_columns("plain{x=\"1\",node=\"shadowed\"} 7\n", two).columns;
  const batch_source sources[] = {{&first, "n1", 1000}, {&second, "n2", 2000}};
  const table made = samples_table(sources);
  ASSERT_EQ(made.rows, 6u);
  const column* const x = made.find("x");
  ASSERT_NE(x, nullptr);
  EXPECT_EQ((*x->codes), (std::vector<std::int32_t>{0, 1, 0, 0, -1, 0}));
  EXPECT_EQ(*x->dictionary, (std::vector<std::string>{"1", "2\n"}));
  EXPECT_EQ(*made.find("node")->codes, (std::vector<std::int32_t>{0, 0, 0, 0, 0, 1}));
  ASSERT_NE(made.find("label_node"), nullptr);
  EXPECT_EQ(made.find("label_node")->codes->back(), 0);
  EXPECT_EQ(made.find("timestamp")->valid->at(0), 1);
  EXPECT_EQ(made.find("timestamp")->valid->at(1), 0);
  EXPECT_EQ(made.find("scrape_timestamp")->int64->back(), 2000);
}

TEST(columns, labels_of_a_target_are_on_each_row_and_its_own_ones_get_out_of_their_way) {
  label_cache one, two;
  const batch first = read_columns("a{env=\"mine\",exported_env=\"old\",x=\"1\"} 1\nb 2\n", one).columns;
  const batch second = read_columns("a{env=\"own\",node=\"n\"} 3\n", two).columns;
  const batch_source sources[] = {{&first, "", 1000, {{"env", "given"}, {"instance", "h:1"}}}, {&second, "", 1000, {{"instance", "h:2"}}}};
  const table made = samples_table(sources);
  const auto text = [&](const char* name, std::size_t row) {
    const column* const of = made.find(name);
    if (of == nullptr) return std::string("no such column");
    const std::int32_t code = of->codes->at(row);
    return code < 0 ? std::string() : of->dictionary->at(static_cast<std::size_t>(code));
  };
  EXPECT_EQ(text("env", 0), "given");
  EXPECT_EQ(text("env", 1), "given");
  EXPECT_EQ(text("env", 2), "own");
  EXPECT_EQ(text("exported_exported_env", 0), "mine");
  EXPECT_EQ(text("exported_env", 0), "old");
  EXPECT_EQ(text("exported_exported_env", 2), "");
  EXPECT_EQ(text("instance", 2), "h:2");
  EXPECT_EQ(text("node", 2), "n");  // there is no column of ours to be taken for
  EXPECT_EQ(made.columns.at(4).name, "env");
  EXPECT_EQ(made.columns.at(5).name, "instance");
}

TEST(columns, batches_are_read_while_their_cache_grows) {
  label_cache cache;
  const batch first = read_columns(page, cache).columns;
  std::thread reader([&] {
    for (int i = 0; i < 2000; ++i) EXPECT_EQ(first.sets->value_of(first.label_set_id[0], "x"), "1");
  });
  for (int i = 0; i < 200; ++i) {
    const batch more = read_columns("m{id=\"" + std::to_string(i) + "\"} 1\n", cache).columns;
    EXPECT_EQ(more.rows(), 1u);
  }
  reader.join();
}

TEST(columns, conformance_pages_of_any_kind) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the captures are not beside this checkout: set COMPUTELOCATOR_SHARED";
  // Read by the Python tests through gunzip, value by value; here for the sanitizers.
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    const tests::exact_copy copy(tests::read_file(file.path()));
    label_cache cache;
    column_options options;
    options.grammar.syntax = dialect::openmetrics;
    const column_result read = read_columns(copy.view(), cache, options);
    EXPECT_EQ(read.columns.rows(), read.read.samples) << file.path();
  }
}

/// The rows of a batch as text, without ids.
std::vector<std::string> rows_of(const batch& of) {
  std::vector<std::string> rows;
  for (std::size_t row = 0; row < of.rows(); ++row) {
    std::string& made = rows.emplace_back(of.metrics[of.metric_id[row]].name);
    for (const label_sets::entry& label : (*of.sets)[of.label_set_id[row]])
      made += "|" + std::string(of.sets->name(label.name)) + "=" + std::string(of.sets->value(label.value));
    made += " " + std::to_string(of.value[row]) + " " + std::to_string(of.timestamp_ms[row]);
  }
  return rows;
}

TEST(columns, pods_come_and_go) {
  std::mt19937 random(21);
  std::vector<int> pods;
  for (int pod = 0; pod < 40; ++pod) pods.push_back(pod);
  label_cache cache;
  std::vector<std::pair<batch, std::vector<std::string>>> kept;
  for (int round = 0; round < 60; ++round) {
    for (int change = static_cast<int>(random() % 4); change != 0; --change) {
      const std::size_t at = random() % pods.size();
      switch (random() % 3) {
        case 0: pods[at] = 1000 + round * 10 + change; break;
        case 1: pods.erase(pods.begin() + static_cast<std::ptrdiff_t>(at)); break;
        default: pods.insert(pods.begin() + static_cast<std::ptrdiff_t>(at), 5000 + round * 10 + change); break;
      }
    }
    std::string text;
    for (int family = 0; family < 5; ++family)
      for (const int pod : pods)
        if (family != 3 || pod % 2 == 0)
          text += "family_" + std::to_string(family) + "{container=\"c" + std::to_string(pod % 7) + "\",pod=\"p" + std::to_string(pod) +
                  (family == 4 ? "\",device=\"sda" : "") + "\"} " + std::to_string(random() % 1000) + " 1700000000" +
                  std::to_string(100 + random() % 900) + "\n";
    const tests::exact_copy copy(text);
    label_cache fresh;
    const std::vector<std::string> expected = rows_of(read_columns(copy.view(), fresh).columns);
    batch got = read_columns(copy.view(), cache).columns;
    ASSERT_EQ(rows_of(got), expected) << round;
    kept.emplace_back(std::move(got), expected);
  }
  for (const auto& [columns, expected] : kept) EXPECT_EQ(rows_of(columns), expected);
}

TEST(columns, a_block_vouches_for_itself_under_its_own_rules_alone) {
  // The comma at the end of the labels is good in text 0.0.4, and a fault in strict OpenMetrics.
  std::string text;
  for (int i = 0; i < 20; ++i) text += "a{b=\"" + std::to_string(i) + "\",} 1\n";
  text += "# EOF\n";
  label_cache cache;
  column_options strict;
  strict.grammar = {dialect::openmetrics, policy::strict};
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(read_columns(text, cache).columns.rows(), 20u);
    EXPECT_TRUE(read_columns(text, cache, strict).stopped);
  }
}

TEST(columns, hashes_tell_blocks_apart_and_stay_within_them) {
  namespace hashing = detail::columns_;
  std::vector<hashing::block_hash> hashes = {hashing::hash_products};
#ifdef COMPUTELOCATOR_X86_KERNELS
  if (hashing::has_aes()) hashes.push_back(hashing::hash_aes);
  if (hashing::has_aes() && hashing::has_avx2_aes()) hashes.push_back(hashing::hash_avx2_aes);
#endif
  std::mt19937 random(22);
  for (const hashing::block_hash hash : hashes) {
    std::set<std::pair<std::uint64_t, std::uint64_t>> seen;
    const auto of = [&](const std::string& text) {
      const tests::exact_copy copy(text);
      std::uint64_t made[2];
      hash(hashing::keys(), copy.view().data(), copy.view().size(), made);
      return std::pair(made[0], made[1]);
    };
    std::size_t texts = 0;
    for (const std::size_t size : {0, 1, 7, 15, 16, 17, 31, 32, 33, 47, 48, 64, 100, 331, 1023, 1024, 1025, 1056, 2048, 2100, 5000}) {
      std::string text(size, 'x');
      const auto whole = of(text);
      EXPECT_EQ(of(text), whole);
      EXPECT_TRUE(seen.insert(whole).second) << size;
      ++texts;
      for (std::size_t i = 0; i < size; i += 1 + size / 200) {
        text[i] ^= static_cast<char>(1 << random() % 8);
        EXPECT_TRUE(seen.insert(of(text)).second) << size << " bytes, changed at " << i;
        ++texts;
      }
      if (size >= 32) {  // two pieces that change places
        std::fill_n(text.begin(), 16, 'a');
        std::fill_n(text.begin() + 16, 16, 'b');
        EXPECT_TRUE(seen.insert(of(text)).second) << size;
        std::swap_ranges(text.begin(), text.begin() + 16, text.begin() + 16);
        EXPECT_TRUE(seen.insert(of(text)).second) << size;
        texts += 2;
      }
    }
    EXPECT_EQ(seen.size(), texts);
  }
}

TEST(columns, a_cache_takes_no_more_than_it_says) {
  std::string text;
  for (int family = 0; family < 20; ++family)
    for (int i = 0; i < 1000; ++i)
      text += "family_" + std::to_string(family) + "{id=\"/kubepods.slice/pod" + std::to_string(i) + "\",image=\"\",name=\"n" +
              std::to_string(i) + "\",pod=\"p" + std::to_string(i / 3) + "\"} 1\n";
  label_cache cache;
  for (int round = 0; round < 3; ++round) {
    const batch got = read_columns(text, cache).columns;
    ASSERT_EQ(got.sets->size(), 1000u);
    EXPECT_LT(cache.bytes(), 160'000u);
  }
}

TEST(columns, a_block_with_its_name_inside_vouches_for_no_other_line) {
  // Found by fuzzing: the block of the first line made the second pass, whose name is given twice.
  const std::string text = "{\"b\"} 1\na{\"b\"} 2\n{\"b\"} 3\n";
  label_cache cache;
  for (int i = 0; i < 2; ++i) {
    const batch got = read_columns(text, cache).columns;
    EXPECT_EQ(got.value, (std::vector<double>{1, 3}));
    EXPECT_EQ(got.rejects.size(), 1u);
  }
}

TEST(columns, samples_without_labels_vouch_for_no_block) {
  std::string bare, labelled;
  for (int i = 0; i < 50; ++i) {
    bare += "a 1\n";
    labelled += "a{b=\"c\"} 2\n";
  }
  // The block stands at the start of what is looked at: nothing before it is read.
  label_cache cache;
  ASSERT_EQ(read_columns(bare, cache).columns.rows(), 50u);
  const batch columns = read_columns("{\"a\"} 1\n" + labelled, cache).columns;
  ASSERT_EQ(columns.rows(), 51u);
  EXPECT_TRUE((*columns.sets)[columns.label_set_id[0]].empty());
  for (std::size_t row = 1; row < 51; ++row) EXPECT_EQ(columns.sets->value_of(columns.label_set_id[row], "b"), "c");
}

TEST(columns, a_name_of_its_own_on_every_line_is_no_burden) {
  // With a search through all names this would take minutes.
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "a{l" + std::to_string(i) + "=\"v\"} 1\n";
  label_cache cache;
  const batch got = read_columns(text, cache).columns;
  ASSERT_EQ(got.rows(), 200'000u);
  EXPECT_EQ(got.sets->names(), 200'000u);
  EXPECT_EQ(got.sets->value_of(got.label_set_id[199'999], "l199999"), "v");
}

TEST(columns, many_families_each_keep_their_own_metadata) {
  std::string many, samples;
  for (int i = 0; i < 3000; ++i) {  // metadata first, so that each is looked for again
    const std::string name = "family_" + std::to_string(i);
    many += "# HELP " + name + " Number\\n" + std::to_string(i) + ".\n# TYPE " + name + (i % 2 == 0 ? " gauge\n" : " histogram\n");
    samples += name + (i % 2 == 0 ? " 1\n" : "_count 1\n");
  }
  label_cache cache;
  const batch columns = read_columns(many + samples + samples, cache).columns;
  ASSERT_EQ(columns.rows(), 6000u);
  ASSERT_EQ(columns.metrics.size(), 3000u);
  for (std::uint32_t i = 0; i < 3000; ++i) {
    EXPECT_EQ(columns.metric_id[i], i);
    EXPECT_EQ(columns.metric_id[3000 + i], i);
    EXPECT_EQ(columns.metrics[i].type, i % 2 == 0 ? metric_type::gauge : metric_type::histogram);
    EXPECT_EQ(columns.metrics[i].help, "Number\n" + std::to_string(i) + ".");
  }
}

TEST(columns, a_name_that_is_escaped_is_the_metric_that_it_says) {
  label_cache cache;
  const batch columns = read_columns("{\"a\\\\b\"} 1\n{\"a\\b\"} 2\n{\"c\"} 3\n", cache).columns;
  ASSERT_EQ(columns.metrics.size(), 2u);
  EXPECT_EQ(columns.metrics[0].name, "a\\b");
  EXPECT_EQ(columns.metric_id, (std::vector<std::uint32_t>{0, 0, 1}));
}

TEST(columns, rows_are_chosen_by_label_on_cold_and_warm_pages) {
  const std::string chosen_page = "a{ns=\"x\",p=\"1\"} 1\na{ns=\"y\",p=\"1\"} 2\nb{ns=\"x\",p=\"1\"} 3\na 4\n{\"c.d\",ns=\"x\"} 5\n";
  column_options some;
  some.labels.keep("ns", {"x"});
  label_cache cold;
  for (int round = 0; round < 2; ++round) {
    const batch rows = read_columns(chosen_page, cold, some).columns;
    EXPECT_EQ(rows.value, (std::vector<double>{1, 3, 5}));
    EXPECT_EQ(rows.sets->size(), 2u);  // what is not wanted is not remembered
    EXPECT_EQ(rows.metrics.size(), 3u);
  }
  label_cache warm;  // knows all of them, and answers for those alone that are wanted
  EXPECT_EQ(read_columns(chosen_page, warm).columns.rows(), 5u);
  const column_result read = read_columns(chosen_page, warm, some);
  EXPECT_EQ(read.columns.value, (std::vector<double>{1, 3, 5}));
  EXPECT_EQ(read.read.skipped, 2u);
}

}  // namespace
