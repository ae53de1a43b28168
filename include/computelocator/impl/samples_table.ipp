// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include <computelocator/columns.hpp>

namespace computelocator {

namespace detail::columns_ {

/// A category column under construction: its dictionary grows as values are first seen.
class categories {
 public:
  explicit categories(std::size_t rows) { codes_->reserve(rows); }
  std::int32_t code(std::string_view value) {
    const auto found = known_.find(value);
    if (found != known_.end()) return found->second;
    const auto code = static_cast<std::int32_t>(dictionary_->size());
    dictionary_->emplace_back(value);
    known_.emplace(std::string(value), code);
    return code;
  }
  std::vector<std::int32_t>& codes() noexcept { return *codes_; }
  column take(std::string name) && {
    column made;
    made.name = std::move(name);
    made.type = column_type::category;
    made.codes = std::move(codes_);
    made.dictionary = std::move(dictionary_);
    return made;
  }

 private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  std::shared_ptr<std::vector<std::int32_t>> codes_ = std::make_shared<std::vector<std::int32_t>>();
  std::shared_ptr<std::vector<std::string>> dictionary_ = std::make_shared<std::vector<std::string>>();
  std::unordered_map<std::string, std::int32_t, text_hash, std::equal_to<>> known_;
};

inline int label_rank(std::string_view name) noexcept {
  constexpr std::string_view first[] = {"namespace", "pod", "container", "id", "image", "name"};
  for (int i = 0; i < 6; ++i)
    if (first[i] == name) return i;
  return 6;
}

/// The value of a label of the target; null where it has none.
inline const std::string* label_of(const batch_source& source, std::string_view name) noexcept {
  for (const auto& [key, value] : source.labels)
    if (key == name) return &value;
  return nullptr;
}

/// Under which name a label of the page goes beside those of its target. One that the page itself has
/// under such a name gets out of the way, too.
inline std::vector<std::string> column_names(const batch_source& source) {
  const label_sets& sets = *source.columns->sets;
  std::vector<std::string> made;
  for (std::uint32_t name = 0; name < sets.names(); ++name) made.emplace_back(sets.name(name));
  if (source.labels.empty()) return made;
  for (std::string& name : made) {
    if (label_of(source, name) == nullptr) continue;
    std::string other = name;
    do other.insert(0, "exported_");
    while (label_of(source, other) != nullptr || std::find(made.begin(), made.end(), other) != made.end());
    name = std::move(other);
  }
  return made;
}

}  // namespace detail::columns_

table samples_table(std::span<const batch_source> sources) {
  using detail::columns_::categories;
  std::size_t rows = 0;
  for (const batch_source& source : sources) rows += source.columns->rows();

  auto timestamps = std::make_shared<std::vector<std::int64_t>>();
  auto stamped = std::make_shared<std::vector<std::uint8_t>>();
  auto scrapes = std::make_shared<std::vector<std::int64_t>>();
  auto scraped = std::make_shared<std::vector<std::uint8_t>>();
  auto values = std::make_shared<std::vector<double>>();
  timestamps->reserve(rows), stamped->reserve(rows), scrapes->reserve(rows), scraped->reserve(rows);
  values->reserve(rows);
  categories metrics(rows), nodes(rows);
  table made;
  std::map<std::string, metric> described;

  // Which label columns there are: those with a value on any row, those of targets first.
  std::map<std::pair<int, std::string>, categories> labels;
  std::set<std::string> of_targets;
  for (const batch_source& source : sources)
    for (const auto& [name, value] : source.labels)
      if (source.columns->rows() > 0 && of_targets.insert(name).second) labels.try_emplace({-1, name}, rows);
  std::vector<std::vector<std::string>> names_of;  // of the labels of each source
  for (const batch_source& source : sources) {
    const label_sets& sets = *source.columns->sets;
    const std::vector<std::string>& names = names_of.emplace_back(detail::columns_::column_names(source));
    std::vector<std::uint8_t> on_rows(sets.size()), filled(sets.names());
    for (const std::uint32_t id : source.columns->label_set_id) on_rows[id] = 1;
    for (std::uint32_t id = 0; id < sets.size(); ++id)
      if (on_rows[id])
        for (const label_sets::entry& label : sets[id])
          if (!sets.value(label.value).empty()) filled[label.name] = 1;
    for (std::uint32_t name = 0; name < filled.size(); ++name)
      if (filled[name] && of_targets.count(names[name]) == 0)
        labels.try_emplace({detail::columns_::label_rank(names[name]), names[name]}, rows);
  }

  for (std::size_t which = 0; which < sources.size(); ++which) {
    const batch_source& source = sources[which];
    const std::vector<std::string>& names = names_of[which];
    const batch& columns = *source.columns;
    const label_sets& sets = *columns.sets;
    values->insert(values->end(), columns.value.begin(), columns.value.end());
    scrapes->insert(scrapes->end(), columns.rows(), source.scrape_ms == no_timestamp ? 0 : source.scrape_ms);
    scraped->insert(scraped->end(), columns.rows(), source.scrape_ms != no_timestamp);
    for (const std::int64_t at : columns.timestamp_ms) {
      timestamps->push_back(at == no_timestamp ? 0 : at);
      stamped->push_back(at != no_timestamp);
    }
    nodes.codes().insert(nodes.codes().end(), columns.rows(), source.node.empty() ? -1 : nodes.code(source.node));
    std::vector<std::int32_t> metric_codes(columns.metrics.size());
    for (std::size_t i = 0; i < columns.metrics.size(); ++i) {
      if (columns.metrics[i].name.empty()) {  // what a query gave that has no name
        metric_codes[i] = -1;
        continue;
      }
      metric_codes[i] = metrics.code(columns.metrics[i].name);
      described.try_emplace(columns.metrics[i].name, columns.metrics[i]);
    }
    for (const std::uint32_t id : columns.metric_id) metrics.codes().push_back(metric_codes[id]);

    // One pass over the label sets, then one gather of integers a label column.
    std::vector<std::int32_t> code_of_set(sets.size());
    for (auto& [key, label] : labels) {
      if (const std::string* const given = detail::columns_::label_of(source, key.second)) {
        label.codes().insert(label.codes().end(), columns.rows(), given->empty() ? -1 : label.code(*given));
        continue;
      }
      std::fill(code_of_set.begin(), code_of_set.end(), -1);
      const auto name = static_cast<std::uint32_t>(std::find(names.begin(), names.end(), key.second) - names.begin());
      if (name < names.size()) {
        std::vector<std::int32_t> code_of_value(sets.values(), -2);
        for (std::uint32_t id = 0; id < sets.size(); ++id)
          for (const label_sets::entry& entry : sets[id])
            if (entry.name == name) {
              std::int32_t& code = code_of_value[entry.value];
              if (code == -2) {
                const std::string_view text = sets.value(entry.value);
                code = text.empty() ? -1 : label.code(text);
              }
              code_of_set[id] = code;
            }
      }
      std::vector<std::int32_t>& codes = label.codes();
      for (const std::uint32_t id : columns.label_set_id) codes.push_back(code_of_set[id]);
    }
  }

  made.rows = rows;
  column& timestamp = made.columns.emplace_back();
  timestamp.name = "timestamp";
  timestamp.type = column_type::timestamp_ms;
  timestamp.int64 = std::move(timestamps);
  if (std::find(stamped->begin(), stamped->end(), 0) != stamped->end()) timestamp.valid = std::move(stamped);
  column& scrape = made.columns.emplace_back();
  scrape.name = "scrape_timestamp";
  scrape.type = column_type::timestamp_ms;
  scrape.int64 = std::move(scrapes);
  if (std::find(scraped->begin(), scraped->end(), 0) != scraped->end()) scrape.valid = std::move(scraped);
  made.columns.push_back(std::move(metrics).take("metric"));
  column& value = made.columns.emplace_back();
  value.name = "value";
  value.type = column_type::float64;
  value.float64 = std::move(values);
  const bool labelled = !sources.empty() && std::all_of(sources.begin(), sources.end(), [](const batch_source& each) {
    return each.node.empty() && !each.labels.empty();
  });
  if (!labelled) made.columns.push_back(std::move(nodes).take("node"));
  for (auto& [key, label] : labels) {
    // A label of the page that is called like a column of ours gets out of its way.
    const bool taken = made.find(key.second) != nullptr;
    made.columns.push_back(std::move(label).take(taken ? "label_" + key.second : key.second));
  }
  for (const auto& [name, about] : described) {
    made.meta.emplace_back("type:" + name, std::string(to_string(about.type)));
    if (!about.unit.empty()) made.meta.emplace_back("unit:" + name, about.unit);
    if (!about.help.empty()) made.meta.emplace_back("help:" + name, about.help);
  }
  return made;
}

}  // namespace computelocator
