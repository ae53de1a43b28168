// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/arrow.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>

namespace {

using namespace computelocator;

std::shared_ptr<const table> example() {
  auto made = std::make_shared<table>();
  made->rows = 3;
  made->meta = {{"scrape", "1"}};
  column value{.name = "value", .type = column_type::float64};
  value.float64 = std::make_shared<const std::vector<double>>(std::vector<double>{1, 2, 3});
  value.valid = std::make_shared<const std::vector<std::uint8_t>>(std::vector<std::uint8_t>{1, 0, 1});
  value.meta = {{"unit", "bytes"}};
  column label{.name = "label", .type = column_type::category};
  label.codes = std::make_shared<const std::vector<std::int32_t>>(std::vector<std::int32_t>{1, -1, 0});
  label.dictionary = std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"a", "bc"});
  column flag{.name = "flag", .type = column_type::boolean};
  flag.boolean = std::make_shared<const std::vector<std::uint8_t>>(std::vector<std::uint8_t>{1, 0, 1});
  column text{.name = "text", .type = column_type::text};
  text.text = std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"x", "", "yz"});
  made->columns = {value, label, flag, text};
  return made;
}

TEST(arrow, schema) {
  ArrowSchema schema;
  export_schema(*example(), &schema);
  EXPECT_STREQ(schema.format, "+s");
  ASSERT_EQ(schema.n_children, 4);
  EXPECT_STREQ(schema.children[0]->format, "g");
  EXPECT_STREQ(schema.children[1]->format, "i");
  EXPECT_STREQ(schema.children[1]->dictionary->format, "u");
  EXPECT_STREQ(schema.children[2]->format, "b");
  EXPECT_STREQ(schema.children[3]->format, "u");
  std::int32_t count = 0;
  std::memcpy(&count, schema.children[0]->metadata, 4);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(std::string_view(schema.children[0]->metadata + 8, 4), "unit");
  schema.release(&schema);
  EXPECT_EQ(schema.release, nullptr);
}

TEST(arrow, values_are_shared_and_freed_once) {
  auto kept = example();
  const std::weak_ptr<const table> watch = kept;
  const double* const numbers = kept->columns[0].float64->data();
  ArrowArray array;
  export_array(std::move(kept), &array);
  EXPECT_FALSE(watch.expired());
  ASSERT_EQ(array.n_children, 4);
  EXPECT_EQ(array.children[0]->buffers[1], numbers);
  EXPECT_EQ(array.children[0]->null_count, 1);
  EXPECT_EQ(static_cast<const std::uint8_t*>(array.children[0]->buffers[0])[0], 0b101);
  EXPECT_EQ(array.children[1]->null_count, 1);
  EXPECT_EQ(static_cast<const std::uint8_t*>(array.children[2]->buffers[1])[0], 0b101);
  const auto* const offsets = static_cast<const std::int32_t*>(array.children[3]->buffers[1]);
  EXPECT_EQ(offsets[3], 3);
  // A consumer may move a child out and release it later than the rest.
  ArrowArray moved = *array.children[0];
  array.children[0]->release = nullptr;
  array.release(&array);
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(static_cast<const double*>(moved.buffers[1])[2], 3);
  moved.release(&moved);
  EXPECT_TRUE(watch.expired());
}

TEST(arrow, a_stream_gives_one_batch) {
  auto kept = example();
  const std::weak_ptr<const table> watch = kept;
  ArrowArrayStream stream;
  export_stream(std::move(kept), &stream);
  ArrowSchema schema;
  ASSERT_EQ(stream.get_schema(&stream, &schema), 0);
  schema.release(&schema);
  ArrowArray array;
  ASSERT_EQ(stream.get_next(&stream, &array), 0);
  EXPECT_EQ(array.length, 3);
  ArrowArray end;
  ASSERT_EQ(stream.get_next(&stream, &end), 0);
  EXPECT_EQ(end.release, nullptr);
  EXPECT_EQ(stream.get_last_error(&stream), nullptr);
  stream.release(&stream);
  EXPECT_EQ(static_cast<const double*>(array.children[0]->buffers[1])[0], 1);
  array.release(&array);
  EXPECT_TRUE(watch.expired());
}

}  // namespace
