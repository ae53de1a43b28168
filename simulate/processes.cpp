// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "processes.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace computelocator::simulate {

namespace {

std::string content(std::int32_t pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Reads /proc/PID/stat and statm; false where the process is gone.
bool look(std::int32_t pid, usage& to) {
  const std::string stat = content(pid, "stat");
  // The name, in parentheses, may hold anything; 11 fields lie between it and utime.
  const std::size_t after_name = stat.rfind(')');
  if (after_name == std::string::npos) return false;
  std::istringstream fields(stat.substr(after_name + 1));
  std::string skipped;
  std::uint64_t user_ticks = 0, system_ticks = 0, threads = 0;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  fields >> user_ticks >> system_ticks >> skipped >> skipped >> skipped >> skipped >> threads;
  std::istringstream sizes(content(pid, "statm"));
  std::uint64_t whole = 0, resident = 0, shared = 0;
  sizes >> whole >> resident >> shared;
  if (!fields || !sizes) return false;
  const auto tick_us = 1'000'000 / static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  to.user_us = user_ticks * tick_us;
  to.system_us = system_ticks * tick_us;
  to.cpu_us = to.user_us + to.system_us;
  to.memory = resident * page_size;
  to.cache = to.mapped = shared * page_size;
  to.rss = to.memory - std::min(to.memory, to.cache);
  to.peak = std::max(to.peak, to.memory);
  to.processes = 1;
  to.threads = threads;
  return true;
}

}  // namespace

process_reading process_at(std::int32_t pid, std::int64_t step) {
  struct entry {
    std::int64_t step = -1;
    process_reading last;
  };
  static std::mutex mutex;
  static std::map<std::int32_t, entry> readings;
  const std::lock_guard lock(mutex);
  entry& found = readings[pid];
  if (found.step < step) {
    if (look(pid, found.last.used))
      found.last.read_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                               std::chrono::system_clock::now().time_since_epoch())
                               .count();
    found.step = step;
  }
  return found.last;
}

process_pod process_named(const std::string& text) {
  const auto refuse = [&](const char* why) {
    return std::invalid_argument("--process " + text + ": " + why + "; NAMESPACE/POD=PID@ADDRESS[,label=value]... is needed");
  };
  const std::size_t slash = text.find('/'), equals = text.find('='), at = text.find('@');
  if (slash == std::string::npos || equals == std::string::npos || at == std::string::npos || slash > equals || equals > at)
    throw refuse("a part is missing");
  // Names go into JSON and into pages as they are.
  if (text.find_first_of("\"\\\n") != std::string::npos) throw refuse("a quote, backslash or line feed cannot be in it");
  process_pod made;
  made.namespace_name = text.substr(0, slash);
  made.name = text.substr(slash + 1, equals - slash - 1);
  const char* const begin = text.data() + equals + 1;
  const char* const end = text.data() + at;
  const auto read = std::from_chars(begin, end, made.pid);
  if (read.ec != std::errc{} || read.ptr != end || made.pid < 1) throw refuse("the PID is no number above 0");
  std::istringstream rest(text.substr(at + 1));
  std::getline(rest, made.address, ',');
  for (std::string label; std::getline(rest, label, ',');) {
    const std::size_t middle = label.find('=');
    if (middle == std::string::npos) throw refuse("a label has no value");
    made.labels[label.substr(0, middle)] = label.substr(middle + 1);
  }
  return made;
}

}  // namespace computelocator::simulate
