// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <computelocator/error.hpp>
#include <computelocator/target.hpp>

namespace cl = computelocator;

TEST(printable, escapes_and_cuts) {
  EXPECT_EQ(cl::printable("a\x1b[31m\x7f"), "a\\x1b[31m\\x7f");
  EXPECT_EQ(cl::printable("\xc2\x85"), "\\x85");
  EXPECT_EQ(cl::printable("\xe2\x80\xae"), "\\u{202e}");
  EXPECT_EQ(cl::printable("\xff\xc0\x80"), "\\xff\\xc0\\x80");
  EXPECT_EQ(cl::printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(cl::printable("ab\xc3\xbc", 3), "ab...");
}

TEST(error, message_reads_where_what_advice) {
  const cl::error all{cl::errc::forbidden, "node a", "403", "ask"};
  EXPECT_EQ(all.message(), "node a: 403; ask");
  EXPECT_EQ(cl::to_string(all.code), "forbidden");
}

TEST(target, url_brackets_and_drops_query) {
  cl::target t;
  t.host = "fd00::1";
  t.path = "/metrics?name=a";
  EXPECT_EQ(t.url(), "https://[fd00::1]:10250/metrics");
}
