// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <unordered_map>

#include <computelocator/columns.hpp>
#include <computelocator/openmetrics.hpp>

namespace computelocator {

namespace detail::columns_ {

/// 128 bits of a product folded to 64: the mixing step of wyhash (Wang Yi, public domain idea).
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  const wide product = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

struct hash_keys { std::uint64_t k[6]; };

inline const hash_keys& keys() {
  static const hash_keys random = [] {
    std::random_device device;
    hash_keys made{};
    for (std::uint64_t& k : made.k) k = (std::uint64_t{device()} << 32 | device()) | 1;
    return made;
  }();
  return random;
}

inline std::uint64_t load(const char* p) noexcept {
  std::uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

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

std::string_view label_sets::value_of(std::uint32_t id, std::string_view wanted) const noexcept {
  for (const entry& label : (*this)[id])
    if (names_[label.name] == wanted) return value(label.value);
  return {};
}

std::size_t label_sets::bytes() const noexcept {
  std::size_t total = text_.capacity() + value_ends_.capacity() * 4 + entries_.capacity() * sizeof(entry) +
                      begins_.capacity() * 4 + names_.capacity() * sizeof(std::string);
  return total;
}

metric_selection::metric_selection(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names_ = std::make_shared<const std::vector<std::string>>(std::move(names));
}

bool metric_selection::contains(std::string_view name) const noexcept {
  return names_ == nullptr || std::binary_search(names_->begin(), names_->end(), name, std::less<>());
}

label_cache::label_cache(std::size_t max_bytes)
    : max_bytes_(max_bytes), sets_(std::make_shared<label_sets>()), slots_(64), value_slots_(64), name_slots_(64) {}

std::size_t label_cache::bytes() const noexcept {
  return sizeof(*this) + slots_.capacity() * sizeof(slot) + (value_slots_.capacity() + name_slots_.capacity()) * 4 + sets_->bytes();
}

label_cache::key label_cache::hash(std::string_view block) noexcept {
  using detail::columns_::load;
  using detail::columns_::mix;
  static const detail::columns_::hash_keys& secret = detail::columns_::keys();
  const char* p = block.data();
  std::size_t left = block.size();
  std::uint64_t low = secret.k[0] ^ left, high = secret.k[1] + left;
  if (left >= 64) {
    // Four lanes that do not wait for one another: a multiplication's latency is four of them.
    const std::uint64_t k2 = secret.k[2], k3 = secret.k[3], k4 = secret.k[4], k5 = secret.k[5];
    std::uint64_t low1 = secret.k[1], low2 = k2, low3 = k3, high1 = k3, high2 = k4, high3 = k5;
    const auto lane = [&](const char* at, std::uint64_t& l, std::uint64_t& h) {
      const std::uint64_t a = load(at), b = load(at + 8);
      l = mix(a ^ k2 ^ l, b ^ k3);
      h = mix(a ^ k4, b ^ k5 ^ h);
    };
    for (; left >= 64; p += 64, left -= 64) {
      lane(p, low, high);
      lane(p + 16, low1, high1);
      lane(p + 32, low2, high2);
      lane(p + 48, low3, high3);
    }
    low = mix(low ^ secret.k[0], low1 ^ k4) ^ mix(low2 ^ k5, low3 ^ secret.k[1]);
    high = mix(high ^ secret.k[1], high1 ^ k2) ^ mix(high2 ^ k3, high3 ^ secret.k[0]);
  }
  for (; left >= 16; p += 16, left -= 16) {
    const std::uint64_t a = load(p), b = load(p + 8);
    low = mix(a ^ secret.k[2] ^ low, b ^ secret.k[3]);
    high = mix(a ^ secret.k[4], b ^ secret.k[5] ^ high);
  }
  // The last 16 bytes, some of them for the second time: cheaper than a copy of what is left.
  char copy[16] = {};
  const char* tail = copy;
  if (block.size() >= 16)
    tail = block.data() + block.size() - 16;
  else if (!block.empty())
    std::memcpy(copy, block.data(), block.size());
  const std::uint64_t a = load(tail), b = load(tail + 8);
  low = mix(a ^ secret.k[2] ^ low, b ^ secret.k[3]);
  high = mix(a ^ secret.k[4], b ^ secret.k[5] ^ high);
  return {mix(low ^ secret.k[5], secret.k[0]), mix(high ^ secret.k[2], secret.k[1])};
}

void label_cache::start_page() {
  if (bytes() <= max_bytes_) return;
  sets_ = std::make_shared<label_sets>();
  slots_.assign(64, slot{});
  value_slots_.assign(64, 0);
  name_slots_.assign(64, 0);
  slots_.shrink_to_fit();
  value_slots_.shrink_to_fit();
  name_slots_.shrink_to_fit();
  used_ = 0;
  ++generation_;
}

label_sets& label_cache::writable() {
  // Batches read their label sets from other threads, so what they hold is never touched.
  if (sets_.use_count() > 1) sets_ = std::make_shared<label_sets>(*sets_);
  return *sets_;
}

std::uint32_t* label_cache::find(const key& hash, std::size_t length) noexcept {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash.low & mask;; at = (at + 1) & mask) {
    slot& candidate = slots_[at];
    if (candidate.id_plus_1 == 0) return nullptr;
    if (candidate.hash.low == hash.low && candidate.hash.high == hash.high && candidate.length == length)
      return &candidate.id_plus_1;
  }
}

void label_cache::grow_slots() {
  std::vector<slot> larger(slots_.size() * 2);
  const std::size_t mask = larger.size() - 1;
  for (const slot& old : slots_) {
    if (old.id_plus_1 == 0) continue;
    std::size_t at = old.hash.low & mask;
    while (larger[at].id_plus_1 != 0) at = (at + 1) & mask;
    larger[at] = old;
  }
  slots_ = std::move(larger);
}

std::uint32_t label_cache::intern_name(std::string_view name) {
  // Hashed as values are: a page may have a name of its own on every line.
  std::vector<std::string>& names = sets_->names_;
  if ((names.size() + 1) * 2 > name_slots_.size()) {
    std::vector<std::uint32_t> larger(name_slots_.size() * 2);
    for (std::uint32_t id = 0; id < names.size(); ++id) {
      std::size_t at = hash(names[id]).low & (larger.size() - 1);
      while (larger[at] != 0) at = (at + 1) & (larger.size() - 1);
      larger[at] = id + 1;
    }
    name_slots_ = std::move(larger);
  }
  const std::size_t mask = name_slots_.size() - 1;
  std::size_t at = hash(name).low & mask;
  for (; name_slots_[at] != 0; at = (at + 1) & mask)
    if (names[name_slots_[at] - 1] == name) return name_slots_[at] - 1;
  names.emplace_back(name);
  name_slots_[at] = static_cast<std::uint32_t>(names.size());
  return static_cast<std::uint32_t>(names.size() - 1);
}

std::uint32_t label_cache::intern_value(std::string_view decoded) {
  const std::size_t count = sets_->values();
  if ((count + 1) * 2 > value_slots_.size()) {
    std::vector<std::uint32_t> larger(value_slots_.size() * 2);
    for (std::uint32_t id = 0; id < count; ++id) {
      std::size_t at = hash(sets_->value(id)).low & (larger.size() - 1);
      while (larger[at] != 0) at = (at + 1) & (larger.size() - 1);
      larger[at] = id + 1;
    }
    value_slots_ = std::move(larger);
  }
  const std::size_t mask = value_slots_.size() - 1;
  std::size_t at = hash(decoded).low & mask;
  for (; value_slots_[at] != 0; at = (at + 1) & mask)
    if (sets_->value(value_slots_[at] - 1) == decoded) return value_slots_[at] - 1;
  sets_->text_.append(decoded);
  sets_->value_ends_.push_back(static_cast<std::uint32_t>(sets_->text_.size()));
  value_slots_[at] = static_cast<std::uint32_t>(count + 1);
  return static_cast<std::uint32_t>(count);
}

std::uint32_t label_cache::add(const key& hash, std::string_view block, labels_view labels) {
  label_sets& sets = writable();
  // The label set before this one mostly has the same names in the same places, and some of the
  // same values: those are looked at before a hash is made.
  std::size_t like = sets.begins_.size() > 1 ? sets.begins_[sets.begins_.size() - 2] : 0;
  const std::size_t like_end = sets.begins_.back();
  for (const label_view& label : labels) {
    std::string_view value = label.raw_value();
    if (label.escaped()) {
      scratch_.resize(value.size());
      value = std::string_view(scratch_.data(), label.decode(scratch_.data()));
    }
    label_sets::entry made{};
    const bool same_name = like < like_end && sets.names_[sets.entries_[like].name] == label.name();
    made.name = same_name ? sets.entries_[like].name : intern_name(label.name());
    made.value = same_name && sets.value(sets.entries_[like].value) == value ? sets.entries_[like].value
                                                                            : intern_value(value);
    sets.entries_.push_back(made);
    ++like;
  }
  sets.begins_.push_back(static_cast<std::uint32_t>(sets.entries_.size()));
  const auto id = static_cast<std::uint32_t>(sets.size() - 1);
  if (++used_ * 2 > slots_.size()) grow_slots();
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash.low & mask;
  while (slots_[at].id_plus_1 != 0) at = (at + 1) & mask;
  slots_[at] = {hash, static_cast<std::uint32_t>(block.size()), id + 1};
  return id;
}

/// The sink that turns samples into columns.
class column_builder {
 public:
  column_builder(std::string_view page, label_cache& cache, const column_options& options)
      : page_(page), cache_(cache), options_(options) {
    cache_.start_page();
    // A cAdvisor page has one sample in 300 to 400 bytes, others one in 100.
    const std::size_t guess = std::min<std::size_t>(page.size() / (options.metrics.all() ? 200 : 1000) + 16, 1u << 20);
    made_.metric_id.reserve(guess);
    made_.label_set_id.reserve(guess);
    made_.value.reserve(guess);
    made_.timestamp_ms.reserve(guess);
  }

  bool wants(std::string_view name) {
    if (options_.metrics.all()) return true;
    if (name != last_asked_) {
      last_asked_ = name;
      last_answer_ = options_.metrics.contains(name);
    }
    return last_answer_;
  }

  void look_up(std::string_view block) {
    hash_ = label_cache::hash(block);
    found_ = cache_.find(hash_, block.size());
  }

  void on_sample(const sample_view& sample) {
    if (made_.rows() >= options_.max_samples) return stop(parse_errc::too_many_samples, sample);
    std::uint32_t set;
    const std::string_view block = sample.label_block();
    const bool name_inside = !block.empty() && sample.name().data() > block.data();
    if (name_inside) {
      // The same bytes behind another name would be a fault: such a block is not one that knows()
      // may vouch for, so it is remembered under a hash of its own.
      hash_ = label_cache::hash(block);
      hash_.high = ~hash_.high;
      found_ = cache_.find(hash_, block.size());
    } else {
      look_up(block);
    }
    if (found_ != nullptr) {
      set = *found_ - 1;
    } else {
      if (options_.max_labels != std::numeric_limits<std::size_t>::max()) {
        std::size_t count = 0;
        for (const label_view& label : sample.labels()) (void)label, ++count;
        if (count > options_.max_labels) return stop(parse_errc::too_many_labels, sample);
      }
      set = cache_.add(hash_, block, sample.labels());
    }
    made_.metric_id.push_back(metric_of(sample));
    made_.label_set_id.push_back(set);
    made_.value.push_back(sample.value());
    made_.timestamp_ms.push_back(sample.timestamp_ms().value_or(no_timestamp));
  }

  void on_metadata(const metadata_view& meta) {
    family& about = families_[std::string(meta.name)];
    if (meta.what == metadata_view::kind::type) about.type = meta.type;
    else if (meta.what == metadata_view::kind::help) about.help = meta.decoded();
    else about.unit = std::string(meta.text);
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
    for (metric& each : made_.metrics) describe(each);
    made_.sets = cache_.sets_;
    column_result result{std::move(made_), read.error, read};
    if (stopped_) result.stopped = stopped_;
    return result;
  }

  const std::optional<parse_error>& stopped() const noexcept { return stopped_; }

 private:
  struct family {
    metric_type type = metric_type::unknown;
    std::string unit, help;
  };

  void stop(parse_errc code, const sample_view& sample) {
    if (!stopped_) stopped_ = parse_error{code, sample.offset(), sample.line()};
  }

  std::uint32_t metric_of(const sample_view& sample) {
    const std::string_view name = sample.name();
    if (name == last_name_ && !made_.metrics.empty()) return last_metric_;
    std::string decoded(name);
    if (sample.name_escaped()) decoded = label_view({}, name).decoded();
    const auto [at, fresh] = metrics_.try_emplace(decoded, static_cast<std::uint32_t>(made_.metrics.size()));
    if (fresh) made_.metrics.push_back({decoded, metric_type::unknown, {}, {}});
    last_name_ = name;
    return last_metric_ = at->second;
  }

  void describe(metric& each) const {
    const auto take = [&](const std::string& name) {
      const auto found = families_.find(name);
      if (found == families_.end()) return false;
      each.type = found->second.type;
      each.unit = found->second.unit;
      each.help = found->second.help;
      return true;
    };
    if (!take(each.name)) {
      for (const std::string_view suffix : {"_total", "_bucket", "_sum", "_count", "_created", "_info", "_gsum", "_gcount"})
        if (each.name.size() > suffix.size() && std::string_view(each.name).ends_with(suffix) &&
            take(each.name.substr(0, each.name.size() - suffix.size())))
          break;
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

  std::string_view page_;
  label_cache& cache_;
  const column_options& options_;
  batch made_;
  std::optional<parse_error> stopped_;
  std::unordered_map<std::string, std::uint32_t> metrics_;
  std::unordered_map<std::string, family> families_;
  std::string_view last_name_, last_asked_;
  bool last_answer_ = false;
  std::uint32_t last_metric_ = 0;
  label_cache::key hash_{};
  std::uint32_t* found_ = nullptr;
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
  std::map<std::string, std::uint32_t, std::less<>> metrics, names, values;
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
  key.reserve(labels.size() * 2);
  for (const auto& [name, value] : labels) {
    auto of_name = known_->names.find(name);
    if (of_name == known_->names.end()) {
      of_name = known_->names.emplace(std::string(name), static_cast<std::uint32_t>(sets_->names_.size())).first;
      sets_->names_.emplace_back(name);
    }
    auto of_value = known_->values.find(value);
    if (of_value == known_->values.end()) {
      of_value = known_->values.emplace(std::string(value), static_cast<std::uint32_t>(sets_->value_ends_.size())).first;
      sets_->text_.append(value);
      sets_->value_ends_.push_back(static_cast<std::uint32_t>(sets_->text_.size()));
    }
    key.push_back(of_name->second);
    key.push_back(of_value->second);
  }
  const auto [at, fresh] = known_->sets.try_emplace(std::move(key), static_cast<std::uint32_t>(sets_->size()));
  if (fresh) {
    for (std::size_t i = 0; i < at->first.size(); i += 2) sets_->entries_.push_back({at->first[i], at->first[i + 1]});
    sets_->begins_.push_back(static_cast<std::uint32_t>(sets_->entries_.size()));
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
