// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "cluster.hpp"

namespace computelocator::simulate {

struct stored_page {
  std::shared_ptr<const std::string> plain, gzip;
};

std::string gzip_of(const std::string& text);

/// Makes each page once and compresses it once; whoever asks for it meanwhile waits.
/// Pages of earlier steps, and of the node before it was changed, are forgotten.
class page_store {
 public:
  /// `names` are families of the page; empty: all.
  stored_page get(const cluster& of, std::size_t node, std::int64_t step, const std::vector<std::string>& names);

 private:
  using key = std::tuple<std::size_t, std::vector<std::string>>;
  struct entry {
    std::int64_t step = 0;
    std::uint64_t changes = 0;
    std::shared_future<stored_page> page;
  };
  std::mutex mutex_;
  std::map<key, entry> pages_;
};

}  // namespace computelocator::simulate
