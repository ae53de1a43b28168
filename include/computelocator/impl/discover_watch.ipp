// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/discover.hpp>
#include <computelocator/impl/discover_lists.ipp>

namespace computelocator {

namespace detail::discover_ {

inline std::string key_of(const node& of) { return of.name; }
inline std::string key_of(const pod& of) { return of.namespace_name + '/' + of.name; }

/// What an ERROR event holds.
struct watch_status {
  std::int64_t code = 0;
  std::string reason, message;
};

inline watch_status read_watch_status(json::value of) {
  watch_status made;
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "code") made.code = whole(value);
    else if (key == "reason") made.reason = text(value);
    else if (key == "message") made.message = text(value);
  });
  return made;
}

/// The version is of no use to this server: it has forgotten it ("too old resource version"), or, put
/// back from a backup, never had it ("Too large resource version", "invalid resource version").
inline bool speaks_of_the_version(std::string_view message) {
  return message.find("resource version") != std::string_view::npos ||
         message.find("resourceVersion") != std::string_view::npos;
}

}  // namespace detail::discover_

template <class T>
std::string object_watcher<T>::where() const {
  return options_.objects.where.empty() ? "API server" : options_.objects.where;
}

template <class T>
watch_step object_watcher<T>::refuse(watch_step step, errc code, std::string what) {
  failure_ = {code, where(),
              "the watch of " + std::string(detail::discover_::list_kind<T>::resource) + ": " + std::move(what),
              code == errc::expired_list ? "nothing: they are listed again" : "see the API server's log"};
  return step;
}

template <class T>
void object_watcher<T>::reset(std::vector<T> items, std::string resource_version) {
  items_.clear();
  for (T& each : items) {
    std::string key = detail::discover_::key_of(each);
    items_.insert_or_assign(items_.end(), std::move(key), std::move(each));
  }
  resource_version_ = std::move(resource_version);
  line_.clear();
}

template <class T>
std::string object_watcher<T>::path() const {
  std::string made = detail::discover_::list_path<T>(
      options_.objects, "watch=1&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(options_.lasts.count()));
  if (!resource_version_.empty())
    made += "&resourceVersion=" + detail::discover_::encode(resource_version_);
  return made;
}

template <class T>
watch_step object_watcher<T>::begin(int http_status, std::string_view error_body) {
  using namespace detail::discover_;
  line_.clear();
  if (http_status == 200) return watch_step::go_on;
  const std::string said = status_message(error_body);
  if (http_status == 410 || ((http_status == 400 || http_status >= 500) && speaks_of_the_version(said)))
    return refuse(watch_step::list_again, errc::expired_list, said);
  failure_ = refused_status(http_status, error_body, where(), list_kind<T>::resource, "`watch`");
  return watch_step::back_off;
}

template <class T>
watch_step object_watcher<T>::feed(std::string_view piece) {
  while (!piece.empty()) {
    const std::size_t end = std::min(piece.find('\n'), piece.size());
    if (line_.size() + end > options_.max_event) {
      line_ = {};
      return refuse(watch_step::list_again, errc::too_large,
                    "an event of more than " + std::to_string(options_.max_event) + " bytes");
    }
    line_ += piece.substr(0, end);
    if (end == piece.size()) break;
    piece.remove_prefix(end + 1);
    const watch_step step = line_.empty() ? watch_step::go_on : take(line_);
    // One large event is no reason to hold its memory until the next.
    constexpr std::size_t usual = std::size_t{64} << 10;
    if (line_.capacity() > usual) line_ = {};
    line_.clear();
    if (step != watch_step::go_on) return step;
  }
  return watch_step::go_on;
}

template <class T>
watch_step object_watcher<T>::end() {
  line_.clear();
  return watch_step::reconnect;
}

template <class T>
std::vector<T> object_watcher<T>::items() const {
  std::vector<T> made;
  made.reserve(items_.size());
  for (const auto& [key, each] : items_) made.push_back(each);
  return made;
}

template <class T>
watch_step object_watcher<T>::take(std::string_view line) {
  using namespace detail::discover_;
  std::string type, version;
  T object;
  watch_status status;
  bool has_object = false;
  try {
    json::parser parser;
    const simdjson::padded_string padded(line);
    json::document document = parser.iterate(padded);
    for (json::field field : document.get_object()) {
      const std::string_view key = field.unescaped_key();
      if (key == "type") type = text(field.value());
      else if (key == "object") has_object = true;
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) has_object = false;
    const bool known = type == "ADDED" || type == "MODIFIED" || type == "DELETED" || type == "BOOKMARK" || type == "ERROR";
    if (has_object && known) {
      // Read once it is known what it is, whichever of the two stood first.
      document.rewind();
      for (json::field field : document.get_object()) {
        if (std::string_view(field.unescaped_key()) != "object") continue;
        if (type == "ERROR") status = read_watch_status(field.value());
        else read_object(field.value(), object, version);
      }
    }
  } catch (const simdjson::simdjson_error& wrong) {
    return refuse(watch_step::list_again, errc::json_malformed, std::string("an event is not what it should be: ") + wrong.what());
  }
  if (!has_object || type.empty())
    return refuse(watch_step::list_again, errc::json_malformed, "a line is no event");
  if (type == "ERROR") {
    const std::string said = printable(status.message.empty() ? status.reason : status.message);
    if (status.code == 410 || status.reason == "Expired" || status.reason == "Gone" || speaks_of_the_version(status.message))
      return refuse(watch_step::list_again, errc::expired_list, said);
    return refuse(watch_step::back_off, errc::http_status, "the server ended it: " + said);
  }
  if (type == "ADDED" || type == "MODIFIED" || type == "DELETED") {
    if (object.name.empty())
      return refuse(watch_step::list_again, errc::json_malformed, "an event names no object");
    ++events_;
    std::string key = key_of(object);
    if (type != "DELETED") {
      items_.insert_or_assign(std::move(key), std::move(object));
      if (items_.size() > options_.objects.max_items)
        return refuse(watch_step::list_again, errc::too_large,
                      "there are more than " + std::to_string(options_.objects.max_items));
    } else if (const auto at = items_.find(key); at != items_.end() && (object.uid.empty() || at->second.uid == object.uid)) {
      items_.erase(at);
    }
  } else if (type == "BOOKMARK") {
    ++events_;
  }
  if (!version.empty()) resource_version_ = std::move(version);
  return watch_step::go_on;
}

std::chrono::milliseconds pause_after(int failures, double chance) noexcept {
  constexpr std::int64_t first = 1000, most = 30'000;
  const std::int64_t whole = std::min(most, first << std::clamp(failures - 1, 0, 10));
  return std::chrono::milliseconds(whole / 2 + static_cast<std::int64_t>(static_cast<double>(whole - whole / 2) * std::clamp(chance, 0.0, 1.0)));
}

template class object_watcher<node>;
template class object_watcher<pod>;

}  // namespace computelocator
