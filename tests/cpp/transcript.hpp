// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <string>
#include <string_view>

#include <computelocator/text.hpp>

namespace tests {

/// All that one kernel makes of a page, as text, so that kernels can be compared.
class transcript {
 public:
  static std::string of(std::string_view page, computelocator::parse_options options,
                        computelocator::detail::index_kernel kernel) {
    transcript sink(page);
    computelocator::page_walker<transcript> walker(page, sink, options, kernel);
    while (walker.step()) {
    }
    const computelocator::parse_result& result = walker.result();
    sink.number(result.samples);
    sink.number(result.rejected);
    if (result.error) sink.fault("ended", *result.error);
    return std::move(sink.said_);
  }

  void on_sample(const computelocator::sample_view& sample) {
    said_ += "sample";
    part(sample.name());
    part(sample.label_block());
    labels(sample.labels());
    number(std::bit_cast<std::uint64_t>(sample.value()));
    part(sample.value_text());
    part(sample.timestamp_text());
    if (sample.timestamp_ms()) number(static_cast<std::uint64_t>(*sample.timestamp_ms()));
    part(sample.line());
    number(sample.offset());
    if (sample.exemplar()) {
      said_ += " exemplar";
      labels(sample.exemplar()->labels());
      number(std::bit_cast<std::uint64_t>(sample.exemplar()->value));
    }
    said_ += '\n';
  }
  void on_metadata(const computelocator::metadata_view& meta) {
    said_ += "metadata";
    number(static_cast<std::uint64_t>(meta.what));
    number(static_cast<std::uint64_t>(meta.type));
    part(meta.name);
    part(meta.text);
    part(meta.line);
    number(meta.offset);
    said_ += '\n';
  }
  void on_comment(std::string_view line) {
    said_ += "comment";
    part(line);
    said_ += '\n';
  }
  bool on_error(const computelocator::parse_error& error) {
    fault("error", error);
    return true;
  }

 private:
  explicit transcript(std::string_view page) : page_(page) {}
  void number(std::uint64_t value) { said_ += ' ' + std::to_string(value); }
  /// Where `text` lies in the page; an empty one lies nowhere.
  void part(std::string_view text) {
    if (!text.empty()) number(static_cast<std::uint64_t>(text.data() - page_.data()));
    number(text.size());
  }
  void labels(const computelocator::labels_view& all) {
    for (const computelocator::label_view& label : all) {
      part(label.name());
      part(label.raw_value());
    }
  }
  void fault(const char* word, const computelocator::parse_error& error) {
    said_ += word;
    number(static_cast<std::uint64_t>(error.code));
    number(error.offset);
    part(error.line);
    said_ += '\n';
  }

  std::string_view page_;
  std::string said_;
};

}  // namespace tests
