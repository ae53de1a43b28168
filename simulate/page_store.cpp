// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include "page_store.hpp"

#include <zlib.h>

#include <stdexcept>
#include <string_view>
#include <utility>

#include "pages.hpp"

namespace computelocator::simulate {

std::string gzip_of(const std::string& text) {
  z_stream stream{};
  // 16: a gzip header in place of zlib's. Level 6 is what kubelets use.
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib cannot begin");
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("zlib cannot compress a page");
  return out;
}

stored_page page_store::get(const cluster& of, std::size_t node, std::int64_t step, const std::vector<std::string>& names) {
  std::promise<stored_page> promise;
  std::shared_future<stored_page> wanted;
  bool mine = false;
  {
    const std::lock_guard lock(mutex_);
    entry& found = pages_[{node, names}];
    if (!found.page.valid() || found.step != step || found.changes != of.nodes()[node].changes) {
      found = {step, of.nodes()[node].changes, promise.get_future().share()};
      mine = true;
    }
    wanted = found.page;
  }
  if (mine) {
    try {
      const std::vector<std::string_view> only(names.begin(), names.end());
      stored_page made;
      made.plain = std::make_shared<const std::string>(cadvisor_page(of, node, step, only));
      made.gzip = std::make_shared<const std::string>(gzip_of(*made.plain));
      promise.set_value(std::move(made));
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }
  return wanted.get();
}

}  // namespace computelocator::simulate
