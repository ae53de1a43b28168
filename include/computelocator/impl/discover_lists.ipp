// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/discover.hpp>
#include <computelocator/impl/discover_values.ipp>

namespace computelocator {

namespace detail::discover_ {

namespace json = simdjson::ondemand;

/// Fields of objects are read in the order in which they come: each is walked once.
/// simdjson's errors are thrown inside and caught in feed(): malformed JSON is rare, and a check
/// at each of the forty fields would bury what is read.
template <class Each>
void for_fields(json::value of, Each&& each) {
  if (of.is_null()) return;
  for (json::field field : of.get_object()) {
    const std::string_view key = field.unescaped_key();
    each(key, field.value());
  }
}

template <class Each>
void for_items(json::value of, Each&& each) {
  if (of.is_null()) return;
  for (json::value item : of.get_array()) each(item);
}

inline std::string text(json::value of) {
  if (of.is_null()) return {};
  return std::string(std::string_view(of.get_string()));
}

inline std::int64_t whole(json::value of) {
  return of.is_null() ? 0 : std::int64_t(of.get_int64());
}
inline bool truth(json::value of) { return !of.is_null() && bool(of.get_bool()); }

inline std::map<std::string, std::string> text_map(json::value of) {
  std::map<std::string, std::string> made;
  for_fields(
      of, [&](std::string_view key, json::value value) { made[std::string(key)] = text(value); });
  return made;
}

/// A quantity is text or, in objects that were written by hand, a number.
inline double quantity(json::value of) {
  if (of.is_null()) return absent;
  if (of.type() == json::json_type::number) return of.get_double();
  return parse_quantity(std::string_view(of.get_string())).value_or(absent);
}

inline void resources(json::value of, double& cpu, double& memory) {
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "cpu") cpu = quantity(value);
    else if (key == "memory") memory = quantity(value);
  });
}

inline void read_status(json::value of, node& to) {
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "addresses") {
      for_items(value, [&](json::value each) {
        node_address made;
        for_fields(each, [&](std::string_view name, json::value part) {
          if (name == "type") made.type = text(part);
          else if (name == "address") made.address = text(part);
        });
        to.addresses.push_back(std::move(made));
      });
    } else if (key == "daemonEndpoints") {
      for_fields(value, [&](std::string_view name, json::value endpoint) {
        if (name != "kubeletEndpoint") return;
        for_fields(endpoint, [&](std::string_view what, json::value port) {
          if (what != "Port") return;
          const std::int64_t number = whole(port);
          if (number > 0 && number < 65536) to.kubelet_port = static_cast<std::uint16_t>(number);
        });
      });
    } else if (key == "conditions") {
      for_items(value, [&](json::value each) {
        std::string type, status;
        for_fields(each, [&](std::string_view name, json::value part) {
          if (name == "type") type = text(part);
          else if (name == "status") status = text(part);
        });
        if (type == "Ready") to.ready = status;
      });
    } else if (key == "nodeInfo") {
      for_fields(value, [&](std::string_view name, json::value part) {
        if (name == "kubeletVersion") to.kubelet_version = text(part);
        else if (name == "containerRuntimeVersion") to.container_runtime = text(part);
      });
    } else if (key == "capacity") {
      resources(value, to.capacity_cpu, to.capacity_memory);
    } else if (key == "allocatable") {
      resources(value, to.allocatable_cpu, to.allocatable_memory);
    }
  });
}

/// `version` takes the resourceVersion.
inline void read_object(json::value of, node& to, std::string& version) {
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "metadata") {
      for_fields(value, [&](std::string_view name, json::value part) {
        if (name == "name") to.name = text(part);
        else if (name == "resourceVersion") version = text(part);
        else if (name == "uid") to.uid = text(part);
        else if (name == "labels") to.labels = text_map(part);
      });
    } else if (key == "status") {
      read_status(value, to);
    }
  });
}

/// spec and status each tell a part of a container; `name` joins them.
inline pod_container& container_named(pod& of, const std::string& name, bool init) {
  for (pod_container& each : of.containers)
    if (each.name == name) return each;
  pod_container& made = of.containers.emplace_back();
  made.name = name;
  made.init = init;
  return made;
}

inline void read_spec_container(json::value of, bool init, pod& to) {
  pod_container made;
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "name") made.name = text(value);
    else if (key == "image") made.image = text(value);
    else if (key == "resources")
      for_fields(value, [&](std::string_view kind, json::value amounts) {
        if (kind == "requests") resources(amounts, made.request_cpu, made.request_memory);
        else if (kind == "limits") resources(amounts, made.limit_cpu, made.limit_memory);
      });
  });
  pod_container& into = container_named(to, made.name, init);
  into.image = std::move(made.image);
  into.request_cpu = made.request_cpu;
  into.request_memory = made.request_memory;
  into.limit_cpu = made.limit_cpu;
  into.limit_memory = made.limit_memory;
}

inline void read_container_status(json::value of, bool init, pod& to) {
  std::string name, id;
  std::int64_t restarts = 0;
  bool running = false;
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "name") name = text(value);
    else if (key == "containerID") id = text(value);
    else if (key == "restartCount") restarts = whole(value);
    else if (key == "state")
      for_fields(value, [&](std::string_view state, json::value since) {
        if (state == "running") running = !since.is_null();
      });
  });
  if (const std::size_t mark = id.find("://"); mark != std::string::npos) id.erase(0, mark + 3);
  pod_container& into = container_named(to, name, init);
  into.id = std::move(id);
  into.restarts = static_cast<std::int32_t>(std::clamp<std::int64_t>(restarts, 0, 1 << 30));
  into.running = running;
}

inline void read_pod_metadata(json::value of, pod& to, std::string& version) {
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "name") to.name = text(value);
    else if (key == "resourceVersion") version = text(value);
    else if (key == "namespace") to.namespace_name = text(value);
    else if (key == "uid") to.uid = text(value);
    else if (key == "labels") to.labels = text_map(value);
    else if (key == "annotations") {
      for_fields(value, [&](std::string_view name, json::value part) {
        if (name == "kubernetes.io/config.hash") to.mirror_uid = text(part);
        else if (name.substr(0, 14) == "prometheus.io/")
          to.annotations[std::string(name)] = text(part);
      });
    } else if (key == "ownerReferences") {
      for_items(value, [&](json::value each) {
        std::string kind, name;
        bool controls = false;
        for_fields(each, [&](std::string_view part, json::value what) {
          if (part == "kind") kind = text(what);
          else if (part == "name") name = text(what);
          else if (part == "controller") controls = truth(what);
        });
        if (controls) {
          to.owner_kind = std::move(kind);
          to.owner_name = std::move(name);
        }
      });
    }
  });
}

inline void read_object(json::value of, pod& to, std::string& version) {
  for_fields(of, [&](std::string_view key, json::value value) {
    if (key == "metadata") {
      read_pod_metadata(value, to, version);
    } else if (key == "spec") {
      for_fields(value, [&](std::string_view name, json::value part) {
        if (name == "nodeName") to.node = text(part);
        else if (name == "hostNetwork") to.host_network = truth(part);
        else if (name == "containers")
          for_items(part, [&](json::value each) { read_spec_container(each, false, to); });
        else if (name == "initContainers" || name == "ephemeralContainers")
          for_items(part, [&](json::value each) { read_spec_container(each, true, to); });
      });
    } else if (key == "status") {
      for_fields(value, [&](std::string_view name, json::value part) {
        if (name == "phase") to.phase = text(part);
        else if (name == "podIP") to.pod_ip = text(part);
        else if (name == "containerStatuses")
          for_items(part, [&](json::value each) { read_container_status(each, false, to); });
        else if (name == "initContainerStatuses" || name == "ephemeralContainerStatuses")
          for_items(part, [&](json::value each) { read_container_status(each, true, to); });
      });
    }
  });
}

template <class T>
struct list_kind;
template <>
struct list_kind<node> {
  static constexpr const char* resource = "nodes";
};
template <>
struct list_kind<pod> {
  static constexpr const char* resource = "pods";
};

/// `first` begins the query.
template <class T>
std::string list_path(const list_options& options, const std::string& first) {
  const std::string resource = list_kind<T>::resource;
  std::string made = options.base_path + "/api/v1/";
  if (!options.namespace_name.empty() && resource == "pods")
    made += "namespaces/" + encode(options.namespace_name) + "/";
  made += resource + "?" + first;
  if (!options.label_selector.empty()) made += "&labelSelector=" + encode(options.label_selector);
  if (!options.field_selector.empty()) made += "&fieldSelector=" + encode(options.field_selector);
  return made;
}

inline bool selector_is_plausible(std::string_view text) {
  return text.size() <= 4096 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7E; });
}

/// RFC 1123 label.
inline bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

inline error refused_status(int http_status, std::string_view body, const std::string& where,
                            const std::string& resource, const char* verbs = "`get` and `list`") {
  const std::string said =
      "HTTP status " + std::to_string(http_status) + ": " + status_message(body);
  switch (http_status) {
    case 401:
      return {errc::unauthorized, where, said,
              "the credentials are not valid (any more): renew the token or certificate"};
    case 403:
      return {errc::forbidden, where, said,
              "allow " + std::string(verbs) + " on " + resource + " to this user or service account (RBAC)"};
    case 404:
      return {errc::not_found, where, said, "check the server's URL: this is no Kubernetes API"};
    case 429: return {errc::too_many_requests, where, said, "try again later"};
    default: break;
  }
  if (http_status / 100 == 3)
    return {errc::redirect_refused, where, said, "give the URL that answers by itself"};
  return {errc::http_status, where, said,
          http_status >= 500 ? "try again later; see the API server's log" : "check the selectors"};
}

}  // namespace detail::discover_

std::string status_message(std::string_view body) {
  body = body.substr(0, 65536);  // enough for any Status; the rest would be copied for nothing
  try {
    simdjson::ondemand::parser parser;
    const simdjson::padded_string padded(body);
    auto document = parser.iterate(padded);
    const std::string_view message = document["message"].get_string();
    return printable(message);
  } catch (const simdjson::simdjson_error&) {
    return printable(body);
  }
}

result<std::monostate> check(const list_options& options) {
  using namespace detail::discover_;
  const auto refuse = [](const char* what, const std::string& given, const char* advice) {
    return error{errc::invalid_argument, what, "\"" + printable(given) + "\" cannot be one",
                 advice};
  };
  if (!selector_is_plausible(options.label_selector))
    return refuse("label selector", options.label_selector, "write it as for kubectl get -l");
  if (!selector_is_plausible(options.field_selector))
    return refuse("field selector", options.field_selector,
                  "write it as for kubectl get --field-selector");
  if (!options.namespace_name.empty() && !is_label(options.namespace_name))
    return refuse("namespace", options.namespace_name,
                  "a namespace is up to 63 small letters, digits and -");
  if (options.limit == 0) return error{errc::invalid_argument, "limit", "is 0", "500 is usual"};
  return ok();
}

template <class T>
std::string object_lister<T>::path() const {
  std::string made = detail::discover_::list_path<T>(options_, "limit=" + std::to_string(options_.limit));
  if (!continue_.empty()) made += "&continue=" + detail::discover_::encode(continue_);
  return made;
}

template <class T>
result<list_step> object_lister<T>::feed(int http_status, std::string_view body) {
  using namespace detail::discover_;
  const std::string where = options_.where.empty() ? "API server" : options_.where;
  const std::string resource = list_kind<T>::resource;
  if (http_status == 410) {
    if (++restarts_ > 3)
      return error{errc::expired_list, where,
                   "the list of " + resource + " expired again and again",
                   "ask for larger pages, or later"};
    items_.clear();
    continue_.clear();
    return list_step::restart;
  }
  if (http_status != 200) return refused_status(http_status, body, where, resource);
  if (body.size() > options_.max_body)
    return error{errc::too_large, where,
                 "the list of " + resource + " is larger than " +
                     std::to_string(options_.max_body) + " bytes",
                 "lower the limit of a page"};
  std::string next, version, of_object;
  std::vector<T> page;
  bool has_items = false, too_many = false;
  try {
    json::parser parser;
    const simdjson::padded_string padded(body);
    json::document document = parser.iterate(padded);
    for (json::field field : document.get_object()) {
      const std::string_view key = field.unescaped_key();
      if (key == "metadata") {
        for_fields(field.value(), [&](std::string_view name, json::value part) {
          if (name == "continue") next = text(part);
          else if (name == "resourceVersion") version = text(part);
        });
      } else if (key == "items") {
        has_items = true;
        for_items(field.value(), [&](json::value each) {
          too_many = too_many || items_.size() + page.size() >= options_.max_items;
          if (too_many) return;
          T made;
          read_object(each, made, of_object);
          if (!made.name.empty()) page.push_back(std::move(made));
        });
      }
    }
    // Something behind the document: it is not what a server writes.
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) has_items = false;
  } catch (const simdjson::simdjson_error& wrong) {
    return error{errc::json_malformed, where,
                 "the list of " + resource + " is not what it should be: " + wrong.what(),
                 "check the server's URL"};
  }
  if (!has_items)
    return error{errc::json_malformed, where, "the answer is no list of " + resource,
                 "check the server's URL"};
  if (too_many)
    return error{errc::too_large, where,
                 "there are more than " + std::to_string(options_.max_items) + " " + resource,
                 "narrow the list with a selector"};
  if (!next.empty() && next == continue_)
    return error{errc::json_malformed, where, "the list of " + resource + " goes round in a circle",
                 "see what stands between us and the API server"};
  if (!version.empty()) resource_version_ = std::move(version);
  items_.insert(items_.end(), std::make_move_iterator(page.begin()),
                std::make_move_iterator(page.end()));
  continue_ = std::move(next);
  return continue_.empty() ? list_step::done : list_step::more;
}

template class object_lister<node>;
template class object_lister<pod>;

}  // namespace computelocator
