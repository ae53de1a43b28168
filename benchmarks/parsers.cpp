// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Times our parser, others' and the limits of the machine over the same pages. run.py drives it; alone:
//   computelocator_bench --pages=FOLDER [--go=LIBRARY] [--dram=PAGE,...] [--benchmark_filter=...]
//   computelocator_bench --kernels
// FOLDER holds NAME.prom and NAME.expected (see pages.py). A contender whose answer is not the
// reference's is not timed, and the program fails.
//
// Times are CPU time of the whole process: a core that others use does not count, and a garbage
// collector on another thread does.

#include <benchmark/benchmark.h>

#include <computelocator/cadvisor.hpp>
#include <computelocator/columns.hpp>
#include <computelocator/text.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "answer.hpp"
#include "go_parsers.hpp"
#include "memchr_parser.hpp"
#include "replaced_pods.hpp"

namespace {

namespace cl = computelocator;

std::size_t allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  if (void* const made = std::malloc(size)) return made;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* of) noexcept { std::free(of); }
void operator delete[](void* of) noexcept { std::free(of); }
void operator delete(void* of, std::size_t) noexcept { std::free(of); }
void operator delete[](void* of, std::size_t) noexcept { std::free(of); }

namespace {

struct page {
  std::string name, text;
  bench::reference expected;
};

/// One page at several addresses: one address is read again and again from the caches, many in turn
/// come from memory.
class addresses {
 public:
  addresses(const std::string& text, std::size_t count) : size_(text.size()) {
    for (std::size_t i = 0; i < count; ++i) {
      copies_.push_back(std::make_unique<char[]>(size_));
      std::memcpy(copies_.back().get(), text.data(), size_);
    }
  }
  std::size_t count() const noexcept { return copies_.size(); }
  char* bytes(std::size_t i) const noexcept { return copies_[i].get(); }
  std::string_view operator[](std::size_t i) const noexcept { return {copies_[i].get(), size_}; }

 private:
  std::size_t size_;
  std::vector<std::unique_ptr<char[]>> copies_;
};

class contender {
 public:
  virtual ~contender() = default;
  /// What it makes of each page, before it is timed; also warms what it keeps between pages.
  virtual bench::answer count(std::string_view text, std::size_t address) = 0;
  /// What is timed.
  virtual void run(std::string_view text, std::size_t address) = 0;
  /// After count() and before the first run, at the first address.
  virtual void prepare(char*, std::string_view, const bench::reference&) {}
  /// Not timed, before each run.
  virtual void change(char*) {}
  virtual bool changes() const { return false; }
  virtual bool reads_labels() const { return true; }
  virtual const bench::answer& expected(const bench::reference& of) const { return of.all; }
  /// Of one run.
  virtual std::size_t allocations_of(std::string_view text, std::size_t address) {
    const std::size_t before = allocations;
    run(text, address);
    return allocations - before;
  }
  virtual void finish(benchmark::State&) {}
};

// Ours

struct summing {
  bench::answer& sum;
  void on_sample(const cl::sample_view& sample) noexcept { sum.add(sample.value(), sample.timestamp_ms().value_or(0)); }
};

struct summing_labels {
  bench::answer& sum;
  void on_sample(const cl::sample_view& sample) noexcept {
    for (const cl::label_view& label : sample.labels()) {
      benchmark::DoNotOptimize(label.raw_value().data());
      ++sum.labels;
    }
    sum.add(sample.value(), sample.timestamp_ms().value_or(0));
  }
};

struct summing_selected {
  bench::answer& sum;
  const cl::metric_selection& selection;
  std::string_view asked{};
  bool answered = false;

  bool wants(std::string_view name) {
    if (name != asked) {
      asked = name;
      answered = selection.contains(name);
    }
    return answered;
  }
  void on_sample(const cl::sample_view& sample) noexcept { sum.add(sample.value(), sample.timestamp_ms().value_or(0)); }
};

const cl::metric_selection& the_16() {
  static const cl::metric_selection selection = [] {
    std::vector<std::string> names;
    for (const std::string_view name : cl::container_metrics()) names.emplace_back(name);
    return cl::metric_selection(std::move(names));
  }();
  return selection;
}

/// Everything is checked; of labels the block is handed over, or each label by name and value.
template <class Sink>
class tokens final : public contender {
 public:
  bench::answer count(std::string_view text, std::size_t) override {
    bench::answer sum;
    const cl::parse_result read = cl::parse(text, Sink{sum});
    if (read.error || read.rejected != 0) throw std::runtime_error("our parser found a fault");
    return sum;
  }
  void run(std::string_view text, std::size_t) override {
    bench::answer sum;
    cl::parse(text, Sink{sum});
    benchmark::DoNotOptimize(sum);
  }
  bool reads_labels() const override { return std::is_same_v<Sink, summing_labels>; }
};

class filter final : public contender {
 public:
  bench::answer count(std::string_view text, std::size_t) override {
    bench::answer sum;
    cl::parse(text, summing_selected{sum, the_16()});
    return sum;
  }
  void run(std::string_view text, std::size_t address) override {
    benchmark::DoNotOptimize(count(text, address));
  }
  bool reads_labels() const override { return false; }
  const bench::answer& expected(const bench::reference& of) const override { return of.selected; }
};

bench::answer answer_of(const cl::batch& columns) {
  bench::answer sum;
  for (std::size_t row = 0; row < columns.rows(); ++row) {
    const std::int64_t at = columns.timestamp_ms[row];
    sum.add(columns.value[row], at == cl::no_timestamp ? 0 : at);
    sum.labels += (*columns.sets)[columns.label_set_id[row]].size();
  }
  return sum;
}

enum class memory : std::uint8_t { cold, warm, churn };

/// Columns with a label cache that is new, or the target's own. What is timed includes making the
/// columns and freeing them, and the cache where it is new.
class columns final : public contender {
 public:
  columns(memory kind, bool selected) : kind_(kind) {
    if (selected) options_.metrics = the_16();
  }

  bench::answer count(std::string_view text, std::size_t address) override {
    if (kind_ == memory::cold) {
      cl::label_cache cache;
      return answer_of(cl::read_columns(text, cache, options_).columns);
    }
    while (caches_.size() <= address) caches_.emplace_back();
    for (int i = 0; i < 2; ++i) made_ = cl::read_columns(text, caches_[address], options_).columns;
    return answer_of(made_);
  }
  void run(std::string_view text, std::size_t address) override {
    if (kind_ == memory::cold) {
      cl::label_cache cache;
      benchmark::DoNotOptimize(cl::read_columns(text, cache, options_));
    } else {
      benchmark::DoNotOptimize(cl::read_columns(text, caches_[address], options_));
    }
  }
  bool changes() const override { return kind_ == memory::churn; }
  void prepare(char* text, std::string_view view, const bench::reference& of) override {
    if (kind_ != memory::churn) return;
    pods_ = std::make_unique<bench::replaced_pods>(view);
    const std::size_t before = made_.sets->size();
    change(text);
    made_ = cl::read_columns(view, caches_[0], options_).columns;
    const bench::answer got = answer_of(made_);
    if (made_.sets->size() <= before || !bench::agree(got, expected(of), true))
      throw std::runtime_error("with pods replaced it read " + bench::to_string(got));
  }
  void change(char* text) override { pods_->replace(text, std::max<std::size_t>(pods_->pods() * 2 / 100, 1)); }
  const bench::answer& expected(const bench::reference& of) const override {
    return options_.metrics.all() ? of.all : of.selected;
  }
  void finish(benchmark::State& state) override {
    if (kind_ == memory::warm)
      state.counters["cache_bytes"] = static_cast<double>(caches_[0].bytes() + made_.sets->bytes());
  }
 private:
  memory kind_;
  cl::column_options options_;
  std::vector<cl::label_cache> caches_;
  cl::batch made_;
  std::unique_ptr<bench::replaced_pods> pods_;
};

// Others'

class memchr_guided final : public contender {
 public:
  bench::answer count(std::string_view text, std::size_t) override {
    struct {
      bench::answer sum;
      void on_label(std::string_view, std::string_view value) noexcept {
        benchmark::DoNotOptimize(value.data());
        ++sum.labels;
      }
      void on_sample(std::string_view, double value, std::int64_t at) noexcept { sum.add(value, at); }
    } sink;
    bench::memchr_parse(text, sink);
    return sink.sum;
  }
  void run(std::string_view text, std::size_t address) override { benchmark::DoNotOptimize(count(text, address)); }
};

class go final : public contender {
 public:
  go(const bench::go_parsers& library, bench::go_parsers::parser which) : library_(library), which_(which) {}
  bench::answer count(std::string_view text, std::size_t) override { return library_.count(which_, text); }
  void run(std::string_view text, std::size_t) override {
    bench::answer sum;
    if (!library_.parse(which_, text, sum)) throw std::runtime_error("a page was refused that was read before");
    benchmark::DoNotOptimize(sum);
  }
  bool reads_labels() const override { return which_ != bench::go_parsers::prometheus_series; }
  std::size_t allocations_of(std::string_view text, std::size_t) override { return library_.allocations(which_, text); }
  void finish(benchmark::State&) override { library_.collect(); }

 private:
  const bench::go_parsers& library_;
  bench::go_parsers::parser which_;
};

// Limits: they have no answer but their own.

class copying final : public contender {
 public:
  bench::answer count(std::string_view text, std::size_t address) override {
    while (to_.size() <= address) to_.push_back(std::make_unique<char[]>(text.size()));
    run(text, address);
    if (std::memcmp(to_[address].get(), text.data(), text.size()) != 0) throw std::runtime_error("memcpy");
    return {};
  }
  void run(std::string_view text, std::size_t address) override {
    std::memcpy(to_[address].get(), text.data(), text.size());
    benchmark::ClobberMemory();
  }

 private:
  std::vector<std::unique_ptr<char[]>> to_;
};

class newline_scan final : public contender {
 public:
  bench::answer count(std::string_view text, std::size_t) override {
    if (lines(text) != static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')))
      throw std::runtime_error("memchr");
    return {};
  }
  void run(std::string_view text, std::size_t) override { benchmark::DoNotOptimize(lines(text)); }

 private:
  static std::size_t lines(std::string_view text) {
    std::size_t count = 0;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (const void* const found = std::memchr(at, '\n', static_cast<std::size_t>(end - at))) {
      ++count;
      at = static_cast<const char*>(found) + 1;
    }
    return count;
  }
};

bool failed = false;

/// The larger of the caches is 32 MB on the machines that matter: eight times that is memory.
constexpr std::size_t beyond_caches = std::size_t{256} << 20;

/// A contender that has read its page at every address, with the reference's answer.
struct prepared {
  addresses at;
  std::unique_ptr<contender> who;
  double allocations = 0;

  prepared(const page& of, std::unique_ptr<contender> ready, bool has_answer, bool from_memory)
      : at(of.text, from_memory ? std::max<std::size_t>(beyond_caches / of.text.size(), 2) : 1), who(std::move(ready)) {
    for (std::size_t i = 0; i < at.count(); ++i) {
      const bench::answer got = who->count(at[i], i);
      const bench::answer& expected = who->expected(of.expected);
      if (has_answer && !bench::agree(got, expected, who->reads_labels()))
        throw std::runtime_error("it read " + bench::to_string(got) + ", the reference " + bench::to_string(expected));
    }
    who->prepare(at.bytes(0), at[0], of.expected);
    who->run(at[0], 0);
    allocations = static_cast<double>(who->allocations_of(at[0], 0));
  }
};

void measure(benchmark::State& state, const std::string& name, const page& of,
             const std::function<std::unique_ptr<contender>()>& make, bool has_answer, bool from_memory) {
  // Google Benchmark comes back with more iterations until they take long enough.
  static std::string last_name;
  static std::unique_ptr<prepared> last;
  try {
    if (last_name != name) {
      last.reset();
      last_name = name;
      last = std::make_unique<prepared>(of, make(), has_answer, from_memory);
    }
    if (last == nullptr) throw std::runtime_error("it failed before");
    const addresses& at = last->at;
    contender& who = *last->who;
    std::size_t i = 0;
    if (who.changes()) {
      for (auto _ : state) {
        state.PauseTiming();
        who.change(at.bytes(i));
        state.ResumeTiming();
        who.run(at[i], i);
        i = (i + 1) % at.count();
      }
    } else {
      for (auto _ : state) {
        who.run(at[i], i);
        i = (i + 1) % at.count();
      }
    }
    who.finish(state);
    state.counters["allocations"] = last->allocations;
    state.counters["bytes"] = static_cast<double>(of.text.size());
    state.counters["samples"] = static_cast<double>(of.expected.all.samples);
  } catch (const std::exception& error) {
    failed = true;
    state.SkipWithError(error.what());
    for (auto _ : state) {
    }
  }
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct arguments {
  std::filesystem::path pages;
  std::string go, dram;
};

void add(const page& of, const std::string& name, bool has_answer, bool dram,
         const std::function<std::unique_ptr<contender>()>& make) {
  for (const bool from_memory : {false, true}) {
    if (from_memory && !dram) continue;
    const std::string full = of.name + '/' + name + (from_memory ? "/memory" : "/caches");
    benchmark::RegisterBenchmark(full.c_str(), [=, &of](benchmark::State& state) {
      measure(state, full, of, make, has_answer, from_memory);
    })
        ->MeasureProcessCPUTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

void add_all(const page& of, bool dram, const bench::go_parsers* rivals) {
  add(of, "memcpy", false, dram, [] { return std::make_unique<copying>(); });
  add(of, "newline_scan", false, dram, [] { return std::make_unique<newline_scan>(); });
  add(of, "tokens", true, dram, [] { return std::make_unique<tokens<summing>>(); });
  add(of, "labels", true, dram, [] { return std::make_unique<tokens<summing_labels>>(); });
  if (of.expected.selected.samples != 0) {
    add(of, "filter", true, dram, [] { return std::make_unique<filter>(); });
    add(of, "columns_16_cold", true, dram, [] { return std::make_unique<columns>(memory::cold, true); });
    add(of, "columns_16_warm", true, dram, [] { return std::make_unique<columns>(memory::warm, true); });
  }
  add(of, "columns_cold", true, dram, [] { return std::make_unique<columns>(memory::cold, false); });
  add(of, "columns_warm", true, dram, [] { return std::make_unique<columns>(memory::warm, false); });
  if (bench::replaced_pods(of.text).pods() >= 2)
    add(of, "columns_churn", true, dram, [] { return std::make_unique<columns>(memory::churn, false); });
  add(of, "memchr_parser", true, false, [] { return std::make_unique<memchr_guided>(); });
  if (rivals == nullptr) return;
  const struct {
    const char* name;
    bench::go_parsers::parser which;
  } parsers[] = {{"victoriametrics", bench::go_parsers::victoriametrics},
                 {"prometheus_series", bench::go_parsers::prometheus_series},
                 {"prometheus_labels", bench::go_parsers::prometheus_labels}};
  for (const auto& each : parsers)
    add(of, each.name, true, false, [=] { return std::make_unique<go>(*rivals, each.which); });
}

arguments read_arguments(int argc, char** argv) {
  arguments made;
  for (int i = 1; i < argc; ++i) {
    const std::string_view given = argv[i];
    const auto value = [&](std::string_view option) { return std::string(given.substr(option.size())); };
    if (given.starts_with("--pages=")) made.pages = value("--pages=");
    else if (given.starts_with("--go=")) made.go = value("--go=");
    else if (given.starts_with("--dram=")) made.dram = value("--dram=");
    else throw std::runtime_error("what is " + std::string(given) + "? Options: --pages= --go= --dram= --kernels");
  }
  if (!std::filesystem::is_directory(made.pages)) throw std::runtime_error("--pages=FOLDER names no folder");
  return made;
}

int run(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--kernels") {
    for (const cl::detail::kernel& each : cl::detail::kernels)
      if (each.available()) std::puts(each.name);
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  const arguments given = read_arguments(argc, argv);

  std::unique_ptr<bench::go_parsers> rivals;
  if (!given.go.empty()) {
    rivals = std::make_unique<bench::go_parsers>(given.go.c_str());
    benchmark::AddCustomContext("go", rivals->versions());
  }
#ifdef __clang__
  benchmark::AddCustomContext("compiler", "clang " __clang_version__);
#else
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
#endif

  std::vector<std::filesystem::path> files;
  for (const auto& each : std::filesystem::directory_iterator(given.pages))
    if (each.path().extension() == ".prom") files.push_back(each.path());
  std::sort(files.begin(), files.end());
  std::vector<std::unique_ptr<page>> pages;
  for (const std::filesystem::path& file : files) {
    const auto beside = std::filesystem::path(file).replace_extension(".expected");
    pages.push_back(std::make_unique<page>(page{file.stem().string(), read_file(file), bench::read_reference(beside)}));
    const bool dram = (',' + given.dram + ',').find(',' + pages.back()->name + ',') != std::string::npos;
    add_all(*pages.back(), dram, rivals.get());
  }
  if (benchmark::RunSpecifiedBenchmarks() == 0) failed = true;
  benchmark::Shutdown();
  return failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "computelocator_bench: %s\n", error.what());
    return 1;
  }
}
