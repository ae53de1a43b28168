// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/discover_exporters.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace computelocator;

std::shared_ptr<const computelocator::access> nobody() { return std::make_shared<const computelocator::access>(); }

/// The URL with its query, then the labels.
std::string said(const result<target>& of) {
  if (!of) return std::string(to_string(of.error().code)) + ": " + of.error().what;
  const std::size_t query = of->path.find('?');
  std::string text = of->url() + (query == std::string::npos ? "" : of->path.substr(query));
  for (const auto& [name, value] : of->labels) text += " " + name + "=" + value;
  return text;
}

TEST(exporters, an_address_is_read_as_a_url_or_as_prometheus_writes_it) {
  const struct { const char *address, *expected; } cases[] = {
      {"host:9100", "http://host:9100/metrics instance=host:9100"},
      {"my_service.example", "http://my_service.example:80/metrics instance=my_service.example"},
      {"https://host", "https://host:443/metrics instance=host"},
      {"http://127.0.0.1:9100/", "http://127.0.0.1:9100/ instance=127.0.0.1:9100"},
      {"http://h:1/probe?target=a%20b&x", "http://h:1/probe?target=a%20b&x instance=h:1"},
      {"http://h:1?x=1", "http://h:1/?x=1 instance=h:1"},
      {"[::1]:9100", "http://[::1]:9100/metrics instance=[::1]:9100"},
      {"https://[fe80::1]", "https://[fe80::1]:443/metrics instance=[fe80::1]"},
      {"ftp://h/", "invalid_argument: has a scheme other than http and https"},
      {"", "invalid_argument: names no host"},
      {":9100", "invalid_argument: names no host"},
      {"h o:1", "invalid_argument: names no host"},
      {"h:0", "invalid_argument: has a port that is none of 1 to 65535"},
      {"h:65536", "invalid_argument: has a port that is none of 1 to 65535"},
      {"h:", "invalid_argument: has a port that is none of 1 to 65535"},
      {"h:+1", "invalid_argument: has a port that is none of 1 to 65535"},
      {"::1", "invalid_argument: has more than one colon"},
      {"[::1", "invalid_argument: has a bracket that is not closed"},
      {"[host]:1", "invalid_argument: has no IPv6 address in its brackets"},
      {"[::1]9100", "invalid_argument: has something behind its brackets"},
      {"http://h/a b", "invalid_argument: has a path with a space, a fragment or what is not ASCII"},
      {"http://h/a\r\nX: y", "invalid_argument: has a path with a space, a fragment or what is not ASCII"},
      {"http://h/#a", "invalid_argument: has a path with a space, a fragment or what is not ASCII"},
  };
  for (const auto& each : cases) EXPECT_EQ(said(exporter_target(each.address, {}, nobody())), each.expected) << each.address;
}

TEST(exporters, an_address_ends_where_it_ends) {
  using namespace std::string_literals;
  EXPECT_EQ(said(exporter_target("https://[::1\0h]:9100/"s, {}, nobody())), "invalid_argument: has no IPv6 address in its brackets");
  EXPECT_FALSE(exporter_target("127.0.0.1\0:1"s, {}, nobody()));
}

TEST(exporters, a_password_in_an_address_is_refused_and_not_said_back) {
  const auto made = exporter_target("http://me:s3cret@host/", {}, nobody());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message().find("s3cret"), std::string::npos);
  EXPECT_EQ(made.error().message().find("me:"), std::string::npos);
  const auto all = exporter_targets({{{"me:s3cret@host:1"}, {}}}, {}, nobody());
  EXPECT_EQ(all.at(0).node, "[user]@host:1");
  // An @ behind the host is no user.
  EXPECT_EQ(said(exporter_target("http://h/a@b", {}, nobody())), "http://h:80/a@b instance=h");
}

TEST(exporters, labels_say_what_the_address_does_not) {
  const target_labels labels = {{"__scheme__", "https"}, {"__metrics_path__", "/probe"}, {"__param_target", "a b"},
                                {"__meta_rack", "7"}, {"job", "x"}, {"empty", ""}};
  EXPECT_EQ(said(exporter_target("h:1", labels, nobody())), "https://h:1/probe?target=a%20b instance=h:1 job=x");
  EXPECT_EQ(said(exporter_target("http://h/m", labels, nobody())), "http://h:80/m?target=a%20b instance=h job=x");
  EXPECT_EQ(said(exporter_target("h", {{"instance", "name"}}, nobody())), "http://h:80/metrics instance=name");
  EXPECT_FALSE(exporter_target("h", {{"__scheme__", "gopher"}}, nobody()));
  EXPECT_FALSE(exporter_target("h", {{"__metrics_path__", "metrics"}}, nobody()));
}

TEST(exporters, one_of_a_group_that_cannot_be_does_not_cost_the_others_and_none_comes_twice) {
  const auto made = exporter_targets({{{"a:1", "a b", "a:1"}, {{"env", "x"}}}, {{"a:1"}, {{"env", "y"}}}}, {{"env", "z"}, {"k", "v"}}, nobody());
  ASSERT_EQ(made.size(), 3u);
  EXPECT_EQ(said(made[0].target), "http://a:1/metrics env=x instance=a:1 k=v");
  EXPECT_FALSE(made[1].target);
  EXPECT_EQ(said(made[2].target), "http://a:1/metrics env=y instance=a:1 k=v");
  EXPECT_NE(made[0].target->node_uid, made[2].target->node_uid);
}

TEST(exporters, a_secret_does_not_go_over_plain_http) {
  computelocator::access who;
  who.who.token_file = "token";
  const auto with = std::make_shared<const computelocator::access>(who);
  EXPECT_FALSE(exporter_target("http://h/", {}, with));
  EXPECT_TRUE(exporter_target("https://h/", {}, with));
}

TEST(exporters, credentials_that_cannot_be) {
  const auto refused = [](auto change) {
    exporter_credentials who;
    change(who);
    const auto made = exporter_access(who);
    return made ? std::string() : made.error().what;
  };
  EXPECT_EQ(refused([](auto& who) { (void)who; }), "");
  EXPECT_NE(refused([](auto& who) { who.tls = tls_mode::pin; }), "");
  EXPECT_NE(refused([](auto& who) { who.username = "me"; }), "");
  EXPECT_NE(refused([](auto& who) { who.username = "a:b", who.password_file = "/dev/null"; }), "");
  EXPECT_NE(refused([](auto& who) { who.client_key_file = "key"; }), "");
  EXPECT_NE(refused([](auto& who) { who.ca_file = "/nothing/here"; }), "");
  EXPECT_NE(refused([](auto& who) { who.tls = tls_mode::insecure, who.token_file = "token"; }), "");
}

std::string groups(const result<std::vector<target_group>>& of) {
  if (!of) return of.error().where + ": " + of.error().what;
  std::string text;
  for (const target_group& group : *of) {
    text += "[";
    for (const std::string& each : group.addresses) text += each + " ";
    for (const auto& [name, value] : group.labels) text += name + "=" + value + " ";
    text += "]";
  }
  return text;
}

TEST(file_sd, json_and_yaml_say_the_same) {
  EXPECT_EQ(groups(read_file_sd(R"([{"targets": ["a:1", "b:2"], "labels": {"job": "x\u00e9"}}, {"targets": ["c"]}, {"labels": null}])", "f.json")),
            "[a:1 b:2 job=x\u00e9 ][c ][]");
  EXPECT_EQ(groups(read_file_sd("- targets: [a:1, 'b:2']\n  labels:\n    job: x\u00e9\n    n: 7\n- targets: [c]\n", "f.yml")),
            "[a:1 b:2 job=x\u00e9 n=7 ][c ]");
  EXPECT_EQ(groups(read_file_sd("[]", "f.json")), "");
  EXPECT_EQ(groups(read_file_sd("# nothing yet\n", "f.yml")), "");
}

TEST(file_sd, what_is_none_is_refused_whole_with_its_line) {
  const struct { const char *text, *name, *expected; } cases[] = {
      {"", "f.json", "f.json: is no JSON: "},
      {"{}", "f.json", "f.json:1: is no list of groups of targets: "},
      {"[{\"targets\": [\"a\"]},\n{\"target\": []}]", "f.json", "f.json:2: a group has \"target\", which is neither targets nor labels"},
      {"[{\"targets\":\n[7]}]", "f.json", "f.json:2: is no list of groups of targets: "},
      {"[{\"targets\": [\"a\"]", "f.json", "f.json"},
      {"[] x", "f.json", "f.json:1: "},
      {"[] []", "f.json", "f.json:1: something stands behind the list of groups"},
      {"[{\"labels\": {\"\": \"x\"}}]", "f.json", "f.json: has a label without a name"},
      {"{}", "f.yml", "f.yml: is no list of groups of targets"},
      {"targets: [a]", "f.yml", "f.yml: is no list of groups of targets"},
      {"- targets: a", "f.yml", "f.yml: has targets that are no list"},
      {"- targets: [[a]]", "f.yml", "f.yml: has a target that is no text"},
      {"- labels: {a: [b]}", "f.yml", "f.yml: has a label that is no text"},
      {"- x: [a]", "f.yml", "f.yml: a group has \"x\", which is neither targets nor labels"},
      {"- [\n", "f.yml", "f.yml: line "},
  };
  for (const auto& each : cases) {
    const auto read = read_file_sd(each.text, each.name);
    EXPECT_FALSE(read) << each.text;
    EXPECT_EQ(groups(read).rfind(each.expected, 0), 0u) << groups(read);
  }
}

TEST(file_sd, files_that_fit_a_pattern) {
  const auto folder = std::filesystem::temp_directory_path() / ("computelocator_file_sd_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "b.json") << R"([{"targets": ["b"]}])";
  std::ofstream(folder / "a.json") << R"([{"targets": ["a"]}])";
  EXPECT_EQ(groups(read_file_sd_files((folder / "*.json").string())), "[a ][b ]");
  EXPECT_EQ(groups(read_file_sd_files((folder / "*.yml").string())), "");
  const auto none = read_file_sd_files((folder / "c.json").string());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, errc::bad_configuration);
  std::filesystem::remove_all(folder);
}

pod annotated_pod(std::map<std::string, std::string> annotations) {
  pod made;
  made.namespace_name = "shop";
  made.name = "web-0";
  made.uid = "u";
  made.node = "n1";
  made.phase = "Running";
  made.pod_ip = "10.1.2.3";
  for (auto& [name, value] : annotations) made.annotations["prometheus.io/" + name] = value;
  return made;
}

std::string pod_said(const pod& of, route way, pod_route_options options = {}) {
  cluster_config cluster;
  cluster.host = "api";
  cluster.port = 6443;
  cluster.base_path = "/base";
  cluster.access = std::make_shared<const computelocator::access>();
  options.route = way;
  const auto directly = pod_access(options);
  const auto made = pod_target(of, cluster, options, directly);
  if (!made) return "none";
  if (made->target) {
    EXPECT_EQ(made->target->access, way == route::direct ? directly : cluster.access);
  }
  return said(made->target);
}

TEST(pods, are_scraped_as_they_annotate) {
  const std::string labels = " instance=10.1.2.3:80 namespace=shop node=n1 pod=web-0";
  const auto plain = annotated_pod({{"scrape", "true"}, {"port", "80"}});
  EXPECT_EQ(pod_said(plain, route::direct), "http://10.1.2.3:80/metrics" + labels);
  EXPECT_EQ(pod_said(plain, route::api_server), "https://api:6443/base/api/v1/namespaces/shop/pods/web-0:80/proxy/metrics" + labels);
  const auto all = annotated_pod({{"scrape", "true"}, {"port", "80"}, {"path", "stats?a=1"}, {"scheme", "https"}, {"param_b", "c d"}});
  EXPECT_EQ(pod_said(all, route::direct), "https://10.1.2.3:80/stats?a=1&b=c%20d" + labels);
  EXPECT_EQ(pod_said(all, route::api_server),
            "https://api:6443/base/api/v1/namespaces/shop/pods/https:web-0:80/proxy/stats?a=1&b=c%20d" + labels);
  EXPECT_EQ(pod_said(annotated_pod({}), route::direct), "none");
  EXPECT_EQ(pod_said(annotated_pod({{"scrape", "false"}, {"port", "80"}}), route::direct), "none");
  auto over = plain;
  over.phase = "Succeeded";
  EXPECT_EQ(pod_said(over, route::direct), "none");
}

TEST(pods, that_annotate_nonsense_are_refused_with_the_annotation) {
  const auto with = [](const char* name, const char* value) {
    auto made = annotated_pod({{"scrape", "true"}, {"port", "80"}});
    made.annotations["prometheus.io/" + std::string(name)] = value;
    return made;
  };
  for (const char* port : {"", "0", "99999", "http", "-1", "80/../x"})
    EXPECT_EQ(pod_said(with("port", port), route::direct).find("invalid_argument: its annotation prometheus.io/port"), 0u) << port;
  // Behind any of these the API server would be asked for something else.
  for (const char* path : {"/../../secrets", "..", "/a/../../b", "/a//b", "/%2e%2e/x", "/a%2Fb", "/a\\b", "/a b", "/a\r\nHost: x", "/#", "/%252e%252e"})
    for (const route way : {route::direct, route::api_server})
      EXPECT_EQ(pod_said(with("path", path), way).find("invalid_argument: its annotation prometheus.io/path"), 0u) << path;
  EXPECT_EQ(pod_said(with("scheme", "file"), route::direct), "invalid_argument: its annotation prometheus.io/scheme is neither http nor https");
  auto odd = with("port", "80");
  odd.name = "../x";
  EXPECT_EQ(pod_said(odd, route::api_server), "invalid_argument: has a name that no pod can have");
}

TEST(pods, at_addresses_of_this_machine_are_refused_unless_they_are_allowed) {
  auto of = annotated_pod({{"scrape", "true"}, {"port", "80"}});
  for (const char* address : {"127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1", "not-an-address", ""}) {
    of.pod_ip = address;
    EXPECT_EQ(pod_said(of, route::direct).find("address_refused"), 0u) << address;
  }
  of.pod_ip = "127.0.0.9";
  pod_route_options options;
  options.allowed_ranges = {"127.0.0.0/8"};
  EXPECT_EQ(pod_said(of, route::direct, options).find("http://127.0.0.9:80/metrics"), 0u);
  // Through the API server it is that one which knows the pod's address.
  EXPECT_EQ(pod_said(of, route::api_server).find("https://api:6443/"), 0u);
}

}  // namespace
