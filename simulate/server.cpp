// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <cstdio>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace computelocator::simulate {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

namespace {

std::string decoded(std::string_view text) {
  std::string out;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

request read_request(const http::request<http::string_body>& from) {
  request made;
  const std::string_view target(from.target().data(), from.target().size());
  const std::size_t mark = target.find('?');
  made.path = decoded(target.substr(0, mark));
  std::string_view query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    made.query.emplace_back(decoded(pair.substr(0, equals)),
                            decoded(pair.substr(std::min(equals + 1, pair.size()))));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  made.accept = std::string(from[http::field::accept]);
  made.takes_gzip = from[http::field::accept_encoding].find("gzip") != boost::beast::string_view::npos;
  made.authorization = std::string(from[http::field::authorization]);
  return made;
}

const char* reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 410: return "Gone";
    case 422: return "Unprocessable Entity";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

}  // namespace

std::string request::query_value(const std::string& name) const {
  for (const auto& [key, value] : query)
    if (key == name) return value;
  return {};
}

reply reply::text(int status, std::string type, std::string body) {
  reply made;
  made.status = status;
  made.content_type = std::move(type);
  made.body = std::make_shared<const std::string>(std::move(body));
  return made;
}

struct servers::state {
  struct listener {
    tcp::acceptor acceptor;
    handler answer;
    tcp::endpoint at;
    std::string client_authority;
    std::mutex guarding;                    // of the context
    std::shared_ptr<ssl::context> context;  // null: plain HTTP
    std::atomic<unsigned> starts{0};

    listener(asio::io_context& io, handler to) : acceptor(asio::make_strand(io)), answer(std::move(to)) {}
    void show(const identity& tls);
    void open(const tcp::endpoint& on, error_code& ec);
  };

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(io);
  std::vector<std::shared_ptr<listener>> listeners;
  std::vector<std::thread> threads;

  asio::awaitable<void> accept(std::shared_ptr<listener> of);
  template <class Stream>
  asio::awaitable<void> serve(Stream& stream, tcp::socket& socket, const listener& of, unsigned start, bool verified);
  asio::awaitable<void> greet(std::shared_ptr<listener> of, tcp::socket socket);
};

void servers::state::listener::show(const identity& tls) {
  auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_2_VERSION);
  made->use_certificate_chain(asio::buffer(tls.certificate));
  made->use_private_key(asio::buffer(tls.key), ssl::context::pem);
  if (!client_authority.empty()) {
    made->add_certificate_authority(asio::buffer(client_authority));
    made->set_verify_mode(ssl::verify_peer);
  }
  SSL_CTX_set_session_id_context(made->native_handle(), reinterpret_cast<const unsigned char*>("simulate"), 8);
  const std::lock_guard lock(guarding);
  context = std::move(made);
  ++starts;
}

void servers::state::listener::open(const tcp::endpoint& on, error_code& ec) {
  acceptor.open(on.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(on, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
}

asio::awaitable<void> servers::state::accept(std::shared_ptr<listener> of) {
  for (;;) {
    error_code ec;
    tcp::socket socket(asio::make_strand(io));
    co_await of->acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
    if (ec == asio::error::operation_aborted || !of->acceptor.is_open()) co_return;
    if (ec) {
      asio::steady_timer pause(io, std::chrono::milliseconds(20));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    socket.set_option(tcp::no_delay(true), ec);
    const auto executor = socket.get_executor();
    asio::co_spawn(executor, greet(of, std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> servers::state::greet(std::shared_ptr<listener> of, tcp::socket socket) {
  std::shared_ptr<ssl::context> context;
  unsigned start = 0;
  {
    const std::lock_guard lock(of->guarding);
    context = of->context;
    start = of->starts;
  }
  if (!context) {
    co_await serve(socket, socket, *of, start, false);
    co_return;
  }
  ssl::stream<tcp::socket> stream(std::move(socket), *context);
  error_code ec;
  co_await stream.async_handshake(ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, ec));
  if (ec) {
    ERR_clear_error();
    co_return;
  }
  X509* const peer = SSL_get1_peer_certificate(stream.native_handle());
  const bool verified = peer != nullptr && SSL_get_verify_result(stream.native_handle()) == X509_V_OK;
  if (peer != nullptr) X509_free(peer);
  co_await serve(stream, stream.next_layer(), *of, start, verified);
  ERR_clear_error();
}

template <class Stream>
asio::awaitable<void> servers::state::serve(Stream& stream, tcp::socket& socket, const listener& of,
                                            unsigned start, bool verified) {
  boost::beast::flat_buffer buffer(std::size_t{64} << 10);
  error_code ec;
  asio::steady_timer timer(socket.get_executor());
  const auto write = [&](std::string_view text) {
    return asio::async_write(stream, asio::buffer(text.data(), text.size()),
                             asio::redirect_error(asio::use_awaitable, ec));
  };
  for (;;) {
    http::request_parser<http::string_body> parser;  // what a POST brings is read, then refused
    parser.body_limit(std::uint64_t{1} << 20);
    co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, ec));
    if (ec || of.starts != start) co_return;
    request asked = read_request(parser.get());
    asked.certificate_verified = verified;
    const bool keep = parser.get().keep_alive();
    reply made = parser.get().method() == http::verb::get
                     ? of.answer(asked)
                     : reply::text(405, "text/plain", "only GET\n");
    if (made.silent) made.delay = std::chrono::hours(1);
    if (made.delay.count() > 0) {
      timer.expires_after(made.delay);
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
    }
    std::string head = "HTTP/1.1 " + std::to_string(made.status) + " " + reason(made.status) +
                       "\r\nContent-Type: " + made.content_type + "\r\n";
    for (const auto& [name, value] : made.headers) head += name + ": " + value + "\r\n";
    if (made.gzipped) head += "Content-Encoding: gzip\r\n";
    if (made.watch) {
      co_await write(head + "Transfer-Encoding: chunked\r\n\r\n");
      const auto over = std::chrono::steady_clock::now() + made.watch->lasts;
      const auto chunk = [&](const std::string& text) {
        char size[20];
        std::snprintf(size, sizeof size, "%zx\r\n", text.size());
        return std::string(size) + text + "\r\n";
      };
      stream::news told{made.watch->first, false, {}};
      for (;;) {
        for (const std::string& line : told.lines) {
          co_await write(chunk(line + '\n'));
          if (ec) co_return;
        }
        if (!told.cut.empty()) co_await write(chunk(told.cut));
        if (!told.cut.empty() || of.starts != start) co_return;
        if (told.over || std::chrono::steady_clock::now() >= over) break;
        timer.expires_after(std::chrono::milliseconds(20));
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        if (ec) co_return;
        told = made.watch->next();
      }
      co_await write("0\r\n\r\n");
      if (ec || !keep) co_return;
      continue;
    }
    const std::string_view body = *made.body;
    const std::size_t end = std::min(made.cut_after.value_or(body.size()), body.size());
    if (!made.chunked) {
      co_await write(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
      if (!ec) co_await write(body.substr(0, end));
    } else {
      co_await write(head + "Transfer-Encoding: chunked\r\n\r\n");
      constexpr std::size_t step = std::size_t{32} << 10;
      for (std::size_t at = 0; at < end && !ec; at += step) {
        const std::string_view piece = body.substr(at, std::min(step, end - at));
        char size[20];
        const int digits = std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        const std::array<asio::const_buffer, 3> parts{
            asio::buffer(size, static_cast<std::size_t>(digits)), asio::buffer(piece.data(), piece.size()),
            asio::buffer("\r\n", 2)};
        co_await asio::async_write(stream, parts, asio::redirect_error(asio::use_awaitable, ec));
      }
      if (!ec && end == body.size()) co_await write("0\r\n\r\n");
    }
    if (ec || !keep || made.cut_after) {
      error_code ignored;
      socket.shutdown(tcp::socket::shutdown_both, ignored);
      co_return;
    }
  }
}

servers::servers(std::size_t threads) : state_(std::make_unique<state>()) {
  for (std::size_t i = 0; i < std::max<std::size_t>(1, threads); ++i)
    state_->threads.emplace_back([this] { state_->io.run(); });
}

servers::~servers() {
  state_->io.stop();
  for (std::thread& each : state_->threads) each.join();
}

std::uint16_t servers::listen(const listener_options& options, handler answer) {
  error_code ec;
  const auto address = asio::ip::make_address(options.address, ec);
  if (ec || !address.is_loopback()) throw std::runtime_error("a simulated server listens on loopback alone");
  auto made = std::make_shared<state::listener>(state_->io, std::move(answer));
  made->client_authority = options.client_authority;
  if (options.tls) made->show(*options.tls);
  const tcp::endpoint at(address, options.port);
  made->open(at, ec);
  if (ec)
    throw std::runtime_error("cannot listen on " + options.address + ":" + std::to_string(options.port) + ": " +
                             ec.message());
  made->at = made->acceptor.local_endpoint();
  const std::uint16_t port = made->at.port();
  state_->listeners.push_back(made);
  asio::co_spawn(made->acceptor.get_executor(), state_->accept(made), asio::detached);
  return port;
}

void servers::pause(const std::string& address, std::uint16_t port, bool on) {
  error_code ec;
  const tcp::endpoint at(asio::ip::make_address(address, ec), port);
  const auto found = std::find_if(state_->listeners.begin(), state_->listeners.end(), [&](const auto& each) { return each->at == at; });
  if (found == state_->listeners.end()) throw std::runtime_error("nothing listens on " + address + ":" + std::to_string(port));
  std::promise<void> done;
  asio::post((*found)->acceptor.get_executor(), [&, of = *found] {
    if (on) {
      of->acceptor.close(ec);
      ++of->starts;
    } else if (!of->acceptor.is_open()) {
      of->open(at, ec);
      asio::co_spawn(of->acceptor.get_executor(), state_->accept(of), asio::detached);
    }
    done.set_value();
  });
  done.get_future().wait();
  if (ec) throw std::runtime_error("cannot listen on " + address + ":" + std::to_string(port) + ": " + ec.message());
}

void servers::renew(const std::string& address, std::uint16_t port, const identity& with) {
  error_code ec;
  const tcp::endpoint at(asio::ip::make_address(address, ec), port);
  for (const auto& each : state_->listeners)
    if (each->at == at && each->starts > 0) return each->show(with);
  throw std::runtime_error("nothing listens on " + address + ":" + std::to_string(port) + " with TLS");
}

void servers::post(std::function<void()> work) { asio::post(state_->io, std::move(work)); }

}  // namespace computelocator::simulate
