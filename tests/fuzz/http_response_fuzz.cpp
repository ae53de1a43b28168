// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include <computelocator/impl/http_response.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

struct verdict {
  bool failed = false;
  std::string body;
};

verdict judge(std::string_view bytes, std::size_t piece, const std::function<bool(std::string_view)>* sink = nullptr) {
  cl::http_limits limits;
  limits.max_body_bytes = 4096;
  limits.max_error_body_bytes = 64;
  limits.max_header_bytes = 1024;
  limits.max_framing_excess = 512;
  cl::detail::http_::response_reader reader(limits, sink);
  std::string buffer;
  for (std::size_t at = 0; at < bytes.size() && !reader.done(); at += piece) {
    buffer += bytes.substr(at, piece);
    buffer.erase(0, reader.feed(buffer));
    must(reader.done() || buffer.size() <= limits.max_header_bytes + limits.max_framing_excess);
  }
  reader.end(buffer);
  must(reader.done());
  must(reader.message().body.size() <= limits.max_body_bytes);
  return {reader.failure().has_value(), reader.message().body};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // An answer that is whole is the same however it is cut into pieces.
  const verdict whole = judge(bytes, size + 1), halves = judge(bytes, size / 2 + 1), single = judge(bytes, 1);
  if (!whole.failed && !single.failed) must(whole.body == single.body);
  if (!whole.failed && !halves.failed) must(whole.body == halves.body);
  // As a stream it is the same, but for encodings, which are refused, and limits of a whole body.
  std::string taken;
  int pieces = 0;
  const std::function<bool(std::string_view)> sink = [&](std::string_view piece) {
    must((pieces++ == 0) == piece.empty());
    taken += piece;
    return true;
  };
  const verdict streamed = judge(bytes, 1, &sink);
  must(pieces == 0 || streamed.body.empty());
  if (!single.failed && !streamed.failed) must((pieces == 0 ? streamed.body : taken) == single.body);
  return 0;
}
