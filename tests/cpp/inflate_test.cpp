// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/inflate.hpp>

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

namespace {

using namespace computelocator;

/// zlib's own gzip: what ours is to undo.
std::string packed(const std::string& text, int level = 6) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

errc code_of(const std::string& bytes, std::size_t most = 1 << 20) {
  const auto text = gunzip(bytes, most);
  EXPECT_FALSE(text);
  return text ? errc::invalid_argument : text.error().code;
}

TEST(inflate, undoes_what_zlib_did) {
  std::mt19937 random(3);
  for (const std::size_t size : {0u, 1u, 100u, 65536u, 1000000u}) {
    std::string text;
    while (text.size() < size) text += "metric_" + std::to_string(random() % 1000) + " 1\n";
    text.resize(size);
    for (const int level : {0, 1, 6, 9}) {
      const auto back = gunzip(packed(text, level), 1 << 20);
      ASSERT_TRUE(back) << size << " at level " << level;
      EXPECT_EQ(*back, text);
    }
  }
}

TEST(inflate, members_in_a_row_are_one_text) {
  const auto both = gunzip(packed("one ") + packed("two"), 100);
  ASSERT_TRUE(both);
  EXPECT_EQ(*both, "one two");
}

TEST(inflate, refuses_what_is_not_whole) {
  const std::string good = packed(std::string(5000, 'x') + "end");
  for (std::size_t cut = 0; cut < good.size(); ++cut) EXPECT_FALSE(gunzip(good.substr(0, cut), 1 << 20)) << cut;
  std::string wrong = good;
  wrong[wrong.size() - 6] = static_cast<char>(wrong[wrong.size() - 6] ^ 1);
  EXPECT_EQ(code_of(wrong), errc::bad_encoding);
  EXPECT_EQ(code_of(good + "junk!"), errc::bad_encoding);
  EXPECT_EQ(code_of("plain text"), errc::bad_encoding);
}

TEST(inflate, a_bomb_ends_at_the_bound) {
  const std::string bomb = packed(std::string(50'000'000, '\0'), 9);
  EXPECT_LT(bomb.size(), 60'000u);
  EXPECT_EQ(code_of(bomb, 1'000'000), errc::too_large);
  const std::string exact = packed(std::string(1000, 'a'));
  EXPECT_TRUE(gunzip(exact, 1000));
  EXPECT_EQ(code_of(exact, 999), errc::too_large);
}

TEST(inflate, a_room_is_used_again_and_replaced_where_it_is_too_small) {
  inflate_room room;
  const char* before = nullptr;
  for (const std::size_t size : {5000u, 4000u, 5000u, 70'000u, 10u}) {
    const std::string text(size, 'a');
    const std::string bytes = packed(text);
    EXPECT_EQ(room_for(bytes, 1 << 20), size + 1);
    EXPECT_EQ(room_for(bytes, 100), std::min<std::size_t>(size, 100) + 1);
    const auto back = gunzip(bytes, size, room);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, text);
    EXPECT_GE(room.size(), size);
    if (size <= 5000 && before != nullptr && room.size() < 70'000) {
      EXPECT_EQ(room.data(), before);
    }
    before = room.data();
  }
  // Of two members the last one says its length.
  const std::string two = packed(std::string(100'000, 'b')) + packed("c");
  EXPECT_EQ(room_for(two, 1 << 20), 2u);
  EXPECT_EQ(gunzip(two, 1 << 20, room)->size(), 100'001u);
  EXPECT_FALSE(gunzip(two, 1000, room));
  inflate_room taken = std::move(room);
  EXPECT_EQ(room.size(), 0u);
  EXPECT_TRUE(gunzip(two, 1 << 20, room));
}

TEST(inflate, any_flipped_bit_is_noticed_or_harmless) {
  const std::string text = "a{b=\"c\"} 1\nd 2\n";
  const std::string good = packed(text);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto back = gunzip(bad, 1 << 16);
    if (back) {
      EXPECT_EQ(*back, text) << bit;
    }
  }
}

}  // namespace
