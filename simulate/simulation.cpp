// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "simulation.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "api.hpp"
#include "certificates.hpp"
#include "other_pages.hpp"
#include "page_store.hpp"
#include "server.hpp"

namespace computelocator::simulate {

namespace {

constexpr const char* page_type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  return out;
}

std::string random_token() {
  unsigned char bytes[24];
  if (RAND_bytes(bytes, sizeof bytes) != 1) throw std::runtime_error("no random numbers");
  constexpr char hex[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += hex[byte >> 4];
    text += hex[byte & 15u];
  }
  return text;
}

/// A loopback address for each node: 127.1.0.1, 127.1.0.2, ...
std::string address_of(std::size_t node) {
  return "127.1." + std::to_string(node / 250) + "." + std::to_string(node % 250 + 1);
}

void write_private(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    const int why = errno;
    if (file >= 0) ::close(file);
    throw std::runtime_error("cannot write " + path + ": " + std::strerror(why));
  }
  ::close(file);
}

/// A port whose queue of connections is full: the kernel drops what else comes, so that a client
/// waits as it would behind a firewall.
class full_port {
 public:
  explicit full_port(const std::string& address) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    ::inet_pton(AF_INET, address.c_str(), &at.sin_addr);
    socklen_t size = sizeof at;
    sockets_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto* const where = reinterpret_cast<sockaddr*>(&at);
    if (::bind(sockets_[0], where, size) != 0 || ::listen(sockets_[0], 0) != 0 ||
        ::getsockname(sockets_[0], where, &size) != 0)
      throw std::runtime_error("cannot listen on " + address + ": " + std::strerror(errno));
    port = ntohs(at.sin_port);
    for (int i = 0; i < 4; ++i) {
      sockets_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      (void)::connect(sockets_.back(), where, size);
    }
  }
  full_port(const full_port&) = delete;
  full_port& operator=(const full_port&) = delete;
  ~full_port() {
    for (const int each : sockets_) ::close(each);
  }
  std::uint16_t port = 0;

 private:
  std::vector<int> sockets_;
};

}  // namespace

fault fault_named(const std::string& name) {
  const std::pair<const char*, fault> all[] = {
      {"slow", fault::slow}, {"dead", fault::dead}, {"unreachable", fault::unreachable}, {"silent", fault::silent},
      {"cut-off", fault::cut_off}, {"wrong-certificate", fault::wrong_certificate},
      {"forbidden", fault::forbidden}, {"bad-line", fault::bad_line}, {"bad-page", fault::bad_page}};
  std::string words;
  for (const auto& [word, kind] : all) {
    if (name == word) return kind;
    words += words.empty() ? word : std::string(", ") + word;
  }
  throw std::runtime_error("there is no fault \"" + name + "\"; there are " + words);
}

struct simulation::state {
  simulation_options options;
  mutable std::mutex guarding;            // of the two below
  std::shared_ptr<const cluster> world;
  std::set<std::string> denied;
  page_store pages;
  authority ca{"simulated-cluster"};
  authority stranger{"somebody-else"};
  std::string token = random_token();
  identity client;
  std::vector<std::uint16_t> ports;
  std::uint16_t api_port = 0;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
  std::atomic<std::uint64_t> api_requests{0}, kubelet_requests{0}, kubelet_tokens{0};
  std::unique_ptr<api> answers;
  std::vector<std::unique_ptr<full_port>> full_ports;
  std::unique_ptr<servers> sockets;  // last: its threads use all of the above

  explicit state(simulation_options given)
      : options(std::move(given)), world(std::make_shared<const cluster>(options.cluster)), denied(options.denied) {}

  std::shared_ptr<const cluster> now() const {
    const std::lock_guard lock(guarding);
    return world;
  }

  /// Whoever reads the cluster meanwhile reads it as it was.
  template <class Change>
  void change(std::size_t node, Change&& how) {
    auto made = std::make_shared<cluster>(*now());
    how(*made);
    {
      const std::lock_guard lock(guarding);
      world = made;
    }
    answers->changed(*made, node);
  }

  bool is_denied(const std::string& resource) const {
    const std::lock_guard lock(guarding);
    return denied.count(resource) > 0;
  }

  fault fault_of(std::size_t node) const {
    const auto found = options.faults.find(node);
    return found == options.faults.end() ? fault::none : found->second;
  }

  std::int64_t step() const {
    if (options.hold) return 0;
    return (std::chrono::steady_clock::now() - begun) / options.pace;
  }

  /// What the kubelet of `node` answers to somebody who is permitted.
  reply page(std::size_t node, const request& asked) {
    if (asked.path == "/healthz") return reply::text(200, "text/plain", "ok");
    const bool summary = asked.path == "/stats/summary";
    if (!summary && asked.path != "/metrics" && asked.path.rfind("/metrics/", 0) != 0)
      return reply::text(404, "text/plain", "404 page not found\n");
    const fault wrong = fault_of(node);
    const std::string part = summary ? "stats" : "metrics";
    if (wrong == fault::forbidden || is_denied("nodes/" + part))
      return reply::text(403, "text/plain", "Forbidden (user=demo, verb=get, resource=nodes, subresource(s)=[" + part + "])\n");
    if (summary || asked.path != "/metrics/cadvisor") return other_page(node, asked);
    if (wrong == fault::bad_page)
      return reply::text(200, "text/html", "<html><body>please log in</body></html>\n");
    std::vector<std::string> names;
    if (options.honours_name)
      for (const auto& [key, value] : asked.query)
        if (key == "name[]") names.push_back(value);
    const stored_page stored = pages.get(*now(), options.distinct == 0 ? node : node % options.distinct, step(), names);
    reply made;
    made.content_type = page_type;
    made.chunked = true;
    made.gzipped = options.gzip && asked.takes_gzip;
    made.body = made.gzipped ? stored.gzip : stored.plain;
    if (wrong == fault::bad_line) {
      std::string damaged = *stored.plain + "container_cpu_usage_seconds_total{container=\"damaged} 1\n";
      made.body = std::make_shared<const std::string>(made.gzipped ? gzip_of(damaged) : std::move(damaged));
    }
    if (wrong == fault::slow) made.delay = options.slow_for;
    if (wrong == fault::silent) made.silent = true;
    if (wrong == fault::cut_off) made.cut_after = made.body->size() / 2;
    return made;
  }

  /// One that is small enough to be made for each who asks.
  reply other_page(std::size_t node, const request& asked) {
    const auto of = now();
    std::string text = asked.path == "/stats/summary"      ? stats_summary(*of, node, step())
                       : asked.path == "/metrics/resource" ? resource_page(*of, node, step())
                       : asked.path == "/metrics/probes"   ? probes_page(*of, node, step())
                       : asked.path == "/metrics"          ? kubelet_page(*of, node, step())
                                                           : std::string();
    if (text.empty()) return reply::text(404, "text/plain", "404 page not found\n");
    reply made;
    made.content_type = asked.path == "/stats/summary" ? "application/json" : page_type;
    made.chunked = true;
    made.gzipped = options.gzip && asked.takes_gzip;
    made.body = std::make_shared<const std::string>(made.gzipped ? gzip_of(text) : std::move(text));
    return made;
  }

  reply kubelet(std::size_t node, const request& asked) {
    ++kubelet_requests;
    if (!asked.authorization.empty()) ++kubelet_tokens;
    if (asked.authorization != "Bearer " + token && !asked.certificate_verified)
      return reply::text(401, "text/plain", "Unauthorized");
    return page(node, asked);
  }

  reply proxied(std::size_t node, const request& asked) {
    if (fault_of(node) == fault::dead || fault_of(node) == fault::unreachable)
      return reply::text(503, "application/json",
                         R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"error trying to reach service: dial tcp )" +
                             address_of(node) + R"(: connect: connection refused","reason":"ServiceUnavailable","code":503})");
    return page(node, asked);
  }

  identity identity_of(std::size_t node) const {
    const auto all = now();
    const sim_node& of = all->nodes()[node];
    certificate_request what;
    what.common_name = "system:node:" + of.name;
    what.organization = "system:nodes";
    what.address = address_of(node);
    what.dns_name = of.name;
    if (fault_of(node) == fault::wrong_certificate) return stranger.issue(what);
    if (options.certificates == kubelet_certificates::self_signed) return authority::self_signed(what);
    return ca.issue(what);
  }

  void start_kubelet(std::size_t node) {
    listener_options at;
    at.address = address_of(node);
    at.client_authority = ca.certificate();
    at.tls = identity_of(node);
    ports[node] = sockets->listen(at, [this, node](const request& asked) { return kubelet(node, asked); });
  }
};

simulation::simulation(simulation_options options) : state_(std::make_unique<state>(std::move(options))) {
  state& of = *state_;
  const std::size_t nodes = of.world->nodes().size();
  of.ports.resize(nodes);
  of.sockets = std::make_unique<servers>(of.options.threads);
  for (std::size_t i = 0; i < nodes; ++i) {
    if (of.fault_of(i) == fault::unreachable) {
      of.full_ports.push_back(std::make_unique<full_port>(address_of(i)));
      of.ports[i] = of.full_ports.back()->port;
    } else if (of.fault_of(i) != fault::dead) {
      of.start_kubelet(i);
    } else {
      // A port that was free a moment ago and on which nothing listens.
      servers probe(1);
      of.ports[i] = probe.listen({address_of(i), 0, std::nullopt, {}}, [](const request&) { return reply(); });
    }
  }
  api_options answers;
  answers.token = of.token;
  answers.denied = of.options.denied;
  answers.kubelet = [&of](std::size_t node) { return std::pair(address_of(node), of.ports[node]); };
  answers.proxied = [&of](std::size_t node, const request& asked) { return of.proxied(node, asked); };
  of.answers = std::make_unique<api>(*of.world, std::move(answers));

  certificate_request client;
  client.common_name = "demo";
  client.organization = "viewers";
  client.for_client = true;
  of.client = of.ca.issue(client);

  certificate_request server;
  server.common_name = "kube-apiserver";
  server.address = "127.0.0.1";
  server.dns_name = "localhost";
  listener_options at;
  at.tls = of.ca.issue(server);
  at.client_authority = of.ca.certificate();
  of.api_port = of.sockets->listen(at, [&of](const request& asked) {
    ++of.api_requests;
    return (*of.answers)(asked);
  });
  if (!of.options.kubeconfig.empty()) write_private(of.options.kubeconfig, kubeconfig_text());
}

simulation::~simulation() {
  state_->sockets.reset();
  if (!state_->options.kubeconfig.empty()) ::unlink(state_->options.kubeconfig.c_str());
}

std::string simulation::api_url() const { return "https://127.0.0.1:" + std::to_string(state_->api_port); }
std::string simulation::token() const { return state_->token; }
std::string simulation::authority_pem() const { return state_->ca.certificate(); }
std::shared_ptr<const cluster> simulation::world() const { return state_->now(); }
std::string simulation::kubelet_address(std::size_t node) const { return address_of(node); }
std::uint16_t simulation::kubelet_port(std::size_t node) const { return state_->ports[node]; }
simulation_counts simulation::counts() const {
  const api_counts of = state_->answers->counts();
  return {state_->api_requests, state_->kubelet_requests, state_->kubelet_tokens, of.node_lists, of.pod_lists, of.watches};
}

std::string simulation::kubeconfig_text() const {
  const state& of = *state_;
  std::string user = of.options.client_certificate
                         ? "    client-certificate-data: " + base64(of.client.certificate) +
                               "\n    client-key-data: " + base64(of.client.key) + "\n"
                         : "    token: " + of.token + "\n";
  return "apiVersion: v1\nkind: Config\ncurrent-context: simulated\n"
         "clusters:\n- name: simulated\n  cluster:\n    server: " + api_url() +
         "\n    certificate-authority-data: " + base64(of.ca.certificate()) +
         "\nusers:\n- name: demo\n  user:\n" + user +
         "contexts:\n- name: simulated\n  context:\n    cluster: simulated\n    user: demo\n";
}

void simulation::new_key(std::size_t node) {
  if (node >= state_->ports.size()) throw std::runtime_error("there is no node " + std::to_string(node));
  state_->sockets->renew(address_of(node), state_->ports[node], state_->identity_of(node));
}

void simulation::replace_pods(std::size_t node, std::size_t count) {
  state_->change(node, [&](cluster& of) { of.replace_pods(node, count); });
}

void simulation::replace_node(std::size_t node, bool keep_name) {
  new_key(node);  // first: whoever holds the key of a node is not to take one for the other
  state_->change(node, [&](cluster& of) { of.replace_node(node, keep_name); });
}

void simulation::remove_node(std::size_t node) {
  state_->change(node, [&](cluster& of) { of.remove_node(node); });
}

void simulation::end_watches(const std::string& how) {
  const std::pair<const char*, watch_end> all[] = {{"in-order", watch_end::in_order}, {"in-half", watch_end::in_half},
                                                   {"garbled", watch_end::garbled}, {"forgotten", watch_end::forgotten}};
  for (const auto& [word, kind] : all)
    if (how == word) return state_->answers->end_watches(kind);
  throw std::runtime_error("watches end in-order, in-half, garbled or forgotten, not \"" + how + "\"");
}

void simulation::watches_last(std::chrono::milliseconds time) { state_->answers->watches_last(time); }
void simulation::pause_api(bool on) { state_->sockets->pause("127.0.0.1", state_->api_port, on); }

void simulation::deny(const std::string& resource, bool denied) {
  state_->answers->deny(resource, denied);
  const std::lock_guard lock(state_->guarding);
  if (denied) state_->denied.insert(resource);
  else state_->denied.erase(resource);
}

void simulation::prepare(const std::vector<std::string>& names) {
  const auto world = state_->now();
  const std::size_t all = world->nodes().size();
  const std::size_t nodes = state_->options.distinct == 0 ? all : std::min(all, state_->options.distinct);
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> makers;
  for (std::size_t i = 0; i < state_->options.threads; ++i)
    makers.emplace_back([&] {
      for (std::size_t node = next++; node < nodes; node = next++)
        (void)state_->pages.get(*world, node, state_->step(), names);
    });
  for (std::thread& each : makers) each.join();
}

}  // namespace computelocator::simulate
