// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "api.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

namespace computelocator::simulate {

namespace {

// Nothing in the simulated world changes but the pages, so one version stands for all of it.
constexpr const char* resource_version = "1000";
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

constexpr const char* core_resources =
    R"({"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[)"
    R"({"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["get","list"],"shortNames":["ns"]},)"
    R"({"name":"nodes","singularName":"node","namespaced":false,"kind":"Node","verbs":["get","list","watch"],"shortNames":["no"]},)"
    R"({"name":"nodes/proxy","singularName":"","namespaced":false,"kind":"NodeProxyOptions","verbs":["get"]},)"
    R"({"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"],"shortNames":["po"]}]})";

}  // namespace

api::api(const cluster& of, api_options options) : cluster_(&of), options_(std::move(options)) {
  for (std::size_t i = 0; i < of.nodes().size(); ++i) {
    const sim_node& node = of.nodes()[i];
    const auto [address, port] = options_.kubelet(i);
    object made;
    made.json = node_json(of, node, address, port);
    made.name = node.name;
    made.labels = node.labels;
    nodes_.push_back(std::move(made));
    for (const sim_pod& pod : node.pods) {
      object of_pod;
      of_pod.json = pod_json(of, node, pod);
      of_pod.name = pod.name;
      of_pod.namespace_name = pod.namespace_name;
      of_pod.node = node.name;
      of_pod.labels = pod.labels;
      pods_.push_back(std::move(of_pod));
    }
  }
}

reply api::failure(int status, const char* why, const std::string& message) const {
  return reply::text(status, "application/json",
                     R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":)" +
                         quoted(message) + R"(,"reason":")" + why + R"(","code":)" + std::to_string(status) + "}");
}

reply api::list(const request& asked, const std::vector<object>& all, const char* kind,
                const std::string& namespace_name) const {
  const std::string labels = asked.query_value("labelSelector");
  const std::string fields = asked.query_value("fieldSelector");
  std::string on_node, named;
  constexpr std::string_view node_field = "spec.nodeName=", name_field = "metadata.name=";
  if (fields.rfind(node_field, 0) == 0) on_node = fields.substr(node_field.size());
  else if (fields.rfind(name_field, 0) == 0) named = fields.substr(name_field.size());
  else if (!fields.empty()) return failure(400, "BadRequest", "field label not supported: " + fields);

  std::vector<const object*> chosen;
  for (const object& each : all)
    if ((namespace_name.empty() || each.namespace_name == namespace_name) &&
        (on_node.empty() || each.node == on_node) && (named.empty() || each.name == named) &&
        selected(labels, each.labels))
      chosen.push_back(&each);

  const std::string watch = asked.query_value("watch");
  if (watch == "1" || watch == "true") {
    stream sent;
    const std::string bookmark = std::string(R"({"type":"BOOKMARK","object":{"kind":")") + kind +
                                 R"(","apiVersion":"v1","metadata":{"resourceVersion":")" + resource_version + "\"";
    if (asked.query_value("sendInitialEvents") == "true") {
      for (const object* each : chosen) sent.first.push_back(R"({"type":"ADDED","object":)" + each->json + "}");
      sent.first.push_back(bookmark + R"(,"annotations":{"k8s.io/initial-events-end":"true"}}}})");
    }
    if (asked.query_value("allowWatchBookmarks") == "true") sent.heartbeat = bookmark + "}}}";
    int seconds = 300;
    const std::string asked_for = asked.query_value("timeoutSeconds");
    std::from_chars(asked_for.data(), asked_for.data() + asked_for.size(), seconds);
    sent.lasts = std::chrono::seconds(std::clamp(seconds, 1, 3600));
    reply made;
    made.watch = std::move(sent);
    return made;
  }

  std::size_t limit = 0, from = 0;
  const std::string limit_text = asked.query_value("limit"), continue_text = asked.query_value("continue");
  std::from_chars(limit_text.data(), limit_text.data() + limit_text.size(), limit);
  if (!continue_text.empty()) {
    const auto read = std::from_chars(continue_text.data(), continue_text.data() + continue_text.size(), from);
    if (read.ec != std::errc{} || from > chosen.size())
      return failure(410, "Expired", "The provided continue parameter is too old to display a consistent list result.");
  }
  if (limit == 0) limit = chosen.size();
  limit = std::min(limit, max_page);
  const std::size_t end = std::min(chosen.size(), from + limit);
  std::string body = std::string(R"({"kind":")") + kind + R"(List","apiVersion":"v1","metadata":{"resourceVersion":")" +
                     resource_version + "\"";
  if (end < chosen.size())
    body += R"(,"continue":")" + std::to_string(end) + R"(","remainingItemCount":)" + std::to_string(chosen.size() - end);
  body += R"(},"items":[)";
  for (std::size_t i = from; i < end; ++i) {
    if (i != from) body += ',';
    body += chosen[i]->json;
  }
  return reply::text(200, "application/json", body + "]}");
}

reply api::operator()(const request& asked) const {
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

  const auto deny = [&](const std::string& resource) {
    return failure(403, "Forbidden", resource + " is forbidden: User \"demo\" cannot list resource \"" + resource +
                                         "\" in API group \"\" at the cluster scope");
  };
  constexpr std::string_view nodes = "/api/v1/nodes", namespaces = "/api/v1/namespaces";
  if (asked.path == nodes)
    return options_.denied.count("nodes") ? deny("nodes") : list(asked, nodes_, "Node", {});
  if (asked.path.rfind(std::string(nodes) + "/", 0) == 0) {
    const std::string rest = asked.path.substr(nodes.size() + 1);
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string name = rest.substr(0, slash);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].name != name) continue;
      if (slash == rest.size()) return reply::text(200, "application/json", nodes_[i].json);
      constexpr std::string_view proxy = "/proxy";
      if (rest.compare(slash, proxy.size(), proxy) != 0) break;
      if (options_.denied.count("nodes/proxy"))
        return failure(403, "Forbidden", "nodes \"" + name + "\" is forbidden: User \"demo\" cannot get resource \"nodes/proxy\" in API group \"\" at the cluster scope");
      request passed = asked;
      passed.path = rest.substr(slash + proxy.size());
      return options_.proxied(i, passed);
    }
    return failure(404, "NotFound", "nodes \"" + name + "\" not found");
  }
  if (asked.path == "/api/v1/pods")
    return options_.denied.count("pods") ? deny("pods") : list(asked, pods_, "Pod", {});
  if (asked.path.rfind(std::string(namespaces) + "/", 0) == 0) {
    const std::string rest = asked.path.substr(namespaces.size() + 1);
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string of = rest.substr(0, slash), what = rest.substr(slash);
    if (what == "/pods") return options_.denied.count("pods") ? deny("pods") : list(asked, pods_, "Pod", of);
    if (what.rfind("/pods/", 0) == 0)
      for (const object& each : pods_)
        if (each.namespace_name == of && each.name == what.substr(6))
          return reply::text(200, "application/json", each.json);
  }
  return failure(404, "NotFound", "the server could not find the requested resource");
}

}  // namespace computelocator::simulate
