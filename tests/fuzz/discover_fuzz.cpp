// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <unistd.h>

#include <computelocator/discover.hpp>
#include <computelocator/discover_exporters.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

void check_error(const cl::error& failed) {
  for (const char c : failed.message()) must(static_cast<unsigned char>(c) >= 0x20);
}

/// The first answer may ask for more; the same bytes then come as the next page.
template <class Lister>
void list(int http_status, std::string_view body) {
  Lister lister({});
  for (int page = 0; page < 3; ++page) {
    for (const char c : lister.path()) must(c > 0x20 && c < 0x7F);
    const auto step = lister.feed(http_status, body);
    if (!step) return check_error(step.error());
    if (*step == cl::list_step::done) return;
  }
}

/// A file, since the reader takes nothing else; one a process, in memory where there is /dev/shm.
const std::string& file() {
  static const std::string path = [] {
    const std::string name = "computelocator_fuzz_" + std::to_string(::getpid());
    const std::string folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : "/tmp/";
    std::atexit([] { std::remove(file().c_str()); });
    return folder + name;
  }();
  return path;
}

void kubeconfig(std::string_view text) {
  std::FILE* const out = std::fopen(file().c_str(), "wb");
  must(out != nullptr);
  std::fwrite(text.data(), 1, text.size(), out);
  std::fclose(out);
  cl::kubeconfig_options options;
  options.path = file();
  options.environment = [](const std::string&) { return std::optional<std::string>(); };
  const auto got = cl::read_kubeconfig(options);
  if (!got) return check_error(got.error());
  must(got->access != nullptr && !got->host.empty() && got->port != 0);
  must(got->base_path.empty() || got->base_path.back() != '/');
  cl::node of;
  of.name = "n";
  of.addresses = {{"InternalIP", std::string(text.substr(0, 64))}};
  for (const auto way : {cl::route::direct, cl::route::api_server}) {
    cl::route_options route;
    route.route = way;
    const auto target = cl::kubelet_target(of, *got, route);
    if (!target) check_error(target.error());
  }
}

/// What a plugin printed.
void exec_answer(std::string_view text) {
  const cl::exec_plugin plugin{"plugin", {"plugin"}, {}, "client.authentication.k8s.io/v1", ""};
  const auto got = cl::read_exec_credential(plugin, text, std::chrono::system_clock::time_point());
  if (!got) return check_error(got.error());
  must(!got->token.empty() || !got->client_certificate_pem.empty());
  for (const char c : got->token.reveal()) must(c > 0x20 && c < 0x7F);
}

/// Nothing of a target breaks out of its place in a request.
void check_target(const cl::result<cl::target>& of) {
  if (!of) return check_error(of.error());
  must(!of->path.empty() && of->path.front() == '/' && !of->host.empty() && of->port != 0 && of->access != nullptr);
  for (const char c : of->path) must(c > 0x20 && c < 0x7F);
  for (const char c : of->host) must(c > 0x20 && c < 0x7F && c != '@' && c != '/');
}

void file_sd(std::string_view text) {
  const auto who = std::make_shared<const cl::access>();
  for (const char* name : {"f.json", "f.yml"}) {
    const auto groups = cl::read_file_sd(text, name);
    if (!groups) {
      check_error(groups.error());
      continue;
    }
    for (const cl::node_target& each : cl::exporter_targets(*groups, {{"env", "x"}}, who)) check_target(each.target);
  }
  check_target(cl::exporter_target(text, {}, who));
}

/// The annotations of a pod are lines of the text.
void annotated_pod(std::string_view text) {
  cl::pod of;
  of.namespace_name = "n";
  of.name = "p";
  of.pod_ip = "10.0.0.1";
  of.annotations = {{"prometheus.io/scrape", "true"}, {"prometheus.io/port", "80"}};
  for (const char* name : {"path", "port", "scheme", "param_a"}) {
    const std::size_t end = text.find('\n');
    if (end != 0) of.annotations["prometheus.io/" + std::string(name)] = std::string(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (text.empty()) break;
  }
  cl::cluster_config cluster;
  cluster.host = "api";
  cluster.access = std::make_shared<const cl::access>();
  for (const auto way : {cl::route::direct, cl::route::api_server}) {
    cl::pod_route_options options;
    options.route = way;
    const auto made = cl::pod_target(of, cluster, options, std::make_shared<const cl::access>());
    must(made.has_value());
    check_target(made->target);
    if (!made->target) continue;
    const std::string path = made->target->path.substr(0, made->target->path.find('?'));
    must((path + "/").find("/../") == std::string::npos && path.find("//") == std::string::npos);
    if (way == cl::route::api_server) must(path.rfind("/api/v1/namespaces/n/pods/", 0) == 0 && path.find("/proxy/") != std::string::npos);
  }
}

}  // namespace

/// The first byte says who reads the rest.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr int statuses[] = {200, 200, 200, 403, 410, 500};
  const int http_status = statuses[data[0] / 3 % 6];
  switch (data[0] % 3) {
    case 0:
      file_sd(rest);
      list<cl::node_lister>(http_status, rest);
      break;
    case 1:
      annotated_pod(rest);
      list<cl::pod_lister>(http_status, rest);
      break;
    default:
      kubeconfig(rest);
      exec_answer(rest);
      break;
  }
  return 0;
}
