// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <computelocator/text.hpp>

namespace tests {

/// All that one kernel makes of a page, as numbers, so that kernels can be compared.
class transcript {
 public:
  using numbers = std::vector<std::uint64_t>;

  static numbers of(std::string_view page, computelocator::parse_options options,
                    const computelocator::detail::kernel& kernel) {
    numbers said;
    write(page, options, kernel, said);
    return said;
  }

  /// The same into a vector that is used again, for those who compare millions of pages.
  static void write(std::string_view page, computelocator::parse_options options,
                    const computelocator::detail::kernel& kernel, numbers& said) {
    said.clear();
    transcript sink(page, said);
    computelocator::page_walker<transcript> walker(page, sink, options, kernel);
    while (walker.step()) {
    }
    sink.ended(walker.result());
  }

  void on_sample(const computelocator::sample_view& sample) {
    say(word::sample);
    part(sample.name());
    part(sample.label_block());
    labels(sample.labels());
    number(std::bit_cast<std::uint64_t>(sample.value()));
    part(sample.value_text());
    part(sample.timestamp_text());
    time(sample.timestamp_ms());
    part(sample.line());
    number(sample.offset());
    if (sample.exemplar()) {
      say(word::exemplar);
      labels(sample.exemplar()->labels());
      number(std::bit_cast<std::uint64_t>(sample.exemplar()->value));
      time(sample.exemplar()->timestamp_ms);
    }
  }
  void on_metadata(const computelocator::metadata_view& meta) {
    say(word::metadata);
    number(static_cast<std::uint64_t>(meta.what));
    number(static_cast<std::uint64_t>(meta.type));
    part(meta.name);
    part(meta.text);
    part(meta.line);
    number(meta.offset);
  }
  void on_comment(std::string_view line) {
    say(word::comment);
    part(line);
  }
  bool on_error(const computelocator::parse_error& error) {
    fault(word::error, error);
    return true;
  }
  void on_eof() { say(word::eof); }

 private:
  enum class word : std::uint64_t { sample = 1'000'000'001, exemplar, metadata, comment, error, eof, end, label, no_time };

  transcript(std::string_view page, numbers& said) : page_(page), said_(said) {}
  void number(std::uint64_t value) { said_.push_back(value); }
  void say(word one) { number(static_cast<std::uint64_t>(one)); }
  void time(const std::optional<std::int64_t>& ms) {
    if (ms) number(static_cast<std::uint64_t>(*ms));
    else say(word::no_time);
  }
  /// Where `text` lies in the page; an empty one lies nowhere.
  void part(std::string_view text) {
    if (!text.empty()) number(static_cast<std::uint64_t>(text.data() - page_.data()));
    number(text.size());
  }
  void labels(const computelocator::labels_view& all) {
    for (const computelocator::label_view& each : all) {
      say(word::label);
      part(each.name());
      part(each.raw_value());
    }
  }
  void fault(word where, const computelocator::parse_error& error) {
    say(where);
    number(static_cast<std::uint64_t>(error.code));
    number(error.offset);
    part(error.line);
  }
  void ended(const computelocator::parse_result& result) {
    say(word::end);
    number(result.samples);
    number(result.rejected);
    number(result.saw_eof);
    if (result.error) fault(word::end, *result.error);
  }

  std::string_view page_;
  numbers& said_;
};

}  // namespace tests
