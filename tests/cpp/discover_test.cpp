// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <fstream>

#include <computelocator/discover.hpp>

namespace cl = computelocator;

TEST(quantity, each_suffix) {
  const struct { const char* text; double expected; } rows[] = {
      {"250m", 0.25}, {"128Mi", 134217728.0}, {"1e3", 1000}, {"2", 2}, {"123456n", 123456e-9},
      {"1Gi", 1073741824.0}, {"0.5", 0.5}, {"3u", 3e-6}, {"1k", 1e3}, {"1M", 1e6}, {"1G", 1e9},
      {"1T", 1e12}, {"1P", 1e15}, {"1E", 1e18}, {"1E3", 1e3}, {"1Ki", 1024}, {"1Ti", 0x1p40},
      {"1Pi", 0x1p50}, {"1Ei", 0x1p60}, {"-1", -1}, {"+1", 1}, {".5", 0.5}, {"1e-3", 0.001}};
  for (const auto& row : rows) {
    const auto got = cl::parse_quantity(row.text);
    ASSERT_TRUE(got) << row.text;
    EXPECT_EQ(*got, row.expected) << row.text;
  }
  for (const char* bad : {"", "m", "1x", "1mi", "+-1", "1e", "1e+-3", "1 ", "--1", "1.2.3", "nan"})
    EXPECT_FALSE(cl::parse_quantity(bad)) << bad;
}

TEST(metrics_query, encodes_and_knows_the_alias) {
  const std::array<std::string_view, 2> names{"container_memory_limit_bytes", "a b"};
  EXPECT_EQ(cl::metrics_query(names),
            "name%5B%5D=container_spec_memory_limit_bytes&name%5B%5D=a%20b");
}

TEST(token_reader, keeps_the_old_while_the_new_is_bad) {
  const std::string path = ::testing::TempDir() + "computelocator_token";
  const auto write = [&](const char* text) { std::ofstream(path) << text; };
  const cl::token_reader::clock::time_point start{};
  cl::token_reader reader(path);
  write("one\n");
  EXPECT_EQ(reader.read(start)->reveal(), "one");
  write("two\n");
  EXPECT_EQ(reader.read(start + std::chrono::seconds(59))->reveal(), "one");
  EXPECT_EQ(reader.refresh(start + std::chrono::seconds(59))->reveal(), "two");
  write("");
  EXPECT_EQ(reader.refresh(start)->reveal(), "two");
  write("bad\ntoken");
  cl::token_reader fresh(path);
  const auto failed = fresh.read(start);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message().find("bad\n"), std::string::npos);
  std::remove(path.c_str());
}
