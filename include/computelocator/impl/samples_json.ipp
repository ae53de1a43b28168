// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/impl/text_utf8.hpp>
#include <computelocator/samples_json.hpp>

namespace computelocator {

namespace detail::samples_json_ {

namespace json = simdjson::ondemand;

/// What is thrown, inside alone, where the answer is JSON but not an answer of this kind.
struct unlike {
  std::string what;
  bool too_large = false;
};

/// As Go writes a float64: digits, or NaN, +Inf, -Inf.
inline double number(std::string_view text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  const char* const end = text.data() + text.size();
  const std::size_t digit = text.starts_with('-') ? 1 : 0;
  double value = 0;
  const auto read = std::from_chars(text.data(), end, value);
  // from_chars would take "nan(1)" and "infinity", which nobody writes here.
  if (read.ec != std::errc{} || read.ptr != end || digit == text.size() ||
      !((text[digit] >= '0' && text[digit] <= '9') || text[digit] == '.'))
    throw unlike{"the value \"" + printable(text, 40) + "\" is no number"};
  return value;
}

struct sample {
  std::int64_t time_ms = 0;
  double value = 0;
};

/// [ seconds, "value" ]
inline sample read_sample(json::value of) {
  sample made;
  int part = 0;
  for (json::value each : of.get_array()) {
    if (part == 0) {
      const double seconds = each.get_double();
      if (!(std::abs(seconds) < 9e12)) throw unlike{"a sample's time is beyond all years"};
      made.time_ms = static_cast<std::int64_t>(std::llround(seconds * 1000));
    } else if (part == 1) {
      made.value = number(each.get_string());
    }
    ++part;
  }
  if (part != 2) throw unlike{"a sample is not a time and a value"};
  return made;
}

class reader {
 public:
  explicit reader(const prometheus_json_options& options) : options_(options) {}

  void read(json::value root) {
    for (json::field field : root.get_object()) {
      const std::string_view key = field.unescaped_key();
      json::value value = field.value();
      if (key == "status") status = std::string(std::string_view(value.get_string()));
      else if (key == "errorType") error_type = printable(value.get_string(), 64);
      else if (key == "error") error_text = printable(value.get_string(), 1024);
      else if (key == "warnings" || key == "infos") add_warnings(value);
      else if (key == "data") read_data(value);
    }
  }

  prometheus_samples take() {
    prometheus_samples made;
    made.result_type = result_type_;
    if (histograms_ > 0)
      warnings_.push_back(std::to_string(histograms_) + " samples are native histograms and were left out");
    made.warnings = std::move(warnings_);
    for (auto& [node, builder] : builders_) made.nodes.push_back({std::move(node), std::move(*builder).take()});
    return made;
  }

  bool has_data = false;
  std::string status, error_type, error_text;
  const std::string& result_type() const noexcept { return result_type_; }

 private:
  using labels = std::vector<std::pair<std::string_view, std::string_view>>;

  void add_warnings(json::value of) {
    if (of.is_null()) return;
    for (json::value each : of.get_array())
      if (warnings_.size() < 100) warnings_.push_back(printable(each.get_string(), 1024));
  }

  void read_data(json::value of) {
    // An error's data is null, or something that is not needed.
    if (of.type() != json::json_type::object) return;
    for (json::field field : of.get_object()) {
      const std::string_view key = field.unescaped_key();
      json::value value = field.value();
      if (key == "resultType") {
        result_type_ = printable(value.get_string(), 40);
      } else if (key == "result") {
        if (has_data) throw unlike{"the answer has two results"};
        has_data = true;
        read_result(value);
      }
    }
  }

  /// The elements say what they are, so resultType may stand behind them.
  void read_result(json::value of) {
    int part = 0;
    for (json::value each : of.get_array()) {
      const json::json_type type = each.type();
      if (type == json::json_type::object) {
        read_series(each);
      } else if (part == 0 && type == json::json_type::number) {
        const double seconds = each.get_double();
        if (!(std::abs(seconds) < 9e12)) throw unlike{"a sample's time is beyond all years"};
        scalar_.time_ms = static_cast<std::int64_t>(std::llround(seconds * 1000));
      } else if (part == 1 && type == json::json_type::string) {
        scalar_text_ = std::string(std::string_view(each.get_string()));
      } else {
        throw unlike{"the result holds what is neither a series nor a sample"};
      }
      ++part;
    }
    parts_ = part;
  }

  void read_series(json::value of) {
    points_.clear();
    labels_.clear();
    std::string_view name, node;
    for (json::field field : of.get_object()) {
      const std::string_view key = field.unescaped_key();
      json::value value = field.value();
      if (key == "metric") {
        for (json::field label : value.get_object()) {
          const std::string_view what = label.unescaped_key();
          const std::string_view text = label.value().get_string();
          if (what == "__name__") name = text;
          else if (what == options_.node_label) node = text;
          else if (!text.empty()) labels_.emplace_back(what, text);
          if (labels_.size() > options_.max_label_names) throw unlike{"a series has more than " + std::to_string(options_.max_label_names) + " labels", true};
        }
      } else if (key == "value") {
        add(read_sample(value));
      } else if (key == "values") {
        for (json::value each : value.get_array()) add(read_sample(each));
      } else if (key == "histogram") {
        ++histograms_;
      } else if (key == "histograms") {
        for (json::value each : value.get_array()) {
          (void)each;
          ++histograms_;
        }
      }
    }
    if (points_.empty()) return;
    batch_builder& to = of_node(node);
    const std::uint32_t metric = to.metric(name.empty() ? std::string_view(options_.metric) : name);
    const std::uint32_t set = to.label_set(labels_);
    if (to.label_names() > options_.max_label_names)
      throw unlike{"the answer has more than " + std::to_string(options_.max_label_names) + " label names", true};
    for (const sample& each : points_) to.row(metric, set, each.value, each.time_ms);
  }

  void add(const sample& one) {
    if (samples_++ == options_.max_samples)
      throw unlike{"the answer has more than " + std::to_string(options_.max_samples) + " samples", true};
    points_.push_back(one);
  }

  batch_builder& of_node(std::string_view node) {
    const auto found = places_.find(node);
    if (found != places_.end()) return *builders_[found->second].second;
    places_.emplace(std::string(node), builders_.size());
    return *builders_.emplace_back(std::string(node), std::make_unique<batch_builder>()).second;
  }

 public:
  /// Once all is read: is it what it says it is?
  void finish() {
    if (status == "error") return;
    if (status != "success") throw unlike{status.empty() ? "the answer has no status" : "the answer's status is \"" + printable(status, 40) + "\""};
    if (!has_data) throw unlike{"the answer has no data.result"};
    const bool scalar = result_type_ == "scalar";
    if (result_type_ == "string") throw unlike{"the answer is a string, which holds no samples"};
    if (!scalar && result_type_ != "matrix" && result_type_ != "vector")
      throw unlike{result_type_.empty() ? "the answer has no data.resultType" : "the answer's resultType is \"" + result_type_ + "\""};
    if (scalar != scalar_text_.has_value()) throw unlike{"the result is not what its resultType says"};
    if (!scalar) return;
    if (parts_ != 2 || samples_ != 0) throw unlike{"a scalar is not a time and a value"};
    scalar_.value = number(*scalar_text_);
    batch_builder& to = of_node({});
    to.row(to.metric(options_.metric), to.label_set({}), scalar_.value, scalar_.time_ms);
  }

 private:
  const prometheus_json_options& options_;
  std::string result_type_;
  std::vector<std::string> warnings_;
  std::vector<std::pair<std::string, std::unique_ptr<batch_builder>>> builders_;
  std::map<std::string, std::size_t, std::less<>> places_;
  std::vector<sample> points_;
  labels labels_;
  sample scalar_;
  std::optional<std::string> scalar_text_;
  int parts_ = 0;
  std::size_t samples_ = 0, histograms_ = 0;
};

/// Where the first byte stands that is not UTF-8.
inline std::size_t utf8_fault(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (at + length > text.size() || !is_utf8(text.substr(at, length))) break;
    at += length;
  }
  return at;
}

}  // namespace detail::samples_json_

result<prometheus_samples> read_prometheus_json(std::string_view answer, const prometheus_json_options& options) {
  using namespace detail::samples_json_;
  if (answer.size() > options.max_bytes)
    return error{errc::too_large, options.name, "more bytes than the limit of " + std::to_string(options.max_bytes),
                 "ask for less, or raise max_bytes"};
  simdjson::padded_string padded(answer);
  json::parser parser;
  json::document document;
  const auto refuse = [&](std::size_t offset, std::string what, const char* advice) {
    const position at = locate(answer, std::min(offset, answer.size()));
    return error{errc::page_refused, options.name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column),
                 std::move(what), advice};
  };
  /// simdjson knows its place but where it never found one: then the answer is at its end too early.
  const auto place = [&](simdjson::error_code code) {
    if (code == simdjson::UTF8_ERROR) return utf8_fault(answer);
    const char* at = nullptr;
    if (document.current_location().get(at) != simdjson::SUCCESS) return answer.size();
    const auto offset = static_cast<std::size_t>(at - padded.data());
    return offset <= answer.size() ? offset : answer.size();
  };
  constexpr const char* advice = "give what a Prometheus server answers to /api/v1/query or /api/v1/query_range";
  reader from(options);
  if (const auto code = parser.iterate(padded).get(document); code != simdjson::SUCCESS)
    return refuse(code == simdjson::UTF8_ERROR ? utf8_fault(answer) : answer.size(),
                  std::string("is no JSON: ") + simdjson::error_message(code), advice);
  try {
    from.read(document.get_value());
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return refuse(place(simdjson::SUCCESS), "something stands behind the answer", advice);
    from.finish();
  } catch (const simdjson::simdjson_error& wrong) {
    return refuse(place(wrong.error()), std::string("is not what it should be: ") + wrong.what(), advice);
  } catch (const unlike& wrong) {
    if (wrong.too_large) return error{errc::too_large, options.name, wrong.what, "ask for less, or raise the limit"};
    return refuse(place(simdjson::SUCCESS), wrong.what, advice);
  }
  if (from.status == "error")
    return error{errc::query_failed, options.name,
                 "the server says" + (from.error_type.empty() ? std::string() : " " + from.error_type) + ": " +
                     (from.error_text.empty() ? "nothing more" : from.error_text), "correct the query"};
  return from.take();
}

}  // namespace computelocator
