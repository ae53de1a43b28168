// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "answer.hpp"

namespace bench {

/// The library that tools/peers builds of go_parsers/main.go, loaded at run time: without it the
/// program runs and has two rivals less.
class go_parsers {
 public:
  enum parser : int { victoriametrics, prometheus_series, prometheus_labels };

  explicit go_parsers(const char* path) : library_(dlopen(path, RTLD_NOW)) {
    if (library_ == nullptr) throw std::runtime_error(dlerror());
    find("go_parse", parse_);
    find("go_count", count_);
    find("go_allocations", allocations_);
    find("go_collect", collect_);
    find("go_versions", versions_);
  }
  // A Go runtime cannot be unloaded.

  bool parse(parser which, std::string_view page, answer& to) const {
    go_answer got{};
    const bool read = parse_(which, page.data(), page.size(), &got) == 0;
    to = {got.samples, got.finite_sum, got.timestamp_sum, got.labels};
    return read;
  }
  answer count(parser which, std::string_view page) const {
    go_answer got{};
    if (char* const refused = count_(which, page.data(), page.size(), &got)) throw std::runtime_error(taken(refused));
    return {got.samples, got.finite_sum, got.timestamp_sum, got.labels};
  }
  std::uint64_t allocations(parser which, std::string_view page) const {
    return allocations_(which, page.data(), page.size());
  }
  /// So that nobody after this pays for what Go left behind.
  void collect() const { collect_(); }
  std::string versions() const { return taken(versions_()); }

 private:
  struct go_answer {
    std::uint64_t samples, labels;
    double finite_sum;
    std::int64_t timestamp_sum;
  };

  template <class Function>
  void find(const char* name, Function*& to) {
    to = reinterpret_cast<Function*>(dlsym(library_, name));
    if (to == nullptr) throw std::runtime_error(std::string("no ") + name + " in the library of Go parsers");
  }
  static std::string taken(char* text) {
    std::string made(text);
    std::free(text);
    return made;
  }

  void* library_;
  int (*parse_)(int, const char*, std::size_t, go_answer*) = nullptr;
  char* (*count_)(int, const char*, std::size_t, go_answer*) = nullptr;
  std::uint64_t (*allocations_)(int, const char*, std::size_t) = nullptr;
  void (*collect_)() = nullptr;
  char* (*versions_)() = nullptr;
};

}  // namespace bench
