// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <yaml.h>

#include <computelocator/error.hpp>

namespace computelocator::detail::discover_ {

struct yaml_field;

/// A YAML (or JSON) document as a small tree: what a kubeconfig needs and no more.
struct yaml_node {
  enum class kind { scalar, list, map } what = kind::scalar;
  std::string text;
  bool plain = true;  // not quoted: "null", "true" mean what they say
  std::vector<yaml_node> items;
  std::vector<yaml_field> fields;

  const yaml_node* find(std::string_view name) const noexcept;
  bool null() const noexcept {
    return what == kind::scalar && plain && (text.empty() || text == "~" || text == "null");
  }
};

struct yaml_field {
  std::string name;
  yaml_node value;
};

inline const yaml_node* yaml_node::find(std::string_view name) const noexcept {
  for (const yaml_field& each : fields)
    if (each.name == name) return &each.value;
  return nullptr;
}

inline std::string text_of(const yaml_node& in, std::string_view name) {
  const yaml_node* const found = in.find(name);
  return found == nullptr || found->null() || found->what != yaml_node::kind::scalar ? std::string()
                                                                                     : found->text;
}
inline bool has(const yaml_node& in, std::string_view name) {
  const yaml_node* const found = in.find(name);
  return found != nullptr && !found->null();
}

/// libyaml's events to a tree, bounded in depth, nodes and bytes; aliases and anchors count as
/// what they copy.
class yaml_reader {
 public:
  static constexpr int max_depth = 64;
  static constexpr std::size_t max_nodes = 100'000;
  static constexpr std::size_t max_bytes = std::size_t{8} << 20;

  explicit yaml_reader(std::string_view text) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (ready_)
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
  }
  yaml_reader(const yaml_reader&) = delete;
  yaml_reader& operator=(const yaml_reader&) = delete;
  ~yaml_reader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  /// The first document; an empty one is an empty map.
  result<yaml_node> read() {
    yaml_node root;
    root.what = yaml_node::kind::map;
    event now;
    if (!next(now)) return fault();
    if (!next(now)) return fault();
    if (now.value.type == YAML_STREAM_END_EVENT) return root;
    if (!next(now)) return fault();
    if (!value(now, root, 0)) return fault();
    return root;
  }

 private:
  struct event {
    yaml_event_t value{};
    bool filled = false;
    event() = default;
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    ~event() { clear(); }
    void clear() {
      if (filled) yaml_event_delete(&value);
      filled = false;
    }
  };

  bool next(event& to) {
    to.clear();
    if (!ready_ || yaml_parser_parse(&parser_, &to.value) != 1) {
      // The parser's own words quote nothing of the text, so no secret gets into them.
      why_ = ready_ && parser_.problem != nullptr ? parser_.problem : "is not YAML";
      line_ = ready_ ? parser_.problem_mark.line + 1 : 1;
      return false;
    }
    to.filled = true;
    line_ = to.value.start_mark.line + 1;
    return true;
  }
  bool refuse(const char* why) {
    why_ = why;
    return false;
  }
  error fault() const {
    return {errc::bad_configuration, "line " + std::to_string(line_), why_, ""};
  }

  /// What a copy of `of` takes, so that one long text cannot be had a hundred thousand times.
  bool pay(const yaml_node& of) {
    ++nodes_;
    bytes_ += of.text.size();
    if (nodes_ > max_nodes || bytes_ > max_bytes) return refuse("holds too much");
    for (const yaml_node& each : of.items)
      if (!pay(each)) return false;
    for (const yaml_field& each : of.fields) {
      bytes_ += each.name.size();
      if (!pay(each.value)) return false;
    }
    return true;
  }
  bool remember(const std::string& anchor, const yaml_node& what) {
    if (anchor.empty()) return true;
    if (!pay(what)) return false;
    anchors_[anchor] = what;
    return true;
  }

  bool value(event& now, yaml_node& to, int depth) {
    if (depth > max_depth) return refuse("nests too deeply");
    if (++nodes_ > max_nodes) return refuse("holds too much");
    to = {};
    switch (now.value.type) {
      case YAML_SCALAR_EVENT: {
        const auto& scalar = now.value.data.scalar;
        to.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
        to.plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return remember(name_of(scalar.anchor), to);
      }
      case YAML_ALIAS_EVENT: {
        const auto found =
            anchors_.find(reinterpret_cast<const char*>(now.value.data.alias.anchor));
        if (found == anchors_.end()) return refuse("names an anchor that is not there");
        if (!pay(found->second)) return false;
        to = found->second;
        return true;
      }
      case YAML_SEQUENCE_START_EVENT: {
        const std::string anchor = name_of(now.value.data.sequence_start.anchor);
        to.what = yaml_node::kind::list;
        event each;
        for (;;) {
          if (!next(each)) return false;
          if (each.value.type == YAML_SEQUENCE_END_EVENT) break;
          yaml_node item;
          if (!value(each, item, depth + 1)) return false;
          to.items.push_back(std::move(item));
        }
        return remember(anchor, to);
      }
      case YAML_MAPPING_START_EVENT: {
        const std::string anchor = name_of(now.value.data.mapping_start.anchor);
        to.what = yaml_node::kind::map;
        std::set<std::string> names;
        event each;
        for (;;) {
          if (!next(each)) return false;
          if (each.value.type == YAML_MAPPING_END_EVENT) break;
          if (each.value.type != YAML_SCALAR_EVENT) return refuse("has a name that is not text");
          std::string name(reinterpret_cast<const char*>(each.value.data.scalar.value),
                           each.value.data.scalar.length);
          if (name == "<<") return refuse("uses a merge key (<<), which kubectl does not know");
          if (!names.insert(name).second) return refuse("gives a name twice");
          if (!next(each)) return false;
          yaml_node item;
          if (!value(each, item, depth + 1)) return false;
          to.fields.push_back({std::move(name), std::move(item)});
        }
        return remember(anchor, to);
      }
      default: return refuse("is not YAML");
    }
  }
  static std::string name_of(const unsigned char* anchor) {
    return anchor == nullptr ? std::string() : reinterpret_cast<const char*>(anchor);
  }

  yaml_parser_t parser_{};
  bool ready_ = false;
  std::string why_;
  std::size_t line_ = 1, nodes_ = 0, bytes_ = 0;
  std::map<std::string, yaml_node> anchors_;
};

}  // namespace computelocator::detail::discover_
