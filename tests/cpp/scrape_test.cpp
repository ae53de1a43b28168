// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// The whole way over real sockets: collector, scraper and HTTP against the simulated cluster.

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <thread>

#include <computelocator/collect.hpp>
#include <computelocator/scrape.hpp>
#include <simulate/pages.hpp>
#include <simulate/simulation.hpp>

#include "simulated.hpp"

namespace {

namespace cl = computelocator;
namespace sim = computelocator::simulate;

using cl::test::cluster_fixture;
using cl::test::small;

cl::snapshot swept(const cl::collect_options& options) {
  auto collector = cl::collector::open(options);
  if (!collector) {
    ADD_FAILURE() << collector.error().message();
    return {};
  }
  auto made = collector->sweep();
  if (!made) {
    ADD_FAILURE() << made.error().message();
    return {};
  }
  return std::move(made).value();
}

using cl::test::code_of;

TEST(sweep, both_routes_give_the_page_that_the_node_serves) {
  const cluster_fixture world(small());
  for (const auto way : {cl::route::api_server, cl::route::direct}) {
    auto options = world.options(way);
    options.all_metrics = true;
    options.keep_pages = true;
    const cl::snapshot got = swept(options);
    ASSERT_EQ(got.pages.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(got.outcomes[i].ok());
      EXPECT_EQ(got.pages[i].text, sim::cadvisor_page(*world.running->world(), i, 0));
      EXPECT_EQ(got.outcomes[i].page_bytes, got.pages[i].text.size());
      EXPECT_LT(got.outcomes[i].wire_bytes, got.pages[i].text.size());
    }
    EXPECT_TRUE(got.inventory.pods_known);
    EXPECT_EQ(got.inventory.pods.size(), 24u);
  }
}

TEST(sweep, connections_and_label_sets_are_kept_between_sweeps) {
  const cluster_fixture world(small());
  auto collector = cl::collector::open(world.options(cl::route::direct));
  ASSERT_TRUE(collector);
  const auto first = collector->sweep();
  const auto second = collector->sweep();
  ASSERT_TRUE(first && second);
  for (const cl::outcome& of : second->outcomes) {
    EXPECT_TRUE(of.ok());
    EXPECT_EQ(of.tls_time.count(), 0);
  }
  EXPECT_EQ(first->pages[0].columns.label_set_id, second->pages[0].columns.label_set_id);
}

TEST(sweep, old_kubelets_that_ignore_name_give_the_same_rows) {
  auto with = small(), without = small();
  without.honours_name = false;
  const cluster_fixture a(with), b(without);
  const cl::snapshot from_a = swept(a.options()), from_b = swept(b.options());
  ASSERT_EQ(from_a.pages.size(), 3u);
  EXPECT_LT(from_a.outcomes[0].page_bytes * 3, from_b.outcomes[0].page_bytes);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(from_a.pages[i].columns.value, from_b.pages[i].columns.value);
    EXPECT_EQ(from_a.pages[i].columns.timestamp_ms, from_b.pages[i].columns.timestamp_ms);
  }
}

TEST(sweep, each_fault_is_the_outcome_of_its_own_node) {
  auto what = small(11, 4);
  what.faults = {{1, sim::fault::dead}, {2, sim::fault::silent}, {3, sim::fault::cut_off},
                 {4, sim::fault::wrong_certificate}, {5, sim::fault::forbidden}, {6, sim::fault::bad_line},
                 {7, sim::fault::bad_page}, {8, sim::fault::slow}, {10, sim::fault::unreachable}};
  what.slow_for = std::chrono::milliseconds(300);
  const cluster_fixture world(what);
  auto options = world.options(cl::route::direct);
  options.timeout = std::chrono::milliseconds(2000);
  const cl::snapshot got = swept(options);
  ASSERT_EQ(got.outcomes.size(), 11u);
  const char* expected[] = {"", "connect_refused", "timed_out", "truncated", "tls_untrusted", "forbidden", "", "bad_content_type", "", "", "timed_out"};
  for (std::size_t i = 0; i < 11; ++i) {
    EXPECT_EQ(code_of(got.outcomes[i]), expected[i]) << i << ": " << (got.outcomes[i].failure ? got.outcomes[i].failure->message() : "");
    if (got.outcomes[i].failure) {
      EXPECT_NE(got.outcomes[i].failure->message().find(got.outcomes[i].node), std::string::npos);
    }
  }
  EXPECT_EQ(got.outcomes[3].attempts, 2u);
  EXPECT_EQ(got.outcomes[10].reached, cl::stage::connect);
  EXPECT_NE(got.outcomes[10].failure->advice.find("api_server"), std::string::npos);
  EXPECT_EQ(got.outcomes[6].rejected_lines, 1u);
  EXPECT_EQ(got.pages.size(), 4u);
  const cl::table rejects = cl::rejects_table(got);
  ASSERT_EQ(rejects.rows, 1u);
  EXPECT_NE((*rejects.find("text")->text)[0].find("damaged"), std::string::npos);
}

TEST(sweep, self_signed_kubelets_are_refused_pinned_or_tokenless) {
  auto what = small();
  what.certificates = sim::kubelet_certificates::self_signed;
  const cluster_fixture world(what);
  auto options = world.options(cl::route::direct);
  for (const cl::outcome& of : swept(options).outcomes) EXPECT_EQ(code_of(of), "tls_untrusted");
  EXPECT_EQ(world.running->counts().tokens_seen_by_kubelets, 0u);
  EXPECT_EQ(world.running->counts().kubelet_requests, 0u) << "a byte of HTTP went to an unverified peer";

  // Nothing is checked, so no token is sent, and the kubelet says 401.
  options.kubelet_tls = cl::tls_mode::insecure;
  for (const cl::outcome& of : swept(options).outcomes) EXPECT_EQ(code_of(of), "unauthorized");
  EXPECT_EQ(world.running->counts().tokens_seen_by_kubelets, 0u);

  options.kubelet_tls = cl::tls_mode::pin;
  auto collector = cl::collector::open(options);
  ASSERT_TRUE(collector);
  for (int i = 0; i < 2; ++i) {
    const auto got = collector->sweep();
    ASSERT_TRUE(got);
    for (const cl::outcome& of : got->outcomes) {
      EXPECT_EQ(code_of(of), "");
      EXPECT_EQ(of.peer_pin.size(), 64u);
    }
  }
}

TEST(sweep, a_key_that_changed_is_refused_and_told) {
  auto what = small(3, 2);
  what.certificates = sim::kubelet_certificates::self_signed;
  const cluster_fixture world(what);
  auto options = world.options(cl::route::direct);
  options.kubelet_tls = cl::tls_mode::pin;
  auto collector = cl::collector::open(options);
  ASSERT_TRUE(collector);
  EXPECT_TRUE(collector->pins().empty());
  const auto first = collector->sweep();
  ASSERT_TRUE(first);
  const auto pins = collector->pins();
  ASSERT_EQ(pins.size(), 3u);
  for (const cl::node& of : first->inventory.nodes) EXPECT_EQ(pins.at(of.uid).size(), 64u);

  world.running->new_key(1);
  const auto tokens = world.running->counts().tokens_seen_by_kubelets;
  for (int sweep = 0; sweep < 2; ++sweep) {
    const auto got = collector->sweep();
    ASSERT_TRUE(got);
    EXPECT_EQ(code_of(got->outcomes[0]), "");
    EXPECT_EQ(code_of(got->outcomes[1]), "tls_pin_mismatch");
    EXPECT_EQ(got->outcomes[1].reached, cl::stage::tls);
    EXPECT_NE(got->outcomes[1].failure->message().find("node-001"), std::string::npos);
    EXPECT_NE(got->outcomes[1].failure->message().find("the peer's key has changed: pinned " + pins.at(first->inventory.nodes[1].uid).substr(0, 16)), std::string::npos);
    EXPECT_EQ(code_of(got->outcomes[2]), "");
  }
  EXPECT_EQ(world.running->counts().tokens_seen_by_kubelets, tokens + 4) << "a token went to a key that is not the pinned one";
  EXPECT_EQ(collector->pins(), pins);

  // Another process that is given the pins holds them, by UID or by name; one that is not takes the new key.
  options.pins = pins;
  EXPECT_EQ(code_of(swept(options).outcomes[1]), "tls_pin_mismatch");
  options.pins = {{"node-001", pins.at(first->inventory.nodes[1].uid)}};
  EXPECT_EQ(code_of(swept(options).outcomes[1]), "tls_pin_mismatch");
  EXPECT_EQ(code_of(swept(options).outcomes[0]), "");
  options.pins.clear();
  auto anew = cl::collector::open(options);
  ASSERT_TRUE(anew);
  const auto again = anew->sweep();
  ASSERT_TRUE(again);
  EXPECT_EQ(code_of(again->outcomes[1]), "");
  EXPECT_NE(anew->pins().at(first->inventory.nodes[1].uid), pins.at(first->inventory.nodes[1].uid));
}

TEST(sweep, a_key_is_held_from_the_first_handshake_whatever_was_answered) {
  auto what = small(1, 2);
  what.certificates = sim::kubelet_certificates::self_signed;
  what.faults = {{0, sim::fault::forbidden}};
  const cluster_fixture world(what);
  auto options = world.options(cl::route::direct);
  options.kubelet_tls = cl::tls_mode::pin;
  auto collector = cl::collector::open(options);
  ASSERT_TRUE(collector);
  const auto first = collector->sweep();
  ASSERT_TRUE(first);
  EXPECT_EQ(code_of(first->outcomes[0]), "forbidden");
  EXPECT_EQ(collector->pins().size(), 1u);
  world.running->new_key(0);
  const auto second = collector->sweep();
  ASSERT_TRUE(second);
  EXPECT_EQ(code_of(second->outcomes[0]), "tls_pin_mismatch");
}

TEST(sweep, pins_that_cannot_be) {
  const cluster_fixture world(small(1, 1));
  auto options = world.options(cl::route::direct);
  options.pins = {{"node-000", std::string(64, 'a')}};
  EXPECT_NE(cl::collector::open(options).error().message().find("pins"), std::string::npos);
  options.kubelet_tls = cl::tls_mode::pin;
  EXPECT_TRUE(cl::collector::open(options));
  for (const std::string& wrong : {std::string(63, 'a'), std::string(64, 'A'), std::string("sha256")}) {
    options.pins = {{"node-000", wrong}};
    EXPECT_EQ(cl::collector::open(options).error().code, cl::errc::invalid_argument);
  }
}

TEST(sweep, collectors_share_the_nodes) {
  const cluster_fixture world(small(9, 1));
  std::multiset<std::string> seen;
  const std::vector<std::string> all{"a", "b", "c"};
  for (const std::string& me : all) {
    auto options = world.options();
    options.share = {me, all};
    const cl::snapshot got = swept(options);
    EXPECT_LT(got.outcomes.size(), 9u);
    EXPECT_EQ(got.inventory.nodes.size(), 9u);
    for (const cl::outcome& of : got.outcomes) {
      EXPECT_TRUE(of.ok());
      EXPECT_TRUE(cl::in_share(options.share, of.node));
      seen.insert(of.node);
    }
  }
  EXPECT_EQ(seen.size(), 9u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 9u);

  auto collector = cl::collector::open(world.options());
  ASSERT_TRUE(collector);
  EXPECT_EQ(collector->sweep()->outcomes.size(), 9u);
  ASSERT_TRUE(collector->share({"a", all}));
  const std::size_t mine = collector->sweep()->outcomes.size();
  EXPECT_LT(mine, 9u);
  ASSERT_TRUE(collector->share({"a", {"a"}}));
  EXPECT_EQ(collector->sweep()->outcomes.size(), 9u);
  EXPECT_FALSE(collector->share({"d", all}));
  ASSERT_TRUE(collector->share({}));
  EXPECT_EQ(collector->sweep()->outcomes.size(), 9u);
  auto wrong = world.options();
  wrong.share = {"d", all};
  EXPECT_EQ(cl::collector::open(wrong).error().code, cl::errc::invalid_argument);
}

TEST(sweep, a_client_certificate_does_for_a_token) {
  auto what = small();
  what.client_certificate = true;
  const cluster_fixture world(what);
  for (const auto way : {cl::route::api_server, cl::route::direct})
    for (const cl::outcome& of : swept(world.options(way)).outcomes) EXPECT_EQ(code_of(of), "");
}

TEST(sweep, missing_permissions_say_which) {
  const struct {
    const char* denied;
    cl::route way;
    const char* advice;
  } rows[] = {{"nodes/proxy", cl::route::api_server, "nodes/proxy"}, {"nodes/metrics", cl::route::direct, "nodes/metrics"}};
  for (const auto& row : rows) {
    auto what = small(1, 2);
    what.denied = {row.denied};
    const cluster_fixture world(what);
    const cl::snapshot got = swept(world.options(row.way));
    ASSERT_EQ(got.outcomes.size(), 1u);
    EXPECT_EQ(code_of(got.outcomes[0]), "forbidden");
    EXPECT_NE(got.outcomes[0].failure->advice.find(row.advice), std::string::npos);
  }
  auto what = small(1, 2);
  what.denied = {"nodes"};
  const cluster_fixture no_nodes(what);
  auto collector = cl::collector::open(no_nodes.options());
  ASSERT_TRUE(collector);
  const auto refused = collector->sweep();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, cl::errc::forbidden);
  EXPECT_NE(refused.error().message().find("list"), std::string::npos);

  what.denied = {"pods"};
  const cluster_fixture no_pods(what);
  const cl::snapshot got = swept(no_pods.options());
  EXPECT_TRUE(got.outcomes[0].ok());
  EXPECT_FALSE(got.inventory.pods_known);
  EXPECT_NE(got.inventory.pods_unknown_because.find("pods"), std::string::npos);
}

TEST(sweep, a_stop_ends_it_and_keeps_what_is_done) {
  auto what = small(6, 4);
  what.faults = {{4, sim::fault::silent}, {5, sim::fault::silent}};
  const cluster_fixture world(what);
  auto options = world.options();
  options.timeout = std::chrono::milliseconds(60'000);
  auto collector = cl::collector::open(options);
  ASSERT_TRUE(collector);
  std::stop_source stop;
  const auto got = collector->sweep(stop.get_token(), [&](std::size_t done, std::size_t, std::size_t total) {
    if (total == 6 && done >= 4) stop.request_stop();
  });
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_TRUE(got->interrupted);
  EXPECT_EQ(got->pages.size(), 4u);
  EXPECT_EQ(code_of(got->outcomes[5]), "cancelled");
}

TEST(sweep, nodes_are_selected_by_label_and_lists_come_in_pages) {
  const cluster_fixture world(small(9, 120));
  auto options = world.options();
  options.node_selector = "topology.kubernetes.io/zone=zone-b";
  const cl::snapshot got = swept(options);
  ASSERT_EQ(got.outcomes.size(), 3u);
  EXPECT_EQ(got.outcomes[0].node, "node-001");
  EXPECT_EQ(got.inventory.pods.size(), 1080u);
}

TEST(sweep, a_page_larger_than_the_limit_is_refused_whole) {
  const cluster_fixture world(small(1, 8));
  auto options = world.options();
  options.max_page_bytes = 10'000;
  const cl::snapshot got = swept(options);
  EXPECT_EQ(code_of(got.outcomes[0]), "too_large");
  EXPECT_TRUE(got.pages.empty());
  options = world.options();
  options.max_samples = 10;
  EXPECT_EQ(code_of(swept(options).outcomes[0]), "too_large");
  options = world.options();
  options.max_label_names = 5;
  EXPECT_EQ(code_of(swept(options).outcomes[0]), "too_large");
}

TEST(sweep, budget_and_concurrency_of_one_still_finish) {
  const cluster_fixture world(small(5, 6));
  auto options = world.options();
  options.concurrency = 1;
  options.bytes_in_flight = 1;
  EXPECT_EQ(swept(options).pages.size(), 5u);
}

TEST(sweep, an_api_server_that_is_away_is_the_error) {
  std::string kubeconfig;
  {
    const cluster_fixture world(small(1, 1));
    std::ifstream in(world.kubeconfig);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    kubeconfig = world.kubeconfig + "_kept";
    std::ofstream(kubeconfig) << text;
  }
  cl::collect_options options;
  options.kubeconfig = kubeconfig;
  auto collector = cl::collector::open(options);
  ASSERT_TRUE(collector);
  const auto got = collector->sweep();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, cl::errc::connect_refused);
  EXPECT_NE(got.error().message().find("https://127.0.0.1:"), std::string::npos);
  std::remove(kubeconfig.c_str());
}

/// A server that answers every connection with fixed bytes and closes it.
class fixed_server {
 public:
  explicit fixed_server(std::string answer) : answer_(std::move(answer)), socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(socket_, 16) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
      std::abort();
    port = ntohs(at.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const int link = ::accept(socket_, nullptr, nullptr);
        if (link < 0) return;
        ++connections;
        char asked[4096];
        const ssize_t got = ::recv(link, asked, sizeof asked, 0);
        if (got > 0) last_request.assign(asked, static_cast<std::size_t>(got));
        (void)::send(link, answer_.data(), answer_.size(), MSG_NOSIGNAL);
        ::shutdown(link, SHUT_WR);
        while (::recv(link, asked, sizeof asked, 0) > 0) {}
        ::close(link);
      }
    });
  }
  ~fixed_server() {
    ::shutdown(socket_, SHUT_RDWR);
    ::close(socket_);
    thread_.join();
  }
  std::uint16_t port = 0;
  std::atomic<int> connections{0};
  std::string last_request;

 private:
  std::string answer_;
  int socket_;
  std::thread thread_;
};

cl::http_answer asked(cl::http_client& client, cl::http_request request) {
  std::optional<cl::http_answer> got;
  request.deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  client.get(std::move(request), [&](cl::http_answer answer) { got = std::move(answer); });
  while (!got) client.run(std::chrono::steady_clock::now() + std::chrono::seconds(1));
  return std::move(*got);
}

TEST(http_client, no_credential_goes_over_plain_http) {
  fixed_server server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  cl::http_client client;
  cl::http_request request;
  request.scheme = cl::scheme::http;
  request.host = "127.0.0.1";
  request.port = server.port;
  request.token = cl::secret("canary");
  EXPECT_EQ(asked(client, request).failure->code, cl::errc::bad_configuration);
  EXPECT_EQ(server.connections, 0);
  request.token = {};
  const cl::http_answer answer = asked(client, request);
  EXPECT_FALSE(answer.failure);
  EXPECT_EQ(answer.body, "ok");
}

TEST(http_client, a_redirect_is_not_followed) {
  fixed_server thief("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  fixed_server server("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:" + std::to_string(thief.port) +
                      "/\r\nContent-Length: 0\r\n\r\n");
  cl::http_client client;
  cl::http_request request;
  request.scheme = cl::scheme::http;
  request.host = "localhost";
  request.port = server.port;
  const cl::http_answer answer = asked(client, request);
  ASSERT_FALSE(answer.failure) << answer.failure->message();
  EXPECT_EQ(cl::status_error(answer, "")->code, cl::errc::redirect_refused);
  EXPECT_EQ(thief.connections, 0);
}

TEST(http_client, a_header_cannot_be_smuggled_in) {
  cl::http_client client;
  cl::http_request request;
  request.host = "127.0.0.1";
  for (const char* path : {"/a b", "/a\r\nX: y", "/\x7f"}) {
    request.path = path;
    EXPECT_EQ(asked(client, request).failure->code, cl::errc::invalid_argument);
  }
}

TEST(http_client, names_that_do_not_resolve_say_so) {
  cl::http_client client;
  cl::http_request request;
  request.host = "no-such-host.invalid";
  const cl::http_answer answer = asked(client, request);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->code, cl::errc::resolve_failed);
}

TEST(http_client, tls_to_a_plain_port_names_the_mix_up) {
  fixed_server server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  cl::http_client client;
  cl::http_request request;
  request.host = "127.0.0.1";
  request.port = server.port;
  const cl::http_answer answer = asked(client, request);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->code, cl::errc::tls_protocol) << answer.failure->message();
}

TEST(ramp, few_at_first_and_one_more_with_each_that_ends_or_with_time) {
  using std::chrono::milliseconds;
  EXPECT_EQ(cl::ramp(0, milliseconds(0), 64), 8u);
  EXPECT_EQ(cl::ramp(0, milliseconds(0), 3), 3u);
  EXPECT_EQ(cl::ramp(5, milliseconds(0), 64), 13u);
  EXPECT_EQ(cl::ramp(5, milliseconds(109), 64), 23u);
  EXPECT_EQ(cl::ramp(0, milliseconds(560), 64), 64u);
  EXPECT_EQ(cl::ramp(1'000'000, milliseconds(0), 64), 64u);
}

TEST(http_client, memory_of_a_page_is_asked_for_and_used_again) {
  const std::string page(300'000, '#');
  fixed_server server("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + page);
  cl::http_client client;
  cl::http_request request;
  request.scheme = cl::scheme::http;
  request.host = "127.0.0.1";
  request.port = server.port;
  std::vector<std::size_t> wanted;
  request.may_hold = [&](std::size_t bytes) {
    wanted.push_back(bytes);
    return bytes < 1'000'000;
  };
  cl::http_answer answer = asked(client, request);
  EXPECT_EQ(answer.body, page);
  EXPECT_FALSE(wanted.empty());
  wanted.clear();
  request.memory = std::move(answer.body);
  const char* const before = request.memory.data();
  request.expected_bytes = 300'000;
  answer = asked(client, std::move(request));
  EXPECT_EQ(answer.body, page);
  EXPECT_EQ(answer.body.data(), before);
  EXPECT_TRUE(wanted.empty());
  cl::http_request refused;
  refused.scheme = cl::scheme::http;
  refused.host = "127.0.0.1";
  refused.port = server.port;
  refused.may_hold = [](std::size_t bytes) { return bytes < 200'000; };
  answer = asked(client, refused);
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->code, cl::errc::too_large);
}

TEST(plan_retry, table) {
  using std::chrono::milliseconds;
  const auto answer = [](int status, const char* after = "") {
    cl::http_answer made;
    made.status = status;
    made.retry_after = after;
    return made;
  };
  cl::http_answer lost;
  lost.failure = cl::error{cl::errc::connection_lost, "", "", ""};
  cl::http_answer refused;
  refused.failure = cl::error{cl::errc::connect_refused, "", "", ""};
  EXPECT_EQ(cl::plan_retry(lost, 1, 2, milliseconds(1), true).what, cl::retry::at_once);
  EXPECT_EQ(cl::plan_retry(lost, 2, 2, milliseconds(1), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(lost, 1, 2, milliseconds(0), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(refused, 1, 2, milliseconds(9000), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(answer(401), 1, 1, milliseconds(9000), false).what, cl::retry::with_new_token);
  EXPECT_EQ(cl::plan_retry(answer(401), 1, 2, milliseconds(9000), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(answer(429, "2"), 1, 2, milliseconds(9000), true).after, milliseconds(2000));
  EXPECT_EQ(cl::plan_retry(answer(429, "20"), 1, 2, milliseconds(9000), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(answer(503, "1000000000000000000000"), 1, 2, milliseconds(9000), true).what, cl::retry::no);
  EXPECT_EQ(cl::plan_retry(answer(503, "Tue, 1 Jan"), 1, 2, milliseconds(9000), true).after, milliseconds(1000));
  EXPECT_EQ(cl::plan_retry(answer(500), 1, 2, milliseconds(9000), true).what, cl::retry::no);
}

}  // namespace
