// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Watches of nodes and pods, decided without a socket.

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include <computelocator/discover.hpp>

namespace {

namespace cl = computelocator;
using cl::watch_step;

std::string node_object(const std::string& name, const std::string& uid, const std::string& version, const std::string& address = "10.0.0.1") {
  return R"({"kind":"Node","apiVersion":"v1","metadata":{"name":")" + name + R"(","uid":")" + uid + R"(","resourceVersion":")" +
         version + R"("},"status":{"addresses":[{"type":"InternalIP","address":")" + address + R"("}]}})";
}

std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string bookmark(const std::string& version) {
  return event("BOOKMARK", R"({"kind":"Node","apiVersion":"v1","metadata":{"resourceVersion":")" + version + R"("}})");
}

std::string status(int code, const std::string& reason, const std::string& message) {
  return R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":")" + message + R"(","reason":")" +
         reason + R"(","code":)" + std::to_string(code) + "}";
}

/// A watch of one node `a`, listed at version 10.
cl::node_watcher of_one(cl::object_watch_options options = {}) {
  cl::node_watcher made(options);
  cl::node a;
  a.name = "a";
  a.uid = "1";
  made.reset({a}, "10");
  EXPECT_EQ(made.begin(200), watch_step::go_on);
  return made;
}

/// "name=uid@address ..."
std::string told(const cl::node_watcher& of) {
  std::string text;
  for (const cl::node& each : of.items())
    text += each.name + "=" + each.uid + (each.addresses.empty() ? "" : "@" + each.addresses[0].address) + " ";
  return text;
}

const std::string usual = event("ADDED", node_object("b", "2", "11")) + event("MODIFIED", node_object("a", "1", "12", "10.0.0.9")) +
                          bookmark("20") + event("DELETED", node_object("b", "2", "21")) + event("ADDED", node_object("c", "3", "22"));

TEST(watch, events_in_pieces_of_every_size) {
  for (std::size_t piece = 1; piece <= usual.size(); ++piece) {
    cl::node_watcher of = of_one();
    for (std::size_t at = 0; at < usual.size(); at += piece) {
      // An exact copy, so that a byte read behind it shows.
      const std::vector<char> part(usual.begin() + static_cast<std::ptrdiff_t>(at),
                                   usual.begin() + static_cast<std::ptrdiff_t>(std::min(usual.size(), at + piece)));
      ASSERT_EQ(of.feed({part.data(), part.size()}), watch_step::go_on) << piece;
    }
    ASSERT_EQ(told(of), "a=1@10.0.0.9 c=3@10.0.0.1 ") << piece;
    ASSERT_EQ(of.resource_version(), "22");
    ASSERT_EQ(of.events(), 5u);
    ASSERT_EQ(of.end(), watch_step::reconnect);
  }
}

TEST(watch, whatever_comes_before_a_cut_counts_and_the_cut_event_comes_again) {
  for (std::size_t cut = 0; cut <= usual.size(); ++cut) {
    cl::node_watcher of = of_one();
    ASSERT_EQ(of.feed(usual.substr(0, cut)), watch_step::go_on);
    ASSERT_EQ(of.end(), watch_step::reconnect);
    // The server sends what is newer than the version that it is asked from.
    const std::string from = of.resource_version();
    const std::size_t rest = from == "10" ? 0 : usual.find('\n', usual.find("resourceVersion\":\"" + from)) + 1;
    ASSERT_EQ(of.begin(200), watch_step::go_on);
    ASSERT_EQ(of.feed(usual.substr(rest)), watch_step::go_on);
    ASSERT_EQ(told(of), "a=1@10.0.0.9 c=3@10.0.0.1 ") << cut;
  }
}

TEST(watch, path_of_the_request) {
  cl::object_watch_options options;
  options.objects.base_path = "/k8s";
  options.objects.label_selector = "zone=a";
  options.lasts = std::chrono::seconds(7);
  cl::node_watcher of(options);
  EXPECT_EQ(of.path(), "/k8s/api/v1/nodes?watch=1&allowWatchBookmarks=true&timeoutSeconds=7&labelSelector=zone%3Da");
  of.reset({}, "1 0");
  EXPECT_EQ(of.path(), "/k8s/api/v1/nodes?watch=1&allowWatchBookmarks=true&timeoutSeconds=7&labelSelector=zone%3Da&resourceVersion=1%200");
  cl::object_watch_options of_pods;
  of_pods.objects.namespace_name = "shop";
  EXPECT_EQ(cl::pod_watcher(of_pods).path(), "/api/v1/namespaces/shop/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=300");
}

TEST(watch, each_line_has_its_verdict) {
  const std::string b = node_object("b", "2", "11");
  const struct {
    const char* name;
    std::string line;
    watch_step step;
    const char* nodes;
    const char* version;
    const char* said;
  } rows[] = {
      {"known already", event("ADDED", node_object("a", "1", "11", "10.0.0.2")), watch_step::go_on, "a=1@10.0.0.2 ", "11", ""},
      {"changed unseen", event("MODIFIED", b), watch_step::go_on, "a=1 b=2@10.0.0.1 ", "11", ""},
      {"gone unseen", event("DELETED", b), watch_step::go_on, "a=1 ", "11", ""},
      {"a name that came back", event("ADDED", node_object("a", "9", "11")), watch_step::go_on, "a=9@10.0.0.1 ", "11", ""},
      {"the older of a name is gone", event("DELETED", node_object("a", "0", "11")), watch_step::go_on, "a=1 ", "11", ""},
      {"no version", event("ADDED", R"({"metadata":{"name":"b","uid":"2"}})"), watch_step::go_on, "a=1 b=2 ", "10", ""},
      {"a bookmark without a version", event("BOOKMARK", R"({"metadata":{}})"), watch_step::go_on, "a=1 ", "10", ""},
      {"object before type", R"({"object":)" + b + R"(,"type":"ADDED"})" "\n", watch_step::go_on, "a=1 b=2@10.0.0.1 ", "11", ""},
      {"unknown fields", R"({"x":[{}],"type":"ADDED","object":)" + b + R"(,"y":null})" "\n", watch_step::go_on, "a=1 b=2@10.0.0.1 ", "11", ""},
      {"a type of another time", event("REPLACED", b), watch_step::go_on, "a=1 ", "10", ""},
      {"empty lines", "\n\n", watch_step::go_on, "a=1 ", "10", ""},
      {"too old", event("ERROR", status(410, "Expired", "too old resource version: 1 (2)")), watch_step::list_again, "a=1 ", "10", "too old resource version: 1 (2)"},
      {"too old, without its code", event("ERROR", status(0, "", "too old resource version")), watch_step::list_again, "a=1 ", "10", "too old"},
      {"of the future", event("ERROR", status(504, "Timeout", "Too large resource version: 9, current: 1")), watch_step::list_again, "a=1 ", "10", "Too large"},
      {"another error", event("ERROR", status(500, "InternalError", "etcd is away")), watch_step::back_off, "a=1 ", "10", "etcd is away"},
      {"no JSON", "<html>\n", watch_step::list_again, "a=1 ", "10", "not what it should be"},
      {"cut in the middle", R"({"type":"ADDED","object":{"metadata")" "\n", watch_step::list_again, "a=1 ", "10", "not what it should be"},
      {"no object", R"({"type":"ADDED"})" "\n", watch_step::list_again, "a=1 ", "10", "no event"},
      {"no type", R"({"object":{}})" "\n", watch_step::list_again, "a=1 ", "10", "no event"},
      {"a list", "[1]\n", watch_step::list_again, "a=1 ", "10", "not what it should be"},
      {"two on a line", event("ADDED", b).substr(0, event("ADDED", b).size() - 1) + event("ADDED", b), watch_step::list_again, "a=1 ", "10", "no event"},
      {"of a wrong type", event("ADDED", R"({"metadata":{"name":7}})"), watch_step::list_again, "a=1 ", "10", "not what it should be"},
      {"null for an object", event("ADDED", "null"), watch_step::list_again, "a=1 ", "10", "names no object"},
      {"no name", event("ADDED", R"({"metadata":{"uid":"2"}})"), watch_step::list_again, "a=1 ", "10", "names no object"},
      {"bytes that are no UTF-8", event("ADDED", R"({"metadata":{"name":")" "\xff" R"("}})"), watch_step::list_again, "a=1 ", "10", "not what it should be"},
  };
  for (const auto& row : rows) {
    cl::node_watcher of = of_one();
    EXPECT_EQ(of.feed(row.line), row.step) << row.name;
    EXPECT_EQ(told(of), row.nodes) << row.name;
    EXPECT_EQ(of.resource_version(), row.version) << row.name;
    EXPECT_NE(of.failure().message().find(row.said), std::string::npos) << row.name << ": " << of.failure().message();
  }
}

TEST(watch, each_status_has_its_verdict) {
  const struct {
    int http_status;
    std::string body;
    watch_step step;
    cl::errc code;
  } rows[] = {
      {410, status(410, "Expired", "The resourceVersion for the provided watch is too old."), watch_step::list_again, cl::errc::expired_list},
      {400, status(400, "BadRequest", "Invalid value: \\\"x\\\": resourceVersion"), watch_step::list_again, cl::errc::expired_list},
      {504, status(504, "Timeout", "Too large resource version: 9, current: 1"), watch_step::list_again, cl::errc::expired_list},
      {400, status(400, "BadRequest", "unable to parse requirement"), watch_step::back_off, cl::errc::http_status},
      {401, status(401, "Unauthorized", "Unauthorized"), watch_step::back_off, cl::errc::unauthorized},
      {403, status(403, "Forbidden", "nodes is forbidden"), watch_step::back_off, cl::errc::forbidden},
      {404, "404 page not found", watch_step::back_off, cl::errc::not_found},
      {429, "", watch_step::back_off, cl::errc::too_many_requests},
      {500, "", watch_step::back_off, cl::errc::http_status},
      {302, "", watch_step::back_off, cl::errc::redirect_refused},
  };
  for (const auto& row : rows) {
    cl::node_watcher of = of_one();
    EXPECT_EQ(of.begin(row.http_status, row.body), row.step) << row.http_status;
    EXPECT_EQ(of.failure().code, row.code) << row.http_status << ": " << of.failure().message();
    EXPECT_EQ(told(of), "a=1 ");
  }
  cl::node_watcher of = of_one();
  of.begin(403);
  EXPECT_NE(of.failure().advice.find("`watch` on nodes"), std::string::npos) << of.failure().advice;
}

TEST(watch, an_event_and_the_set_are_bounded) {
  cl::object_watch_options options;
  options.max_event = 300;
  options.objects.max_items = 2;
  for (const std::size_t piece : {1u, 7u, 4096u}) {
    cl::node_watcher of = of_one(options);
    watch_step step = watch_step::go_on;
    std::size_t fed = 0;
    // No line feed ever comes.
    while (step == watch_step::go_on && fed < 10'000) {
      step = of.feed(std::string(piece, ' '));
      fed += piece;
    }
    EXPECT_EQ(step, watch_step::list_again);
    EXPECT_LE(fed, 300 + piece);
    EXPECT_EQ(of.failure().code, cl::errc::too_large);
  }
  cl::node_watcher of = of_one(options);
  EXPECT_EQ(of.feed(event("ADDED", node_object("b", "2", "11"))), watch_step::go_on);
  EXPECT_EQ(of.feed(event("ADDED", node_object("b", "3", "12"))), watch_step::go_on);
  EXPECT_EQ(of.feed(event("ADDED", node_object("c", "4", "13"))), watch_step::list_again);
  EXPECT_EQ(of.failure().code, cl::errc::too_large);
}

TEST(watch, a_list_puts_right_whatever_went_wrong) {
  cl::node_watcher of = of_one();
  EXPECT_EQ(of.feed("half of an ev"), watch_step::go_on);
  cl::node b;
  b.name = "b";
  of.reset({b}, "30");
  EXPECT_EQ(of.begin(200), watch_step::go_on);
  EXPECT_EQ(of.feed(event("ADDED", node_object("c", "3", "31"))), watch_step::go_on);
  EXPECT_EQ(told(of), "b= c=3@10.0.0.1 ");
}

TEST(watch, pods_have_the_order_of_a_list) {
  const auto pod = [](const char* in, const char* name, const char* version) {
    return event("ADDED", std::string(R"({"metadata":{"name":")") + name + R"(","namespace":")" + in + R"(","uid":")" + in + name +
                              R"(","resourceVersion":")" + version + R"("},"spec":{"nodeName":"n","containers":[{"name":"c"}]}})");
  };
  cl::pod_watcher of({});
  of.reset({}, "1");
  EXPECT_EQ(of.feed(pod("web", "a", "2") + pod("we", "z", "3") + pod("web-2", "a", "4") + pod("web", "a-b", "5")), watch_step::go_on);
  std::vector<std::string> order;
  for (const cl::pod& each : of.items()) order.push_back(each.namespace_name + "/" + each.name);
  // As etcd has its keys: the byte "-" comes before "/".
  EXPECT_EQ(order, (std::vector<std::string>{"we/z", "web-2/a", "web/a", "web/a-b"}));
  EXPECT_EQ(of.items()[2].node, "n");
  EXPECT_EQ(of.items()[2].containers.size(), 1u);
}

TEST(watch, pauses_grow_and_are_left_to_chance) {
  using std::chrono::milliseconds;
  const int least[] = {500, 500, 1000, 2000, 4000, 8000, 15'000, 15'000};
  for (int failures = 0; failures < 8; ++failures) {
    EXPECT_EQ(cl::pause_after(failures, 0), milliseconds(least[failures])) << failures;
    EXPECT_EQ(cl::pause_after(failures, 1), milliseconds(2 * least[failures])) << failures;
  }
  EXPECT_EQ(cl::pause_after(1'000'000, 0.5), milliseconds(22'500));
}

}  // namespace
