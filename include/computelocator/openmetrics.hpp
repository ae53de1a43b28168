// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The rules of OpenMetrics 1.0 that its grammar does not hold: which lines may stand beside which.
//
//   parse(page, validating(sink), {dialect::openmetrics, policy::strict});
//
// Whoever does not ask pays nothing. docs/grammar.md lists the rules.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/impl/text_hash.hpp>
#include <computelocator/text.hpp>

namespace computelocator {

namespace detail {

/// A set of hashes that is emptied at once, at no cost.
class hash_set {
 public:
  /// False where `key` is in the set already.
  bool insert(const hash128& key);
  bool contains(const hash128& key) const noexcept;
  void clear() noexcept;
  std::size_t bytes() const noexcept { return slots_.capacity() * sizeof(slot); }

 private:
  struct slot {
    hash128 key;
    std::uint64_t round = 0;
  };
  std::size_t find(const hash128& key) const noexcept;
  std::vector<slot> slots_;
  std::size_t used_ = 0;
  std::uint64_t round_ = 1;
};

}  // namespace detail

/// Checks one page, line by line, against the rules. Not for concurrent use. Keeps nothing of the
/// page but the name of the family, and hashes, under a key that is random per process: 24 to 96
/// bytes a label set of the largest family, and as many a name that samples can have. Two label sets
/// are taken for one as often as 128 bits of them agree by chance.
///
/// Label sets are compared as they are meant: in any order, decoded, without empty values. Two samples
/// of equal labels and equal timestamps are accepted, as times may have been cut; without timestamps
/// they are not.
class openmetrics_rules {
 public:
  /// What is wrong with this line, or with those before it (`earlier`), once a call; an empty answer
  /// means that the line was taken in. After a fault of the line itself it was not.
  std::optional<line_fault> check(const sample_view& sample);
  std::optional<line_fault> check(const metadata_view& meta);
  /// Once the page is at its end, until the answer is empty.
  std::optional<line_fault> check_end();
  /// Memory held beside this object, in bytes.
  std::size_t bytes() const noexcept;

 private:
  enum class part : std::uint8_t { none, value, total, created, bucket, count, sum, gcount, gsum, info };

  struct family {
    std::string name;  ///< decoded
    metric_type type = metric_type::unknown;
    bool open = false, has_help = false, has_type = false, has_unit = false, unit_set = false, has_samples = false;
  };

  /// The metric point under way: samples of one label set at one time.
  struct point {
    bool open = false;
    bool has_value = false, has_total = false, has_created = false, has_count = false, has_sum = false, has_bucket = false;
    bool negative_bucket = false, negative_sum = false, inf_bucket = false;
    double le = 0, in_bucket = 0, count = 0;
    std::size_t offset = 0;  ///< of its last line
  };

  /// What the labels of a sample say: of which metric it is, and which bucket, quantile or state.
  struct place {
    detail::hash128 group, all;
    double threshold = 0;
    std::optional<line_fault> fault;
  };

  static part part_of(metric_type type, std::string_view suffix) noexcept;
  part part_of(std::string_view name) const noexcept;
  std::optional<line_fault> end_point() noexcept;
  std::optional<line_fault> end_family();
  std::optional<line_fault> begin_family(std::string_view name, std::size_t offset);
  bool clashes(metric_type type);
  std::string_view with_suffix(std::string_view suffix);
  place place_of(const sample_view& sample, part what);
  std::optional<line_fault> check_group(const sample_view& sample, part what, const place& at);
  std::optional<parse_errc> check_value(const sample_view& sample, part what, const place& at) const noexcept;
  std::optional<line_fault> check_exemplar(const sample_view& sample, part what, const place& at) const noexcept;
  void take(const sample_view& sample, part what, const place& at);

  family family_;
  point point_;
  detail::hash128 group_;
  bool in_group_ = false, group_stamped_ = false;
  std::string group_time_;
  detail::hash_set families_, sample_names_, groups_, extras_;
  std::string name_, label_name_, label_value_, suffixed_;  // room to decode into
};

/// `Sink` with the rules before it: what they refuse is a fault of the line, like any other. Every line
/// is read and checked; where the sink has wants(), it decides what is handed over.
template <class Sink>
class validating {
 public:
  explicit validating(Sink& sink) noexcept : sink_(sink) {}

  std::optional<line_fault> check(const sample_view& sample) {
    if constexpr (requires(Sink& s) { s.check(sample); })
      if (auto found = sink_.check(sample)) return found;
    return rules_.check(sample);
  }
  std::optional<line_fault> check(const metadata_view& meta) {
    if constexpr (requires(Sink& s) { s.check(meta); })
      if (auto found = sink_.check(meta)) return found;
    return rules_.check(meta);
  }
  std::optional<line_fault> check_end() {
    if constexpr (requires(Sink& s) { s.check_end(); })
      if (auto found = sink_.check_end()) return found;
    return rules_.check_end();
  }

  void on_sample(const sample_view& sample) requires requires(Sink& s) { s.on_sample(sample); } { sink_.on_sample(sample); }
  void on_metadata(const metadata_view& meta) requires requires(Sink& s) { s.on_metadata(meta); } { sink_.on_metadata(meta); }
  void on_comment(std::string_view line) requires requires(Sink& s) { s.on_comment(line); } { sink_.on_comment(line); }
  bool on_error(const parse_error& fault) requires requires(Sink& s) { s.on_error(fault); } { return sink_.on_error(fault); }
  void on_eof() requires requires(Sink& s) { s.on_eof(); } { sink_.on_eof(); }
  bool wants(std::string_view name) requires requires(Sink& s) { s.wants(name); } { return sink_.wants(name); }
  bool wants(const sample_view& sample) requires requires(Sink& s) { s.wants(sample); } { return sink_.wants(sample); }
  std::size_t known_block(std::string_view rest) requires requires(Sink& s) { s.known_block(rest); } { return sink_.known_block(rest); }

  const openmetrics_rules& rules() const noexcept { return rules_; }

 private:
  Sink& sink_;
  openmetrics_rules rules_;
};

}  // namespace computelocator

#include <computelocator/impl/openmetrics_rules.hpp>
