// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Whole metrics instead of lines: a family with its type, help and unit, histograms and summaries put
// together.
//
//   for (const family_view& family : families(page))
//     for (const series_view& series : family.series)
//       if (series.buckets.size() > 1) use(family.name, series.labels(), series.buckets);

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/impl/text_hash.hpp>
#include <computelocator/text.hpp>

namespace computelocator {

/// One bucket as it stands: cumulative, in the order of the page.
struct bucket_view {
  double le = 0;               ///< NaN where the label is missing or not a number
  std::string_view le_text;    ///< as on the page
  double count = 0;
  std::optional<exemplar_view> exemplar;
};

struct quantile_view {
  double quantile = 0;         ///< NaN where the label is missing or not a number
  std::string_view quantile_text;
  double value = 0;
};

/// The labels of a series: those of its lines without `le` (histograms) or `quantile` (summaries). A
/// forward range.
class series_labels {
 public:
  class iterator {
   public:
    using value_type = label_view;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    iterator() = default;
    iterator(labels_view::iterator at, std::string_view without) noexcept : at_(at), without_(without) { skip(); }
    const label_view& operator*() const noexcept { return *at_; }
    const label_view* operator->() const noexcept { return &*at_; }
    iterator& operator++() noexcept { ++at_; skip(); return *this; }
    iterator operator++(int) noexcept { iterator before = *this; ++*this; return before; }
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }

   private:
    void skip() noexcept {
      while (!without_.empty() && at_ != labels_view::iterator() && at_->name() == without_) ++at_;
    }
    labels_view::iterator at_;
    std::string_view without_;
  };

  series_labels() = default;
  series_labels(std::string_view block, std::string_view without) noexcept : block_(block), without_(without) {}
  iterator begin() const noexcept { return {labels_view(block_).begin(), without_}; }
  iterator end() const noexcept { return {}; }
  bool empty() const noexcept { return begin() == end(); }

 private:
  std::string_view block_, without_;
};

/// One label set of a family at one time.
struct series_view {
  std::string_view label_block;               ///< of its first line, with `le` or `quantile`
  std::string_view without;                   ///< the label that is not the series' own; may be empty
  std::size_t offset = 0;                     ///< of its first line
  std::optional<std::int64_t> timestamp_ms;
  std::optional<double> value;                ///< of a gauge, counter, info, state or unknown
  std::optional<double> sum, count;           ///< of a histogram (also _gsum, _gcount) or summary
  std::optional<double> created_s;            ///< seconds since 1970
  std::optional<exemplar_view> exemplar;      ///< of `value`
  std::span<const bucket_view> buckets;       ///< of a histogram
  std::span<const quantile_view> quantiles;   ///< of a summary

  series_labels labels() const noexcept { return {label_block, without}; }
};

/// A metric family. `name`, `help`, `unit` and all text of the series are views into the page; `series`
/// and what hangs on it belong to the range and live until it moves on.
struct family_view {
  std::string_view name;                      ///< as in TYPE and HELP, without quotes, not decoded
  metric_type type = metric_type::unknown;
  std::string_view help, unit;                ///< as the page has them; empty where it has none
  bool quotes_escaped = false;                ///< as in metadata_view
  std::span<const series_view> series;        ///< in the order of the page; empty: metadata alone

  std::string decoded_help() const;
};

namespace detail {

/// Gathers the lines of one family at a time; what begins the next one waits.
class family_gatherer {
 public:
  void on_sample(const sample_view& sample);
  void on_metadata(const metadata_view& meta);
  bool full() const noexcept { return sample_waits_ || meta_waits_; }
  /// Gives what there is, if anything.
  bool finish();
  void start_next();
  const family_view& family() const noexcept { return family_; }

 private:
  enum class part : std::uint8_t { none, value, bucket, sum, count, created, quantile };
  struct slot {
    hash128 key;
    std::uint64_t round = 0;  ///< of another family: the slot is free
    std::uint32_t series = 0;
  };

  static part part_of(metric_type type, std::string_view suffix) noexcept;
  void begin(std::string_view name) noexcept;
  void take(const sample_view& sample, part what);
  std::uint32_t series_of(const sample_view& sample, part what);
  std::size_t find(const hash128& key) const noexcept;
  void grow();

  family_view family_;
  bool open_ = false, sample_waits_ = false, meta_waits_ = false;
  sample_view waiting_sample_;
  metadata_view waiting_meta_;
  std::vector<series_view> series_;
  std::vector<std::pair<std::uint32_t, bucket_view>> buckets_;      // with the index of their series
  std::vector<std::pair<std::uint32_t, quantile_view>> quantiles_;
  std::vector<bucket_view> sorted_buckets_;
  std::vector<quantile_view> sorted_quantiles_;
  std::vector<slot> slots_;
  std::uint64_t round_ = 1;
  std::string name_room_, value_room_;
};

}  // namespace detail

/// The families of a page as an input range, each complete: samples of one label set are put together
/// also where others stand between them. Lines that belong to no family by their metadata are families
/// of their own, of type unknown; a family that stands twice, with others between, is given twice. In
/// text 0.0.4 a counter's samples need not end in _total.
///
/// Allocates for the largest family, once. The first fault ends the range under `strict` and
/// `prometheus`; result() says so afterwards. Label sets are compared as they are meant: in any order,
/// decoded, without empty values, by a keyed hash of 128 bits.
class families {
 public:
  class iterator {
   public:
    using value_type = family_view;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    const family_view& operator*() const noexcept { return owner_->gatherer_.family(); }
    const family_view* operator->() const noexcept { return &owner_->gatherer_.family(); }
    iterator& operator++() { owner_->advance(); return *this; }
    void operator++(int) { owner_->advance(); }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.at_end(); }

   private:
    friend class families;
    explicit iterator(families* owner) noexcept : owner_(owner) {}
    bool at_end() const noexcept { return !owner_->has_; }
    families* owner_;
  };

  explicit families(std::string_view page, parse_options options = {}) : walker_(page, gatherer_, options) {}
  families(std::string&& page, parse_options options = {}) = delete;  // the page would be gone
  families(const families&) = delete;
  families& operator=(const families&) = delete;

  iterator begin() { advance(); return iterator(this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// What became of the page; complete once the range was walked to its end.
  const parse_result& result() const noexcept { return walker_.result(); }

 private:
  void advance();

  detail::family_gatherer gatherer_;
  bool has_ = false;
  page_walker<detail::family_gatherer> walker_;
};

}  // namespace computelocator

#include <computelocator/impl/families_gather.hpp>
