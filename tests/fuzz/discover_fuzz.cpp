// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include <unistd.h>

#include <computelocator/discover.hpp>

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

}  // namespace

/// The first byte says who reads the rest.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr int statuses[] = {200, 200, 200, 403, 410, 500};
  const int http_status = statuses[data[0] / 3 % 6];
  switch (data[0] % 3) {
    case 0: list<cl::node_lister>(http_status, rest); break;
    case 1: list<cl::pod_lister>(http_status, rest); break;
    default:
      kubeconfig(rest);
      exec_answer(rest);
      break;
  }
  return 0;
}
