// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
// Every kernel against the scalar one, which reads each line with care and is the specification.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "captures.hpp"
#include "transcript.hpp"

namespace {

using namespace computelocator;

constexpr parse_options ways[] = {{dialect::prometheus, policy::strict}, {dialect::prometheus, policy::prometheus},
                                  {dialect::prometheus, policy::lenient}, {dialect::openmetrics, policy::strict},
                                  {dialect::openmetrics, policy::prometheus}, {dialect::openmetrics, policy::lenient}};

/// Memory between two pages that nobody may touch.
class guarded {
 public:
  explicit guarded(std::size_t room)
      : guard_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), room_((room + guard_ - 1) / guard_ * guard_) {
    void* const got = mmap(nullptr, room_ + 2 * guard_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(got, MAP_FAILED);
    memory_ = static_cast<char*>(got);
    EXPECT_EQ(mprotect(memory_, guard_, PROT_NONE), 0);
    EXPECT_EQ(mprotect(memory_ + guard_ + room_, guard_, PROT_NONE), 0);
  }
  ~guarded() { munmap(memory_, room_ + 2 * guard_); }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;

  char* begin() const { return memory_ + guard_; }
  char* end() const { return begin() + room_; }
  /// `text` right behind the first guard, or right before the second one.
  std::string_view at_begin(std::string_view text) const { return put(begin(), text); }
  std::string_view at_end(std::string_view text) const { return put(end() - text.size(), text); }

 private:
  static std::string_view put(char* to, std::string_view text) {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  std::size_t guard_, room_;
  char* memory_ = nullptr;
};

template <class Do>
void each_kernel(Do&& act) {
  for (const detail::kernel& kernel : detail::kernels)
    if (kernel.available() && kernel.index != detail::index_scalar) act(kernel);
}

std::string some_of(std::string_view alphabet, std::size_t size, std::mt19937& random) {
  std::string made(size, '\0');
  for (char& c : made) c = alphabet[random() % alphabet.size()];
  return made;
}

/// A page as programs write them, then damaged in some places.
std::string some_page(std::mt19937& random, bool damaged) {
  static constexpr const char* names[] = {"a", "up", "container_cpu_usage_seconds_total", "http:requests:rate5m", "x_bucket"};
  static constexpr const char* labels[] = {"le", "id", "pod", "namespace", "a_label_name_of_more_than_sixteen", "__x", "b2"};
  static constexpr const char* values[] = {"", "0.5", "/kubepods.slice/a\\\\x2db", "say \\\"hi\\\"", "h\xC3\xA9llo", "a,b={c}", "line\\n"};
  static constexpr const char* numbers[] = {"0", "1", "17", "0.25", "1.097728e+06", "NaN", "+Inf", "-3", "123456789.123456789",
                                            "0.12345678901234567", "1e-9", "18446744073709551615", "1.7976931348623157e308"};
  const auto pick = [&](const auto& from) { return std::string(from[random() % std::size(from)]); };
  std::string page;
  for (std::size_t family = 0; family < 4; ++family) {
    const std::string name = pick(names);
    if (random() % 2 != 0) page += "# HELP " + name + " Help, \"quoted\" \xE2\x82\xAC.\n";
    if (random() % 2 != 0) page += "# TYPE " + name + (random() % 2 != 0 ? " gauge\n" : " counter\n");
    const std::size_t count = random() % 8;
    const std::size_t first = random() % std::size(labels);
    for (std::size_t line = random() % 6; line != 0; --line) {
      page += name;
      if (count != 0) page += '{';
      for (std::size_t i = 0; i < count; ++i)
        page += (i == 0 ? "" : ",") + std::string(labels[(first + i) % std::size(labels)]) + "=\"" + pick(values) +
                std::to_string(random() % 3) + '"';
      if (count != 0) page += '}';
      page += ' ' + pick(numbers);
      if (random() % 2 != 0) page += " 1700000000" + std::to_string(100 + random() % 900);
      page += '\n';
    }
  }
  if (random() % 8 == 0) page += "# EOF\n";
  static constexpr char odd_bytes[] = "a1{}=\",\\ \n\t#\r\xC3\xA9\x00.+-eN_:";
  static constexpr std::string_view odd(odd_bytes, sizeof odd_bytes - 1);
  if (damaged && !page.empty())
    for (std::size_t i = 1 + random() % 3; i != 0; --i) {
      const std::size_t at = random() % page.size();
      switch (random() % 3) {
        case 0: page[at] = odd[random() % odd.size()]; break;
        case 1: page.insert(at, 1, odd[random() % odd.size()]); break;
        default: page.erase(at, 1 + random() % 3); break;
      }
      if (page.empty()) break;
    }
  return page;
}

TEST(kernels, a_forced_one_runs) {
  const char* const forced = std::getenv("COMPUTELOCATOR_FORCE_KERNEL");
  if (forced == nullptr) GTEST_SKIP() << "no kernel is forced: ctest forces each of them in a run of its own";
  for (const detail::kernel& kernel : detail::kernels)
    if (std::string_view(kernel.name) == forced && kernel.available()) {
      EXPECT_EQ(&detail::best_kernel(), &kernel);
      return;
    }
  EXPECT_EQ(&detail::best_kernel(), &detail::scalar_kernel) << "a kernel that is not there";
}

TEST(kernels, are_chosen_by_name) {
  const char* const forced = std::getenv("COMPUTELOCATOR_FORCE_KERNEL");
  const std::string before = forced == nullptr ? "" : forced;
  const auto chosen = [](const char* name) {
    setenv("COMPUTELOCATOR_FORCE_KERNEL", name, 1);
    return &detail::choose_kernel();
  };
  const detail::kernel* best = nullptr;
  for (const detail::kernel& kernel : detail::kernels) {
    if (best == nullptr && kernel.available()) best = &kernel;
    EXPECT_EQ(chosen(kernel.name), kernel.available() ? &kernel : &detail::scalar_kernel) << kernel.name;
  }
  EXPECT_EQ(chosen(""), best);
  EXPECT_EQ(chosen("avx9000"), &detail::scalar_kernel);
  unsetenv("COMPUTELOCATOR_FORCE_KERNEL");
  EXPECT_EQ(&detail::choose_kernel(), best);
  if (forced != nullptr) setenv("COMPUTELOCATOR_FORCE_KERNEL", before.c_str(), 1);
}

/// Lines that are not UTF-8 must be unproven; of kernels that look at it themselves, lines that are must
/// not be where all up to their last 64 bytes is.
void expect_unproven_lines(std::string_view window, const detail::mark_window& got, const detail::kernel& kernel) {
  const bool looks = std::string_view(kernel.name).starts_with("avx");
  const auto unproven = [&](std::size_t from, std::size_t last) {
    for (std::size_t block = from / 64; block <= last / 64; ++block)
      if ((got.unproven[block / 64] >> (block % 64) & 1) != 0) return true;
    return false;
  };
  std::size_t begin = 0;
  for (std::size_t newline = 0; (newline = window.find('\n', begin)) != std::string_view::npos; begin = newline + 1) {
    const std::size_t behind = std::min(newline / 64 * 64 + 64, window.size());
    if (!detail::is_utf8(window.substr(begin, newline - begin))) {
      EXPECT_TRUE(unproven(begin, newline)) << kernel.name << ", line at " << begin;
    } else if (looks && detail::is_utf8(window.substr(0, behind))) {
      EXPECT_FALSE(unproven(begin, newline)) << kernel.name << ", line at " << begin;
    }
  }
}

/// The marks of every kernel, and what each says of UTF-8, beside those of the scalar one.
void compare_marks(std::string_view window) {
  const auto expected = std::make_unique_for_overwrite<detail::mark_window>(), got = std::make_unique_for_overwrite<detail::mark_window>();
  detail::index_scalar(window.data(), window.size(), *expected);
  each_kernel([&](const detail::kernel& kernel) {
    kernel.index(window.data(), window.size(), *got);
    ASSERT_EQ(got->count, expected->count) << kernel.name << ", " << window.size() << " bytes";
    EXPECT_TRUE(std::equal(got->at, got->at + got->count, expected->at)) << kernel.name;
    expect_unproven_lines(window, *got, kernel);
  });
}

TEST(kernels, find_a_mark_in_every_byte) {
  const guarded memory(8192);
  for (std::size_t size = 0; size < 300; ++size)
    for (const char mark : {'"', '\n'}) {
      compare_marks(memory.at_end(std::string(size, mark)));
      compare_marks(memory.at_begin(std::string(size, mark)));
    }
}

TEST(kernels, find_the_same_marks_at_every_size_and_alignment) {
  const guarded memory(8192);
  std::mt19937 random(3);
  for (const std::string_view alphabet : {std::string_view("\\\""), std::string_view("\\\\\\\"\n a"),
                                          std::string_view("ab{c=\"d\",\n\xC3\xA9\\")})
    for (std::size_t size = 0; size < 300; ++size) {
      const std::string text = some_of(alphabet, size, random);
      compare_marks(memory.at_end(text));
      compare_marks(memory.at_begin(text));
    }
  for (int round = 0; round < 3000; ++round) {  // characters whole and broken, across 64 bytes
    static constexpr std::string_view characters[] = {
        "a", "\n", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xEE\x80\x80", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF",
        "\xC0\xAF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xC3", "\xE2\x82"};
    std::string text;
    while (text.size() < 200) text += characters[random() % (round % 3 == 0 ? std::size(characters) : 8)];
    if (round % 3 == 1) text[random() % text.size()] = static_cast<char>(random());
    compare_marks(memory.at_end(text));
  }
  const std::string text = some_of("aaaaaaab{c=\"d\",\n\xC3\xA9\\", 1000, random);
  for (std::size_t shift = 0; shift < 64; ++shift) {
    std::memcpy(memory.begin() + shift, text.data(), text.size());
    compare_marks({memory.begin() + shift, text.size()});
  }
  compare_marks(memory.at_end(some_of("\\\"\n", 8000, random)));
}

TEST(kernels, read_any_page_alike_and_stay_within_it) {
  const guarded memory(1 << 16);
  std::mt19937 random(11);
  for (int round = 0; round < 1500; ++round) {
    const std::string page = some_page(random, round % 3 != 0);
    for (const parse_options& way : ways) {
      const auto expected = tests::transcript::of(page, way, detail::scalar_kernel);
      each_kernel([&](const detail::kernel& kernel) {
        ASSERT_EQ(tests::transcript::of(memory.at_end(page), way, kernel), expected) << kernel.name << "\n" << page;
        ASSERT_EQ(tests::transcript::of(memory.at_begin(page), way, kernel), expected) << kernel.name << "\n" << page;
      });
    }
  }
}

TEST(kernels, leave_odd_lines_to_the_careful_half) {
  std::string labels;
  for (int i = 0; i < 100; ++i) labels += "l" + std::to_string(i) + "=\"v\",";
  const std::string long_name(100, 'n');
  for (const std::string& page : {
           std::string("a  1\n"), std::string("a\t1\n"), std::string("a{} 1\n"), std::string("a{b=\"x\n} 1\n"),
           std::string("a{b=\"1\",b=\"2\"} 1\n"), std::string("a{bc=\"1\",de=\"2\",bc=\"3\"} 1\n"),
           std::string("a{__name__=\"z\"} 1\n"), std::string("# TYPE a untyped\n"),
           std::string("# HELP a Help.\r\n# TYPE a gauge\r\na 1\r\n"), std::string("# HELP a Caf\xC3\xA9.\r\n"), "a{" + labels + "} 1\n",
           "a{" + labels.substr(0, labels.find("l40")) + "} 1\n", "a{" + labels.substr(0, labels.find(",l20")) + "} 1\n"})
    for (const std::string& behind : {"b 2\n" + std::string(100, '#'), std::string(100, 'n'), long_name + " 1\nb 2\n" + std::string(80, 'n')})
      for (const parse_options& way : ways)
        each_kernel([&](const detail::kernel& kernel) {
          EXPECT_EQ(tests::transcript::of(page + behind, way, kernel),
                    tests::transcript::of(page + behind, way, detail::scalar_kernel)) << kernel.name << "\n" << page + behind;
        });
}

TEST(kernels, lines_that_they_once_read_differently) {
  // Each found by fuzzing; the lines behind them are so that the first ones are read quickly.
  const std::string behind(2 * detail::line_index::margin, '#');
  for (const std::string& line : {std::string("a {b_c 3e-2\n")})
    for (const parse_options& way : ways)
      each_kernel([&](const detail::kernel& kernel) {
        EXPECT_EQ(tests::transcript::of(line + behind, way, kernel),
                  tests::transcript::of(line + behind, way, detail::scalar_kernel)) << kernel.name << "\n" << line;
      });
}

TEST(kernels, what_lies_behind_a_page_changes_nothing) {
  std::mt19937 random(12);
  for (int round = 0; round < 200; ++round) {
    const std::string page = some_page(random, false);
    const std::size_t cut = page.empty() ? 0 : page.size() - random() % std::min<std::size_t>(page.size(), 40);
    const std::string_view part = std::string_view(page).substr(0, cut);
    for (const parse_options& way : ways) {
      const auto expected = tests::transcript::of(part, way, detail::scalar_kernel);
      each_kernel([&](const detail::kernel& kernel) {
        for (const char behind : {'0', '"', '\n', '}', '\\', '\xC3'})
          for (const std::size_t shift : {0, 1, 17, 63}) {
            const std::string all = std::string(shift, behind) + std::string(part) + std::string(80, behind);
            ASSERT_EQ(tests::transcript::of(std::string_view(all).substr(shift, cut), way, kernel), expected)
                << kernel.name << "\n" << part;
          }
      });
    }
  }
}

TEST(kernels, read_long_pages_alike_across_windows) {
  std::mt19937 random(13);
  std::string page;
  while (page.size() < 200'000) {
    page += some_page(random, random() % 4 == 0);
    if (random() % 16 == 0) page += "long{a=\"" + some_of("abc\\\\", 2 * (random() % 12'000), random) + "x\"} 1\n";
  }
  for (const parse_options& way : ways) {
    const auto expected = tests::transcript::of(page, way, detail::scalar_kernel);
    each_kernel([&](const detail::kernel& kernel) {
      EXPECT_TRUE(tests::transcript::of(page, way, kernel) == expected) << kernel.name;
    });
  }
}

TEST(kernels, read_captures_alike) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the pages are not beside this checkout: set COMPUTELOCATOR_SHARED";
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    const std::string page = tests::read_file(file.path());
    for (const parse_options& way : ways) {
      const auto expected = tests::transcript::of(page, way, detail::scalar_kernel);
      each_kernel([&](const detail::kernel& kernel) {
        EXPECT_EQ(tests::transcript::of(page, way, kernel), expected) << kernel.name << ": " << file.path();
      });
    }
  }
}

/// Families with the same long label blocks in the same order, some of them left out, changed or damaged.
std::string page_of_rows(std::mt19937& random, std::size_t rows) {
  std::vector<std::string> blocks;
  for (std::size_t i = 0; i < rows; ++i) {
    blocks.push_back("{container=\"c" + std::to_string(i % 3) + "\",id=\"" + some_of("ab/", random() % 90, random) + "\",pod=\"p" +
                     std::to_string(i) + "\"}");
    if (random() % 8 == 0) blocks.back() = i % 2 == 0 ? "{id=\"/\"}" : "";
  }
  static constexpr std::string_view odd("a{}=\",\\ \n\xC3\x80", 11);
  std::string page;
  for (int family = 0; family < 12; ++family) {
    const std::string name = "family_" + std::string(1, static_cast<char>('a' + family));
    const std::size_t left_out = random() % 3 == 0 ? 2 + random() % 12 : 1000;
    const bool careless = random() % 3 == 0;
    for (const std::string& block : blocks) {
      if (random() % left_out == 0) continue;
      std::string line = name + block + " " + std::to_string(random() % 1000) + (random() % 2 != 0 ? " 1700000000123" : "");
      if (careless && random() % 6 == 0) line[random() % line.size()] = odd[random() % odd.size()];
      page += line + "\n";
    }
    if (random() % 4 == 0) std::swap(blocks.front(), blocks[random() % blocks.size()]);
  }
  return page;
}

TEST(kernels, read_blocks_that_stood_there_before_alike) {
  const guarded memory(1 << 20);
  std::mt19937 random(16);
  for (int round = 0; round < 400; ++round) {
    const std::string page = page_of_rows(random, 1 + random() % (round % 40 == 0 ? 600 : 30));
    for (const parse_options& way : ways) {
      const auto expected = tests::transcript::of(page, way, detail::scalar_kernel);
      each_kernel([&](const detail::kernel& kernel) {
        ASSERT_TRUE(tests::transcript::of(memory.at_end(page), way, kernel) == expected) << kernel.name << "\n" << page;
      });
    }
  }
}

TEST(block_memory, knows_the_rows_of_an_earlier_family_and_what_is_left_out) {
  const auto block = [](int i) { return "{pod=\"" + std::string(60, 'x') + std::to_string(100 + i) + "\"}"; };
  std::string page;
  std::vector<std::size_t> at;
  for (int i = 0; i < 40; ++i) at.push_back(page.size()), page += block(i);
  const std::size_t size = block(0).size();
  page += std::string(64, '#');
  const char* const until = page.data() + page.size() - 64;
  detail::block_memory memory;
  const auto find = [&](int i) { return memory.find(page.data() + at[i], until, detail::best_kernel().same); };
  memory.start_family();
  EXPECT_FALSE(memory.looking());
  for (int i = 0; i < 20; ++i) memory.add(page.data() + at[i], size);
  memory.start_family();
  ASSERT_TRUE(memory.looking());
  for (const int i : {0, 1, 2, 5, 13, 14}) EXPECT_EQ(find(i), size) << i;
  EXPECT_EQ(find(30), 0u) << "it was never there";
  EXPECT_EQ(find(15), size) << "one that is new changes nothing";
  EXPECT_EQ(memory.find(page.data() + at[16], page.data() + at[16] + size, detail::best_kernel().same), 0u) << "it ends where nothing may be read";
  for (int i = 30; i < 33; ++i) EXPECT_EQ(find(i), 0u);
  EXPECT_FALSE(memory.looking()) << "a family that is too different";
  memory.start_family();
  EXPECT_EQ(find(1), 0u) << "the first row leads to the others";
  EXPECT_EQ(find(0), size);
  for (int family = 0; family < 20; ++family) {
    memory.start_family();
    for (int i = 0; memory.looking() && i < 10; ++i) EXPECT_EQ(find(30 + i % 10), 0u);
  }
  EXPECT_FALSE(memory.looking()) << "a page whose families have nothing in common";
}

TEST(kernels, skip_to_the_first_line_with_another_name) {
  const guarded memory(8192);
  std::mt19937 random(15);
  std::size_t far = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string name = some_of("ab", 1 + random() % 40, random);
    std::string text;
    for (std::size_t left = random() % 12; left != 0; --left) text += name + " " + some_of("\"\\ a", random() % 90, random) + "\n";
    switch (random() % 4) {
      case 0: text += name; break;
      case 1: text += name + "a 1\n"; break;
      case 2: text += name.substr(0, name.size() / 2) + "{}\n"; break;
      default: text += "\n"; break;
    }
    text += std::string(64, random() % 2 != 0 ? 'x' : '\n');
    if (random() % 8 == 0) text[random() % text.size()] = '\n';
    const std::string_view page = memory.at_end(text);
    detail::known_text known;
    known.set(page.data(), name.size());
    const auto skip = [&](const detail::kernel& kernel) {
      std::size_t lines = 0;
      const char* const behind = kernel.skip(page.data(), page.data() + page.size() - 64, {known, page.data() + page.size()}, lines);
      return std::pair(behind - page.data(), lines);
    };
    const auto expected = skip(detail::scalar_kernel);
    EXPECT_EQ(std::count(text.begin(), text.begin() + expected.first, '\n'), static_cast<std::ptrdiff_t>(expected.second));
    far = std::max(far, expected.second);
    each_kernel([&](const detail::kernel& kernel) { ASSERT_EQ(skip(kernel), expected) << kernel.name << "\n" << text; });
  }
  EXPECT_GE(far, 10u);
}

TEST(kernels, tell_equal_bytes) {
  const guarded left(512), right(512);
  std::mt19937 random(18);
  const auto check = [&](const detail::kernel& kernel) {
    for (std::size_t size = 64; size <= 400; ++size) {
      const std::string text = some_of("ab\x80", size, random);
      const std::string_view a = left.at_end(text);
      ASSERT_TRUE(kernel.same(a.data(), right.at_end(text).data(), size)) << kernel.name << " " << size;
      for (std::size_t at = 0; at < size; at += 1 + random() % 7) {
        std::string other = text;
        other[at] = static_cast<char>(other[at] ^ (1 << random() % 8));
        ASSERT_FALSE(kernel.same(a.data(), right.at_end(other).data(), size)) << kernel.name << " " << size << " " << at;
      }
    }
  };
  each_kernel(check);
  check(detail::scalar_kernel);
}

// A line that is known up to its numbers shows by them where it ends. However long they are, and however few
// bytes come behind, nothing beyond the page is read.
TEST(kernels, long_numbers_at_the_end_of_a_page) {
  const guarded memory(4096);
  const std::string block = "{id=\"" + std::string(70, 'x') + "\"}";
  for (const std::string& name : {std::string("a"), "a" + block})
    for (std::size_t zeros = 0; zeros <= 52; ++zeros)
      for (std::size_t point = 0; point <= zeros; ++point) {
        std::string number(zeros, '0');
        if (point != 0) number[point] = '.';
        const std::string lines = "# TYPE b gauge\nb" + name.substr(1) + " 1\n# TYPE a gauge\n" + name + " 1\n" + name + " -" + number + "1e-10 1";
        for (std::size_t more = 0; more < 14; ++more) {
          const std::string_view page = memory.at_end(lines + "\nb " + std::string(more, '1') + "\n");
          const auto expected = tests::transcript::of(page, {}, detail::scalar_kernel);
          each_kernel([&](const detail::kernel& kernel) { ASSERT_EQ(tests::transcript::of(page, {}, kernel), expected) << kernel.name << "\n" << page; });
        }
      }
}

// Found by fuzzing: a byte was read behind a long name and a blank that end the page.
TEST(kernels, a_name_and_a_blank_at_the_end_of_a_page) {
  const guarded memory(4096);
  for (std::size_t size = 1; size < 300; ++size)
    for (const std::string& behind : {std::string(" "), std::string("{"), std::string(" {"), std::string("  "), std::string()})
      for (const parse_options& way : ways) {
        const std::string_view page = memory.at_end(std::string(size, 'o') + behind);
        const auto expected = tests::transcript::of(page, way, detail::scalar_kernel);
        each_kernel([&](const detail::kernel& kernel) { ASSERT_EQ(tests::transcript::of(page, way, kernel), expected) << kernel.name << " " << page; });
      }
}

TEST(kernels, skip_the_same_lines) {
  struct choosy {
    std::string said;
    bool wants(std::string_view name) { return name.size() % 2 == 0; }
    void on_sample(const sample_view& sample) { said += std::string(sample.line()) + "\n"; }
  };
  std::mt19937 random(14);
  for (int round = 0; round < 300; ++round) {
    std::string page;
    for (int i = 0; i < 12; ++i) page += some_page(random, round % 2 != 0);
    const auto read = [&](const detail::kernel& kernel) {
      choosy sink;
      page_walker<choosy> walker(page, sink, {}, kernel);
      while (walker.step()) {
      }
      return sink.said + std::to_string(walker.result().skipped) + " " + std::to_string(walker.result().rejected);
    };
    const std::string expected = read(detail::scalar_kernel);
    each_kernel([&](const detail::kernel& kernel) { ASSERT_EQ(read(kernel), expected) << kernel.name; });
  }
}

TEST(numbers, of_many_shapes_are_those_of_from_chars) {
  std::mt19937_64 random(5);
  std::size_t quick = 0;
  const auto check = [&](const char* text) {
    const std::size_t size = std::strlen(text);
    double expected = 0, got = 0;
    const auto read = std::from_chars(text, text + size, expected);
    if (read.ec != std::errc{} || read.ptr != text + size) return;
    ASSERT_EQ(detail::parse_value({text, size}, got), detail::number_fault::none) << text;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(got), std::bit_cast<std::uint64_t>(expected)) << text;
    char padded[128] = {};
    std::memcpy(padded, text, size);
    padded[size] = '\n';
    if (detail::quick_value(padded, got) == padded + size) {
      ++quick;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(got), std::bit_cast<std::uint64_t>(expected)) << text;
    }
  };
  char text[64];
  for (int i = 0; i < 400'000; ++i) {
    const std::uint64_t bits = random();
    if (std::isfinite(std::bit_cast<double>(bits))) {
      std::snprintf(text, sizeof text, "%.*g", static_cast<int>(random() % 20) + 1, std::bit_cast<double>(bits));
      check(text);
    }
    std::snprintf(text, sizeof text, "%llu.%0*llu", static_cast<unsigned long long>(bits >> (random() % 64)),
                  static_cast<int>(random() % 12) + 1, static_cast<unsigned long long>(random() % 1'000'000));
    check(text);
    std::snprintf(text, sizeof text, "%llue%d", static_cast<unsigned long long>(random() >> (random() % 64)),
                  static_cast<int>(random() % 90) - 45);
    check(text);
    std::snprintf(text, sizeof text, "%.17g", std::ldexp(static_cast<double>(bits >> 11), static_cast<int>(random() % 120) - 110));
    check(text);
    // Near the middle between two doubles, where rounding is hardest.
    const auto odd = static_cast<std::uint64_t>((std::uint64_t{1} << 53) + random() % (std::uint64_t{1} << 53)) * 2 + 1;
    std::snprintf(text, sizeof text, "%llu%s", static_cast<unsigned long long>(odd), i % 2 != 0 ? "" : "e-5");
    check(text);
  }
  EXPECT_GT(quick, 1'000'000u);
}

TEST(numbers, no_text_is_none) {
  double value = 0;
  std::int64_t whole = 0;
  EXPECT_EQ(detail::parse_value({}, value), detail::number_fault::syntax);
  EXPECT_EQ(detail::parse_int64({}, true, whole), detail::number_fault::syntax);
}

TEST(numbers, times_of_thirteen_digits) {
  std::mt19937_64 random(6);
  detail::time_reader times;
  std::uint64_t time = 0;
  for (int i = 0; i < 200'000; ++i) {
    // Half of them begin as the one before.
    time = i % 2 == 0 ? random() % 20'000'000'000'000 : time / 100'000 * 100'000 + random() % 100'000;
    std::string text = std::to_string(time);
    if (i % 7 == 0) text[random() % text.size()] = "/: -.a"[random() % 6];
    const std::size_t size = text.size();
    text += '\n';
    text.resize(64, '9');
    std::int64_t expected = 0, got = 0;
    const bool plain = size == 13 && detail::parse_int64({text.data(), size}, false, expected) == detail::number_fault::none &&
                       text[0] != '-';
    const char* const end = times.read(text.data(), got);
    ASSERT_EQ(end == text.data() + 13 && *end == '\n', plain) << text.substr(0, size);
    ASSERT_TRUE(!plain || got == expected) << text.substr(0, size);
  }
}

TEST(words, equal_texts) {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t size = random() % 40;
    const tests::exact_copy a(some_of("ab", size, random)), b(i % 2 == 0 ? some_of("ab", size, random) : std::string(a.view()));
    EXPECT_EQ(detail::same_text(a.view(), b.view()), a.view() == b.view()) << a.view() << " and " << b.view();
    EXPECT_FALSE(detail::same_text(a.view(), std::string(b.view()) + "a"));
  }
}

TEST(words, a_known_text_begins_others) {
  std::mt19937 random(9);
  for (std::size_t size = 1; size <= 120; ++size) {
    const std::string text = some_of("ab", size, random) + std::string(16, 'x');
    detail::known_text known;
    known.set(text.data(), size);
    EXPECT_TRUE(known.begins((text.substr(0, size) + std::string(16, 'y')).data()));
    for (std::size_t at = 0; at < size; ++at) {
      std::string other = text;
      other[at] = 'c';
      EXPECT_FALSE(known.begins(other.data())) << size << " " << at;
    }
  }
}

TEST(words, ends_of_lines_of_ascii) {
  const guarded memory(4096);
  std::mt19937 random(10);
  for (int i = 0; i < 100'000; ++i) {
    const std::size_t size = random() % 60;
    const std::string_view text = memory.at_end(some_of(i % 2 == 0 ? "aaaaaaa\n\x0B" : "aaaaaaaaaaa\n\x8A", size, random) + std::string(16, "a\n"[random() % 2]));
    const char* const until = text.data() + size;
    std::size_t at = 0;
    while (at < size && text[at] != '\n' && static_cast<unsigned char>(text[at]) < 0x80) ++at;
    ASSERT_EQ(detail::end_of_ascii_line(text.data(), until), at < size && text[at] == '\n' ? text.data() + at : nullptr);
  }
}

TEST(words, name_bytes_are_those_of_the_table) {
  for (int byte = 0; byte < 256; ++byte)
    for (std::size_t at = 0; at < 8; ++at) {
      char text[8];
      std::memset(text, 'a', sizeof text);
      text[at] = static_cast<char>(byte);
      const std::uint64_t word = detail::load_word(text);
      const std::uint64_t flag = std::uint64_t{0x80} << (8 * at);
      EXPECT_EQ(detail::not_label_name(word), detail::is(text[at], detail::label_more) ? 0 : flag) << byte;
      EXPECT_EQ(detail::not_metric_name(word), detail::is(text[at], detail::name_more) ? 0 : flag) << byte;
      EXPECT_EQ(detail::not_digits(word) & flag, detail::is_digit(text[at]) ? 0 : flag) << byte;
    }
}

TEST(words, names_end_where_the_table_says) {
  for (int byte = 0; byte < 256; ++byte)
    for (std::size_t at = 0; at < 16; ++at) {
      char text[16];
      std::memset(text, 'a', sizeof text);
      text[at] = static_cast<char>(byte);
      EXPECT_EQ(detail::name_bytes<false>(text), detail::is(text[at], detail::label_more) ? 16 : at) << byte;
      EXPECT_EQ(detail::name_bytes<true>(text), detail::is(text[at], detail::name_more) ? 16 : at) << byte;
    }
}

TEST(words, utf8_by_the_table_of_the_standard) {
  // Table 3-7 of the Unicode standard, one code after another and cut short.
  const auto reference = [](std::string_view s) {
    for (std::size_t i = 0; i < s.size();) {
      const auto byte = [&](std::size_t k) { return i + k < s.size() ? static_cast<unsigned char>(s[i + k]) : 0u; };
      const auto in = [](unsigned c, unsigned low, unsigned high) { return c >= low && c <= high; };
      const unsigned a = byte(0);
      if (a < 0x80) i += 1;
      else if (in(a, 0xC2, 0xDF) && in(byte(1), 0x80, 0xBF)) i += 2;
      else if ((a == 0xE0 ? in(byte(1), 0xA0, 0xBF) : a == 0xED ? in(byte(1), 0x80, 0x9F) : in(a, 0xE1, 0xEF) && in(byte(1), 0x80, 0xBF)) && in(byte(2), 0x80, 0xBF)) i += 3;
      else if ((a == 0xF0 ? in(byte(1), 0x90, 0xBF) : a == 0xF4 ? in(byte(1), 0x80, 0x8F) : in(a, 0xF1, 0xF3) && in(byte(1), 0x80, 0xBF)) && in(byte(2), 0x80, 0xBF) && in(byte(3), 0x80, 0xBF)) i += 4;
      else return false;
    }
    return true;
  };
  std::mt19937 random(8);
  for (int i = 0; i < 300'000; ++i) {
    const std::string text = some_of("aaaa\x7F\x80\x8F\x90\x9F\xA0\xBF\xC1\xC2\xDF\xE0\xE1\xED\xEF\xF0\xF1\xF4\xF5", random() % 14, random);
    const tests::exact_copy copy(text);
    ASSERT_EQ(detail::is_utf8(copy.view()), reference(text));
  }
}

}  // namespace
