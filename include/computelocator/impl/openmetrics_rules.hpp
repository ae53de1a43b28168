// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <initializer_list>
#include <span>

#include <computelocator/impl/text_hash.hpp>
#include <computelocator/openmetrics.hpp>

namespace computelocator {

namespace detail {

inline std::size_t hash_set::find(const hash128& key) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = key.low & mask;
  while (slots_[at].round == round_ && !(slots_[at].key == key)) at = (at + 1) & mask;
  return at;
}

inline bool hash_set::contains(const hash128& key) const noexcept {
  return !slots_.empty() && slots_[find(key)].round == round_;
}

inline bool hash_set::insert(const hash128& key) {
  if ((used_ + 1) * 2 > slots_.size()) {
    std::vector<slot> larger(slots_.empty() ? 16 : slots_.size() * 2);
    std::swap(slots_, larger);
    for (const slot& old : larger)
      if (old.round == round_) slots_[find(old.key)] = old;
  }
  slot& found = slots_[find(key)];
  if (found.round == round_) return false;
  found = {key, round_};
  ++used_;
  return true;
}

inline void hash_set::clear() noexcept {
  ++round_;
  used_ = 0;
}

/// Below, equal or above zero as the time `a` is before, at or after `b`: exactly, where both are plain
/// decimals. Both are timestamps that the grammar took.
inline int compare_times(std::string_view a, std::string_view b) noexcept {
  struct decimal {
    bool negative = false;
    std::string_view whole, fraction;
    bool zero() const noexcept { return whole.empty() && fraction.empty(); }
  };
  const auto read = [](std::string_view text) {
    decimal made;
    made.negative = text[0] == '-';
    if (text[0] == '-' || text[0] == '+') text.remove_prefix(1);
    const std::size_t point = std::min(text.find('.'), text.size());
    made.whole = text.substr(0, point);
    made.fraction = text.substr(std::min(point + 1, text.size()));
    while (!made.whole.empty() && made.whole.front() == '0') made.whole.remove_prefix(1);
    while (!made.fraction.empty() && made.fraction.back() == '0') made.fraction.remove_suffix(1);
    return made;
  };
  if (a.find_first_of("eE") != std::string_view::npos || b.find_first_of("eE") != std::string_view::npos) {
    double left = 0, right = 0;
    (void)parse_value(a, left), (void)parse_value(b, right);
    return (left > right) - (left < right);
  }
  const decimal left = read(a), right = read(b);
  if (left.zero() && right.zero()) return 0;
  if (left.negative != right.negative) return left.negative ? -1 : 1;
  int order = 0;
  if (left.whole.size() != right.whole.size()) order = left.whole.size() < right.whole.size() ? -1 : 1;
  else if (left.whole != right.whole) order = left.whole < right.whole ? -1 : 1;
  else if (left.fraction != right.fraction) order = left.fraction < right.fraction ? -1 : 1;
  return left.negative ? -order : order;
}

/// Characters (code points) of `raw` once it is decoded.
inline std::size_t decoded_characters(std::string_view raw) noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if ((static_cast<unsigned char>(raw[i]) & 0xC0u) == 0x80u) continue;
    if (raw[i] == '\\' && i + 1 < raw.size() && (raw[i + 1] == '\\' || raw[i + 1] == 'n' || raw[i + 1] == '"')) ++i;
    ++count;
  }
  return count;
}

inline std::span<const std::string_view> suffixes_of(metric_type type) noexcept {
  static constexpr std::string_view counter[] = {"_total", "_created"};
  static constexpr std::string_view summary[] = {"", "_count", "_sum", "_created"};
  static constexpr std::string_view histogram[] = {"_count", "_sum", "_bucket", "_created"};
  static constexpr std::string_view gauge_histogram[] = {"_gcount", "_gsum", "_bucket"};
  static constexpr std::string_view info[] = {"_info"};
  static constexpr std::string_view plain[] = {""};
  switch (type) {
    case metric_type::counter: return counter;
    case metric_type::summary: return summary;
    case metric_type::histogram: return histogram;
    case metric_type::gauge_histogram: return gauge_histogram;
    case metric_type::info: return info;
    case metric_type::gauge:
    case metric_type::state_set:
    case metric_type::unknown: break;
  }
  return plain;
}

inline std::size_t offset_in(std::string_view line, std::size_t line_offset, std::string_view part) noexcept {
  return line_offset + static_cast<std::size_t>(part.data() - line.data());
}

}  // namespace detail

inline std::size_t openmetrics_rules::bytes() const noexcept {
  return families_.bytes() + sample_names_.bytes() + groups_.bytes() + extras_.bytes() + family_.name.capacity() +
         group_time_.capacity() + name_.capacity() + label_name_.capacity() + label_value_.capacity() + suffixed_.capacity();
}

inline openmetrics_rules::part openmetrics_rules::part_of(metric_type type, std::string_view suffix) noexcept {
  for (const std::string_view each : detail::suffixes_of(type)) {
    if (each != suffix) continue;
    if (suffix.empty()) return part::value;
    if (suffix == "_total") return part::total;
    if (suffix == "_created") return part::created;
    if (suffix == "_bucket") return part::bucket;
    if (suffix == "_count") return part::count;
    if (suffix == "_sum") return part::sum;
    if (suffix == "_gcount") return part::gcount;
    if (suffix == "_gsum") return part::gsum;
    return part::info;
  }
  return part::none;
}

/// Which sample of the open family has this name.
inline openmetrics_rules::part openmetrics_rules::part_of(std::string_view name) const noexcept {
  if (!family_.open || !name.starts_with(family_.name)) return part::none;
  return part_of(family_.type, name.substr(family_.name.size()));
}

inline std::string_view openmetrics_rules::with_suffix(std::string_view suffix) {
  suffixed_.assign(family_.name);
  return suffixed_.append(suffix);
}

inline bool openmetrics_rules::clashes(metric_type type) {
  // No suffix is the end of another, so a sample that two families can have is called like one of them,
  // and begin_family() has looked for this one's name.
  for (const std::string_view suffix : detail::suffixes_of(type))
    if (families_.contains(detail::keyed_hash(with_suffix(suffix)))) return true;
  return false;
}

inline std::optional<line_fault> openmetrics_rules::end_point() noexcept {
  if (!point_.open) return std::nullopt;
  point_.open = false;
  const auto fault = [&](parse_errc code) { return line_fault{code, point_.offset, true}; };
  if (family_.type == metric_type::counter && !point_.has_total) return fault(parse_errc::missing_total);
  if (family_.type == metric_type::histogram || family_.type == metric_type::gauge_histogram) {
    if (!point_.inf_bucket) return fault(parse_errc::missing_inf_bucket);
    if (point_.has_count != point_.has_sum) return fault(parse_errc::count_and_sum_apart);
  }
  return std::nullopt;
}

inline std::optional<line_fault> openmetrics_rules::end_family() {
  if (const auto fault = end_point()) return fault;
  if (!family_.open) return std::nullopt;
  families_.insert(detail::keyed_hash(family_.name));
  for (const std::string_view suffix : detail::suffixes_of(family_.type))
    sample_names_.insert(detail::keyed_hash(with_suffix(suffix)));
  family_.open = false;
  in_group_ = false;
  groups_.clear();
  extras_.clear();
  return std::nullopt;
}

inline std::optional<line_fault> openmetrics_rules::begin_family(std::string_view name, std::size_t offset) {
  const detail::hash128 hash = detail::keyed_hash(name);
  if (families_.contains(hash)) return line_fault{parse_errc::repeated_family, offset};
  if (sample_names_.contains(hash)) return line_fault{parse_errc::clashing_name, offset};
  std::string kept = std::move(family_.name);
  kept.assign(name);
  family_ = {};
  family_.name = std::move(kept);
  family_.open = true;
  return std::nullopt;
}

inline std::optional<line_fault> openmetrics_rules::check_end() { return end_family(); }

inline std::optional<line_fault> openmetrics_rules::check(const metadata_view& meta) {
  const std::string_view name = detail::decoded_into(meta.name, name_);
  const std::size_t name_at = detail::offset_in(meta.line, meta.offset, meta.name);
  const std::size_t text_at = detail::offset_in(meta.line, meta.offset, meta.text);
  if (!family_.open || family_.name != name) {
    if (const auto fault = end_family()) return fault;
    if (const auto fault = begin_family(name, name_at)) return fault;
  }
  if (family_.has_samples) return line_fault{parse_errc::misplaced_metadata, meta.offset};
  bool& had = meta.what == metadata_view::kind::help   ? family_.has_help
              : meta.what == metadata_view::kind::type ? family_.has_type
                                                           : family_.has_unit;
  if (had) return line_fault{parse_errc::repeated_metadata, meta.offset};
  const auto unitless = [](metric_type type) { return type == metric_type::info || type == metric_type::state_set; };
  if (meta.what == metadata_view::kind::type) {
    if (clashes(meta.type)) return line_fault{parse_errc::clashing_name, name_at};
    if (family_.unit_set && unitless(meta.type)) return line_fault{parse_errc::unit_not_allowed, text_at};
    family_.type = meta.type;
  } else if (meta.what == metadata_view::kind::unit && !meta.text.empty()) {
    if (unitless(family_.type)) return line_fault{parse_errc::unit_not_allowed, text_at};
    family_.unit_set = true;
  }
  had = true;
  return std::nullopt;
}

inline std::optional<line_fault> openmetrics_rules::check(const sample_view& sample) {
  const std::string_view name = detail::decoded_into(sample.name(), name_);
  const auto at = [&](std::string_view text) { return detail::offset_in(sample.line(), sample.offset(), text); };
  part what = part_of(name);
  if (what == part::none) {
    if (family_.open && family_.name == name) return line_fault{parse_errc::name_not_of_type, at(sample.name())};
    if (const auto fault = end_family()) return fault;
    if (const auto fault = begin_family(name, at(sample.name()))) return fault;
    what = part::value;
  }
  const place found = place_of(sample, what);
  if (found.fault) return found.fault;
  if (const auto fault = check_group(sample, what, found)) return fault;
  if (const auto fault = check_value(sample, what, found)) return line_fault{*fault, at(sample.value_text())};
  if (sample.exemplar())
    if (const auto fault = check_exemplar(sample, what, found)) return fault;
  take(sample, what, found);
  return std::nullopt;
}

/// The label that says which bucket, quantile or state this is does not belong to the metric.
inline openmetrics_rules::place openmetrics_rules::place_of(const sample_view& sample, part what) {
  const metric_type type = family_.type;
  const bool quantile = type == metric_type::summary && what == part::value;
  const bool state = type == metric_type::state_set;
  const bool histogram = type == metric_type::histogram || type == metric_type::gauge_histogram;
  const std::string_view own = what == part::bucket ? "le" : quantile ? "quantile" : state ? std::string_view(family_.name) : "";
  const std::string_view forbidden = histogram && what != part::bucket                     ? "le"
                                     : type == metric_type::summary && what != part::value ? "quantile"
                                                                                           : "";
  place made;
  bool has_own = false;
  const auto fault = [&](parse_errc code, std::string_view text) {
    made.fault = line_fault{code, detail::offset_in(sample.line(), sample.offset(), text)};
    return made;
  };
  for (const label_view& label : sample.labels()) {
    const std::string_view label_name = detail::decoded_into(label.name(), label_name_);
    const std::string_view value = detail::decoded_into(label.raw_value(), label_value_);
    if (!forbidden.empty() && label_name == forbidden) return fault(parse_errc::label_not_allowed, label.name());
    const detail::hash128 hash = detail::keyed_hash(value, detail::keyed_hash(label_name));
    if (!value.empty()) made.all = {made.all.low + hash.low, made.all.high + hash.high};
    if (!own.empty() && label_name == own) {
      has_own = true;
      if (state) continue;
      const bool number = detail::parse_value(value, made.threshold) == detail::number_fault::none;
      if (quantile && !(number && made.threshold >= 0 && made.threshold <= 1))
        return fault(parse_errc::bad_quantile_label, label.raw_value());
      if (what == part::bucket && (!number || std::isnan(made.threshold) ||
                                   (std::isinf(made.threshold) && made.threshold > 0 && value != "+Inf")))
        return fault(parse_errc::bad_bucket_label, label.raw_value());
    } else if (!value.empty()) {
      made.group = {made.group.low + hash.low, made.group.high + hash.high};
    }
  }
  if (!own.empty() && !has_own)
    return fault(what == part::bucket ? parse_errc::bad_bucket_label
                 : quantile           ? parse_errc::bad_quantile_label
                                      : parse_errc::missing_state_label, sample.name());
  return made;
}

inline std::optional<line_fault> openmetrics_rules::check_group(const sample_view& sample, part what, const place& found) {
  const bool stamped = sample.timestamp_ms().has_value();
  const auto fault = [&](parse_errc code, std::string_view text) {
    return line_fault{code, detail::offset_in(sample.line(), sample.offset(), text)};
  };
  if (what == part::info) {
    // The labels of an info's metric and those of its points cannot be told apart: only a line that
    // says again what was said is known to be wrong.
    if (!stamped && extras_.contains(found.all)) return fault(parse_errc::repeated_sample, sample.line());
    return std::nullopt;
  }
  if (!in_group_ || !(group_ == found.group)) {
    if (const auto before = end_point()) return before;
    if (groups_.contains(found.group)) return fault(parse_errc::interleaved_metric, sample.line());
    point_ = {};
    return std::nullopt;
  }
  if (stamped != group_stamped_)
    return fault(parse_errc::mixed_timestamps, stamped ? sample.timestamp_text() : sample.value_text());
  if (stamped) {
    const int order = detail::compare_times(sample.timestamp_text(), group_time_);
    if (order < 0) return fault(parse_errc::timestamp_goes_back, sample.timestamp_text());
    if (order > 0) {
      if (const auto before = end_point()) return before;
      point_ = {};
      extras_.clear();
      return std::nullopt;
    }
  }
  bool again = false;
  switch (what) {
    case part::value:
      again = !stamped && (family_.type == metric_type::state_set || family_.type == metric_type::summary
                               ? extras_.contains(found.all) : point_.has_value);
      break;
    case part::total: again = !stamped && point_.has_total; break;
    case part::created: again = point_.has_created && (!stamped || family_.type != metric_type::counter); break;
    case part::count:
    case part::gcount: again = point_.has_count; break;
    case part::sum:
    case part::gsum: again = point_.has_sum; break;
    case part::bucket:  // the order of buckets says it
    case part::info:
    case part::none: break;
  }
  if (again) return fault(parse_errc::repeated_sample, sample.line());
  return std::nullopt;
}

inline std::optional<parse_errc> openmetrics_rules::check_value(const sample_view& sample, part what,
                                                                const place& found) const noexcept {
  const double value = sample.value();
  const bool impossible = std::isnan(value) || value < 0;
  const bool whole = std::isfinite(value) && value == std::floor(value);
  const bool gauge = family_.type == metric_type::gauge_histogram;
  switch (what) {
    case part::value:
      if (family_.type == metric_type::state_set && value != 0 && value != 1) return parse_errc::bad_state_value;
      if (family_.type == metric_type::summary && value < 0) return parse_errc::impossible_value;
      break;
    case part::info:
      if (value != 1) return parse_errc::bad_state_value;
      break;
    case part::total:
      if (impossible) return parse_errc::impossible_value;
      break;
    case part::sum:
      if (impossible) return parse_errc::impossible_value;
      if (point_.negative_bucket) return parse_errc::sum_beside_negative_buckets;
      break;
    case part::gsum:
      if (std::isnan(value)) return parse_errc::impossible_value;
      if (value < 0 && point_.has_bucket && !point_.negative_bucket) return parse_errc::sum_beside_negative_buckets;
      break;
    case part::count:
    case part::gcount:
      if (impossible) return parse_errc::impossible_value;
      if (!whole) return parse_errc::count_not_integer;
      if (point_.inf_bucket && point_.in_bucket != value) return parse_errc::count_mismatch;
      break;
    case part::bucket:
      if (impossible) return parse_errc::impossible_value;
      if (!whole) return parse_errc::count_not_integer;
      if (point_.has_bucket && found.threshold <= point_.le) return parse_errc::buckets_out_of_order;
      if (point_.has_bucket && value < point_.in_bucket) return parse_errc::buckets_not_cumulative;
      if (!gauge && found.threshold < 0 && point_.has_sum) return parse_errc::sum_beside_negative_buckets;
      if (gauge && point_.negative_sum && !point_.has_bucket && found.threshold >= 0)
        return parse_errc::sum_beside_negative_buckets;
      if (std::isinf(found.threshold) && found.threshold > 0 && point_.has_count && point_.count != value)
        return parse_errc::count_mismatch;
      break;
    case part::created:
    case part::none: break;
  }
  return std::nullopt;
}

inline std::optional<line_fault> openmetrics_rules::check_exemplar(const sample_view& sample, part what,
                                                                   const place& found) const noexcept {
  const exemplar_view& exemplar = *sample.exemplar();
  const std::size_t at = detail::offset_in(sample.line(), sample.offset(), exemplar.label_block);
  if (what != part::total && what != part::bucket) return line_fault{parse_errc::misplaced_exemplar, at};
  constexpr std::size_t most = 128;
  std::size_t characters = 0;
  for (const label_view& label : exemplar.labels())
    characters += detail::decoded_characters(label.name()) + detail::decoded_characters(label.raw_value());
  if (characters > most) return line_fault{parse_errc::long_exemplar, at};
  if (what == part::bucket && exemplar.value > found.threshold)
    return line_fault{parse_errc::exemplar_outside_bucket, at};
  return std::nullopt;
}

inline void openmetrics_rules::take(const sample_view& sample, part what, const place& found) {
  family_.has_samples = true;
  if (what == part::info) {
    if (!sample.timestamp_ms()) extras_.insert(found.all);
    return;
  }
  if (!in_group_ || !(group_ == found.group)) {
    groups_.insert(found.group);
    extras_.clear();
    in_group_ = true;
    group_ = found.group;
  }
  group_stamped_ = sample.timestamp_ms().has_value();
  group_time_.assign(sample.timestamp_text());
  point_.open = true;
  point_.offset = sample.offset();
  switch (what) {
    case part::value:
      point_.has_value = true;
      if (family_.type == metric_type::state_set || family_.type == metric_type::summary) extras_.insert(found.all);
      break;
    case part::total: point_.has_total = true; break;
    case part::created: point_.has_created = true; break;
    case part::count:
    case part::gcount:
      point_.has_count = true;
      point_.count = sample.value();
      break;
    case part::sum:
    case part::gsum:
      point_.has_sum = true;
      point_.negative_sum = sample.value() < 0;
      break;
    case part::bucket:
      point_.has_bucket = true;
      if (found.threshold < 0) point_.negative_bucket = true;
      point_.inf_bucket = std::isinf(found.threshold) && found.threshold > 0;
      point_.le = found.threshold;
      point_.in_bucket = sample.value();
      break;
    case part::info:
    case part::none: break;
  }
}

}  // namespace computelocator
