// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// soak RUNS SEED FAILED DICTIONARY SEEDS...: makes RUNS small pages by chance and holds every kernel of
// this machine to the scalar one: the marks, and all that the parser makes of the page. The first page
// that is read differently is written to FAILED. The same SEED makes the same pages. With
// COMPUTELOCATOR_MOST_MARKS in the environment, pages with more marks in a row are left out: for an
// emulator that has a fault of its own there.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../cpp/transcript.hpp"

namespace {

namespace cl = computelocator;
using numbers = tests::transcript::numbers;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The words of a libFuzzer dictionary: one in quotes a line, with \\, \" and \xNN.
std::vector<std::string> read_dictionary(const std::filesystem::path& path) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('"')) continue;
    std::string word;
    for (std::size_t i = 1; i + 1 < line.size(); ++i)
      if (line[i] != '\\') word += line[i];
      else if (line[++i] != 'x') word += line[i];
      else word += static_cast<char>(std::stoi(line.substr(std::exchange(i, i + 2) + 1, 2), nullptr, 16));
    words.push_back(word);
  }
  return words;
}

/// Small pages: of bytes that matter, or others that were changed in some places.
class page_maker {
 public:
  static constexpr std::size_t most_bytes = 300;

  page_maker(std::uint64_t seed, std::vector<std::string> words, const std::vector<std::string>& seeds)
      : random_(seed), words_(std::move(words)) {
    for (const std::string& page : seeds)
      for (std::size_t at = 0; at < page.size();) {  // a long one in pieces of whole lines
        std::size_t end = page.rfind('\n', at + most_bytes - 1);
        if (end == std::string::npos || end < at) end = std::min(page.size(), at + most_bytes) - 1;
        first_.push_back(page.substr(at, end + 1 - at));
        at = end + 1;
      }
  }

  const std::string& next() {
    // From the start again at times, else the pages become noise.
    if (made_++ % 65536 == 0) pool_ = first_;
    if (below(4) == 0) {
      noise();
    } else {
      page_ = pool_[below(pool_.size())];
      for (std::size_t i = below(4) + 1; i != 0; --i) change();
      if (page_.size() > most_bytes) page_.resize(most_bytes);
    }
    return page_;
  }

  /// What was made last is worth changing further.
  void keep() {
    if (pool_.size() < 4096) pool_.push_back(page_);
    else pool_[below(pool_.size())] = page_;
  }

  std::size_t below(std::size_t limit) { return random_() % limit; }

 private:
  void noise() {
    static constexpr std::string_view alphabets[] = {"\\\"", "\\\\\\\"\n a", "ab{c=\"d\",\n\xC3\xA9\\", "\"", "\n", "a {}=\",\\\n1.\x80"};
    const std::string_view alphabet = alphabets[below(std::size(alphabets))];
    page_.resize(below(most_bytes + 1));
    for (char& c : page_) c = alphabet[below(alphabet.size())];
  }

  void change() {
    static constexpr std::string_view odd("a1{}=\",\\ \n\t#\r\xC3\xA9\x80\xFF\0.+-eN_:", 25);
    const std::size_t at = below(page_.size() + 1), more = below(8) + 1;
    switch (below(7)) {
      case 0: page_.insert(at, words_[below(words_.size())]); break;
      case 1: page_.insert(at, more, odd[below(odd.size())]); break;
      case 2: page_.insert(at, more, '\\'); break;
      case 3: page_.erase(at, more); break;
      case 4: page_.insert(at, page_.substr(below(page_.size() + 1), 8 * more)); break;
      case 5: page_ = page_.substr(0, at) + pool_[below(pool_.size())]; break;
      default:
        if (at < page_.size()) page_[at] = odd[below(odd.size())];
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> words_, first_, pool_;
  std::string page_;
  std::uint64_t made_ = 0;
};

/// Wants some names, and vouches for the label blocks that it has seen, as columns do.
class choosing {
 public:
  static void write(std::string_view page, cl::parse_options options, const cl::detail::kernel& kernel, numbers& said) {
    said.clear();
    choosing sink(said);
    cl::page_walker<choosing> walker(page, sink, options, kernel);
    while (walker.step()) {
    }
    const cl::parse_result& result = walker.result();
    said.insert(said.end(), {result.samples, result.skipped, result.rejected, result.error ? result.error->offset : page.size()});
  }

  bool wants(std::string_view name) const noexcept { return name.size() % 2 == 0; }
  bool wants(const cl::sample_view& sample) const noexcept { return sample.value_text().size() % 4 != 3; }
  void on_sample(const cl::sample_view& sample) {
    const std::string_view name = sample.name(), block = sample.label_block(), time = sample.timestamp_text();
    said_.insert(said_.end(), {sample.offset(), name.size(), block.size(), std::bit_cast<std::uint64_t>(sample.value()),
                               static_cast<std::uint64_t>(sample.timestamp_ms().value_or(-1)), time.size()});
    if (!block.empty() && name.data() < block.data()) known_ = block;
  }
  std::size_t known_block(std::string_view rest) const noexcept {
    return !known_.empty() && rest.starts_with(known_) ? known_.size() : 0;
  }

 private:
  explicit choosing(numbers& said) : said_(said) {}
  std::string_view known_;
  numbers& said_;
};

/// Memory that ends where nobody may read on.
class guarded {
 public:
  guarded() {
    memory_ = static_cast<char*>(mmap(nullptr, room + guard_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || mprotect(memory_ + room, guard_, PROT_NONE) != 0) std::abort();
  }
  ~guarded() { munmap(memory_, room + guard_); }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;

  /// `page` with `behind` bytes of `what` between it and the guard.
  std::string_view hold(std::string_view page, std::size_t behind, char what) const {
    char* const at = memory_ + room - behind - page.size();
    std::memcpy(at, page.data(), page.size());
    std::memset(at + page.size(), what, behind);
    return {at, page.size()};
  }

 private:
  static constexpr std::size_t room = 16384;
  std::size_t guard_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  char* memory_;
};

/// True where `window` has a line as UTF-8 that is not.
bool vouches_wrongly(std::string_view page, const cl::detail::mark_window& window) {
  const auto unproven = [&](std::size_t block) { return (window.unproven[block / 64] >> (block % 64) & 1) != 0; };
  std::size_t begin = 0;
  for (std::size_t newline = 0; (newline = page.find('\n', begin)) != std::string_view::npos; begin = newline + 1) {
    bool proven = true;
    for (std::size_t block = begin / 64; block <= newline / 64; ++block) proven = proven && !unproven(block);
    if (proven && !cl::detail::is_utf8(page.substr(begin, newline - begin))) return true;
  }
  return false;
}

/// The longest row of quotes and newlines.
std::size_t most_marks(std::string_view page) {
  std::size_t most = 0, row = 0;
  for (const char byte : page) most = std::max(most, row = byte == '"' || byte == '\n' ? row + 1 : 0);
  return most;
}

class comparison {
 public:
  comparison() {
    for (const cl::detail::kernel& kernel : cl::detail::kernels)
      if (kernel.available() && kernel.index != cl::detail::index_scalar) others_.push_back(kernel);
  }

  /// What reads `page` differently; nullptr where nothing does.
  const char* difference(std::string_view page, cl::parse_options options, bool choose) {
    cl::detail::index_scalar(page.data(), page.size(), *expected_);
    for (const cl::detail::kernel& kernel : others_) {
      kernel.index(page.data(), page.size(), *got_);
      if (got_->count != expected_->count || !std::equal(got_->at, got_->at + got_->count, expected_->at) || vouches_wrongly(page, *got_))
        return kernel.name;
    }
    const auto write = choose ? choosing::write : tests::transcript::write;
    write(page, options, cl::detail::scalar_kernel, wanted_);
    for (const cl::detail::kernel& kernel : others_) {
      write(page, options, kernel, said_);
      if (said_ != wanted_) return kernel.name;
    }
    return nullptr;
  }

  bool said_much() const noexcept { return wanted_.size() > 40; }
  std::string names() const {
    std::string all;
    for (const cl::detail::kernel& kernel : others_) all += std::string(all.empty() ? "" : ", ") + kernel.name;
    return all;
  }

 private:
  std::vector<cl::detail::kernel> others_;
  std::unique_ptr<cl::detail::mark_window> expected_ = std::make_unique<cl::detail::mark_window>(),
                                           got_ = std::make_unique<cl::detail::mark_window>();
  numbers wanted_, said_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "soak RUNS SEED FAILED DICTIONARY SEEDS...\n");
    return 2;
  }
  const std::uint64_t runs = std::strtoull(argv[1], nullptr, 10), seed = std::strtoull(argv[2], nullptr, 10);
  std::vector<std::string> seeds;
  for (int i = 5; i < argc; ++i)
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) seeds.push_back(read_file(file.path()));
  std::sort(seeds.begin(), seeds.end());  // folders have no order of their own
  page_maker maker(seed, read_dictionary(argv[4]), seeds);
  const guarded memory;
  comparison kernels;
  std::string page;
  const char* const allowed = std::getenv("COMPUTELOCATOR_MOST_MARKS");
  const std::size_t allowed_marks = allowed != nullptr ? std::strtoull(allowed, nullptr, 10) : SIZE_MAX;
  std::uint64_t left_out = 0;
  // The last 64 bytes of a page are read with care: with lines behind it all of it is read quickly.
  static constexpr std::string_view behind = "last{a=\"b\",c=\"d\"} 1 1700000000000\nlast{a=\"b\",c=\"e\"} 2.5\n# TYPE last gauge\n";
  static constexpr char what[] = {'0', '"', '\n', '}', '\\', '\xC3'};
  for (std::uint64_t run = 0; run < runs; ++run) {
    page = maker.next();
    if (run % 4 != 0) page += behind;
    if (most_marks(page) > allowed_marks) {
      ++left_out;
      continue;
    }
    const std::string_view held = memory.hold(page, run % 2 == 0 ? 0 : maker.below(129), what[maker.below(std::size(what))]);
    const cl::parse_options options{maker.below(2) == 0 ? cl::dialect::prometheus : cl::dialect::openmetrics,
                                    static_cast<cl::policy>(maker.below(3))};
    if (const char* const kernel = kernels.difference(held, options, run % 5 == 0)) {
      std::ofstream(argv[3], std::ios::binary) << page;
      std::printf("%s differs from scalar in page %llu of seed %llu, dialect %d, policy %d: see %s\n", kernel,
                  static_cast<unsigned long long>(run), static_cast<unsigned long long>(seed),
                  static_cast<int>(options.syntax), static_cast<int>(options.rules), argv[3]);
      return 1;
    }
    if (kernels.said_much() && maker.below(8) == 0) maker.keep();
  }
  std::printf("%llu pages of seed %llu: %s as scalar\n", static_cast<unsigned long long>(runs - left_out),
              static_cast<unsigned long long>(seed), kernels.names().c_str());
}
