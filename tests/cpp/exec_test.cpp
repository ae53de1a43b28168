// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Exec plugins of a kubeconfig: what is read, and what is made of an answer. None is run here.

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include <computelocator/discover.hpp>

namespace {

namespace cl = computelocator;

constexpr const char* v1 = "client.authentication.k8s.io/v1";

struct read_options {
  std::string cluster = "server: 'https://a:1'";
  cl::exec_rule rule = cl::exec_rule::automatic;
  bool in_pod = false;
  std::string user_more;
};

cl::result<cl::cluster_config> read(const std::string& exec, const read_options& how = {}) {
  const std::string folder = ::testing::TempDir() + "computelocator_exec_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/config") << "current-context: c\nclusters: [{name: k, cluster: {" << how.cluster
                                    << "}}]\nusers: [{name: u, user: {exec: {" << exec << "}" << how.user_more
                                    << "}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
  cl::kubeconfig_options options;
  options.path = folder + "/config";
  options.exec_plugins = how.rule;
  options.environment = [&](const std::string& name) -> std::optional<std::string> {
    if (how.in_pod && name == "KUBERNETES_SERVICE_HOST") return "10.0.0.1";
    return std::nullopt;
  };
  auto made = cl::read_kubeconfig(options);
  std::filesystem::remove_all(folder);
  return made;
}

std::string info_of(const cl::cluster_config& of) {
  EXPECT_EQ(of.access->who.exec->environment.back().first, "KUBERNETES_EXEC_INFO");
  return of.access->who.exec->environment.back().second;
}

const std::string plain = "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: aws";

TEST(exec, how_it_is_to_be_run) {
  const auto got = read(plain + ", args: [eks, get-token, '-n', 5], env: [{name: A, value: 'b c'}], installHint: get it");
  ASSERT_TRUE(got) << got.error().message();
  const cl::exec_plugin& plugin = *got->access->who.exec;
  EXPECT_EQ(plugin.command, (std::vector<std::string>{"aws", "eks", "get-token", "-n", "5"}));
  EXPECT_EQ(plugin.environment.front(), (std::pair<std::string, std::string>{"A", "b c"}));
  EXPECT_EQ(plugin.install_hint, "get it");
  EXPECT_EQ(info_of(*got), R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}})");
  const auto beta = read("apiVersion: client.authentication.k8s.io/v1beta1, command: /opt/plugin");
  ASSERT_TRUE(beta) << beta.error().message();
  EXPECT_EQ(beta->access->who.exec->command.front(), "/opt/plugin");
  const auto beside = read(plain.substr(0, plain.size() - 3) + "./bin/aws");
  ASSERT_TRUE(beside);
  EXPECT_NE(beside->access->who.exec->command.front().find("computelocator_exec_"), std::string::npos);
}

TEST(exec, what_it_is_told_of_the_cluster) {
  read_options how;
  how.cluster = "server: 'https://a:1/b', tls-server-name: n, certificate-authority-data: UEVN, extensions: [{name: "
                "client.authentication.k8s.io/exec, extension: {audience: \"x\\\"y\", n: 5, q: '5', b: true, z: null, "
                "l: [1, 007, a]}}]";
  const auto got = read(plain + ", provideClusterInfo: true", how);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_NE(info_of(*got).find(R"("cluster":{"server":"https://a:1/b","tls-server-name":"n","certificate-authority-data":"UEVN",)"
                               R"("config":{"audience":"x\"y","n":5,"q":"5","b":true,"z":null,"l":[1,"007","a"]}})"),
            std::string::npos) << info_of(*got);
}

TEST(exec, what_cannot_be) {
  const struct {
    const char* name;
    std::string exec;
    read_options how;
    const char* code;
    const char* says;
  } rows[] = {
      {"no command", "apiVersion: client.authentication.k8s.io/v1", {}, "bad_configuration", "no command"},
      {"old version", "apiVersion: client.authentication.k8s.io/v1alpha1, command: a", {}, "unsupported", "v1alpha1"},
      {"no version", "command: a", {}, "unsupported", "apiVersion"},
      {"no mode", "apiVersion: client.authentication.k8s.io/v1, command: a", {}, "bad_configuration", "interactiveMode"},
      {"terminal", "apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Always", {}, "unsupported", "kubectl create token"},
      {"args", plain + ", args: x", {}, "bad_configuration", "no list"},
      {"env", plain + ", env: [{value: x}]", {}, "bad_configuration", "env"},
      {"env name", plain + ", env: [{name: 'A=B', value: x}]", {}, "bad_configuration", "env"},
      {"cluster info", plain + ", provideClusterInfo: 7", {}, "bad_configuration", "neither true nor false"},
      {"in a pod", plain, {.in_pod = true}, "unsupported", "exec_plugins"},
      {"denied", plain, {.rule = cl::exec_rule::deny}, "unsupported", "exec_plugins"},
      {"token too", plain, {.user_more = ", token: t"}, "bad_configuration", "another credential"},
      {"over http", plain, {.cluster = "server: 'http://a:1'"}, "bad_configuration", "plain http"},
      {"to anybody", plain, {.cluster = "server: 'https://a:1', insecure-skip-tls-verify: true"}, "bad_configuration", "insecure"},
  };
  for (const auto& row : rows) {
    const auto got = read(row.exec, row.how);
    ASSERT_FALSE(got) << row.name;
    EXPECT_EQ(cl::to_string(got.error().code), row.code) << row.name << ": " << got.error().message();
    EXPECT_NE(got.error().message().find(row.says), std::string::npos) << row.name << ": " << got.error().message();
  }
  EXPECT_TRUE(read(plain, {.rule = cl::exec_rule::allow, .in_pod = true}));
}

std::string status(const std::string& inside) {
  return std::string(R"({"apiVersion":")") + v1 + R"(","kind":"ExecCredential","status":{)" + inside + "}}";
}

TEST(exec, what_it_gave) {
  using namespace std::chrono;
  const cl::exec_plugin plugin{"here", {"aws"}, {}, v1, ""};
  const system_clock::time_point now = sys_days(year(2026) / 8 / 22) + hours(12);
  const auto got = cl::read_exec_credential(
      plugin, status(R"("token":"t.k","expirationTimestamp":"2026-08-22T14:15:16.123+02:00")"), now);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->token.reveal(), "t.k");
  EXPECT_EQ(*got->expires, now + minutes(15) + seconds(16));
  const auto pair = cl::read_exec_credential(plugin, status(R"("clientCertificateData":"C","clientKeyData":"K")"), now);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->client_certificate_pem, "C");
  EXPECT_EQ(pair->client_key_pem.reveal(), "K");
  EXPECT_FALSE(pair->expires);
  const auto never = cl::read_exec_credential(plugin, status(R"("token":"t","expirationTimestamp":"9999-12-31T23:59:59Z")"), now);
  ASSERT_TRUE(never);
  EXPECT_GT(*never->expires, now + years(200));
  EXPECT_FALSE(cl::read_exec_credential(plugin, status(R"("token":"t","expirationTimestamp":"0001-01-01T00:00:00Z")"), now));

  const struct {
    std::string output;
    const char* says;
  } rows[] = {
      {"", "no JSON"}, {"canary-token", "no JSON"}, {"[]", "no JSON"}, {"{\"kind\":\"ExecCredential\"", "no JSON"},
      {std::string(100'000, '['), "no JSON"},
      {R"({"kind":"Status"})", "no ExecCredential"},
      {R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"canary-token"}})", "v1beta1"},
      {status(""), "neither"}, {status(R"("token":7)"), "neither"}, {status(R"("token":"")"), "neither"},
      {status(R"("clientCertificateData":"C")"), "alone"},
      {status(R"("token":"canary\ntoken")"), "white space"},
      {status(R"("token":"canary-token","expirationTimestamp":"2026-08-22T12:00:00Z")"), "expired at"},
      {status(R"("token":"canary-token","expirationTimestamp":"tomorrow")"), "no time"},
      {status(R"("token":"canary-token","expirationTimestamp":"2026-02-30T12:00:00Z")"), "no time"},
      {status(R"("token":"canary-token","expirationTimestamp":"2027-01-01T12:00:00")"), "no time"},
      {status(R"("token":"canary-token","expirationTimestamp":"2027-01-01T12:00:00+0200")"), "no time"},
  };
  for (const auto& row : rows) {
    const auto bad = cl::read_exec_credential(plugin, row.output, now);
    ASSERT_FALSE(bad) << row.output;
    EXPECT_EQ(bad.error().code, cl::errc::bad_configuration);
    EXPECT_NE(bad.error().message().find(row.says), std::string::npos) << bad.error().message();
    EXPECT_EQ(bad.error().message().find("canary"), std::string::npos);
  }
}

}  // namespace
