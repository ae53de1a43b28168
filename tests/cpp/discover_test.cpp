// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <computelocator/discover.hpp>

namespace cl = computelocator;

TEST(quantity, each_suffix) {
  const struct { const char* text; double expected; } rows[] = {
      {"250m", 0.25}, {"128Mi", 134217728.0}, {"1e3", 1000}, {"2", 2}, {"123456n", 123456e-9},
      {"1Gi", 1073741824.0}, {"0.5", 0.5}, {"3u", 3e-6}, {"1k", 1e3}, {"1M", 1e6}, {"1G", 1e9},
      {"1T", 1e12}, {"1P", 1e15}, {"1E", 1e18}, {"1E3", 1e3}, {"1Ki", 1024}, {"1Ti", 0x1p40},
      {"1Pi", 0x1p50}, {"1Ei", 0x1p60}, {"-1", -1}, {"+1", 1}, {".5", 0.5}, {"1e-3", 0.001}};
  for (const auto& row : rows) {
    const auto got = cl::parse_quantity(row.text);
    ASSERT_TRUE(got) << row.text;
    EXPECT_EQ(*got, row.expected) << row.text;
  }
  for (const char* bad : {"", "m", "1x", "1mi", "+-1", "1e", "1e+-3", "1 ", "--1", "1.2.3", "nan"})
    EXPECT_FALSE(cl::parse_quantity(bad)) << bad;
}

TEST(metrics_query, encodes_and_knows_the_alias) {
  const std::array<std::string_view, 2> names{"container_memory_limit_bytes", "a b"};
  EXPECT_EQ(cl::metrics_query(names),
            "name%5B%5D=container_spec_memory_limit_bytes&name%5B%5D=a%20b");
}

TEST(token_reader, keeps_the_old_while_the_new_is_bad) {
  const std::string path = ::testing::TempDir() + "computelocator_token";
  const auto write = [&](const char* text) { std::ofstream(path) << text; };
  const cl::token_reader::clock::time_point start{};
  cl::token_reader reader(path);
  write("one\n");
  EXPECT_EQ(reader.read(start)->reveal(), "one");
  write("two\n");
  EXPECT_EQ(reader.read(start + std::chrono::seconds(59))->reveal(), "one");
  EXPECT_EQ(reader.refresh(start + std::chrono::seconds(59))->reveal(), "two");
  write("");
  EXPECT_EQ(reader.refresh(start)->reveal(), "two");
  write("bad\ntoken");
  cl::token_reader fresh(path);
  const auto failed = fresh.read(start);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message().find("bad\n"), std::string::npos);
  std::remove(path.c_str());
}

namespace {

/// A folder of files that goes at the end.
class folder {
 public:
  folder() : path(::testing::TempDir() + "computelocator_discover_" + std::to_string(::getpid())) {
    std::filesystem::create_directories(path);
  }
  ~folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
    std::ofstream(path + "/" + name) << text;
    return path + "/" + name;
  }
  std::string path;
};

cl::environment_lookup environment(std::map<std::string, std::string> of) {
  return [of = std::move(of)](const std::string& name) -> std::optional<std::string> {
    const auto found = of.find(name);
    return found == of.end() ? std::nullopt : std::optional(found->second);
  };
}

std::string config(const std::string& cluster, const std::string& user, const std::string& more = "current-context: c\n") {
  return more + "clusters:\n- name: k\n  cluster: {" + cluster + "}\nusers:\n- name: u\n  user: {" + user +
         "}\ncontexts:\n- name: c\n  context: {cluster: k, user: u, namespace: shop}\n";
}

cl::result<cl::cluster_config> read(const folder& in, const std::string& text) {
  cl::kubeconfig_options options;
  options.path = in.write("config", text);
  return cl::read_kubeconfig(options);
}

TEST(kubeconfig, a_plain_one) {
  const folder in;
  in.write("pki/ca.pem", "CA");
  const auto got = read(in, config("server: 'https://api.example.com:6443/k8s/clusters/c-1/', certificate-authority: pki/ca.pem, tls-server-name: kube",
                                   "token: \"abc\\n\""));
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->url(), "https://api.example.com:6443/k8s/clusters/c-1");
  EXPECT_EQ(got->access->tls.ca_pem, "CA");
  EXPECT_EQ(got->access->tls.server_name, "kube");
  EXPECT_EQ(got->access->who.token.reveal(), "abc");
  EXPECT_EQ(got->default_namespace, "shop");
  EXPECT_NE(got->source.find("context c"), std::string::npos);
}

TEST(kubeconfig, data_beats_files_and_json_is_yaml) {
  const folder in;
  const auto got = read(in, R"({"current-context":"c","clusters":[{"name":"k","cluster":{"server":"https://[::1]:6443","certificate-authority-data":"Q0E=","certificate-authority":"/nowhere"}}],
    "users":[{"name":"u","user":{"client-certificate-data":"Q0VSVA==","client-key-data":"S0VZ"}}],"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}]})");
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->host, "::1");
  EXPECT_EQ(got->access->tls.ca_pem, "CA");
  EXPECT_EQ(got->access->who.client_certificate_pem, "CERT");
  EXPECT_EQ(got->access->who.client_key_pem.reveal(), "KEY");
}

TEST(kubeconfig, the_first_file_that_defines_a_name_wins_it) {
  const folder in;
  const std::string a = in.write("a/config", "clusters:\n- {name: k, cluster: {server: 'https://a:1'}}\nusers:\n- {name: u, user: {tokenFile: token}}\n");
  const std::string b = in.write("b/config", config("server: 'https://b:2', tls-server-name: never", "token: never"));
  in.write("a/token", "from-a\n");
  cl::kubeconfig_options options;
  options.environment = environment({{"KUBECONFIG", in.path + "/missing:" + a + ":" + b}});
  const auto got = cl::read_kubeconfig(options);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->host, "a");
  EXPECT_EQ(got->access->tls.server_name, "") << "entries are not merged with one another";
  EXPECT_EQ(got->access->who.token_file, in.path + "/a/token") << "paths are relative to their own file";
}

TEST(kubeconfig, each_error_says_what_and_where) {
  const folder in;
  const std::string server = "server: 'https://a:1'";
  const struct {
    const char* name;
    std::string text;
    const char* code;
    const char* says;
  } rows[] = {
      {"no YAML", "clusters: [", "bad_configuration", "line"},
      {"a list", "- 1", "bad_configuration", "is no kubeconfig"},
      {"a name twice", "a: 1\na: 2\n", "bad_configuration", "twice"},
      {"merge key", "a: &x {b: 1}\nc:\n  <<: *x\n", "bad_configuration", "merge key"},
      {"deep", std::string(100, '['), "bad_configuration", "deeply"},
      {"laughs", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "bad_configuration", "too much"},
      {"no context", config(server, "token: t", ""), "bad_configuration", "current-context"},
      {"wrong context", config(server, "token: t", "current-context: x\n"), "bad_configuration", "there are c"},
      {"no server", config("", "token: t"), "bad_configuration", "no server"},
      {"odd server", config("server: 'ftp://a'", "token: t"), "bad_configuration", "neither https nor http"},
      {"user in server", config("server: 'https://a:b@c'", "token: t"), "bad_configuration", "server"},
      {"port", config("server: 'https://a:70000'", "token: t"), "bad_configuration", "port"},
      {"token over http", config("server: 'http://a'", "token: t"), "bad_configuration", "plain http"},
      {"token to anybody", config(server + ", insecure-skip-tls-verify: true", "token: t"), "bad_configuration", "insecure-skip-tls-verify"},
      {"CA and insecure", config(server + ", insecure-skip-tls-verify: true, certificate-authority-data: Q0E=", ""), "bad_configuration", "both"},
      {"base64", config(server + ", certificate-authority-data: '*'", "token: t"), "bad_configuration", "base64"},
      {"no CA file", config(server + ", certificate-authority: nowhere", "token: t"), "bad_configuration", "nowhere"},
      {"device", config(server + ", certificate-authority: /dev/zero", "token: t"), "bad_configuration", "regular file"},
      {"key alone", config(server, "client-key-data: S0VZ"), "bad_configuration", "certificate"},
      {"no token file", config(server, "tokenFile: nowhere"), "bad_configuration", "nowhere"},
      {"provider", config(server, "auth-provider: {name: gcp}"), "unsupported", "auth-provider"},
      {"impersonation", config(server, "as: root"), "unsupported", "impersonation"},
      {"proxy by TLS", config(server + ", proxy-url: 'https://p'", "token: t"), "unsupported", "proxy-url https:// is not"},
      {"SOCKS 4", config(server + ", proxy-url: 'socks4://p:1'", "token: t"), "unsupported", "proxy-url socks4:// is not"},
      {"login of SOCKS", config(server + ", proxy-url: 'socks5://u:canary@p'", "token: t"), "bad_configuration", "proxy-url holds"},
      {"server by SOCKS", config("server: 'socks5://a'", "token: t"), "bad_configuration", "neither https nor http"},
      {"proxy's login", config(server + ", proxy-url: 'http://u:canary@p'", "token: t"), "bad_configuration", "proxy-url holds"},
      {"proxy to http", config("server: 'http://a', proxy-url: 'http://p'", ""), "unsupported", "plain http"},
  };
  for (const auto& row : rows) {
    const auto got = read(in, row.text);
    ASSERT_FALSE(got) << row.name;
    EXPECT_EQ(cl::to_string(got.error().code), row.code) << row.name;
    EXPECT_NE(got.error().message().find(row.says), std::string::npos) << row.name << ": " << got.error().message();
    EXPECT_NE(got.error().message().find(in.path), std::string::npos) << row.name << ": " << got.error().message();
  }
}

TEST(kubeconfig, a_bad_token_is_never_echoed) {
  const folder in;
  const auto got = read(in, config("server: 'https://a'", "token: \"canary\\u0001x\""));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message().find("canary"), std::string::npos);
}

TEST(find_cluster, lists_what_was_tried_and_takes_the_service_account) {
  const folder in;
  cl::cluster_options options;
  options.environment = environment({{"HOME", in.path}});
  auto got = cl::find_cluster(options);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, cl::errc::no_configuration);
  EXPECT_NE(got.error().message().find(in.path + "/.kube/config"), std::string::npos);
  EXPECT_NE(got.error().message().find("KUBERNETES_SERVICE_HOST"), std::string::npos);

  in.write("sa/token", "t\n");
  in.write("sa/ca.crt", "CA");
  in.write("sa/namespace", "mine");
  options.service_account_directory = in.path + "/sa";
  options.environment = environment({{"HOME", in.path}, {"KUBERNETES_SERVICE_HOST", "fd00::1"}, {"KUBERNETES_SERVICE_PORT", "443"}});
  got = cl::find_cluster(options);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(got->in_cluster);
  EXPECT_EQ(got->url(), "https://[fd00::1]:443");
  EXPECT_EQ(got->access->who.token_file, in.path + "/sa/token");
  EXPECT_EQ(got->access->tls.ca_file, in.path + "/sa/ca.crt");
  EXPECT_EQ(got->default_namespace, "mine");
}

TEST(list, pages_fields_and_restarts) {
  cl::list_options options;
  options.base_path = "/base";
  options.label_selector = "a=b,c in (d)";
  options.limit = 2;
  cl::node_lister nodes(options);
  EXPECT_EQ(nodes.path(), "/base/api/v1/nodes?limit=2&labelSelector=a%3Db%2Cc%20in%20%28d%29");
  auto step = nodes.feed(200, R"({"items":[{"status":{"nodeInfo":{"kubeletVersion":"v1.34.0"},"daemonEndpoints":{"kubeletEndpoint":{"Port":10251}},
    "conditions":[{"status":"False","type":"MemoryPressure"},{"type":"Ready","status":"True"}],"capacity":{"cpu":"4","memory":"8Gi"},
    "addresses":[{"address":"10.0.0.1","type":"InternalIP"}]},"metadata":{"uid":"1","name":"a","labels":{"x":"\u00e9"}}}],"metadata":{"continue":"t/k=","resourceVersion":"5"}})");
  ASSERT_TRUE(step);
  EXPECT_EQ(*step, cl::list_step::more);
  EXPECT_NE(nodes.path().find("&continue=t%2Fk%3D"), std::string::npos);
  EXPECT_EQ(*nodes.feed(410, ""), cl::list_step::restart);
  EXPECT_TRUE(nodes.items().empty());
  EXPECT_EQ(nodes.path().find("continue"), std::string::npos);
  step = nodes.feed(200, R"({"metadata":{},"items":[{"metadata":{"name":"a","labels":{"x":"\u00e9"}},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":10251}},
    "conditions":[{"type":"Ready","status":"True"}],"capacity":{"cpu":"4","memory":"8Gi"},"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}},{"metadata":{"name":"b"},"status":{}}]})");
  ASSERT_TRUE(step) << step.error().message();
  EXPECT_EQ(*step, cl::list_step::done);
  ASSERT_EQ(nodes.items().size(), 2u);
  EXPECT_EQ(nodes.items()[0].kubelet_port, 10251);
  EXPECT_EQ(nodes.items()[0].ready, "True");
  EXPECT_EQ(nodes.items()[0].capacity_memory, 8589934592.0);
  EXPECT_EQ(nodes.items()[0].labels.at("x"), "\xC3\xA9");
  EXPECT_TRUE(std::isnan(nodes.items()[1].capacity_cpu));
}

TEST(list, a_pod) {
  cl::pod_lister pods({});
  const auto step = pods.feed(200, R"({"items":[{"metadata":{"name":"p","namespace":"n","uid":"u","annotations":{"kubernetes.io/config.hash":"h","prometheus.io/port":"9","x":"y"},
    "ownerReferences":[{"kind":"Node","name":"no","controller":false},{"kind":"ReplicaSet","name":"rs","controller":true}]},
    "spec":{"nodeName":"a","hostNetwork":true,"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"250m"},"limits":{"memory":"1Gi"}}}],"initContainers":[{"name":"init"}]},
    "status":{"phase":"Running","podIP":"10.1.1.1","containerStatuses":[{"name":"c","containerID":"containerd://abc","restartCount":3,"state":{"running":{"startedAt":"x"}}}]}}],"metadata":{}})");
  ASSERT_TRUE(step) << step.error().message();
  const cl::pod& got = pods.items().at(0);
  EXPECT_EQ(got.owner_kind + "/" + got.owner_name, "ReplicaSet/rs");
  EXPECT_TRUE(got.host_network);
  EXPECT_EQ(got.mirror_uid, "h");
  EXPECT_EQ(got.annotations.size(), 1u);
  ASSERT_EQ(got.containers.size(), 2u);
  EXPECT_EQ(got.containers[0].id, "abc");
  EXPECT_TRUE(got.containers[0].running);
  EXPECT_EQ(got.containers[0].restarts, 3);
  EXPECT_EQ(got.containers[0].request_cpu, 0.25);
  EXPECT_TRUE(std::isnan(got.containers[0].limit_cpu));
  EXPECT_TRUE(got.containers[1].init);
}

TEST(list, every_cut_and_every_wrong_answer_is_an_error) {
  const std::string whole = R"({"kind":"NodeList","metadata":{"continue":""},"items":[{"metadata":{"name":"a"},"status":{"addresses":[{"type":"Hostname","address":"a"}]}}]})";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    cl::node_lister nodes({});
    EXPECT_FALSE(nodes.feed(200, whole.substr(0, length))) << whole.substr(0, length);
  }
  const struct { int status; const char* body; const char* code; const char* says; } rows[] = {
      {200, "<html>", "json_malformed", "not what it should be"},
      {200, "{}", "json_malformed", "no list"},
      {200, R"({"items":{}})", "json_malformed", "not what it should be"},
      {200, R"({"items":[{"metadata":{"name":5}}]})", "json_malformed", "not what it should be"},
      {401, "Unauthorized", "unauthorized", "Unauthorized"},
      {403, R"({"kind":"Status","message":"nodes is forbidden: User \"x\""})", "forbidden", "nodes is forbidden: User \"x\""},
      {404, "", "not_found", "no Kubernetes API"},
      {429, "", "too_many_requests", "later"},
      {302, "", "redirect_refused", "302"},
      {500, "\x1b[2J", "http_status", "\\x1b[2J"}};
  for (const auto& row : rows) {
    cl::node_lister nodes({});
    const auto got = nodes.feed(row.status, row.body);
    ASSERT_FALSE(got) << row.body;
    EXPECT_EQ(cl::to_string(got.error().code), row.code) << row.body;
    EXPECT_NE(got.error().message().find(row.says), std::string::npos) << got.error().message();
  }
  cl::node_lister expired({});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(expired.feed(410, ""));
  EXPECT_EQ(expired.feed(410, "").error().code, cl::errc::expired_list);
  cl::list_options tight;
  tight.max_body = 4;
  EXPECT_EQ(cl::node_lister(tight).feed(200, whole).error().code, cl::errc::too_large);
  cl::list_options odd;
  odd.label_selector = "a\nb";
  EXPECT_FALSE(cl::check(odd));
}

cl::node node_at(const std::string& address, const std::string& type = "InternalIP") {
  cl::node made;
  made.name = "n-1.example";
  made.uid = "uid";
  made.addresses = {{"Hostname", "n-1.example"}, {type, address}};
  return made;
}

cl::cluster_config somewhere(const std::string& host) {
  cl::cluster_config made;
  made.host = host;
  made.port = 6443;
  made.base_path = "/base";
  made.in_cluster = true;
  auto who = std::make_shared<cl::access>();
  who->tls.server_name = "kubernetes.default";
  who->tls.ca_pem = "CA";
  made.access = who;
  return made;
}

TEST(target, addresses_that_a_node_must_not_have) {
  for (const char* bad : {"127.0.0.1", "127.8.9.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255", "::1", "::",
                          "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "127.1", "0x7f000001", "2130706433", "localhost",
                          "a.localhost", "fe80::1%eth0", "a b", "-x"}) {
    cl::node of = node_at(bad);
    of.addresses.erase(of.addresses.begin());
    const auto got = cl::kubelet_target(of, somewhere("10.96.0.1"));
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().code, cl::errc::address_refused) << bad;
  }
  cl::route_options allow;
  allow.allowed_ranges = {"169.254.0.0/16"};
  EXPECT_TRUE(cl::kubelet_target(node_at("169.254.1.1"), somewhere("10.96.0.1"), allow));
  EXPECT_FALSE(cl::kubelet_target(node_at("127.0.0.1"), somewhere("10.96.0.1"), allow));
  EXPECT_TRUE(cl::kubelet_target(node_at("127.1.0.1"), somewhere("127.0.0.1"))) << "a simulated cluster";
  allow.allowed_ranges = {"nonsense"};
  EXPECT_EQ(cl::kubelet_target(node_at("127.0.0.1"), somewhere("10.96.0.1"), allow).error().code, cl::errc::invalid_argument);
}

TEST(target, a_name_is_judged_by_the_address_that_it_stands_for) {
  cl::cluster_config cluster;
  cluster.host = "10.0.0.1";
  cluster.access = std::make_shared<const cl::access>();
  cl::route_options options;
  options.allowed_ranges = {"169.254.7.0/24"};
  const auto far = cl::kubelet_access(cluster, options);
  EXPECT_FALSE(far->refuses("10.0.0.2"));
  EXPECT_FALSE(far->refuses("169.254.7.1"));
  for (const char* bad : {"127.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1"})
    EXPECT_EQ(far->refuses(bad)->code, cl::errc::address_refused) << bad;
  cluster.host = "127.0.0.1";
  EXPECT_FALSE(cl::kubelet_access(cluster, options)->refuses("127.1.0.1"));
}

TEST(target, direct_and_through_the_api_server) {
  cl::route_options options;
  options.metrics = {"container_memory_limit_bytes"};
  const cl::cluster_config cluster = somewhere("10.96.0.1");
  auto got = cl::kubelet_target(node_at("fd00::5"), cluster, options);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->url(), "https://[fd00::5]:10250/metrics/cadvisor");
  EXPECT_EQ(got->path, "/metrics/cadvisor?name%5B%5D=container_spec_memory_limit_bytes");
  EXPECT_EQ(got->access->tls.server_name, "") << "the API server's name is not the kubelet's";
  EXPECT_EQ(got->access->tls.ca_pem, "CA");
  options.route = cl::route::api_server;
  got = cl::kubelet_target(node_at("169.254.1.1"), cluster, options);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->url(), "https://10.96.0.1:6443/base/api/v1/nodes/n-1.example/proxy/metrics/cadvisor");
  options.path = "/exec";
  EXPECT_FALSE(cl::kubelet_target(node_at("10.0.0.1"), cluster, options));
  cl::node odd = node_at("10.0.0.1");
  odd.name = "../x";
  EXPECT_FALSE(cl::kubelet_target(odd, cluster, {}));
  cl::node none = node_at("10.0.0.1");
  none.addresses.clear();
  EXPECT_FALSE(cl::kubelet_target(none, cluster, {}));
}

cl::errc code_of(const folder& in, const std::string& text, const std::string& says) {
  const auto got = read(in, text);
  EXPECT_FALSE(got) << text;
  if (got) return cl::errc::invalid_argument;
  EXPECT_NE(got.error().message().find(says), std::string::npos) << got.error().message();
  EXPECT_NE(got.error().message().find(in.path), std::string::npos) << got.error().message();
  return got.error().code;
}

TEST(kubeconfig, what_would_silently_mean_something_else_is_refused) {
  const folder in;
  in.write("empty.pem", "\n");
  const std::string server = "server: 'https://a:1'";
  const struct {
    std::string cluster, user;
    const char* says;
  } rows[] = {
      {server + ", certificate-authority: empty.pem", "token: t", "empty.pem is empty"},
      {server + ", certificate-authority-data: '===='", "token: t", "not base64"},
      {server + ", certificate-authority-data: Q0E", "token: t", "not base64"},
      {server + ", insecure-skip-tls-verify: ture", "", "neither true nor false"},
      {server + ", insecure-skip-tls-verify: 'true'", "", "neither true nor false"},
      {server, "token: ' '", "white space"},
      {server, "token: t, username: x, password: y", "both a token and a username"},
      {"server: 'http://a:1'", "username: x, password: y", "plain http"},
      {server, "client-certificate-data: Q0E=", "no client key"},
      {"server: '::1'", "", "no host"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(code_of(in, config(row.cluster, row.user), row.says),
              cl::errc::bad_configuration);
  const std::string entry = "- {name: k, cluster: {" + server + "}}\n";
  EXPECT_EQ(code_of(in, "clusters:\n" + entry + entry, "stands there twice"),
            cl::errc::bad_configuration);
  // The error leads to the entry, wherever the files came from.
  const auto got = read(in, config(server, "exec: {command: aws}"));
  for (const char* part : {"context c", "cluster k", "user u", "aws"})
    EXPECT_NE(got.error().message().find(part), std::string::npos) << got.error().message();
}

TEST(kubeconfig, servers_and_trust) {
  const folder in;
  const struct {
    const char* cluster;
    const char* url;
    cl::tls_mode mode;
  } rows[] = {
      {"server: 'https://a'", "https://a:443", cl::tls_mode::verify},
      {"server: 'http://a/'", "http://a:80", cl::tls_mode::verify},
      {"server: 'a:8080'", "http://a:8080", cl::tls_mode::verify},
      {"server: a, certificate-authority-data: Q0E=", "https://a:443", cl::tls_mode::verify},
      {"server: 'https://a', insecure-skip-tls-verify: on", "https://a:443",
       cl::tls_mode::insecure},
      {"server: 'https://a', insecure-skip-tls-verify: false", "https://a:443",
       cl::tls_mode::verify},
  };
  for (const auto& row : rows) {
    const auto got = read(in, config(row.cluster, ""));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(got->url(), row.url);
    EXPECT_EQ(got->access->tls.mode, row.mode) << row.cluster;
  }
  const auto both = read(in, config("server: 'https://a', insecure-skip-tls-verify: true",
                                    "client-certificate-data: Q0E=, client-key-data: Q0E="));
  EXPECT_TRUE(both) << "a client certificate cannot be replayed";
  in.write("token", "file");
  const auto token = read(in, config("server: 'https://a'", "token: text, tokenFile: token"));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->access->who.token.reveal(), "text");
  EXPECT_EQ(token->access->who.token_file, "");
}

TEST(find_cluster, each_choice) {
  const folder in;
  in.write("sa/token", "t");
  in.write("sa/ca.crt", "CA");
  const std::string good = in.write("good", config("server: 'https://a'", "token: t"));
  const std::string empty = in.write("empty", "apiVersion: v1\nclusters: null\nusers: []\n");
  const std::map<std::string, std::string> pod{{"KUBERNETES_SERVICE_HOST", "[fd00::1]"},
                                               {"KUBERNETES_SERVICE_PORT_HTTPS", "443"},
                                               {"POD_NAMESPACE", "env"}};
  cl::cluster_options options;
  options.service_account_directory = in.path + "/sa";
  const auto find = [&](const std::string& list) {
    auto all = pod;
    if (!list.empty()) all["KUBECONFIG"] = list;
    options.environment = environment(all);
    return cl::find_cluster(options);
  };
  for (const std::string& list : {std::string(), in.path + "/missing", empty, std::string(":")}) {
    const auto got = find(list);
    ASSERT_TRUE(got) << list << ": " << got.error().message();
    EXPECT_TRUE(got->in_cluster) << list;
    EXPECT_EQ(got->url(), "https://[fd00::1]:443");
    EXPECT_EQ(got->default_namespace, "env");
  }
  EXPECT_FALSE(find(empty + ":" + good)->in_cluster);
  EXPECT_EQ(find(in.path).error().code, cl::errc::bad_configuration) << "a folder";
  EXPECT_EQ(find(in.write("broken", "{")).error().code, cl::errc::bad_configuration);

  options.context = "prod";
  EXPECT_EQ(find("").error().code, cl::errc::no_configuration)
      << "the pod's own cluster is not the context asked for";
  options.context.clear();
  options.kubeconfig = in.path + "/missing";
  EXPECT_EQ(find("").error().code, cl::errc::bad_configuration) << "named, so it must be there";
  options.kubeconfig.clear();

  in.write("sa/token", "a b");
  EXPECT_EQ(find("").error().code, cl::errc::bad_configuration);
  std::filesystem::remove(in.path + "/sa/token");
  EXPECT_EQ(find("").error().code, cl::errc::no_configuration);
  in.write("sa/token", "t");
  in.write("sa/ca.crt", "");
  EXPECT_EQ(find("").error().code, cl::errc::bad_configuration)
      << "no CA would mean the system's";
}

TEST(list, nulls_are_as_good_as_nothing) {
  cl::pod_lister pods({});
  const auto step = pods.feed(200, R"({"metadata":null,"items":[{"metadata":{"name":"p",
    "labels":null,"ownerReferences":[{"kind":"A","name":"a","controller":null}]},
    "spec":{"hostNetwork":null,"containers":[{"name":"c","resources":{"limits":{"cpu":2}}}],
    "ephemeralContainers":null},"status":{"containerStatuses":[{"name":"c","containerID":null,
    "restartCount":null,"state":{"running":null,"waiting":{}}}],
    "ephemeralContainerStatuses":[{"name":"e","containerID":"cri-o://ff"}]}}]})");
  ASSERT_TRUE(step) << step.error().message();
  const cl::pod& got = pods.items().at(0);
  EXPECT_EQ(got.owner_kind, "");
  ASSERT_EQ(got.containers.size(), 2u);
  EXPECT_FALSE(got.containers[0].running);
  EXPECT_EQ(got.containers[0].limit_cpu, 2);
  EXPECT_EQ(got.containers[1].id, "ff");
  EXPECT_TRUE(got.containers[1].init);
  cl::node_lister none({});
  EXPECT_EQ(*none.feed(200, R"({"items":null})"), cl::list_step::done);
}

TEST(list, limits_and_paths) {
  const std::string two = R"({"metadata":{"continue":"n"},"items":[{"metadata":{"name":"a"}},
    {"metadata":{"name":"b"}}]})";
  cl::list_options options;
  options.max_items = 2;
  options.where = "api.example.com";
  cl::node_lister nodes(options);
  EXPECT_EQ(*nodes.feed(200, two), cl::list_step::more) << "as many as allowed";
  const auto more = nodes.feed(200, two);
  EXPECT_EQ(more.error().code, cl::errc::too_large);
  EXPECT_EQ(more.error().where, "api.example.com");
  cl::node_lister circle({});
  EXPECT_TRUE(circle.feed(200, two));
  EXPECT_EQ(circle.feed(200, two).error().code, cl::errc::json_malformed);

  options = {};
  options.namespace_name = "shop";
  EXPECT_EQ(cl::pod_lister(options).path(), "/api/v1/namespaces/shop/pods?limit=500");
  EXPECT_EQ(cl::node_lister(options).path(), "/api/v1/nodes?limit=500");
  EXPECT_TRUE(cl::check(options));
  for (const char* bad : {"-", "a-", "A", "../x", "a b"}) {
    options.namespace_name = bad;
    EXPECT_FALSE(cl::check(options)) << bad;
    EXPECT_EQ(cl::pod_lister(options).path().find("../"), std::string::npos);
  }
  options = {};
  options.limit = 0;
  EXPECT_FALSE(cl::check(options));
  const std::string deep = "{\"items\":[],\"x\":" + std::string(100'000, '[');
  EXPECT_FALSE(cl::node_lister({}).feed(200, deep));
  EXPECT_EQ(cl::node_lister({}).feed(403, deep).error().code, cl::errc::forbidden);
  EXPECT_LT(cl::node_lister({}).feed(500, deep).error().message().size(), 400u);
}

TEST(target, the_first_address_by_type_and_its_port) {
  cl::node of = node_at("10.0.0.1", "ExternalIP");
  of.kubelet_port = 10260;
  of.addresses.push_back({"InternalIP", ""});
  EXPECT_EQ(cl::kubelet_target(of, somewhere("10.96.0.1"))->host, "10.0.0.1");
  EXPECT_EQ(cl::kubelet_target(of, somewhere("10.96.0.1"))->port, 10260);
  cl::route_options options;
  options.address_types = {"Hostname"};
  EXPECT_EQ(cl::kubelet_target(of, somewhere("10.96.0.1"), options)->host, "n-1.example");
  options.address_types = {"InternalDNS"};
  EXPECT_FALSE(cl::kubelet_target(of, somewhere("10.96.0.1"), options));
  cl::cluster_config outside = somewhere("api");
  outside.in_cluster = false;
  EXPECT_EQ(cl::kubelet_target(of, outside)->host, "api") << "automatic, from a kubeconfig";
  for (const char* bad : {"a.-b", "a-.b", "a..b", ".a", "A", "", "a/b"}) {
    of.name = bad;
    EXPECT_FALSE(cl::kubelet_target(of, outside)) << bad;
  }
  for (const char* odd : {"ip6-localhost", "LocalHost.LocalDomain", "1.2.3.0x4", "1.2.3.4.5", "7"})
    EXPECT_FALSE(cl::kubelet_target(node_at(odd), somewhere("10.96.0.1"))) << odd;
  for (const char* name : {"cafe", "0xen.example", "10-0-0-1.internal", "N1.example"})
    EXPECT_TRUE(cl::kubelet_target(node_at(name, "InternalIP"), somewhere("10.96.0.1"))) << name;
  EXPECT_TRUE(cl::kubelet_target(node_at("127.0.0.2"), somewhere("localhost")));
  cl::route_options wrong;
  wrong.allowed_ranges = {"10.0.0.0/33"};
  EXPECT_FALSE(cl::kubelet_target(node_at("10.0.0.1"), somewhere("10.96.0.1"), wrong))
      << "a range that cannot be is told before it is needed";
}

TEST(target, what_kubelets_are_shown) {
  cl::cluster_config cluster = somewhere("10.96.0.1");
  auto who = std::make_shared<cl::access>(*cluster.access);
  who->who.token = cl::secret("t");
  who->who.username = "admin";
  who->who.password = cl::secret("p");
  who->tls.mode = cl::tls_mode::insecure;
  who->tls.pin = "x";
  cluster.access = who;
  std::vector<cl::node> nodes{node_at("10.0.0.1"), node_at("10.0.0.2"), node_at("127.0.0.1")};
  nodes[1].uid = "pinned";
  cl::route_options options;
  options.tls = cl::tls_mode::pin;
  options.pins["pinned"] = std::string(64, 'a');
  auto got = cl::kubelet_targets(nodes, cluster, options);
  ASSERT_EQ(got.size(), 3u);
  ASSERT_TRUE(got[0].target && got[1].target);
  EXPECT_FALSE(got[2].target) << "one node's error is its own";
  EXPECT_EQ(got[0].target->access->tls.mode, cl::tls_mode::pin);
  EXPECT_EQ(got[0].target->access->tls.pin, "") << "first use";
  EXPECT_EQ(got[1].target->access->tls.pin, std::string(64, 'a'));
  EXPECT_EQ(got[0].target->access->who.token.reveal(), "t");
  EXPECT_EQ(got[0].target->access->who.username, "") << "kubelets know no passwords";
  EXPECT_TRUE(got[0].target->access->who.password.empty());
  options.pins["pinned"] = "AA";
  EXPECT_EQ(cl::kubelet_target(nodes[1], cluster, options).error().code,
            cl::errc::invalid_argument);
  options = {};
  options.ca_pem = "OTHER";
  nodes.pop_back();
  got = cl::kubelet_targets(nodes, cluster, options);
  EXPECT_EQ(got[0].target->access, got[1].target->access) << "shared";
  EXPECT_EQ(got[0].target->access->tls.ca_pem, "OTHER");
  EXPECT_EQ(got[0].target->access->tls.mode, cl::tls_mode::verify)
      << "how the API server is judged says nothing of kubelets";
  options.route = cl::route::api_server;
  EXPECT_EQ(cl::kubelet_target(nodes[0], cluster, options)->access, cluster.access);
  cluster.access = nullptr;
  EXPECT_FALSE(cl::kubelet_target(nodes[0], cluster, options));
}

TEST(kubeconfig, long_texts_and_nested_anchors_are_not_multiplied) {
  const folder in;
  std::string many = "a: &a " + std::string(200'000, 'x') + "\nb: [";
  for (int i = 0; i < 50'000; ++i) many += "*a,";
  EXPECT_EQ(code_of(in, many + "]\n", "too much"), cl::errc::bad_configuration);
  std::string nested = "a: ";
  for (int i = 0; i < 60; ++i) nested += "&a" + std::to_string(i) + " [";
  for (int i = 0; i < 90'000; ++i) nested += "x,";
  EXPECT_EQ(code_of(in, nested + std::string(60, ']') + "\n", "too much"),
            cl::errc::bad_configuration);
}

// --- sharing nodes among collectors

std::vector<std::string> collectors(int from, int to) {
  std::vector<std::string> made;
  for (int i = from; i < to; ++i) made.push_back("collector-" + std::to_string(i));
  return made;
}

std::string owner(const std::vector<std::string>& all, const std::string& node) {
  std::string found;
  for (const std::string& each : all)
    if (cl::in_share({each, all}, node)) {
      EXPECT_EQ(found, "") << node << " has two owners";
      found = each;
    }
  EXPECT_NE(found, "") << node << " has none";
  return found;
}

TEST(share, each_node_has_one_owner_and_the_shares_are_even) {
  for (const int count : {1, 2, 3, 7, 20}) {
    const auto all = collectors(0, count);
    std::map<std::string, int> owned;
    for (int node = 0; node < 5000; ++node) ++owned[owner(all, "node-" + std::to_string(node))];
    ASSERT_EQ(owned.size(), static_cast<std::size_t>(count));
    // Binomial: six deviations are as good as never.
    const double mean = 5000.0 / count, deviation = std::sqrt(mean * (1 - 1.0 / count));
    for (const auto& [name, nodes] : owned) EXPECT_LE(std::abs(nodes - mean), 6 * deviation + 1e-9) << name << " of " << count;
  }
}

TEST(share, whoever_leaves_or_comes_moves_its_own_nodes_alone) {
  const auto five = collectors(0, 5), four = collectors(0, 4);
  auto turned = five;
  std::reverse(turned.begin(), turned.end());
  int moved = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string node = "ip-10-0-" + std::to_string(i / 256) + "-" + std::to_string(i % 256) + ".internal";
    const std::string before = owner(five, node), after = owner(four, node);
    EXPECT_EQ(owner(turned, node), before);
    if (before == "collector-4") ++moved;
    else EXPECT_EQ(after, before);
  }
  EXPECT_GT(moved, 300);
  EXPECT_LT(moved, 500);
}

TEST(share, is_the_same_on_every_machine) {
  const auto all = collectors(0, 3);
  EXPECT_EQ(owner(all, "node-000"), "collector-0");
  EXPECT_EQ(owner(all, "node-001"), "collector-0");
  EXPECT_EQ(owner(all, "minikube"), "collector-2");
}

TEST(share, without_names_every_node_is_mine) {
  EXPECT_TRUE(cl::in_share({}, "node"));
  EXPECT_TRUE(cl::check(cl::node_share{}));
}

TEST(share, names_that_cannot_be) {
  EXPECT_EQ(cl::check(cl::node_share{"a", {}}).error().code, cl::errc::invalid_argument);
  EXPECT_EQ(cl::check(cl::node_share{"", {"a"}}).error().code, cl::errc::invalid_argument);
  EXPECT_NE(cl::check(cl::node_share{"a", {"b", "c"}}).error().message().find("\"a\" is not among"), std::string::npos);
  EXPECT_NE(cl::check(cl::node_share{"a", {"a", "b", "b"}}).error().message().find("\"b\" stands there twice"), std::string::npos);
  EXPECT_TRUE(cl::check(cl::node_share{"a", {"b", "a"}}));
}

}  // namespace
