// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <netdb.h>
#include <sys/resource.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <computelocator/http.hpp>
#include <computelocator/impl/http_proxy.hpp>
#include <computelocator/impl/http_response.hpp>
#include <computelocator/impl/http_tls.hpp>

namespace computelocator {

namespace detail::http_ {

using tcp = asio::ip::tcp;
using http_clock = std::chrono::steady_clock;
using tls_stream = ssl::stream<tcp::socket>;

/// What makes two requests fit for the same connection.
using connection_key = std::tuple<scheme, std::string, std::uint16_t, const access*, std::string>;

struct connection {
  std::shared_ptr<ssl::context> context;
  std::unique_ptr<tls_stream> stream;
  std::shared_ptr<const access> who;
  bool encrypted = false;
  bool fresh = true;     // has carried no request yet
  bool resumed = false;  // was offered a session that the peer had given
  std::string pin;

  tcp::socket& socket() { return stream->next_layer(); }
  void close() {
    boost::system::error_code ignored;
    if (stream) socket().close(ignored);
  }
};

struct kept {
  connection_key key;
  std::unique_ptr<connection> link;
  http_clock::time_point since{};
};

/// One request under way. All of it runs on one thread.
struct exchange : std::enable_shared_from_this<exchange> {
  http_request request;
  http_client::handler done;
  http_answer answer;
  std::unique_ptr<connection> link;
  std::shared_ptr<asio::steady_timer> resolving;
  std::optional<errc> ended_by;  // timed_out or cancelled
  std::optional<asio::steady_timer> timer;
  message_parser::body_sink sink;  // of a stream

  /// Ends it at `deadline`, and no longer at the one before.
  void expire(http_clock::time_point deadline) {
    timer->expires_at(deadline);
    timer->async_wait([self = shared_from_this(), deadline](const boost::system::error_code& ec) {
      if (!ec && self->timer->expiry() == deadline) self->end(errc::timed_out);
    });
  }
  bool give(std::string_view piece) {
    if (ended_by) return false;
    expire(http_clock::now() + request.stream.idle);
    return request.stream.sink(piece);
  }
  void end(errc why) {
    if (ended_by) return;
    ended_by = why;
    if (resolving) resolving->cancel();
    if (link) link->close();
  }
};

struct resolve_answer {
  std::vector<asio::ip::address> addresses;
  std::string fault;
  bool done = false;
};

/// getaddrinfo cannot be interrupted: a thread of its own asks it, and whoever waits may leave.
inline void resolve_apart(std::string host, std::shared_ptr<asio::io_context> io,
                          std::shared_ptr<resolve_answer> into,
                          std::shared_ptr<asio::steady_timer> wake) {
  std::thread([host = std::move(host), io = std::move(io), into = std::move(into),
               wake = std::move(wake)]() mutable {
    resolve_answer got;
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (code != 0) got.fault = ::gai_strerror(code);
    for (const addrinfo* at = list; at != nullptr && got.addresses.size() < 16; at = at->ai_next) {
      if (at->ai_family == AF_INET) {
        sockaddr_in given{};
        std::memcpy(&given, at->ai_addr, sizeof given);
        got.addresses.emplace_back(asio::ip::address_v4(ntohl(given.sin_addr.s_addr)));
      } else if (at->ai_family == AF_INET6) {
        sockaddr_in6 given{};
        std::memcpy(&given, at->ai_addr, sizeof given);
        asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &given.sin6_addr, bytes.size());
        got.addresses.emplace_back(asio::ip::address_v6(bytes, given.sin6_scope_id));
      }
    }
    if (list != nullptr) ::freeaddrinfo(list);
    asio::io_context& loop = *io;
    asio::post(loop, [got = std::move(got), into = std::move(into), wake = std::move(wake)] {
      *into = got;
      into->done = true;
      wake->cancel();
    });
  }).detach();
}

inline error connect_failure(const boost::system::error_code& ec) {
  if (ec == asio::error::connection_refused)
    return {errc::connect_refused, {}, "the connection was refused",
            "check that the server runs and listens on that port"};
  if (ec == asio::error::no_descriptors)
    return {errc::out_of_descriptors, {}, "no file descriptor is free",
            "raise `ulimit -n` or lower the concurrency"};
  return {errc::connect_failed, {}, "cannot connect: " + ec.message(),
          "check the route to that network; through the API server (route=\"api_server\") needs none"};
}

/// A peer that says our credential back must not get it into a message. One of three letters is no
/// secret, and stands in every text.
inline void blot_out(const secret& what, std::string& in) {
  constexpr std::string_view instead = "[secret]";
  if (what.reveal().size() < 4) return;
  for (std::size_t at = 0; (at = in.find(what.reveal(), at)) != std::string::npos; at += instead.size())
    in.replace(at, what.reveal().size(), instead);
}

inline bool visible(std::string_view text) {
  for (const char c : text)
    if (c <= 0x20 || c > 0x7E) return false;
  return true;
}

inline std::string base64(std::string_view text) {
  std::string out(4 * ((text.size() + 2) / 3), '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                  reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  return out;
}

/// What basic authentication sends: as good as the password. Empty without a user.
inline secret basic(const credentials& of) {
  return of.username.empty() ? secret() : secret(base64(of.username + ":" + std::string(of.password.reveal())));
}

inline void take_header(message_parser& from, const http_request& asked, http_answer& to) {
  for (std::string* each : {&from.content_type, &from.content_encoding, &from.retry_after, &from.location, &from.body}) {
    if (each == &from.body && from.status == 200) continue;  // a page, which stands in no message
    blot_out(asked.token, *each);
    if (!asked.access) continue;
    blot_out(asked.access->who.password, *each);
    blot_out(basic(asked.access->who), *each);
  }
  to.status = from.status;
  to.content_type = std::move(from.content_type);
  to.content_encoding = std::move(from.content_encoding);
  to.retry_after = std::move(from.retry_after);
  to.location = std::move(from.location);
}

/// Sees to it that the body of a page has room for `more` bytes; false where it may not have it.
inline bool make_room(http_request& asked, response_reader& reader, std::size_t more) {
  if (!reader.header_done() || reader.message().status != 200) return true;
  std::string& body = reader.message().body;
  if (asked.memory.capacity() > body.capacity()) {
    asked.memory.assign(body);  // what came with the header
    body = std::exchange(asked.memory, std::string());
  }
  if (body.size() + more <= body.capacity()) return true;
  const std::size_t wanted = std::max({body.size() + more, asked.expected_bytes, 2 * body.size()});
  if (wanted > asked.expected_bytes && asked.may_hold && !asked.may_hold(wanted)) return false;
  body.reserve(wanted);
  return true;
}

/// The request as it goes over the wire. A credential is put in only where the peer was judged.
inline secret request_text(const http_request& of) {
  std::string text = "GET " + of.path + " HTTP/1.1\r\nHost: " + authority(of.host, of.port);
  const std::string usual = of.scheme == scheme::https ? ":443" : ":80";
  if (text.ends_with(usual)) text.resize(text.size() - usual.size());
  text += "\r\nUser-Agent: computelocator\r\n";
  if (!of.accept.empty()) text += "Accept: " + of.accept + "\r\n";
  text += of.gzip ? "Accept-Encoding: gzip\r\n" : "Accept-Encoding: identity\r\n";
  const bool judged = of.scheme == scheme::https && of.access &&
                      of.access->tls.mode != tls_mode::insecure;
  if (judged && !of.token.empty()) {
    text += "Authorization: Bearer ";
    text += of.token.reveal();
    text += "\r\n";
  } else if (judged && !of.access->who.username.empty()) {
    text += "Authorization: Basic " + std::string(basic(of.access->who).reveal()) + "\r\n";
  }
  text += "\r\n";
  return secret(std::move(text));
}

}  // namespace detail::http_

struct http_client::state : std::enable_shared_from_this<http_client::state> {
  using exchange = detail::http_::exchange;
  using connection = detail::http_::connection;
  using clock = detail::http_::http_clock;

  // Shared with threads that resolve names: they may outlive the client.
  std::shared_ptr<boost::asio::io_context> io = std::make_shared<boost::asio::io_context>(1);
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> held;
  detail::http_::tls_contexts contexts;
  std::set<std::shared_ptr<exchange>> live;
  std::deque<detail::http_::kept> kept;
  std::map<detail::http_::connection_key, detail::http_::tls_session> sessions;

  /// Half of the descriptors at most: the program and what is under way need some, too.
  static std::size_t max_kept() {
    rlimit bound{};
    if (::getrlimit(RLIMIT_NOFILE, &bound) != 0) return 100;
    return std::min<std::size_t>(bound.rlim_cur / 2, 10'000);
  }

  boost::asio::awaitable<void> carry_out(std::shared_ptr<exchange> of);
  boost::asio::awaitable<bool> connect(exchange& of);
  boost::asio::awaitable<bool> tunnel(exchange& of);
  boost::asio::awaitable<bool> encrypt(exchange& of);
  boost::asio::awaitable<void> ask(exchange& of);
  bool take_kept(exchange& of);
  void keep(exchange& of);
  void remember_session(exchange& of);

  static void fail(exchange& of, error why) {
    if (of.ended_by == errc::timed_out)
      why = {errc::timed_out, {}, "the deadline passed at stage " + std::string(to_string(of.answer.reached)),
             "raise the timeout if the peer is only slow"};
    else if (of.ended_by == errc::cancelled)
      why = {errc::cancelled, {}, "cancelled", ""};
    if (why.advice.empty() && (why.code == errc::truncated || why.code == errc::connection_lost))
      why.advice = "ask again; if it stays so, look at the peer's log and at what stands between";
    of.answer.failure = std::move(why);
  }

  static detail::http_::connection_key key(const http_request& of, std::string pin) {
    return {of.scheme, of.host, of.port, of.access.get(), std::move(pin)};
  }
};

bool http_client::state::take_kept(exchange& of) {
  const auto wanted = key(of.request, of.request.pin);
  for (auto at = kept.begin(); at != kept.end(); ++at) {
    if (at->key != wanted) continue;
    of.link = std::move(at->link);
    kept.erase(at);
    return true;
  }
  return false;
}

void http_client::state::keep(exchange& of) {
  const bool pinned = of.request.access && of.request.access->tls.mode == tls_mode::pin;
  kept.push_back({key(of.request, pinned ? of.link->pin : of.request.pin), std::move(of.link), clock::now()});
  if (kept.size() > max_kept()) {
    kept.front().link->close();
    kept.pop_front();
  }
}

/// What the peer gave for its next handshake comes behind its first answer.
void http_client::state::remember_session(exchange& of) {
  using namespace detail::http_;
  if (!of.link->encrypted || !std::exchange(of.link->fresh, false)) return;
  SSL_SESSION* const given = SSL_get0_session(of.link->stream->native_handle());
  if (given == nullptr || SSL_SESSION_is_resumable(given) != 1) return;
  // A copy: a connection that ends without a goodbye spoils its own.
  tls_session made{of.link->context, {SSL_SESSION_dup(given), SSL_SESSION_free}};
  if (!made.given) return;
  constexpr std::size_t most = 10'000;
  if (sessions.size() >= most) sessions.clear();
  sessions[key(of.request, of.request.pin)] = std::move(made);
}

boost::asio::awaitable<bool> http_client::state::connect(exchange& of) {
  using namespace detail::http_;
  const auto begun = clock::now();
  const proxy_settings* const proxy = proxy_of(of.request);
  const std::string host = proxy != nullptr ? proxy->host : of.request.host;
  const std::uint16_t port = proxy != nullptr ? proxy->port : of.request.port;
  std::vector<asio::ip::address> addresses;
  of.answer.reached = stage::resolve;
  boost::system::error_code ec;
  if (const auto literal = asio::ip::make_address(host, ec); !ec) {
    addresses.push_back(literal);
  } else {
    auto found = std::make_shared<resolve_answer>();
    auto wake = std::make_shared<asio::steady_timer>(*io, clock::time_point::max());
    of.resolving = wake;
    resolve_apart(host, io, found, wake);
    co_await wake->async_wait(asio::redirect_error(asio::use_awaitable, ec));
    of.resolving.reset();
    of.answer.resolve_time = clock::now() - begun;
    if (!found->done || found->addresses.empty()) {
      fail(of, {errc::resolve_failed, {},
                "the name " + printable(host) + " cannot be resolved: " +
                    (found->fault.empty() ? "no address" : found->fault),
                "check the name and the DNS of this machine"});
      co_return false;
    }
    addresses = std::move(found->addresses);
    // Judged here and not by its name, which may stand for another address each time it is asked.
    std::optional<error> refused;
    if (of.request.access && of.request.access->refuses)
      std::erase_if(addresses, [&](const asio::ip::address& each) {
        auto why = of.request.access->refuses(each.to_string());
        if (!why) return false;
        refused = std::move(why);
        return true;
      });
    if (addresses.empty()) {
      fail(of, std::move(*refused));
      co_return false;
    }
  }

  const auto connecting = clock::now();
  of.answer.reached = stage::connect;
  of.link = std::make_unique<connection>();
  of.link->who = of.request.access;
  of.link->encrypted = of.request.scheme == scheme::https;
  auto context = of.link->encrypted
                     ? contexts.of(of.request.access)
                     : result<std::shared_ptr<ssl::context>>(
                           std::make_shared<ssl::context>(ssl::context::tls_client));
  if (!context) {
    of.answer.reached = stage::tls;
    fail(of, std::move(context).error());
    co_return false;
  }
  of.link->context = *context;
  of.link->stream = std::make_unique<tls_stream>(*io, *of.link->context);
  error last{errc::connect_failed, {}, "there is no address", ""};
  for (std::size_t i = 0; i < addresses.size() && !of.ended_by; ++i) {
    // An address that swallows packets leaves the others their share of the time.
    asio::steady_timer share(*io);
    const auto waiting = std::make_shared<bool>(true);
    if (i + 1 < addresses.size()) {
      share.expires_after((of.request.deadline - clock::now()) / static_cast<long>(addresses.size() - i));
      share.async_wait([&of, waiting](const boost::system::error_code& waited) {
        if (waited || !*waiting) return;
        *waiting = false;
        of.link->close();
      });
    }
    of.link->close();
    co_await of.link->socket().async_connect({addresses[i], port},
                                             asio::redirect_error(asio::use_awaitable, ec));
    const bool late = !std::exchange(*waiting, false);
    if (!ec && !late) {
      of.link->socket().set_option(tcp::no_delay(true), ec);
      of.answer.connect_time = clock::now() - connecting;
      co_return true;
    }
    last = connect_failure(ec);
    // What is kept for later makes room for what is asked for now.
    if (last.code == errc::out_of_descriptors && !kept.empty()) {
      for (std::size_t half = (kept.size() + 1) / 2; half > 0; --half) {
        kept.front().link->close();
        kept.pop_front();
      }
      --i;
    }
  }
  of.answer.connect_time = clock::now() - connecting;
  if (proxy != nullptr) {
    last.what.insert(0, "the proxy " + authority(host, port) + ": ");
    last.advice = "check proxy-url, and the way to it";
  }
  fail(of, std::move(last));
  co_return false;
}

boost::asio::awaitable<bool> http_client::state::tunnel(exchange& of) {
  using namespace detail::http_;
  const proxy_settings* const proxy = proxy_of(of.request);
  if (proxy == nullptr) co_return true;
  if (auto refused = co_await ask_proxy(of.link->socket(), *proxy, of.request.host, of.request.port, of.request.limits.max_header_bytes)) {
    refused->what.insert(0, "the proxy " + authority(proxy->host, proxy->port) + " ");
    fail(of, std::move(*refused));
    co_return false;
  }
  co_return true;
}

boost::asio::awaitable<bool> http_client::state::encrypt(exchange& of) {
  using namespace detail::http_;
  static const tls_settings none;
  of.answer.reached = stage::tls;
  const auto begun = clock::now();
  const tls_settings& tls = of.request.access ? of.request.access->tls : none;
  SSL* const native = of.link->stream->native_handle();
  if (!expect_peer(native, tls, of.request.host)) {
    fail(of, {errc::invalid_argument, {}, "the server name cannot be checked", "check tls-server-name"});
    co_return false;
  }
  const auto known = sessions.find(key(of.request, of.request.pin));
  if (known != sessions.end()) {
    if (known->second.fits(of.link->context)) of.link->resumed = SSL_set_session(native, known->second.given.get()) == 1;
    sessions.erase(known);
  }
  boost::system::error_code ec;
  co_await of.link->stream->async_handshake(ssl::stream_base::client,
                                            asio::redirect_error(asio::use_awaitable, ec));
  of.answer.tls_time = clock::now() - begun;
  if (ec) {
    const bool ours = of.request.access && !of.request.access->who.client_certificate_pem.empty();
    fail(of, tls_failure(native, ec, tls, of.request.host, ours));
    ERR_clear_error();
    co_return false;
  }
  of.link->pin = pin_of(native);
  if (tls.mode == tls_mode::pin &&
      (of.link->pin.empty() || (!of.request.pin.empty() && of.request.pin != of.link->pin))) {
    of.answer.peer_pin = of.link->pin;
    fail(of, {errc::tls_pin_mismatch, {},
              "the peer's key has changed: pinned " + of.request.pin.substr(0, 16) + "..., got " +
                  of.link->pin.substr(0, 16) + "...",
              "if the node was made anew, forget its pin; if not, somebody stands in between"});
    co_return false;
  }
  co_return true;
}

boost::asio::awaitable<void> http_client::state::ask(exchange& of) {
  using namespace detail::http_;
  boost::system::error_code ec;
  connection& link = *of.link;
  of.answer.peer_pin = link.pin;
  of.answer.reached = stage::write;
  const auto begun = clock::now();
  const secret text = request_text(of.request);
  const asio::const_buffer out(text.reveal().data(), text.reveal().size());
  if (link.encrypted)
    co_await asio::async_write(*link.stream, out, asio::redirect_error(asio::use_awaitable, ec));
  else
    co_await asio::async_write(link.socket(), out, asio::redirect_error(asio::use_awaitable, ec));
  if (ec) {
    fail(of, {errc::connection_lost, {}, "the connection broke while asking: " + ec.message(), ""});
    co_return;
  }

  of.answer.reached = stage::read;
  response_reader reader(of.request.limits, of.sink ? &of.sink : nullptr);
  const std::size_t room = std::max<std::size_t>(
      std::size_t{64} << 10, of.request.limits.max_header_bytes + of.request.limits.max_framing_excess + 4096);
  std::vector<char> buffer(room);
  std::size_t filled = 0;
  clock::time_point first{};
  while (!reader.done()) {
    const asio::mutable_buffer in(buffer.data() + filled, room - filled);
    std::size_t got = 0;
    if (link.encrypted)
      got = co_await link.stream->async_read_some(in, asio::redirect_error(asio::use_awaitable, ec));
    else
      got = co_await link.socket().async_read_some(in, asio::redirect_error(asio::use_awaitable, ec));
    if (got > 0 && first == clock::time_point{}) {
      first = clock::now();
      of.answer.first_byte_time = first - begun;
    }
    filled += got;
    if (!make_room(of.request, reader, filled)) {
      fail(of, {errc::too_large, {}, "the body is larger than the bytes in flight allow", "raise bytes_in_flight"});
      break;
    }
    const std::size_t taken = reader.feed({buffer.data(), filled});
    if (taken < filled && taken > 0) std::memmove(buffer.data(), buffer.data() + taken, filled - taken);
    filled -= taken;
    if (reader.header_done()) of.answer.reached = stage::body;
    if (!ec) continue;
    if (reader.done()) break;
    if (ec == asio::error::eof || ec == ssl::error::stream_truncated) {
      reader.end({buffer.data(), filled});
    } else if (link.encrypted && ec.category() == asio::error::get_ssl_category()) {
      // TLS 1.3: a refused client certificate shows at the first read.
      static const tls_settings none;
      const bool ours = of.request.access && !of.request.access->who.client_certificate_pem.empty();
      of.answer.reached = stage::tls;
      fail(of, tls_failure(link.stream->native_handle(), ec,
                           of.request.access ? of.request.access->tls : none, of.request.host, ours));
      ERR_clear_error();
    } else {
      fail(of, {reader.bytes() == 0 ? errc::connection_lost : errc::truncated, {},
                "the connection broke after " + std::to_string(reader.bytes()) + " bytes: " + ec.message(), ""});
    }
    break;
  }
  if (first != clock::time_point{}) of.answer.body_time = clock::now() - first;
  of.answer.wire_bytes = reader.bytes();
  message_parser& message = reader.message();
  take_header(message, of.request, of.answer);
  if (of.ended_by && !(reader.done() && !reader.failure())) {
    fail(of, {});
    co_return;
  }
  if (of.answer.failure) co_return;
  if (reader.failure()) {
    fail(of, *reader.failure());
    co_return;
  }
  std::string& encoding = of.answer.content_encoding;
  if (equal_ignoring_case(encoding, "identity")) encoding.clear();
  if (equal_ignoring_case(encoding, "x-gzip") || equal_ignoring_case(encoding, "gzip")) encoding = "gzip";
  if (!encoding.empty() && encoding != "gzip") {
    of.answer.failure = error{errc::bad_encoding, {}, "the encoding " + printable(encoding) + " was not asked for", ""};
    co_return;
  }
  of.answer.body = std::move(message.body);
  of.answer.reached = stage::body;
  remember_session(of);
  if (reader.reusable() && filled == 0) keep(of);
}

boost::asio::awaitable<void> http_client::state::carry_out(std::shared_ptr<exchange> of) {
  using namespace detail::http_;
  const auto self = shared_from_this();
  of->timer.emplace(*io);
  of->expire(of->request.deadline);
  if (of->request.stream.sink) of->sink = [&to = *of](std::string_view piece) { return to.give(piece); };
  const http_request& request = of->request;
  const bool tokenless = request.token.empty() && (!request.access || request.access->who.username.empty());
  if (request.scheme == scheme::http && !tokenless) {
    fail(*of, {errc::bad_configuration, {}, "credentials are never sent over plain HTTP", "use https, or give no credentials"});
  } else if (request.scheme == scheme::http && proxy_of(request) != nullptr) {
    fail(*of, {errc::unsupported, {}, "a proxy is asked for https alone", "use https"});
  } else if (!visible(request.path) || !visible(request.host) || !visible(request.token.reveal()) || request.host.empty()) {
    fail(*of, {errc::invalid_argument, {}, "the host, path or token holds white space or a control character", "percent-encode the path"});
  } else {
    // A kept connection may have been closed meanwhile: then, and only before a byte of the
    // answer, the request is made once more on a new one.
    of->answer.reused = take_kept(*of);
    if (of->answer.reused) co_await ask(*of);
    const bool stale = of->answer.reused && of->answer.failure && !of->ended_by &&
                       of->answer.failure->code == errc::connection_lost && of->answer.wire_bytes == 0;
    if (!of->answer.reused || stale) {
      if (of->link) of->link->close();
      of->answer = {};
      bool there = co_await connect(*of) && co_await tunnel(*of) && (!of->link->encrypted || co_await encrypt(*of));
      if (!there && of->link && of->link->resumed && !of->ended_by) {
        // What it does not like may be the session: once more without.
        of->link->close();
        of->answer = {};
        there = co_await connect(*of) && co_await tunnel(*of) && co_await encrypt(*of);
      }
      if (there) co_await ask(*of);
    }
  }
  of->timer->cancel();
  if (of->link) of->link->close();
  of->link.reset();
  live.erase(of);
  of->done(std::move(of->answer));
}

http_client::http_client() : state_(std::make_shared<state>()) {}
http_client::http_client(http_client&&) noexcept = default;
http_client& http_client::operator=(http_client&&) noexcept = default;
http_client::~http_client() {
  if (!state_) return;
  // Coroutines that wait are destroyed with their sockets; no handler is called any more.
  for (const auto& each : state_->live) each->done = [](http_answer) {};
  cancel();
  close_kept();
  hold(false);
  // What was posted may call leave().
  for (const auto until = clock::now() + std::chrono::seconds(1); under_way() > 0 && clock::now() < until;) run(until);
}

void http_client::get(http_request request, handler done) {
  auto of = std::make_shared<detail::http_::exchange>();
  of->request = std::move(request);
  of->done = std::move(done);
  state_->live.insert(of);
  boost::asio::co_spawn(*state_->io, state_->carry_out(std::move(of)), boost::asio::detached);
}

void http_client::run(clock::time_point until) {
  state_->io->restart();
  state_->io->run_until(until);
}

void http_client::post(std::function<void()> work) { boost::asio::post(*state_->io, std::move(work)); }

void http_client::hold(bool on) {
  if (on) state_->held.emplace(state_->io->get_executor());
  else state_->held.reset();
}

void http_client::leave() { state_->io->stop(); }

std::size_t http_client::under_way() const noexcept { return state_->live.size(); }
std::size_t http_client::kept_connections() const noexcept { return state_->kept.size(); }

void http_client::cancel() {
  for (const auto& each : state_->live) each->end(errc::cancelled);
}

void http_client::close_kept() {
  for (const auto& each : state_->kept) each.link->close();
  state_->kept.clear();
  state_->sessions.clear();
}

void http_client::close_kept(const std::string& host, std::uint16_t port) {
  std::erase_if(state_->kept, [&](const detail::http_::kept& each) {
    const bool theirs = std::get<1>(each.key) == host && std::get<2>(each.key) == port;
    if (theirs) each.link->close();
    return theirs;
  });
}

void http_client::close_kept(clock::time_point at) {
  for (auto& kept = state_->kept; !kept.empty() && kept.front().since < at; kept.pop_front()) kept.front().link->close();
}

}  // namespace computelocator
