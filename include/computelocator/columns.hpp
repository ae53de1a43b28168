// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// From the text of a page to columns: rows of metric id, label-set id, value and timestamp, and a
// table of label sets. A label cache recognises the label sets of a target from page to page.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/selection.hpp>
#include <computelocator/table.hpp>
#include <computelocator/text.hpp>

namespace computelocator {

namespace detail::columns_ { struct hash_keys; }

/// A row without a timestamp of its own (a tenth of a cAdvisor page).
inline constexpr std::int64_t no_timestamp = std::numeric_limits<std::int64_t>::min();

struct metric {
  std::string name;   ///< as on the sample lines: a histogram's _bucket, _sum and _count are three
  metric_type type = metric_type::unknown;
  std::string unit;   ///< from UNIT, else from the name ("..._seconds_total": seconds), else empty
  std::string help;   ///< decoded
};

/// The label sets of one target with dictionary-encoded labels, without the metric's name.
/// Never changes once a batch holds it; the ids of an older one stay valid in its successors of
/// the same generation. Equal bytes on the page are one label set.
class label_sets {
 public:
  struct entry {
    std::uint32_t name;   ///< for name()
    std::uint32_t value;  ///< for value(); equal only where both the name and the value are
  };

  /// The labels of one set, in the order of the page. Lives as long as the label_sets.
  class set_view {
   public:
    class iterator {
     public:
      using value_type = entry;
      using difference_type = std::ptrdiff_t;
      using iterator_category = std::input_iterator_tag;
      iterator() = default;
      iterator(const label_sets* of, const std::uint32_t* at) noexcept : of_(of), at_(at) {}
      entry operator*() const noexcept { return {of_->value_names_[*at_], *at_}; }
      iterator& operator++() noexcept { ++at_; return *this; }
      iterator operator++(int) noexcept { iterator before = *this; ++at_; return before; }
      friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }

     private:
      const label_sets* of_ = nullptr;
      const std::uint32_t* at_ = nullptr;
    };

    iterator begin() const noexcept { return {of_, values_.data()}; }
    iterator end() const noexcept { return {of_, values_.data() + values_.size()}; }
    std::size_t size() const noexcept { return values_.size(); }
    bool empty() const noexcept { return values_.empty(); }

   private:
    friend class label_sets;
    set_view(const label_sets* of, std::span<const std::uint32_t> values) noexcept : of_(of), values_(values) {}
    const label_sets* of_;
    std::span<const std::uint32_t> values_;
  };

  std::size_t size() const noexcept { return begins_.size() - 1; }
  set_view operator[](std::uint32_t id) const noexcept {
    return {this, {entries_.data() + begins_[id], entries_.data() + begins_[id + 1]}};
  }
  std::size_t names() const noexcept { return names_.size(); }
  std::string_view name(std::uint32_t id) const noexcept { return names_[id]; }
  std::size_t values() const noexcept { return value_ends_.size(); }
  /// Decoded. The view lives as long as this object.
  std::string_view value(std::uint32_t id) const noexcept {
    const std::size_t begin = id == 0 ? 0 : value_ends_[id - 1];
    return std::string_view(text_).substr(begin, value_ends_[id] - begin);
  }
  /// The value of label `name` in set `id`; empty where it has none, which the format holds for
  /// the same.
  std::string_view value_of(std::uint32_t id, std::string_view name) const noexcept;
  /// Memory held, in bytes.
  std::size_t bytes() const noexcept;

 private:
  friend class label_cache;
  friend class batch_builder;
  void add_value(std::uint32_t name, std::string_view text);
  void end_set() { begins_.push_back(static_cast<std::uint32_t>(entries_.size())); }

  std::vector<std::string> names_;
  std::string text_;                         // all values, one after another
  std::vector<std::uint32_t> value_ends_;
  std::vector<std::uint32_t> value_names_;   // the name that each value belongs to
  std::vector<std::uint32_t> entries_;       // values, set after set
  std::vector<std::uint32_t> begins_{0};
};

/// A line that could not be read, kept so that nothing is lost.
struct reject {
  std::size_t line = 0, column = 0;  ///< from 1; the column counts bytes
  std::size_t offset = 0;            ///< of the fault, from the start of the page
  std::string text;                  ///< the line as it came, cut at 256 bytes
  parse_errc code{};
};

/// The columns of one page: rows() values in each of the four vectors.
struct batch {
  std::vector<std::uint32_t> metric_id;     ///< into metrics
  std::vector<std::uint32_t> label_set_id;  ///< into *sets
  std::vector<double> value;
  std::vector<std::int64_t> timestamp_ms;   ///< UTC, or no_timestamp
  std::vector<metric> metrics;              ///< those of the rows, in the order of the page
  std::shared_ptr<const label_sets> sets = std::make_shared<const label_sets>();
  std::vector<reject> rejects;

  std::size_t rows() const noexcept { return value.size(); }
};

struct column_options {
  parse_options grammar;
  metric_selection metrics;
  label_selection labels;    ///< of the rows; label sets that are not wanted are not remembered either
  std::size_t max_samples = std::numeric_limits<std::size_t>::max();  ///< of one page
  std::size_t max_labels = std::numeric_limits<std::size_t>::max();   ///< of one sample
};

struct column_result {
  batch columns;
  std::optional<parse_error> stopped;  ///< what ended the page; its line is a view into the page
  parse_result read;
};

/// The memory of one target's label sets; outlives pages and batches. A label block is recognised
/// by a keyed 128-bit hash of its bytes and its length. The key is random per process, so that
/// whoever writes a page cannot aim at a collision; an accidental one is as likely as 2^-100. It also
/// knows in which order the blocks of the last page came, and expects them so again.
/// Not for concurrent use; batches made from it may be read from any thread meanwhile.
class label_cache {
 public:
  /// Beyond `max_bytes` the cache starts anew with the next page; batches keep what they have.
  explicit label_cache(std::size_t max_bytes = std::size_t{64} << 20);

  /// Memory held, with the label sets that batches share, in bytes.
  std::size_t bytes() const noexcept;
  /// Counts the times that the cache started anew: ids compare within one generation.
  std::uint64_t generation() const noexcept { return generation_; }

 private:
  friend class column_builder;
  struct key {
    std::uint64_t low, high;
    friend bool operator==(const key&, const key&) = default;
  };
  struct run { std::uint32_t first, length; };  // sets that followed one another on a page
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  key hash(std::string_view block) const noexcept;
  void start_page(const parse_options& grammar);
  void end_page(std::vector<run>&& order, std::size_t rows);
  void expect_run() noexcept;
  void expect_behind(std::uint32_t set) noexcept;
  void follow(std::uint32_t set) noexcept;
  void follow_expected() noexcept;
  std::uint32_t find(const key& hash, std::size_t length) const noexcept;
  std::uint32_t add(const key& hash, std::string_view block, const labels_view& labels);
  std::uint32_t intern_name(std::string_view name);
  std::uint32_t intern_value(std::uint32_t name, std::string_view decoded);
  label_sets& writable();

  std::size_t max_bytes_;
  std::uint64_t generation_ = 0;
  void (*hash_)(const detail::columns_::hash_keys&, const char*, std::size_t, std::uint64_t*);
  const detail::columns_::hash_keys* secret_;  // of the process
  std::shared_ptr<label_sets> sets_;
  std::vector<key> hashes_;                 // of the block of each set
  std::vector<std::uint32_t> lengths_;      // likewise
  std::vector<std::uint32_t> slots_;        // set + 1, by hash of the block
  std::vector<std::uint32_t> value_slots_;  // value + 1, by hash of the value and its name
  std::vector<std::uint32_t> name_slots_;   // name + 1, by hash of the name
  std::vector<run> order_;                  // of the last page
  std::size_t run_ = 0;                     // where in it this page is
  std::uint32_t run_left_ = 0;              // so many rows of that run are to come
  std::uint32_t expected_ = none;           // the set of the next row, if this page goes on as the last one did
  std::uint32_t trusted_from_ = 0;          // sets before this one were checked by other rules
  std::optional<parse_options> grammar_;
  std::size_t rows_ = 0;                    // of the last page
  std::string scratch_;
};

/// Reads `page` into columns; OpenMetrics under `strict` is held to the rules of openmetrics.hpp, and
/// then every line is read, also of metrics that are not wanted. Under `lenient` faulty lines are in
/// rejects; otherwise, and past a limit, `stopped` says what ended the page and the columns hold what
/// came before.
column_result read_columns(std::string_view page, label_cache& cache, const column_options& options = {});

/// Makes a batch of samples that came in another form than the text of a page.
class batch_builder {
 public:
  batch_builder();
  ~batch_builder();
  batch_builder(batch_builder&&) noexcept;
  batch_builder& operator=(batch_builder&&) noexcept;

  /// The id of the metric of that name; its unit is what the name says, its type not known.
  std::uint32_t metric(std::string_view name);
  /// The id of the set of these labels, decoded and in this order: equal ones have the same id.
  std::uint32_t label_set(std::span<const std::pair<std::string_view, std::string_view>> labels);
  /// How many label names there are.
  std::size_t label_names() const noexcept;
  void row(std::uint32_t metric, std::uint32_t label_set, double value, std::int64_t timestamp_ms);
  batch take() &&;

 private:
  struct known;
  batch made_;
  std::shared_ptr<label_sets> sets_;
  std::unique_ptr<known> known_;
};

/// One target's columns and what its rows are to carry beside their labels.
struct batch_source {
  const batch* columns = nullptr;  ///< not owned; outlives the call
  std::string node;
  std::int64_t scrape_ms = no_timestamp;
  /// Of the target, and thus of each row. Where a row has one of these names itself, its own is in
  /// "exported_NAME", as Prometheus has it.
  std::vector<std::pair<std::string, std::string>> labels;
};

/// Tidy: timestamp (missing where the sample had none), scrape_timestamp, metric, value, node (but
/// where no source has one and all have labels), then a category column a label: those of targets,
/// namespace, pod, container, id, image, name, the others by name. An absent or empty label is missing.
/// Type, unit and help of the metrics are in the table's metadata as "type:NAME", "unit:NAME", "help:NAME".
table samples_table(std::span<const batch_source> sources);

}  // namespace computelocator
