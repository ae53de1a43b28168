// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Which samples of a page are wanted: by the metric's name and by the values of labels. Compiled once,
// used for many pages and from many threads.
//
//   const metric_selection names({"container_memory_usage_bytes"});
//   label_selection labels;
//   labels.keep("namespace", {"shop", "mail"});
//   parse(page, selecting(sink, names, labels));
//
// Lines of other metrics are skipped unread, at the speed of a newline scan. A label decides before any
// label is decoded.

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/text.hpp>

namespace computelocator {

/// The names that are wanted, or all of them. Cheap to copy.
class metric_selection {
 public:
  metric_selection() = default;                               ///< all
  explicit metric_selection(std::vector<std::string> names)   ///< these alone
      : names_(sorted(std::move(names))) {}
  /// Leaves these out, whatever else is wanted.
  metric_selection& drop(std::vector<std::string> names) {
    if (dropped_ != nullptr) names.insert(names.end(), dropped_->begin(), dropped_->end());
    if (!names.empty()) dropped_ = sorted(std::move(names));
    return *this;
  }
  bool all() const noexcept { return names_ == nullptr && dropped_ == nullptr; }
  bool contains(std::string_view name) const noexcept {
    return (names_ == nullptr || among(*names_, name)) && (dropped_ == nullptr || !among(*dropped_, name));
  }

 private:
  using list = std::vector<std::string>;
  static std::shared_ptr<const list> sorted(list names) {
    std::sort(names.begin(), names.end());
    return std::make_shared<const list>(std::move(names));
  }
  static bool among(const list& names, std::string_view name) noexcept {
    return std::binary_search(names.begin(), names.end(), name, std::less<>());
  }
  std::shared_ptr<const list> names_, dropped_;
};

/// A label and the values of it that are wanted; "" is the value of a label that is not there.
struct label_choice {
  std::string name;
  std::vector<std::string> values;
  bool dropped = false;  ///< these are the values that are not wanted
};

/// The label sets that are wanted, or all of them: those with one of the values of each choice, or with
/// none of them where it is dropped. Cheap to copy.
class label_selection {
 public:
  label_selection() = default;                                 ///< all
  explicit label_selection(std::vector<label_choice> choices) {
    if (!choices.empty()) choices_ = std::make_shared<const std::vector<label_choice>>(std::move(choices));
  }
  /// Also asks for one of `values` under `name`.
  label_selection& keep(std::string name, std::vector<std::string> values) {
    return add({std::move(name), std::move(values)});
  }
  /// Also leaves out what has one of `values` under `name`.
  label_selection& drop(std::string name, std::vector<std::string> values) {
    return add({std::move(name), std::move(values), true});
  }
  bool all() const noexcept { return choices_ == nullptr; }
  bool contains(const labels_view& labels) const noexcept;

 private:
  label_selection& add(label_choice choice) {
    std::vector<label_choice> more = all() ? std::vector<label_choice>() : *choices_;
    more.push_back(std::move(choice));
    choices_ = std::make_shared<const std::vector<label_choice>>(std::move(more));
    return *this;
  }
  std::shared_ptr<const std::vector<label_choice>> choices_;
};

/// `Sink`, asked for and told of the wanted samples alone; result().skipped counts the others. A line
/// whose labels are not wanted is read to its end, and is a fault if it has one.
template <class Sink>
class selecting {
 public:
  explicit selecting(Sink& sink, metric_selection names = {}, label_selection labels = {}) noexcept
      : sink_(sink), names_(std::move(names)), labels_(std::move(labels)) {}

  bool wants(std::string_view name) {
    if (!names_.contains(name)) return false;
    if constexpr (requires(Sink& s) { s.wants(name); }) return sink_.wants(name);
    else return true;
  }
  bool wants(const sample_view& sample) {
    if (!labels_.all() && !labels_.contains(sample.labels())) return false;
    if constexpr (requires(Sink& s) { s.wants(sample); }) return sink_.wants(sample);
    else return true;
  }
  std::optional<line_fault> check(const sample_view& sample) requires requires(Sink& s) { s.check(sample); } { return sink_.check(sample); }
  std::optional<line_fault> check(const metadata_view& meta) requires requires(Sink& s) { s.check(meta); } { return sink_.check(meta); }
  std::optional<line_fault> check_end() requires requires(Sink& s) { s.check_end(); } { return sink_.check_end(); }
  void on_sample(const sample_view& sample) requires requires(Sink& s) { s.on_sample(sample); } { sink_.on_sample(sample); }
  void on_metadata(const metadata_view& meta) requires requires(Sink& s) { s.on_metadata(meta); } { sink_.on_metadata(meta); }
  void on_comment(std::string_view line) requires requires(Sink& s) { s.on_comment(line); } { sink_.on_comment(line); }
  bool on_error(const parse_error& fault) requires requires(Sink& s) { s.on_error(fault); } { return sink_.on_error(fault); }
  void on_eof() requires requires(Sink& s) { s.on_eof(); } { sink_.on_eof(); }

 private:
  Sink& sink_;
  metric_selection names_;
  label_selection labels_;
};

namespace detail {

/// True where `raw`, decoded, is `text`.
inline bool decodes_to(std::string_view raw, std::string_view text) noexcept {
  if (raw.find('\\') == std::string_view::npos) return raw == text;
  std::size_t at = 0;
  for (std::size_t i = 0; i < raw.size(); ++i, ++at) {
    char decoded[2];
    const std::size_t taken = raw[i] == '\\' && i + 1 < raw.size() ? 2 : 1;
    const std::size_t size = label_view({}, raw.substr(i, taken)).decode(decoded);
    if (size == 1 && taken == 2) ++i;  // else the backslash stands for itself
    if (at == text.size() || text[at] != decoded[0]) return false;
  }
  return at == text.size();
}

}  // namespace detail

inline bool label_selection::contains(const labels_view& labels) const noexcept {
  if (choices_ == nullptr) return true;
  for (const label_choice& choice : *choices_) {
    std::string_view value;
    for (const label_view& label : labels)
      if (detail::decodes_to(label.name(), choice.name)) {
        value = label.raw_value();
        break;
      }
    const auto is = [&](const std::string& each) { return detail::decodes_to(value, each); };
    if (std::any_of(choice.values.begin(), choice.values.end(), is) == choice.dropped) return false;
  }
  return true;
}

}  // namespace computelocator
