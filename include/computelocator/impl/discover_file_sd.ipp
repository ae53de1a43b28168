// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <glob.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/discover_exporters.hpp>
#include <computelocator/impl/discover_values.ipp>
#include <computelocator/impl/discover_yaml.hpp>

namespace computelocator {

namespace detail::discover_ {

constexpr std::size_t max_file_sd_bytes = std::size_t{16} << 20;
constexpr const char* file_sd_advice = R"(write it as [{"targets": ["host:9100"], "labels": {"name": "value"}}])";

inline error no_file_sd(std::string where, std::string what) {
  return {errc::bad_configuration, std::move(where), std::move(what), file_sd_advice};
}

/// What is thrown, inside alone, for JSON that is no list of groups.
struct unlike_file_sd {
  std::string what;
};

inline std::vector<target_group> file_sd_of(simdjson::ondemand::document& document) {
  namespace json = simdjson::ondemand;
  std::vector<target_group> groups;
  for (json::value each : document.get_array()) {
    target_group& group = groups.emplace_back();
    for (json::field field : each.get_object()) {
      const std::string key(std::string_view(field.unescaped_key()));
      json::value value = field.value();
      if (key == "targets") {
        if (value.is_null()) continue;
        for (json::value address : value.get_array()) group.addresses.emplace_back(std::string_view(address.get_string()));
      } else if (key == "labels") {
        if (value.is_null()) continue;
        for (json::field label : value.get_object()) {
          std::string name(std::string_view(label.unescaped_key()));
          group.labels.emplace_back(std::move(name), std::string(std::string_view(label.value().get_string())));
        }
      } else {
        throw unlike_file_sd{"a group has \"" + printable(key, 64) + "\", which is neither targets nor labels"};
      }
    }
  }
  return groups;
}

inline result<std::vector<target_group>> read_file_sd_json(std::string_view text, const std::string& name) {
  namespace json = simdjson::ondemand;
  const simdjson::padded_string padded(text);
  json::parser parser;
  json::document document;
  const auto here = [&] {
    const char* at = nullptr;
    const bool known = document.current_location().get(at) == simdjson::SUCCESS;
    const std::size_t offset = known ? std::min(static_cast<std::size_t>(at - padded.data()), text.size()) : text.size();
    return printable(name) + ":" + std::to_string(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
  };
  if (const auto code = parser.iterate(padded).get(document); code != simdjson::SUCCESS)
    return no_file_sd(printable(name), std::string("is no JSON: ") + simdjson::error_message(code));
  try {
    auto groups = file_sd_of(document);
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return no_file_sd(here(), "something stands behind the list of groups");
    return groups;
  } catch (const simdjson::simdjson_error& wrong) {
    return no_file_sd(here(), std::string("is no list of groups of targets: ") + wrong.what());
  } catch (const unlike_file_sd& wrong) {
    return no_file_sd(here(), wrong.what);
  }
}

inline result<std::vector<target_group>> read_file_sd_yaml(std::string_view text, const std::string& name) {
  auto root = yaml_reader(text).read();
  if (!root) return no_file_sd(printable(name) + ": " + root.error().where, root.error().what);
  std::vector<target_group> groups;
  using kind = yaml_node::kind;
  const auto refuse = [&](std::string what) { return no_file_sd(printable(name), std::move(what)); };
  if (root->what != kind::list) {
    if (root->null() || (root->what == kind::map && root->fields.empty() && text.find('{') == std::string_view::npos)) return groups;
    return refuse("is no list of groups of targets");
  }
  for (const yaml_node& each : root->items) {
    if (each.what != kind::map) return refuse("has a group that is no map");
    target_group& group = groups.emplace_back();
    for (const yaml_field& field : each.fields) {
      if (field.name == "targets") {
        if (field.value.null()) continue;
        if (field.value.what != kind::list) return refuse("has targets that are no list");
        for (const yaml_node& address : field.value.items) {
          if (address.what != kind::scalar || address.null()) return refuse("has a target that is no text");
          group.addresses.push_back(address.text);
        }
      } else if (field.name == "labels") {
        if (field.value.null()) continue;
        if (field.value.what != kind::map) return refuse("has labels that are no map");
        for (const yaml_field& label : field.value.fields) {
          if (label.value.what != kind::scalar) return refuse("has a label that is no text");
          group.labels.emplace_back(label.name, label.value.null() ? std::string() : label.value.text);
        }
      } else {
        return refuse("a group has \"" + printable(field.name, 64) + "\", which is neither targets nor labels");
      }
    }
  }
  return groups;
}

}  // namespace detail::discover_

result<std::vector<target_group>> read_file_sd(std::string_view text, const std::string& name) {
  using namespace detail::discover_;
  auto groups = name.ends_with(".json") ? read_file_sd_json(text, name) : read_file_sd_yaml(text, name);
  if (!groups) return groups;
  for (const target_group& group : *groups)
    for (const auto& [label, value] : group.labels)
      if (label.empty()) return no_file_sd(printable(name), "has a label without a name");
  return groups;
}

result<std::vector<target_group>> read_file_sd_files(const std::string& path) {
  using namespace detail::discover_;
  std::vector<std::string> files;
  const std::size_t slash = path.rfind('/');
  if (path.find_first_of("*?", slash == std::string::npos ? 0 : slash) == std::string::npos) {
    files.push_back(path);
  } else {
    glob_t found{};
    if (::glob(path.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
  }
  std::vector<target_group> all;
  for (const std::string& file : files) {
    auto text = read_file(file, max_file_sd_bytes);
    if (!text) {
      text.error().code = errc::bad_configuration;
      return std::move(text).error();
    }
    auto groups = read_file_sd(*text, file);
    if (!groups) return groups;
    all.insert(all.end(), std::make_move_iterator(groups->begin()), std::make_move_iterator(groups->end()));
  }
  return all;
}

}  // namespace computelocator
