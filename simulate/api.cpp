// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "api.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace computelocator::simulate {

namespace {

constexpr std::size_t remembered = 2000;  // events
constexpr std::size_t max_page = 500;

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

/// "a=b,c!=d,e": all of it must hold. Set expressions are beyond this server.
bool selected(const std::string& selector, const std::map<std::string, std::string>& labels) {
  std::string_view rest = selector;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    std::string_view term = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = term.find('=');
    const bool negated = (equals != std::string_view::npos && equals > 0 && term[equals - 1] == '!') ||
                         term.substr(0, 1) == "!";
    if (equals == std::string_view::npos) {
      if (negated) term.remove_prefix(1);
      if ((labels.count(std::string(term)) > 0) == negated) return false;
      continue;
    }
    std::string_view value = term.substr(equals + 1);
    if (value.substr(0, 1) == "=") value.remove_prefix(1);
    const std::string key(term.substr(0, negated ? equals - 1 : equals));
    const auto found = labels.find(key);
    if ((found != labels.end() && found->second == value) == negated) return false;
  }
  return true;
}

/// The object as of a version.
std::string at_version(std::string json, std::uint64_t version) {
  constexpr std::string_view field = "\"resourceVersion\":\"";
  const std::size_t at = json.find(field) + field.size();
  return json.replace(at, json.find('"', at) - at, std::to_string(version));
}

constexpr const char* core_resources =
    R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[)"
    R"({"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["get","list"],"shortNames":["ns"]},)"
    R"({"name":"nodes","singularName":"node","namespaced":false,"kind":"Node","verbs":["get","list","watch"],"shortNames":["no"]},)"
    R"({"name":"nodes/proxy","singularName":"","namespaced":false,"kind":"NodeProxyOptions","verbs":["get"]},)"
    R"({"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"],"shortNames":["po"]}]})";

}  // namespace

/// One watch, as far as it has been told.
struct api::watching {
  choice what;
  bool of_nodes = false;
  std::uint64_t version = 0, endings = 0;
  bool bookmarks = false;
  std::chrono::steady_clock::time_point told = std::chrono::steady_clock::now();
};

api::api(const cluster& of, api_options options) : options_(std::move(options)) {
  for (std::size_t i = 0; i < of.nodes().size(); ++i) changed(of, i);
  events_.clear();
  forgotten_ = version_;
}

bool api::choice::takes(const object& each) const {
  return (namespace_name.empty() || each.namespace_name == namespace_name) && (node.empty() || each.node == node) &&
         (name.empty() || each.name == name) && selected(labels, each.labels);
}

void api::note(const char* type, std::shared_ptr<const object> what, bool of_node) {
  events_.push_back({version_, type, std::move(what), of_node});
  if (events_.size() <= remembered) return;
  forgotten_ = events_.front().version;
  events_.pop_front();
}

void api::drop(objects& in, objects::iterator at, bool of_node) {
  object last = *at->second;
  in.erase(at);
  last.json = at_version(std::move(last.json), ++version_);
  note("DELETED", std::make_shared<const object>(std::move(last)), of_node);
}

void api::put(objects& in, const std::string& key, object made, bool of_node) {
  const auto at = in.find(key);
  const bool known = at != in.end() && at->second->uid == made.uid;
  if (at != in.end() && !known) drop(in, at, of_node);
  made.json = at_version(std::move(made.json), ++version_);
  const auto kept = std::make_shared<const object>(std::move(made));
  in[key] = kept;
  note(known ? "MODIFIED" : "ADDED", kept, of_node);
}

void api::changed(const cluster& of, std::size_t number) {
  const sim_node& node = of.nodes()[number];
  const auto [address, port] = options_.kubelet(number);
  const std::lock_guard lock(guarding_);
  std::set<std::string> has;
  if (!node.gone)
    for (const sim_pod& pod : node.pods) has.insert(pod.uid);
  const std::string before = names_[number];
  for (auto at = pods_.begin(); at != pods_.end();) {
    const auto next = std::next(at);
    if (!before.empty() && at->second->node == before && !has.count(at->second->uid)) drop(pods_, at, false);
    at = next;
  }
  if (const auto at = nodes_.find(before); at != nodes_.end() && (node.gone || before != node.name)) {
    drop(nodes_, at, true);
    numbers_.erase(before);
  }
  if (node.gone) return;
  names_[number] = node.name;
  numbers_[node.name] = number;
  put(nodes_, node.name, {node_json(of, node, address, port), node.name, {}, {}, node.uid, node.labels}, true);
  for (const sim_pod& pod : node.pods) {
    const std::string key = pod.namespace_name + '/' + pod.name;
    if (const auto at = pods_.find(key); at != pods_.end() && at->second->uid == pod.uid) continue;
    put(pods_, key, {pod_json(of, node, pod), pod.name, pod.namespace_name, node.name, pod.uid, pod.labels}, false);
  }
}

void api::end_watches(watch_end how) {
  const std::lock_guard lock(guarding_);
  ++endings_;
  ending_ = how;
  if (how != watch_end::forgotten) return;
  events_.clear();
  forgotten_ = ++version_;
}

void api::watches_last(std::chrono::milliseconds time) {
  const std::lock_guard lock(guarding_);
  lasts_ = time;
}

void api::deny(const std::string& resource, bool denied) {
  const std::lock_guard lock(guarding_);
  if (denied) options_.denied.insert(resource);
  else options_.denied.erase(resource);
}

api_counts api::counts() const {
  const std::lock_guard lock(guarding_);
  return counts_;
}

reply api::failure(int status, const char* why, const std::string& message) const {
  return reply::text(status, "application/json",
                     R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":)" +
                         quoted(message) + R"(,"reason":")" + why + R"(","code":)" + std::to_string(status) + "}");
}

std::string api::bookmark(bool of_nodes, const char* annotations) const {
  return std::string(R"({"type":"BOOKMARK","object":{"kind":")") + (of_nodes ? "Node" : "Pod") +
         R"(","apiVersion":"v1","metadata":{"resourceVersion":")" + std::to_string(version_) + "\"" + annotations + "}}}";
}

stream::news api::news_of(watching& of) {
  stream::news made;
  const std::lock_guard lock(guarding_);
  if (of.endings != endings_) {
    made.over = true;
    if (ending_ == watch_end::in_half) made.cut = R"({"type":"MODIFIED","object":{"kind":"No)";
    if (ending_ == watch_end::garbled) made.lines.push_back("<html>");
    if (ending_ == watch_end::forgotten)
      made.lines.push_back(R"({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
                           R"("message":"too old resource version: )" + std::to_string(of.version) + R"(","reason":"Expired","code":410}})");
    return made;
  }
  for (const event& each : events_)
    if (each.version > of.version && each.of_node == of.of_nodes && of.what.takes(*each.what))
      made.lines.push_back(std::string(R"({"type":")") + each.type + R"(","object":)" + each.what->json + "}");
  of.version = version_;
  const auto now = std::chrono::steady_clock::now();
  if (of.bookmarks && now - of.told >= std::chrono::seconds(5)) made.lines.push_back(bookmark(of.of_nodes));
  if (!made.lines.empty()) of.told = now;
  return made;
}

/// Under the lock.
reply api::begin_watch(const request& asked, bool of_nodes, choice what) {
  if (denied("watch"))
    return failure(403, "Forbidden", std::string(of_nodes ? "nodes" : "pods") + " is forbidden: User \"demo\" cannot watch resource");
  ++counts_.watches;
  const auto of = std::make_shared<watching>();
  of->of_nodes = of_nodes;
  of->endings = endings_;
  of->version = version_;
  of->bookmarks = asked.query_value("allowWatchBookmarks") == "true";
  const std::string from = asked.query_value("resourceVersion");
  if (!from.empty() && from != "0") {
    std::uint64_t version = 0;
    if (std::from_chars(from.data(), from.data() + from.size(), version).ec != std::errc{})
      return failure(400, "BadRequest", "Invalid value: \"" + from + "\": resourceVersion");
    if (version < forgotten_)
      return failure(410, "Expired", "too old resource version: " + from + " (" + std::to_string(forgotten_) + ")");
    of->version = version;
  }
  stream sent;
  if (asked.query_value("sendInitialEvents") == "true") {
    for (const auto& [key, each] : of_nodes ? nodes_ : pods_)
      if (what.takes(*each)) sent.first.push_back(R"({"type":"ADDED","object":)" + each->json + "}");
    sent.first.push_back(bookmark(of_nodes, R"(,"annotations":{"k8s.io/initial-events-end":"true"})"));
  }
  of->what = std::move(what);
  int seconds = 300;
  const std::string asked_for = asked.query_value("timeoutSeconds");
  std::from_chars(asked_for.data(), asked_for.data() + asked_for.size(), seconds);
  sent.lasts = lasts_.value_or(std::chrono::seconds(std::clamp(seconds, 1, 3600)));
  sent.next = [this, of] { return news_of(*of); };
  reply made;
  made.watch = std::move(sent);
  return made;
}

reply api::list(const request& asked, bool of_nodes, const std::string& namespace_name) {
  const std::string resource = of_nodes ? "nodes" : "pods";
  const std::lock_guard lock(guarding_);
  if (denied(resource))
    return failure(403, "Forbidden", resource + " is forbidden: User \"demo\" cannot list resource \"" + resource +
                                         "\" in API group \"\" at the cluster scope");
  choice what;
  what.namespace_name = namespace_name;
  what.labels = asked.query_value("labelSelector");
  const std::string fields = asked.query_value("fieldSelector");
  constexpr std::string_view node_field = "spec.nodeName=", name_field = "metadata.name=";
  if (fields.rfind(node_field, 0) == 0) what.node = fields.substr(node_field.size());
  else if (fields.rfind(name_field, 0) == 0) what.name = fields.substr(name_field.size());
  else if (!fields.empty()) return failure(400, "BadRequest", "field label not supported: " + fields);

  const std::string watch = asked.query_value("watch");
  if (watch == "1" || watch == "true") return begin_watch(asked, of_nodes, std::move(what));

  std::vector<const object*> chosen;
  for (const auto& [key, each] : of_nodes ? nodes_ : pods_)
    if (what.takes(*each)) chosen.push_back(each.get());
  std::size_t limit = 0, from = 0;
  const std::string limit_text = asked.query_value("limit"), continue_text = asked.query_value("continue");
  std::from_chars(limit_text.data(), limit_text.data() + limit_text.size(), limit);
  if (!continue_text.empty()) {
    // "VERSION-FROM": what has changed since cannot be told apart, so the list is to begin again.
    std::uint64_t version = 0;
    const char* const end = continue_text.data() + continue_text.size();
    const auto read = std::from_chars(continue_text.data(), end, version);
    if (read.ec != std::errc{} || version != version_ || read.ptr == end ||
        std::from_chars(read.ptr + 1, end, from).ec != std::errc{} || from > chosen.size())
      return failure(410, "Expired", "The provided continue parameter is too old to display a consistent list result.");
  } else {
    ++(of_nodes ? counts_.node_lists : counts_.pod_lists);
  }
  if (limit == 0) limit = chosen.size();
  limit = std::min(limit, max_page);
  const std::size_t end = std::min(chosen.size(), from + limit);
  std::string body = std::string(R"({"kind":")") + (of_nodes ? "Node" : "Pod") + R"(List","apiVersion":"v1","metadata":{"resourceVersion":")" +
                     std::to_string(version_) + "\"";
  if (end < chosen.size())
    body += R"(,"continue":")" + std::to_string(version_) + '-' + std::to_string(end) + R"(","remainingItemCount":)" + std::to_string(chosen.size() - end);
  body += R"(},"items":[)";
  for (std::size_t i = from; i < end; ++i) {
    if (i != from) body += ',';
    body += chosen[i]->json;
  }
  return reply::text(200, "application/json", body + "]}");
}

reply api::operator()(const request& asked) {
  if (asked.path == "/healthz" || asked.path == "/readyz") return reply::text(200, "text/plain", "ok");
  if (asked.authorization != "Bearer " + options_.token && !asked.certificate_verified)
    return failure(401, "Unauthorized", "Unauthorized");
  if (asked.path == "/version")
    return reply::text(200, "application/json", R"({"major":"1","minor":"34","gitVersion":"v1.34.0","platform":"linux/amd64"})");
  if (asked.path == "/api")
    return reply::text(200, "application/json", R"({"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[]})");
  if (asked.path == "/apis")
    return reply::text(200, "application/json", R"({"kind":"APIGroupList","apiVersion":"v1","groups":[]})");
  if (asked.path == "/api/v1") return reply::text(200, "application/json", core_resources);

  constexpr std::string_view nodes = "/api/v1/nodes", namespaces = "/api/v1/namespaces";
  if (asked.path == nodes) return list(asked, true, {});
  if (asked.path.rfind(std::string(nodes) + "/", 0) == 0) {
    const std::string rest = asked.path.substr(nodes.size() + 1);
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string name = rest.substr(0, slash);
    std::unique_lock lock(guarding_);
    if (const auto found = nodes_.find(name); found != nodes_.end()) {
      if (slash == rest.size()) return reply::text(200, "application/json", found->second->json);
      constexpr std::string_view proxy = "/proxy";
      if (rest.compare(slash, proxy.size(), proxy) == 0) {
        if (denied("nodes/proxy"))
          return failure(403, "Forbidden", "nodes \"" + name + "\" is forbidden: User \"demo\" cannot get resource \"nodes/proxy\" in API group \"\" at the cluster scope");
        const std::size_t number = numbers_.at(name);
        lock.unlock();
        request passed = asked;
        passed.path = rest.substr(slash + proxy.size());
        return options_.proxied(number, passed);
      }
    }
    return failure(404, "NotFound", "nodes \"" + name + "\" not found");
  }
  if (asked.path == "/api/v1/pods") return list(asked, false, {});
  if (asked.path.rfind(std::string(namespaces) + "/", 0) == 0) {
    const std::string rest = asked.path.substr(namespaces.size() + 1);
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string of = rest.substr(0, slash), what = rest.substr(slash);
    if (what == "/pods") return list(asked, false, of);
    const std::lock_guard lock(guarding_);
    if (what.rfind("/pods/", 0) == 0)
      if (const auto found = pods_.find(of + '/' + what.substr(6)); found != pods_.end())
        return reply::text(200, "application/json", found->second->json);
  }
  return failure(404, "NotFound", "the server could not find the requested resource");
}

}  // namespace computelocator::simulate
