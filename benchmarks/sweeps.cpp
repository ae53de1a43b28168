// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Sweeps of a cluster, each told as one line of JSON: what it took, what it holds, and what came of it.
//
//   computelocator_sweeps KUBECONFIG [--sweeps=N] [--all] [--timeout=MS] [--concurrency=N] [--bytes-in-flight=N]
//
// With --step a sweep begins when a line comes on standard input.

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/collect.hpp>

namespace cl = computelocator;

namespace {

using seconds = std::chrono::duration<double>;

struct wanted {
  cl::collect_options collect;
  int sweeps = 1;
  bool step = false;
};

wanted read_arguments(int count, char** values) {
  wanted made;
  for (int i = 1; i < count; ++i) {
    const std::string_view text = values[i];
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string_view option = text.substr(0, equals);
    const auto number = [&] { return equals < text.size() ? std::strtoull(values[i] + equals + 1, nullptr, 10) : 0; };
    if (option == "--sweeps") made.sweeps = static_cast<int>(number());
    else if (option == "--all") made.collect.all_metrics = true;
    else if (option == "--step") made.step = true;
    else if (option == "--timeout") made.collect.timeout = std::chrono::milliseconds(number());
    else if (option == "--concurrency") made.collect.concurrency = number();
    else if (option == "--bytes-in-flight") made.collect.bytes_in_flight = number();
    else if (text.starts_with("--")) std::fprintf(stderr, "there is no option %s\n", values[i]), std::exit(2);
    else made.collect.kubeconfig = text;
  }
  made.collect.route = cl::route::direct;
  made.collect.discovery_timeout = std::chrono::minutes(5);
  return made;
}

double cpu(clockid_t of) {
  timespec at{};
  ::clock_gettime(of, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

/// A figure of /proc/self/status, in bytes: "VmRSS" is what is held, "VmHWM" the most since reset_peak().
std::size_t memory(const std::string& which) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(which + ":")) return std::strtoull(line.c_str() + which.size() + 1, nullptr, 10) << 10;
  return 0;
}

void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::size_t bytes_of(const cl::batch& columns) {
  std::size_t bytes = columns.metric_id.capacity() * 4 + columns.label_set_id.capacity() * 4 +
                      columns.value.capacity() * 8 + columns.timestamp_ms.capacity() * 8 + columns.sets->bytes();
  for (const cl::metric& each : columns.metrics)
    bytes += sizeof each + each.name.capacity() + each.help.capacity();
  return bytes;
}

double at_rank(std::vector<double> all, double rank) {
  if (all.empty()) return 0;
  std::sort(all.begin(), all.end());
  return all[std::min(all.size() - 1, static_cast<std::size_t>(rank * static_cast<double>(all.size())))];
}

void tell(int number, const cl::snapshot& got, double wall, double used, double used_by_io, const wanted& given) {
  std::size_t samples = 0, columns = 0, sets = 0, wire = 0, text = 0, good = 0;
  double sum = 0, late = 0;
  for (const cl::collected_page& page : got.pages) {
    samples += page.columns.rows();
    columns += bytes_of(page.columns);
    sets += page.columns.sets->bytes();
    for (const double value : page.columns.value)
      if (std::isfinite(value)) sum += value;
  }
  std::map<std::string, std::size_t> errors;
  std::map<std::string, double> stages;
  std::vector<double> took;
  double inflate_cpu = 0, parse_cpu = 0;
  auto first = got.ended;
  for (const cl::outcome& of : got.outcomes) {
    if (of.started != std::chrono::system_clock::time_point{}) first = std::min(first, of.started);
    for (const auto& [name, time] : {std::pair("resolve", of.resolve_time), std::pair("connect", of.connect_time),
                                     std::pair("tls", of.tls_time), std::pair("first_byte", of.first_byte_time),
                                     std::pair("body", of.body_time), std::pair("inflate", of.inflate_time),
                                     std::pair("parse", of.parse_time)})
      stages[name] += seconds(time).count();
    wire += of.wire_bytes;
    text += of.page_bytes;
    inflate_cpu += seconds(of.inflate_cpu).count();
    parse_cpu += seconds(of.parse_cpu).count();
    if (of.ok()) {
      ++good;
      took.push_back(seconds(of.took).count());
    } else {
      ++errors[std::string(cl::to_string(of.failure->code))];
      if (of.failure->code == cl::errc::timed_out)
        late = std::max(late, seconds(of.took - given.collect.timeout).count());
    }
  }
  std::printf("{\"sweep\": %d, \"wall\": %.4f, \"lists\": %.4f, \"cpu\": %.4f, \"cpu_io\": %.4f, \"cpu_inflate\": %.4f, "
              "\"cpu_parse\": %.4f, \"rss\": %zu, \"peak\": %zu, \"columns\": %zu, \"sets\": %zu, \"targets\": %zu, \"good\": %zu, "
              "\"samples\": %zu, \"sum\": %.17g, \"wire\": %zu, \"text\": %zu, \"p50\": %.5f, \"p99\": %.5f, \"late\": %.5f",
              number, wall, seconds(first - got.started).count(), used, used_by_io, inflate_cpu, parse_cpu,
              memory("VmRSS"), memory("VmHWM"), columns, sets, got.outcomes.size(), good, samples, sum, wire, text,
              at_rank(took, 0.5), at_rank(took, 0.99), late);
  const char* before = ", \"errors\": {";
  for (const auto& [code, of] : errors) std::printf("%s\"%s\": %zu", std::exchange(before, ", "), code.c_str(), of);
  std::printf("%s}", errors.empty() ? before : "");
  before = ", \"stages\": {";
  for (const auto& [name, of] : stages) std::printf("%s\"%s\": %.4f", std::exchange(before, ", "), name.c_str(), of);
  std::printf("}}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** values) {
  const wanted given = read_arguments(count, values);
  auto collector = cl::collector::open(given.collect);
  if (!collector) {
    std::fprintf(stderr, "%s\n", collector.error().message().c_str());
    return 1;
  }
  for (int i = 1; i <= given.sweeps; ++i) {
    if (std::string line; given.step && !std::getline(std::cin, line)) break;
    reset_peak();
    const auto begun = std::chrono::steady_clock::now();
    const double used = cpu(CLOCK_PROCESS_CPUTIME_ID), used_by_io = cpu(CLOCK_THREAD_CPUTIME_ID);
    const auto got = collector->sweep();
    if (!got) {
      std::fprintf(stderr, "%s\n", got.error().message().c_str());
      return 1;
    }
    tell(i, *got, seconds(std::chrono::steady_clock::now() - begun).count(), cpu(CLOCK_PROCESS_CPUTIME_ID) - used,
         cpu(CLOCK_THREAD_CPUTIME_ID) - used_by_io, given);
  }
  return 0;
}
