// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The bytes of an answer, judged without a socket: Beast's parser with the guards that Boost 1.81
// lacks, so that tests and fuzzers drive it as the network would.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <computelocator/http.hpp>

namespace computelocator::detail::http_ {

namespace beast_http = boost::beast::http;

inline bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

/// One message: interim or final.
class message_parser final : public beast_http::basic_parser<false> {
 public:
  using body_sink = std::function<bool(std::string_view piece)>;

  /// `sink` takes the body of a 200 in place of `body`; it outlives this.
  explicit message_parser(const http_limits& limits, const body_sink* sink = nullptr) : limits_(limits), sink_(sink) {
    eager(true);
    header_limit(static_cast<std::uint32_t>(limits.max_header_bytes));
    body_limit(limits.max_body_bytes);
  }

  int status = 0;
  std::string content_type, content_encoding, retry_after, location;
  std::string body;
  std::uint64_t body_bytes = 0;  ///< that have come, kept or not
  std::uint64_t chunks = 0, chunk_left = 0;
  std::string fault;       ///< a guard's words where it stopped the message
  bool cut_short = false;  ///< an error answer's body reached its limit
  bool unwanted = false;   ///< the sink wants no more

 private:
  using error_code = boost::beast::error_code;
  using text = boost::beast::string_view;

  void refuse(error_code& ec, const char* why) {
    fault = why;
    ec = beast_http::error::bad_value;
  }

  void on_request_impl(beast_http::verb, text, text, int, error_code&) override {}
  void on_response_impl(int code, text, int version, error_code&) override {
    status = code;
    version_ = version;
    if (code != 200) sink_ = nullptr;
    if (code != 200 || sink_ != nullptr) body_limit(boost::none);  // take() reads its start and leaves the rest
  }
  void on_field_impl(beast_http::field name, text, text given, error_code& ec) override {
    const std::string_view value(given.data(), given.size());
    const bool framing = name == beast_http::field::content_length ||
                         name == beast_http::field::transfer_encoding;
    if (header_read_) {
      if (framing) refuse(ec, "a framing field in the trailer");
      return;
    }
    switch (name) {
      case beast_http::field::content_length: ++lengths_; break;
      case beast_http::field::transfer_encoding:
        if (encodings_++ != 0 || !equal_ignoring_case(value, "chunked"))
          refuse(ec, "a Transfer-Encoding other than chunked");
        break;
      case beast_http::field::content_type: content_type = value; break;
      case beast_http::field::content_encoding:
        if (!content_encoding.empty()) return refuse(ec, "two Content-Encoding fields");
        content_encoding = value;
        break;
      case beast_http::field::retry_after: retry_after = value; break;
      case beast_http::field::location: location = value; break;
      default: break;
    }
  }
  void on_header_impl(error_code& ec) override {
    header_read_ = true;
    if (lengths_ > 0 && encodings_ > 0)
      return refuse(ec, "both Content-Length and Transfer-Encoding");
    if (encodings_ > 0 && version_ < 11) return refuse(ec, "Transfer-Encoding in HTTP/1.0");
    if (status >= 200 && status != 204 && status != 304 && lengths_ == 0 && encodings_ == 0)
      return refuse(ec, "neither Content-Length nor chunks, so that a cut could not be seen");
    if (sink_ == nullptr) return;
    if (!content_encoding.empty() && !equal_ignoring_case(content_encoding, "identity"))
      return refuse(ec, "an encoding of what was asked for without one");
    give({}, ec);
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
    // A claimed length is no reason to hand out memory before bytes have come.
    if (length && sink_ == nullptr) body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(*length, 64u << 10)));
  }
  std::size_t on_body_impl(text bytes, error_code& ec) override { return take(bytes, ec); }
  void on_chunk_header_impl(std::uint64_t size, text, error_code&) override {
    ++chunks;
    chunk_left = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, text bytes, error_code& ec) override {
    chunk_left -= bytes.size();
    return take(bytes, ec);
  }
  void on_finish_impl(error_code&) override {}

  void give(std::string_view piece, error_code& ec) {
    if ((*sink_)(piece)) return;
    unwanted = true;
    ec = beast_http::error::end_of_stream;
  }
  std::size_t take(text bytes, error_code& ec) {
    body_bytes += bytes.size();
    if (sink_ != nullptr) {
      give({bytes.data(), bytes.size()}, ec);
      return bytes.size();
    }
    if (status != 200 && body.size() + bytes.size() > limits_.max_error_body_bytes) {
      body.append(bytes.data(), limits_.max_error_body_bytes - body.size());
      cut_short = true;
      ec = beast_http::error::end_of_stream;
      return bytes.size();
    }
    body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  http_limits limits_;
  const body_sink* sink_;
  int version_ = 11;
  int lengths_ = 0, encodings_ = 0;
  bool header_read_ = false;
};

/// Takes the bytes of one answer as they come.
class response_reader {
 public:
  /// `sink` as of message_parser.
  explicit response_reader(const http_limits& limits, const message_parser::body_sink* sink = nullptr)
      : limits_(limits), sink_(sink) {
    begin();
  }

  /// True once the answer is whole, or failure() says why it never will be.
  bool done() const noexcept { return done_; }
  const std::optional<error>& failure() const noexcept { return failure_; }
  /// The connection can carry another request.
  bool reusable() const noexcept { return reusable_; }
  /// Bytes of the answer that have come, judged or not.
  std::uint64_t bytes() const noexcept { return bytes_ + pending_; }
  bool header_done() const noexcept { return parser_->is_header_done(); }
  message_parser& message() noexcept { return *parser_; }

  /// Takes from the front of `data`; gives how much. What is left is to come again, longer.
  std::size_t feed(std::string_view data) {
    std::size_t taken = 0;
    while (!done_) {
      if (started_at_ == bytes_ && !begins_as_http(data.substr(taken))) {
        fail(errc::http_malformed, not_http(data.substr(taken)));
        break;
      }
      boost::beast::error_code ec;
      // Beast wants at least a byte, and of chunks five, which the last one has: "0", two line ends. It
      // asserts as much, so a peer could end a program that was built with assertions. Inside of a chunk
      // there is no such end: what has come of an event must not wait for the next one.
      const std::size_t least =
          parser_->is_header_done() && parser_->chunked() && parser_->chunk_left == 0 ? 5 : 1;
      if (data.size() - taken < least) break;
      const std::size_t n =
          parser_->put(boost::asio::const_buffer(data.data() + taken, data.size() - taken), ec);
      taken += n;
      bytes_ += n;
      if (ec && ec != beast_http::error::need_more) {
        fail(ec);
        break;
      }
      if (excess()) {
        fail(errc::too_large, "chunk lines, extensions or trailers beyond the limit");
        break;
      }
      if (parser_->is_done()) {
        if (parser_->status >= 100 && parser_->status < 200) {
          if (parser_->status == 101) {
            fail(errc::http_malformed, "an upgrade to another protocol, which nobody asked for");
          } else if (++interim_ > limits_.max_interim_answers) {
            fail(errc::http_malformed, "too many interim answers");
          } else {
            begin();
            continue;
          }
          break;
        }
        done_ = true;
        // Bytes behind the answer belong to no request of ours.
        reusable_ = parser_->keep_alive() && taken == data.size();
        break;
      }
      if (ec == beast_http::error::need_more) break;
    }
    const std::string_view rest = data.substr(taken);
    pending_ = rest.size();
    if (!done_ && rest.size() > limits_.max_header_bytes + limits_.max_framing_excess)
      fail(errc::too_large, "a header or chunk line beyond the limit");
    return taken;
  }

  /// The peer ended the connection in order. `rest` is what feed() left.
  void end(std::string_view rest) {
    if (done_) return;
    if (bytes_ == 0 && rest.empty())
      return fail(errc::connection_lost, "the connection was closed before an answer");
    if (!parser_->is_header_done() && started_at_ == bytes_) {
      // Beast waits for the end of a header before it judges one that came in pieces.
      message_parser again(limits_);
      boost::beast::error_code ec;
      again.put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
      if (ec && ec != beast_http::error::need_more) return fail(ec);
    }
    fail(errc::truncated,
         "the answer was cut off after " + std::to_string(bytes_ + rest.size()) + " bytes");
  }

 private:
  void begin() {
    parser_.emplace(limits_, sink_);
    started_at_ = bytes_;
  }
  static bool begins_as_http(std::string_view text) {
    constexpr std::string_view start = "HTTP/1.";
    return text.substr(0, start.size()) == start.substr(0, text.size());
  }
  static const char* not_http(std::string_view text) {
    // An alert or handshake of TLS 1.x; the frame of settings that begins HTTP/2.
    if (text.substr(1, 1) == "\x03" && (text[0] == '\x15' || text[0] == '\x16'))
      return "the peer speaks TLS on this port; say https://";
    if (text.size() > 3 && text[0] == '\0' && text[3] == '\x04') return "the peer speaks HTTP/2, not HTTP/1.1";
    return "the answer is not HTTP/1.1";
  }
  bool excess() const {
    if (!parser_->is_header_done() || !parser_->chunked()) return false;
    const std::uint64_t allowed = limits_.max_header_bytes + limits_.max_framing_excess +
                                  16 * parser_->chunks + 2 * parser_->body_bytes;
    return bytes_ - started_at_ > allowed + parser_->body_bytes;
  }
  void fail(errc code, std::string what) {
    failure_ = error{code, {}, std::move(what), {}};
    done_ = true;
    reusable_ = false;
  }
  void fail(boost::beast::error_code ec) {
    if (parser_->cut_short) {
      done_ = true;
      return;
    }
    if (parser_->unwanted) return fail(errc::cancelled, "no more of the answer is wanted");
    if (!parser_->fault.empty()) return fail(errc::http_malformed, parser_->fault);
    if (ec == beast_http::error::body_limit)
      return fail(errc::too_large, "a body of more than " + std::to_string(limits_.max_body_bytes) +
                                       " bytes");
    if (ec == beast_http::error::header_limit || ec == beast_http::error::buffer_overflow)
      return fail(errc::too_large, "a header of more than " +
                                       std::to_string(limits_.max_header_bytes) + " bytes");
    fail(errc::http_malformed, "the answer is not well-formed HTTP: " + ec.message());
  }

  http_limits limits_;
  const message_parser::body_sink* sink_;
  std::optional<message_parser> parser_;
  std::optional<error> failure_;
  std::size_t pending_ = 0;
  std::uint64_t bytes_ = 0, started_at_ = 0;
  int interim_ = 0;
  bool done_ = false, reusable_ = false;
};

}  // namespace computelocator::detail::http_
