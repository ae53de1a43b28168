// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

#include <computelocator/families.hpp>

namespace computelocator {

inline std::string family_view::decoded_help() const {
  metadata_view meta;
  meta.text = help;
  meta.quotes_escaped = quotes_escaped;
  return meta.decoded();
}

namespace detail {

inline family_gatherer::part family_gatherer::part_of(metric_type type, std::string_view suffix) noexcept {
  const bool plain = suffix.empty();
  switch (type) {
    case metric_type::counter:
      if (plain || suffix == "_total") return part::value;
      return suffix == "_created" ? part::created : part::none;
    case metric_type::histogram:
    case metric_type::gauge_histogram:
      if (suffix == "_bucket") return part::bucket;
      if (suffix == "_sum" || suffix == "_gsum") return part::sum;
      if (suffix == "_count" || suffix == "_gcount") return part::count;
      return suffix == "_created" ? part::created : part::none;
    case metric_type::summary:
      if (plain) return part::quantile;
      if (suffix == "_sum") return part::sum;
      if (suffix == "_count") return part::count;
      return suffix == "_created" ? part::created : part::none;
    case metric_type::info: return plain || suffix == "_info" ? part::value : part::none;
    case metric_type::gauge:
    case metric_type::state_set:
    case metric_type::unknown: break;
  }
  return plain ? part::value : part::none;
}

inline void family_gatherer::begin(std::string_view name) noexcept {
  family_ = {};
  family_.name = name;
  open_ = true;
}

inline void family_gatherer::on_metadata(const metadata_view& meta) {
  if (open_ && (meta.name != family_.name || !series_.empty())) {
    waiting_meta_ = meta;
    meta_waits_ = true;
    return;
  }
  if (!open_) begin(meta.name);
  if (meta.what == metadata_view::kind::type) family_.type = meta.type;
  else if (meta.what == metadata_view::kind::unit) family_.unit = meta.text;
  else family_.help = meta.text, family_.quotes_escaped = meta.quotes_escaped;
}

inline void family_gatherer::on_sample(const sample_view& sample) {
  part what = part::none;
  if (open_ && sample.name().starts_with(family_.name))
    what = part_of(family_.type, sample.name().substr(family_.name.size()));
  if (what == part::none) {
    if (open_) {
      waiting_sample_ = sample;
      sample_waits_ = true;
      return;
    }
    begin(sample.name());
    what = part::value;
  }
  take(sample, what);
}

inline std::size_t family_gatherer::find(const hash128& key) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = key.low & mask;
  while (slots_[at].round == round_ && !(slots_[at].key == key)) at = (at + 1) & mask;
  return at;
}

inline void family_gatherer::grow() {
  const std::vector<slot> old = std::exchange(slots_, std::vector<slot>(slots_.empty() ? 64 : slots_.size() * 2));
  for (const slot& each : old)
    if (each.round == round_) slots_[find(each.key)] = each;
}

/// Which series the sample is of; a new one where it says again what the one before says.
inline std::uint32_t family_gatherer::series_of(const sample_view& sample, part what) {
  const std::string_view without = what == part::bucket ? "le" : what == part::quantile ? "quantile" : "";
  hash128 key;
  for (const label_view& label : sample.labels()) {
    const std::string_view name = decoded_into(label.name(), name_room_);
    const std::string_view value = decoded_into(label.raw_value(), value_room_);
    if (value.empty() || (!without.empty() && name == without)) continue;
    const hash128 hash = keyed_hash(value, keyed_hash(name));
    key.low += hash.low, key.high += hash.high;
  }
  if (sample.timestamp_ms()) {
    const hash128 hash = keyed_hash({}, {static_cast<std::uint64_t>(*sample.timestamp_ms()), 1});
    key.low += hash.low, key.high += hash.high;
  }
  if ((series_.size() + 1) * 2 > slots_.size()) grow();
  slot& place = slots_[find(key)];
  if (place.round == round_) {
    const series_view& found = series_[place.series];
    const bool again = (what == part::value && found.value) || (what == part::sum && found.sum) ||
                       (what == part::count && found.count) || (what == part::created && found.created_s);
    if (!again) return place.series;
  }
  place = {key, round_, static_cast<std::uint32_t>(series_.size())};
  series_view& made = series_.emplace_back();
  made.label_block = sample.label_block();
  made.without = without;
  made.offset = sample.offset();
  made.timestamp_ms = sample.timestamp_ms();
  return static_cast<std::uint32_t>(series_.size() - 1);
}

inline void family_gatherer::take(const sample_view& sample, part what) {
  const std::uint32_t id = series_of(sample, what);
  series_view& series = series_[id];
  const auto number_of = [&](std::string_view label_name, std::string_view& text) {
    double number = std::numeric_limits<double>::quiet_NaN();
    for (const label_view& label : sample.labels())
      if (label.name() == label_name) {
        text = label.raw_value();
        if (parse_value(text, number) != number_fault::none) number = std::numeric_limits<double>::quiet_NaN();
        break;
      }
    return number;
  };
  switch (what) {
    case part::value:
      series.value = sample.value();
      series.exemplar = sample.exemplar();
      break;
    case part::sum: series.sum = sample.value(); break;
    case part::count: series.count = sample.value(); break;
    case part::created: series.created_s = sample.value(); break;
    case part::bucket: {
      bucket_view& bucket = buckets_.emplace_back(id, bucket_view{}).second;
      bucket.le = number_of("le", bucket.le_text);
      bucket.count = sample.value();
      bucket.exemplar = sample.exemplar();
      break;
    }
    case part::quantile: {
      quantile_view& quantile = quantiles_.emplace_back(id, quantile_view{}).second;
      quantile.quantile = number_of("quantile", quantile.quantile_text);
      quantile.value = sample.value();
      break;
    }
    case part::none: break;
  }
}

inline bool family_gatherer::finish() {
  if (!open_) return false;
  // Buckets of one series may stand apart on the page; here they stand together.
  const auto put_together = [&](auto& gathered, auto& sorted, auto member) {
    const auto by_series = [](const auto& a, const auto& b) { return a.first < b.first; };
    if (!std::is_sorted(gathered.begin(), gathered.end(), by_series))
      std::stable_sort(gathered.begin(), gathered.end(), by_series);
    sorted.clear();
    for (const auto& [id, each] : gathered) sorted.push_back(each);
    for (std::size_t from = 0, to = 0; from < gathered.size(); from = to) {
      while (to < gathered.size() && gathered[to].first == gathered[from].first) ++to;
      series_[gathered[from].first].*member = {sorted.data() + from, to - from};
    }
  };
  put_together(buckets_, sorted_buckets_, &series_view::buckets);
  put_together(quantiles_, sorted_quantiles_, &series_view::quantiles);
  family_.series = series_;
  return true;
}

inline void family_gatherer::start_next() {
  open_ = false;
  ++round_;
  series_.clear();
  buckets_.clear();
  quantiles_.clear();
  if (std::exchange(meta_waits_, false)) on_metadata(waiting_meta_);
  if (std::exchange(sample_waits_, false)) on_sample(waiting_sample_);
}

}  // namespace detail

inline void families::advance() {
  gatherer_.start_next();
  while (!gatherer_.full() && walker_.step()) {
  }
  has_ = gatherer_.finish();
}

}  // namespace computelocator
