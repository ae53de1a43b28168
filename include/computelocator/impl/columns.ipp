// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include <computelocator/columns.hpp>
#include <computelocator/impl/columns_hash.hpp>
#include <computelocator/openmetrics.hpp>

namespace computelocator {

namespace detail::columns_ {

/// The unit that a name says by convention, behind _total and the suffixes of histograms.
inline std::string unit_of_name(std::string_view name) {
  for (const std::string_view suffix : {"_total", "_bucket", "_sum", "_count", "_created"})
    if (name.ends_with(suffix)) {
      name.remove_suffix(suffix.size());
      break;
    }
  for (const std::string_view unit : {"seconds", "bytes", "ratio", "celsius", "meters", "volts",
                                      "amperes", "joules", "grams", "watts", "hertz", "cores"})
    if (name.size() > unit.size() && name.ends_with(unit) && name[name.size() - unit.size() - 1] == '_')
      return std::string(unit);
  return {};
}

}  // namespace detail::columns_

void label_sets::add_value(std::uint32_t name, std::string_view text) {
  text_.append(text);
  value_ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  value_names_.push_back(name);
}

std::string_view label_sets::value_of(std::uint32_t id, std::string_view wanted) const noexcept {
  for (const entry& label : (*this)[id])
    if (names_[label.name] == wanted) return value(label.value);
  return {};
}

std::size_t label_sets::bytes() const noexcept {
  return text_.capacity() + names_.capacity() * sizeof(std::string) +
         4 * (value_ends_.capacity() + value_names_.capacity() + entries_.capacity() + begins_.capacity());
}

label_cache::label_cache(std::size_t max_bytes)
    : max_bytes_(max_bytes),
      hash_(detail::columns_::choose_block_hash()),
      secret_(&detail::columns_::keys()),
      sets_(std::make_shared<label_sets>()),
      slots_(64),
      value_slots_(64),
      name_slots_(64) {}

std::size_t label_cache::bytes() const noexcept {
  return sizeof(*this) + hashes_.capacity() * sizeof(key) + order_.capacity() * sizeof(run) +
         4 * (lengths_.capacity() + slots_.capacity() + value_slots_.capacity() + name_slots_.capacity()) + sets_->bytes();
}

label_cache::key label_cache::hash(std::string_view block) const noexcept {
  key made;
  hash_(*secret_, block.data(), block.size(), &made.low);
  return made;
}

void label_cache::start_page(const parse_options& grammar) {
  if (bytes() > max_bytes_) {
    sets_ = std::make_shared<label_sets>();
    for (auto* slots : {&slots_, &value_slots_, &name_slots_}) {
      slots->assign(64, 0);
      slots->shrink_to_fit();
    }
    hashes_ = {};
    lengths_ = {};
    order_ = {};
    trusted_from_ = 0;
    ++generation_;
  }
  // A block vouches for itself under the rules that it was checked by.
  if (grammar_ && (grammar_->syntax != grammar.syntax || grammar_->rules != grammar.rules)) {
    trusted_from_ = static_cast<std::uint32_t>(sets_->size());
    order_ = {};
  }
  grammar_ = grammar;
  run_ = 0;
  expect_run();
}

/// Expects the run that this page is at, from its first row on.
void label_cache::expect_run() noexcept {
  const bool has = run_ < order_.size();
  expected_ = has ? order_[run_].first : none;
  run_left_ = has ? order_[run_].length : 0;
}

/// Beyond the order of the last page: sets that were new together mostly come together again.
void label_cache::expect_behind(std::uint32_t set) noexcept {
  run_ = order_.size();
  run_left_ = 0;
  expected_ = set + 1 < hashes_.size() && set + 1 >= trusted_from_ ? set + 1 : none;
}

/// The next row had the set that was expected.
void label_cache::follow_expected() noexcept {
  if (run_left_ > 1) {
    --run_left_;
    ++expected_;
  } else if (run_ + 1 < order_.size()) {
    ++run_;
    expect_run();
  } else {
    expect_behind(expected_);
  }
}

/// The next row had this set.
void label_cache::follow(std::uint32_t set) noexcept {
  if (set == expected_) return follow_expected();
  // Rows have gone, or others have come: go on behind the gap, or stay.
  constexpr std::size_t reach = 64;
  const std::size_t last = std::min(order_.size(), run_ + reach);
  std::uint32_t from = expected_;
  for (std::size_t at = run_; at < last; ++at) {
    const run& some = order_[at];
    if (at != run_) from = some.first;
    if (set < from || set >= some.first + some.length) continue;
    run_ = at;
    run_left_ = some.first + some.length - set;
    expected_ = set;
    return follow_expected();
  }
  if (run_ == order_.size()) expect_behind(set);
}

/// Keeps the order of the page's rows, and no more memory than that and what is new needs.
void label_cache::end_page(std::vector<run>&& order, std::size_t rows) {
  order_ = std::move(order);
  rows_ = rows;
  const auto trim = [](auto& what) {
    if (what.capacity() > what.size() + what.size() / 8 + 64) what.shrink_to_fit();
  };
  trim(order_);
  trim(hashes_);
  trim(lengths_);
  if (sets_.use_count() == 1) {
    trim(sets_->text_);
    trim(sets_->value_ends_);
    trim(sets_->value_names_);
    trim(sets_->entries_);
    trim(sets_->begins_);
  }
}

label_sets& label_cache::writable() {
  // Batches read their label sets from other threads, so what they hold is never touched.
  if (sets_.use_count() > 1) sets_ = std::make_shared<label_sets>(*sets_);
  return *sets_;
}

namespace detail::columns_ {

/// Where the number of a thing of this hash belongs: at its slot, or at an empty one. Slots hold
/// numbers from 1, at most half of them.
template <class Same>
std::size_t find_slot(const std::vector<std::uint32_t>& slots, std::uint64_t hash, Same&& same) {
  const std::size_t mask = slots.size() - 1;
  std::size_t at = hash & mask;
  while (slots[at] != 0 && !same(slots[at] - 1)) at = (at + 1) & mask;
  return at;
}

/// Makes room for `count` numbers; `hash_of` gives the hash of a number that is there.
template <class HashOf>
void grow_slots(std::vector<std::uint32_t>& slots, std::size_t count, HashOf&& hash_of) {
  if (count * 2 <= slots.size()) return;
  std::vector<std::uint32_t> larger(slots.size() * 2);
  for (const std::uint32_t slot : slots)
    if (slot != 0) larger[find_slot(larger, hash_of(slot - 1), [](std::uint32_t) { return false; })] = slot;
  slots = std::move(larger);
}

}  // namespace detail::columns_

std::uint32_t label_cache::find(const key& hash, std::size_t length) const noexcept {
  const std::size_t at = detail::columns_::find_slot(
      slots_, hash.low, [&](std::uint32_t set) { return hashes_[set] == hash && lengths_[set] == length; });
  return slots_[at] == 0 ? none : slots_[at] - 1;
}

std::uint32_t label_cache::intern_name(std::string_view name) {
  // Hashed as values are: a page may have a name of its own on every line.
  std::vector<std::string>& names = sets_->names_;
  detail::columns_::grow_slots(name_slots_, names.size() + 1, [&](std::uint32_t id) { return hash(names[id]).low; });
  const std::size_t at =
      detail::columns_::find_slot(name_slots_, hash(name).low, [&](std::uint32_t id) { return names[id] == name; });
  if (name_slots_[at] == 0) {
    names.emplace_back(name);
    name_slots_[at] = static_cast<std::uint32_t>(names.size());
  }
  return name_slots_[at] - 1;
}

std::uint32_t label_cache::intern_value(std::uint32_t name, std::string_view decoded) {
  label_sets& sets = *sets_;
  const auto hash_of = [this](std::uint32_t of_name, std::string_view text) {
    return hash(text).low + of_name * std::uint64_t{0x9E3779B97F4A7C15};
  };
  detail::columns_::grow_slots(value_slots_, sets.values() + 1, [&](std::uint32_t id) {
    return hash_of(sets.value_names_[id], sets.value(id));
  });
  const std::size_t at = detail::columns_::find_slot(value_slots_, hash_of(name, decoded), [&](std::uint32_t id) {
    return sets.value_names_[id] == name && detail::same_text(sets.value(id), decoded);
  });
  if (value_slots_[at] == 0) {
    sets.add_value(name, decoded);
    value_slots_[at] = static_cast<std::uint32_t>(sets.values());
  }
  return value_slots_[at] - 1;
}

std::uint32_t label_cache::add(const key& hash, std::string_view block, const labels_view& labels) {
  label_sets& sets = writable();
  // The label set before this one mostly has the same names in the same places, and some of the
  // same values: those are looked at before a hash is made.
  std::size_t like = sets.size() != 0 ? sets.begins_[sets.size() - 1] : 0;
  const std::size_t like_end = sets.begins_.back();
  const bool escapes = block.find('\\') != std::string_view::npos;
  for (const label_view& label : labels) {
    std::string_view value = label.raw_value();
    if (escapes && label.escaped()) {
      scratch_.resize(value.size());
      value = std::string_view(scratch_.data(), label.decode(scratch_.data()));
    }
    const std::uint32_t before = like < like_end ? sets.entries_[like] : none;
    const bool same_name = before != none && detail::same_text(sets.names_[sets.value_names_[before]], label.name());
    const std::uint32_t name = same_name ? sets.value_names_[before] : intern_name(label.name());
    sets.entries_.push_back(same_name && detail::same_text(sets.value(before), value) ? before : intern_value(name, value));
    ++like;
  }
  sets.end_set();
  hashes_.push_back(hash);
  lengths_.push_back(static_cast<std::uint32_t>(block.size()));
  const auto id = static_cast<std::uint32_t>(hashes_.size() - 1);
  detail::columns_::grow_slots(slots_, hashes_.size(), [&](std::uint32_t set) { return hashes_[set].low; });
  slots_[detail::columns_::find_slot(slots_, hash.low, [](std::uint32_t) { return false; })] = id + 1;
  return id;
}

/// Rows on their way into the columns of a batch, a few at a time.
class row_buffer {
 public:
  explicit row_buffer(batch& into) noexcept : into_(into) {}

  [[gnu::always_inline]] void add(std::uint32_t metric, std::uint32_t label_set, double value, std::int64_t timestamp_ms) {
    if (size_ == most) flush();
    metric_id_[size_] = metric;
    label_set_id_[size_] = label_set;
    value_[size_] = value;
    timestamp_ms_[size_] = timestamp_ms;
    ++size_;
  }

  [[gnu::noinline]] void flush() {
    const auto append = [this](auto& column, const auto& rows) {
      column.insert(column.end(), rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(size_));
    };
    append(into_.metric_id, metric_id_);
    append(into_.label_set_id, label_set_id_);
    append(into_.value, value_);
    append(into_.timestamp_ms, timestamp_ms_);
    size_ = 0;
  }

 private:
  static constexpr std::size_t most = 128;
  batch& into_;
  std::size_t size_ = 0;
  std::array<std::uint32_t, most> metric_id_, label_set_id_;
  std::array<double, most> value_;
  std::array<std::int64_t, most> timestamp_ms_;
};

/// The sink that turns samples into columns.
class column_builder {
 public:
  column_builder(std::string_view page, label_cache& cache, const column_options& options)
      : page_(page), cache_(cache), options_(options), room_(options.max_samples) {
    cache_.start_page(options.grammar);
    places_.resize(cache_.lengths_.size());
    // A cAdvisor page has one sample in 300 to 400 bytes, others one in 100; and as many as the last.
    std::size_t guess = std::min<std::size_t>(page.size() / (options.metrics.all() ? 200 : 1000) + 16, 1u << 20);
    if (cache_.rows_ != 0) guess = std::min(guess, cache_.rows_ + cache_.rows_ / 16 + 16);
    made_.metric_id.reserve(guess);
    made_.label_set_id.reserve(guess);
    made_.value.reserve(guess);
    made_.timestamp_ms.reserve(guess);
  }

  bool wants(std::string_view name) {
    metric_ = none;
    return options_.metrics.contains(name);
  }

  [[gnu::always_inline]] std::size_t known_block(std::string_view rest) {
    const std::uint32_t set = cache_.expected_;
    if (set >= places_.size()) return 0;
    const std::size_t length = cache_.lengths_[set];
    if (length - 1 >= rest.size() - 1 || rest[length - 1] != '}') return 0;  // sets without labels have no length
    if (!is_block_of(set, {rest.data(), length})) return 0;
    known_ = places_[set] = rest.data();
    return length;
  }

  [[gnu::always_inline]] void on_sample(const sample_view& sample) {
    if (room_ == 0) return stop(parse_errc::too_many_samples, sample);
    std::uint32_t set = cache_.expected_;
    const bool as_expected = !sample.label_block().empty() && sample.label_block().data() == known_;
    if (!as_expected) {
      set = set_of(sample);
      if (set == none) return;
    }
    if (!options_.labels.all() && !wants_set(set, sample)) {
      ++unwanted_;
      return;
    }
    if (as_expected) cache_.follow_expected();
    else cache_.follow(set);
    if (set == run_.first + run_.length) ++run_.length;
    else start_run(set);
    if (metric_ == none) metric_ = metric_of(sample);
    rows_.add(metric_, set, sample.value(), sample.timestamp_ms().value_or(no_timestamp));
    --room_;
  }

  void on_metadata(const metadata_view& meta) {
    family& about = family_of(meta.name);
    if (meta.what == metadata_view::kind::type) about.type = meta.type;
    else if (meta.what == metadata_view::kind::help) about.help = meta;
    else about.unit = meta.text;
  }

  bool on_error(const parse_error& fault) {
    if (options_.grammar.rules != policy::lenient || stopped_) return false;
    constexpr std::size_t most = 10'000;
    if (made_.rejects.size() >= most) return true;
    const position at = place(fault.offset);
    made_.rejects.push_back({at.line, at.column, fault.offset, std::string(fault.line.substr(0, 256)), fault.code});
    return true;
  }

  column_result finish(parse_result read) {
    read.samples -= unwanted_;
    read.skipped += unwanted_;
    rows_.flush();
    for (metric& each : made_.metrics) describe(each);
    start_run(none);
    cache_.end_page(std::move(order_), made_.rows());
    made_.sets = cache_.sets_;
    column_result result{std::move(made_), read.error, read};
    if (stopped_) result.stopped = stopped_;
    return result;
  }

  const std::optional<parse_error>& stopped() const noexcept { return stopped_; }

 private:
  static constexpr std::uint32_t none = label_cache::none;

  /// True where the block of this length is that of `set`.
  [[gnu::always_inline]] bool is_block_of(std::uint32_t set, std::string_view block) const noexcept {
    // Where the block stood on this page before, to compare is quicker than to hash.
    const char* const place = places_[set];
    return place == nullptr || block.size() < 64 ? cache_.hash(block) == cache_.hashes_[set]
                                                 : same_(block.data(), place, block.size());
  }

  /// The label set of a sample whose block is not the one that was expected; none, and nothing is kept of
  /// it, where it is not wanted.
  [[gnu::noinline]] std::uint32_t set_of(const sample_view& sample) {
    const std::string_view block = sample.label_block();
    label_cache::key hash = cache_.hash(block);
    // The same bytes behind another name would be a fault: a block with the name inside is not one
    // that known_block() may vouch for, so it is remembered under a hash of its own.
    if (!block.empty() && sample.name().data() > block.data()) hash.high = ~hash.high;
    if (const std::uint32_t set = cache_.find(hash, block.size()); set != none) return set;
    if (!options_.labels.contains(sample.labels())) {
      ++unwanted_;
      return none;
    }
    if (options_.max_labels != std::numeric_limits<std::size_t>::max()) {
      std::size_t count = 0;
      for (const label_view& label : sample.labels()) (void)label, ++count;
      if (count > options_.max_labels) {
        stop(parse_errc::too_many_labels, sample);
        return none;
      }
    }
    places_.push_back(nullptr);
    return cache_.add(hash, block, sample.labels());
  }

  /// The next row does not have the set that would go on with the run.
  [[gnu::noinline]] void start_run(std::uint32_t set) {
    if (run_.length != 0) order_.push_back(run_);
    run_ = {set, 1};
  }

  /// Decided once for each label set of the page.
  bool wants_set(std::uint32_t set, const sample_view& sample) {
    if (set >= wanted_sets_.size()) wanted_sets_.resize(set + 1, undecided);
    if (wanted_sets_[set] == undecided) wanted_sets_[set] = options_.labels.contains(sample.labels());
    return wanted_sets_[set] != 0;
  }

  /// Views of the page: only what a metric of it needs is copied.
  struct family {
    std::string_view name;
    metric_type type = metric_type::unknown;
    std::string_view unit;
    metadata_view help;
  };

  family& family_of(std::string_view name) {
    if (!families_.empty() && detail::same_text(families_.back().name, name)) return families_.back();
    detail::columns_::grow_slots(family_slots_, families_.size() + 1,
                                 [&](std::uint32_t id) { return cache_.hash(families_[id].name).low; });
    std::uint32_t& slot = family_slots_[slot_of_family(name)];
    if (slot == 0) {
      families_.push_back({name, metric_type::unknown, {}, {}});
      slot = static_cast<std::uint32_t>(families_.size());
    }
    return families_[slot - 1];
  }

  std::size_t slot_of_family(std::string_view name) const {
    return detail::columns_::find_slot(family_slots_, cache_.hash(name).low,
                                       [&](std::uint32_t id) { return families_[id].name == name; });
  }

  void stop(parse_errc code, const sample_view& sample) {
    if (!stopped_) stopped_ = parse_error{code, sample.offset(), sample.line()};
  }

  std::uint32_t metric_of(const sample_view& sample) {
    const std::string_view name = sample.name();
    std::string decoded;
    if (sample.name_escaped()) decoded = label_view({}, name).decoded();
    const std::string_view wanted = decoded.empty() ? name : decoded;
    std::vector<metric>& metrics = made_.metrics;
    detail::columns_::grow_slots(metric_slots_, metrics.size() + 1,
                                 [&](std::uint32_t id) { return cache_.hash(metrics[id].name).low; });
    std::uint32_t& slot = metric_slots_[detail::columns_::find_slot(
        metric_slots_, cache_.hash(wanted).low, [&](std::uint32_t id) { return metrics[id].name == wanted; })];
    if (slot == 0) {
      metrics.push_back({std::string(wanted), metric_type::unknown, {}, {}});
      slot = static_cast<std::uint32_t>(metrics.size());
    }
    return slot - 1;
  }

  void describe(metric& each) const {
    const auto take = [&](std::string_view name) {
      const std::uint32_t slot = family_slots_[slot_of_family(name)];
      if (slot == 0) return false;
      const family& found = families_[slot - 1];
      each.type = found.type;
      each.unit = found.unit;
      each.help = found.help.decoded();
      return true;
    };
    const std::string_view name = each.name;
    if (!take(name)) {
      for (const std::string_view suffix : {"_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"})
        if (name.size() > suffix.size() && name.ends_with(suffix) && take(name.substr(0, name.size() - suffix.size()))) break;
    }
    if (each.unit.empty()) each.unit = detail::columns_::unit_of_name(each.name);
  }

  /// As locate(), but goes on from the fault before it: many rejects cost one pass.
  position place(std::size_t offset) {
    offset = std::min(offset, page_.size());
    if (offset < counted_to_) counted_to_ = 0, line_ = 1, line_begin_ = 0;
    for (std::size_t i = counted_to_; i < offset; ++i)
      if (page_[i] == '\n') ++line_, line_begin_ = i + 1;
    counted_to_ = offset;
    return {line_, offset - line_begin_ + 1};
  }

  static constexpr std::uint8_t undecided = 2;
  std::vector<std::uint8_t> wanted_sets_;  // by the id of a label set: 0, 1 or undecided
  std::size_t unwanted_ = 0;
  const detail::same_function same_ = detail::best_kernel().same;
  std::string_view page_;
  label_cache& cache_;
  const column_options& options_;
  std::size_t room_;  // for so many more samples
  batch made_;
  row_buffer rows_{made_};
  std::optional<parse_error> stopped_;
  std::vector<std::uint32_t> metric_slots_ = std::vector<std::uint32_t>(64);  // one more than the id; 0: free
  std::vector<family> families_;
  std::vector<std::uint32_t> family_slots_ = std::vector<std::uint32_t>(64);
  std::uint32_t metric_ = none;      // of the lines of one name that stand together, once there is a row
  std::vector<const char*> places_;  // of each label set, the last block that known_block() recognised
  const char* known_ = nullptr;      // the block that it recognised last: that of the set which is expected
  std::vector<label_cache::run> order_;
  label_cache::run run_{none, 0};    // behind those
  std::size_t counted_to_ = 0, line_ = 1, line_begin_ = 0;
};

column_result read_columns(std::string_view page, label_cache& cache, const column_options& options) {
  column_builder builder(page, cache, options);
  const auto read = [&](auto& sink) {
    page_walker<std::remove_reference_t<decltype(sink)>> walker(page, sink, options.grammar);
    while (!builder.stopped() && walker.step()) {
    }
    return builder.finish(walker.result());
  };
  if (options.grammar.syntax == dialect::openmetrics && options.grammar.rules == policy::strict) {
    validating checked(builder);
    return read(checked);
  }
  return read(builder);
}

/// Trees in place of hash tables: whoever writes the names and values cannot aim at collisions.
struct batch_builder::known {
  std::map<std::string, std::uint32_t, std::less<>> metrics, names;
  std::vector<std::map<std::string, std::uint32_t, std::less<>>> values;  // of each name
  std::map<std::vector<std::uint32_t>, std::uint32_t> sets;
};

batch_builder::batch_builder() : sets_(std::make_shared<label_sets>()), known_(std::make_unique<known>()) {}
batch_builder::~batch_builder() = default;
batch_builder::batch_builder(batch_builder&&) noexcept = default;
batch_builder& batch_builder::operator=(batch_builder&&) noexcept = default;

std::uint32_t batch_builder::metric(std::string_view name) {
  const auto found = known_->metrics.find(name);
  if (found != known_->metrics.end()) return found->second;
  const auto id = static_cast<std::uint32_t>(made_.metrics.size());
  known_->metrics.emplace(std::string(name), id);
  computelocator::metric& made = made_.metrics.emplace_back();
  made.name = std::string(name);
  made.unit = detail::columns_::unit_of_name(name);
  return id;
}

std::uint32_t batch_builder::label_set(std::span<const std::pair<std::string_view, std::string_view>> labels) {
  std::vector<std::uint32_t> key;
  key.reserve(labels.size());
  for (const auto& [name, value] : labels) {
    auto of_name = known_->names.find(name);
    if (of_name == known_->names.end()) {
      of_name = known_->names.emplace(std::string(name), static_cast<std::uint32_t>(sets_->names_.size())).first;
      sets_->names_.emplace_back(name);
      known_->values.emplace_back();
    }
    auto& values = known_->values[of_name->second];
    auto of_value = values.find(value);
    if (of_value == values.end()) {
      of_value = values.emplace(std::string(value), static_cast<std::uint32_t>(sets_->values())).first;
      sets_->add_value(of_name->second, value);
    }
    key.push_back(of_value->second);
  }
  const auto [at, fresh] = known_->sets.try_emplace(std::move(key), static_cast<std::uint32_t>(sets_->size()));
  if (fresh) {
    sets_->entries_.insert(sets_->entries_.end(), at->first.begin(), at->first.end());
    sets_->end_set();
  }
  return at->second;
}

std::size_t batch_builder::label_names() const noexcept { return sets_->names_.size(); }

void batch_builder::row(std::uint32_t metric, std::uint32_t label_set, double value, std::int64_t timestamp_ms) {
  made_.metric_id.push_back(metric);
  made_.label_set_id.push_back(label_set);
  made_.value.push_back(value);
  made_.timestamp_ms.push_back(timestamp_ms);
}

batch batch_builder::take() && {
  made_.sets = std::move(sets_);
  return std::move(made_);
}

}  // namespace computelocator
