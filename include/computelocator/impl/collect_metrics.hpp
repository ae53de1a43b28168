// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include <computelocator/collect.hpp>

namespace computelocator::detail::collect_ {

/// What a collector has done so far, as a page of the Prometheus text format.
class tally {
 public:
  struct holdings {
    std::size_t label_caches = 0, label_cache_bytes = 0, connections = 0;
  };

  /// `made` is null where the sweep gave an error.
  void add(const snapshot* made, std::chrono::nanoseconds took, const holdings& now) {
    ++sweeps_[made == nullptr ? failed : made->interrupted ? interrupted : all_ok(*made) ? complete : partial];
    took_ += seconds(took);
    now_ = now;
    if (made == nullptr) return;
    for (const outcome& each : made->outcomes) {
      ++targets_[std::string(each.failure ? to_string(each.failure->code) : "ok")];
      retries_ += each.attempts > 1 ? each.attempts - 1 : 0;
      received_ += each.wire_bytes;
      pages_ += each.page_bytes;
      scraped_ += each.scraped_samples;
      kept_ += each.ok() ? each.samples : 0;
      rejected_ += each.rejected_lines;
      const std::chrono::nanoseconds stages[] = {each.resolve_time, each.connect_time, each.tls_time, each.first_byte_time,
                                                 each.body_time, each.inflate_time, each.parse_time};
      for (std::size_t i = 0; i < std::size(stages); ++i) stages_[i] += seconds(stages[i]);
    }
  }

  std::string text() const {
    page to;
    to.family("sweeps_total", "counter", "Sweeps over all targets, by result.");
    constexpr std::string_view results[] = {"complete", "partial", "interrupted", "failed"};
    for (std::size_t i = 0; i < 4; ++i) to.row("result", results[i], static_cast<double>(sweeps_[i]));
    to.one("sweep_seconds_total", "counter", "Time that sweeps took.", took_);
    to.family("targets_total", "counter", "Targets asked, by result: ok, or the code of what went wrong.");
    for (const auto& [result, count] : targets_) to.row("result", result, static_cast<double>(count));
    to.one("retries_total", "counter", "Requests made again for a target.", static_cast<double>(retries_));
    to.one("received_bytes_total", "counter", "Bytes of pages as they were sent.", static_cast<double>(received_));
    to.one("page_bytes_total", "counter", "Bytes of pages once inflated.", static_cast<double>(pages_));
    to.one("scraped_samples_total", "counter", "Samples that pages had.", static_cast<double>(scraped_));
    to.one("kept_samples_total", "counter", "Samples that were wanted of them.", static_cast<double>(kept_));
    to.one("rejected_lines_total", "counter", "Lines that could not be read.", static_cast<double>(rejected_));
    to.family("stage_seconds_total", "counter", "Time that targets spent in each stage, all together.");
    constexpr std::string_view stages[] = {"resolve", "connect", "tls", "first_byte", "body", "inflate", "parse"};
    for (std::size_t i = 0; i < std::size(stages); ++i) to.row("stage", stages[i], stages_[i]);
    to.one("label_caches", "gauge", "Targets whose label sets are remembered.", static_cast<double>(now_.label_caches));
    to.one("label_cache_bytes", "gauge", "Memory of them.", static_cast<double>(now_.label_cache_bytes));
    to.one("kept_connections", "gauge", "Connections kept for the next sweep.", static_cast<double>(now_.connections));
    return std::move(to.text);
  }

 private:
  enum ending : std::size_t { complete, partial, interrupted, failed };

  struct page {
    std::string text, name;
    void family(std::string_view of, std::string_view type, std::string_view help) {
      name = "computelocator_" + std::string(of);
      text += "# HELP " + name + " " + std::string(help) + "\n# TYPE " + name + " " + std::string(type) + "\n";
    }
    void value(double of) {
      char digits[32];
      text.append(digits, std::to_chars(digits, digits + sizeof digits, of).ptr) += '\n';
    }
    void row(std::string_view label, std::string_view says, double of) {
      text += name + "{" + std::string(label) + "=\"" + std::string(says) + "\"} ";
      value(of);
    }
    void one(std::string_view of, std::string_view type, std::string_view help, double is) {
      family(of, type, help);
      text += name + " ";
      value(is);
    }
  };

  static double seconds(std::chrono::nanoseconds of) { return std::chrono::duration<double>(of).count(); }
  static bool all_ok(const snapshot& of) {
    for (const outcome& each : of.outcomes)
      if (!each.ok()) return false;
    return true;
  }

  std::uint64_t sweeps_[4] = {};
  std::map<std::string, std::uint64_t> targets_{{"ok", 0}};
  std::uint64_t retries_ = 0, received_ = 0, pages_ = 0, scraped_ = 0, kept_ = 0, rejected_ = 0;
  double took_ = 0, stages_[7] = {};
  holdings now_;
};

}  // namespace computelocator::detail::collect_
