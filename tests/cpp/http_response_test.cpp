// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <computelocator/impl/http_response.hpp>

namespace {

namespace cl = computelocator;
using cl::detail::http_::response_reader;

struct verdict {
  std::string code;  // "" where the answer is whole
  int status = 0;
  std::string body;
  bool reusable = false;
};

/// Feeds `bytes` in pieces of `piece`, as a socket would, and ends the connection behind them.
verdict judge(const std::string& bytes, std::size_t piece, cl::http_limits limits = {}) {
  response_reader reader(limits);
  std::string buffer;
  for (std::size_t at = 0; at < bytes.size() && !reader.done(); at += piece) {
    buffer += bytes.substr(at, piece);
    buffer.erase(0, reader.feed(buffer));
  }
  reader.end(buffer);
  verdict made;
  if (reader.failure()) made.code = std::string(cl::to_string(reader.failure()->code));
  made.status = reader.message().status;
  made.body = reader.message().body;
  made.reusable = reader.reusable() && buffer.empty();
  return made;
}

const std::string ok = "HTTP/1.1 200 OK\r\n";

TEST(http_response, every_class_of_answer) {
  const struct {
    const char* name;
    std::string bytes;
    const char* code;
    const char* body;
  } rows[] = {
      {"length", ok + "Content-Length: 5\r\n\r\nhello", "", "hello"},
      {"empty", ok + "Content-Length: 0\r\n\r\n", "", ""},
      {"chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "", "hello!"},
      {"chunk extension", ok + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", "", "hello"},
      {"trailer", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", "", "x"},
      {"no chunk but the last", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ""},
      {"no chunk but the last, with a trailer", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", "", ""},
      {"small letters", ok + "content-length: 2\r\n\r\nhi", "", "hi"},
      {"interim", "HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi", "", "hi"},
      {"early hints", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi", "", "hi"},
      {"no framing", ok + "\r\nhello", "http_malformed", ""},
      {"framing twice", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http_malformed", ""},
      {"framing twice, reversed", ok + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "http_malformed", ""},
      {"gzip transfer", ok + "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "http_malformed", ""},
      {"gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "http_malformed", ""},
      {"chunked twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http_malformed", ""},
      {"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http_malformed", ""},
      {"lengths that differ", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "http_malformed", ""},
      {"negative length", ok + "Content-Length: -5\r\n\r\nhello", "http_malformed", ""},
      {"plus length", ok + "Content-Length: +5\r\n\r\nhello", "http_malformed", ""},
      {"hex length", ok + "Content-Length: 0x5\r\n\r\nhello", "http_malformed", ""},
      {"huge length", ok + "Content-Length: 18446744073709551616\r\n\r\n", "http_malformed", ""},
      {"short body", ok + "Content-Length: 10\r\n\r\nhello", "truncated", "hello"},
      {"cut in a header", ok + "Content-Le", "truncated", ""},
      {"cut in a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "truncated", "hel"},
      {"no last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated", "hello"},
      {"empty chunk size", ok + "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", "http_malformed", ""},
      {"negative chunk", ok + "Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n", "http_malformed", ""},
      {"0x chunk", ok + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "http_malformed", ""},
      {"17 digits", ok + "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nhello\r\n0\r\n\r\n", "http_malformed", ""},
      {"no CRLF behind a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", "http_malformed", "hello"},
      {"framing in the trailer", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n", "http_malformed", "x"},
      {"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "http_malformed", ""},
      {"space before the colon", ok + "Content-Length : 2\r\n\r\nhi", "http_malformed", ""},
      {"empty name", ok + ": x\r\nContent-Length: 2\r\n\r\nhi", "http_malformed", ""},
      {"control in a value", ok + std::string("A: b\0c\r\n", 8) + "Content-Length: 2\r\n\r\nhi", "http_malformed", ""},
      {"no colon", ok + "Content-Length\r\n\r\nhi", "http_malformed", ""},
      {"upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "http_malformed", ""},
      {"two encodings", ok + "Content-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 0\r\n\r\n", "http_malformed", ""},
      {"HTTP/0.9", "<html>hello</html>", "http_malformed", ""},
      {"HTTP/2", std::string("\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0", 21), "http_malformed", ""},
      {"TLS", std::string("\x15\3\1\0\2\2\x50", 7), "http_malformed", ""},
      {"nothing", "", "connection_lost", ""},
  };
  for (const auto& row : rows) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
      const verdict got = judge(row.bytes, piece);
      EXPECT_EQ(got.code, row.code) << row.name << ", pieces of " << piece;
      if (got.code.empty()) {
        EXPECT_EQ(got.body, row.body) << row.name;
        EXPECT_EQ(got.status, 200) << row.name;
        EXPECT_TRUE(got.reusable) << row.name;
      }
    }
  }
}

TEST(http_response, every_cut_is_noticed) {
  const std::string whole = ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  for (std::size_t length = 1; length < whole.size(); ++length)
    EXPECT_EQ(judge(whole.substr(0, length), 4096).code, "truncated") << length;
  EXPECT_EQ(judge(whole, 4096).code, "");
}

TEST(http_response, nothing_is_without_a_limit) {
  cl::http_limits limits;
  limits.max_body_bytes = 1 << 20;
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  std::string extensions = chunked;
  for (int i = 0; i < 400; ++i) extensions += "1;" + std::string(8000, 'x') + "\r\ny\r\n";
  const struct {
    const char* name;
    std::string bytes;
  } rows[] = {
      {"declared", ok + "Content-Length: 1048577\r\n\r\n"},
      {"chunks", chunked + "100001\r\n" + std::string(0x100001, 'x')},
      {"one header", ok + "A: " + std::string(1 << 20, 'x')},
      {"many headers", ok + [] { std::string all; for (int i = 0; i < 9000; ++i) all += "A: b\r\n"; return all; }()},
      {"one extension", chunked + "1;" + std::string(2 << 20, 'x')},
      {"an extension each chunk", extensions},
      {"a trailer", chunked + "0\r\n" + [] { std::string all; for (int i = 0; i < 90'000; ++i) all += "A: bbbbbbbb\r\n"; return all; }()},
  };
  for (const auto& row : rows) {
    const verdict got = judge(row.bytes, 4096, limits);
    EXPECT_TRUE(got.code == "too_large" || got.code == "http_malformed") << row.name << ": " << got.code;
    EXPECT_FALSE(got.reusable) << row.name;
  }
  std::string interim;
  for (int i = 0; i < 1000; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_EQ(judge(interim + ok + "Content-Length: 0\r\n\r\n", 4096).code, "http_malformed");
}

TEST(http_response, small_chunks_of_an_honest_server_are_no_excess) {
  std::string bytes = ok + "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 200'000; ++i) bytes += "1\r\nx\r\n";
  EXPECT_EQ(judge(bytes + "0\r\n\r\n", 65536).code, "");
}

TEST(http_response, an_error_answer_is_read_no_further_than_its_limit) {
  for (const char* framing : {"Content-Length: 4000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3d0900\r\n"}) {
    cl::http_limits limits;
    limits.max_body_bytes = 1 << 20;  // of a 200
    const verdict got = judge(std::string("HTTP/1.1 500 Oops\r\n") + framing + std::string(4'000'000, 'x'), 4096, limits);
    EXPECT_EQ(got.code, "") << framing;
    EXPECT_EQ(got.status, 500);
    EXPECT_EQ(got.body.size(), limits.max_error_body_bytes);
    EXPECT_FALSE(got.reusable);
  }
}

TEST(http_response, another_protocol_is_named) {
  const struct {
    std::string bytes;
    const char* said;
  } rows[] = {{std::string("\x15\3\1\0\2\2\x46", 7), "the peer speaks TLS on this port; say https://"},
              {std::string("\0\0\x12\4\0\0\0\0\0", 9), "the peer speaks HTTP/2, not HTTP/1.1"},
              {"<html>", "the answer is not HTTP/1.1"},
              {"\x15", "the answer is not HTTP/1.1"}};
  for (const auto& row : rows) {
    response_reader reader({});
    reader.feed(row.bytes);
    EXPECT_EQ(reader.failure()->what, row.said);
  }
}

TEST(http_response, bytes_behind_the_answer_end_the_connection) {
  EXPECT_FALSE(judge(ok + "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", 4096).reusable);
}

// --- bodies that are taken as they come

/// What a sink was given, and how the answer ended.
struct streamed {
  std::string code, body;
  std::size_t pieces = 0;
};

streamed stream(const std::string& bytes, std::size_t piece, std::size_t enough = std::string::npos) {
  streamed made;
  const std::function<bool(std::string_view)> sink = [&](std::string_view given) {
    made.body += given;
    ++made.pieces;
    return made.body.size() < enough;
  };
  cl::http_limits limits;
  limits.max_body_bytes = 8;
  response_reader reader(limits, &sink);
  std::string buffer;
  for (std::size_t at = 0; at < bytes.size() && !reader.done(); at += piece) {
    buffer += bytes.substr(at, piece);
    buffer.erase(0, reader.feed(buffer));
  }
  reader.end(buffer);
  if (reader.failure()) made.code = std::string(cl::to_string(reader.failure()->code));
  if (made.pieces > 0) {
    EXPECT_EQ(reader.message().body, "");
  }
  return made;
}

TEST(http_stream, pieces_of_every_size_give_the_body_which_no_limit_ends) {
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n3;x=y\r\nxyz\r\n0\r\n\r\n";
  const std::string sized = ok + "Content-Encoding: identity\r\nContent-Length: 19\r\n\r\n0123456789abcdefxyz";
  for (const std::string& answer : {chunked, sized})
    for (std::size_t piece = 1; piece <= answer.size(); ++piece) {
      const streamed got = stream(answer, piece);
      ASSERT_EQ(got.code, "") << piece;
      ASSERT_EQ(got.body, "0123456789abcdefxyz") << piece;
    }
}

TEST(http_stream, a_byte_is_given_on_as_soon_as_it_is_there) {
  std::string body;
  const std::function<bool(std::string_view)> sink = [&](std::string_view given) {
    body += given;
    return true;
  };
  response_reader reader({}, &sink);
  const std::string head = ok + "Transfer-Encoding: chunked\r\n\r\n6\r\n";
  EXPECT_EQ(reader.feed(head), head.size());
  std::string buffer;
  for (const char c : std::string("abcde\n")) {
    buffer += c;
    buffer.erase(0, reader.feed(buffer));
    EXPECT_EQ(body.back(), c);
  }
}

TEST(http_stream, begins_with_an_empty_piece_and_ends_when_told) {
  const std::string head = ok + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(stream(head, head.size()).pieces, 1u);
  EXPECT_EQ(stream(head, head.size()).code, "truncated");
  EXPECT_EQ(stream(head + "3\r\nabc\r\n3\r\ndef\r\n", 1, 3).body, "abc");
  EXPECT_EQ(stream(head + "3\r\nabc\r\n3\r\ndef\r\n", 1, 3).code, "cancelled");
  EXPECT_EQ(stream(head + "3\r\nabc\r\n3\r\ndef\r\n", 100, 3).body, "abc");
  EXPECT_EQ(stream(head, head.size(), 0).code, "cancelled");
}

TEST(http_stream, what_is_no_stream_stays_what_it_is) {
  const std::string gone = "HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nold";
  EXPECT_EQ(stream(gone, 1).pieces, 0u);
  EXPECT_EQ(stream(gone, 1).code, "");
  EXPECT_EQ(stream(ok + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 1).code, "http_malformed");
  EXPECT_EQ(stream(ok + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 1).pieces, 0u);
  const std::string head = ok + "Transfer-Encoding: chunked\r\n\r\n";
  std::string flood = head;
  for (int i = 0; i < 100'000; ++i) flood += "1;" + std::string(60, 'x') + "\r\na\r\n";
  EXPECT_EQ(stream(flood, 4096).code, "too_large");
  std::string single = head;
  for (int i = 0; i < 100'000; ++i) single += "1\r\na\r\n";
  EXPECT_EQ(stream(single + "0\r\n\r\n", 4096).body.size(), 100'000u);
}

}  // namespace
