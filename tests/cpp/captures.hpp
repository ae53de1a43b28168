// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tests {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Where pages of real programs and conformance cases lie; empty where they are not.
inline std::filesystem::path shared_data() {
  const char* const given = std::getenv("COMPUTELOCATOR_SHARED");
  const std::filesystem::path root =
      given ? std::filesystem::path(given) : std::filesystem::path(COMPUTELOCATOR_SOURCE_DIR).parent_path() / "shared";
  return std::filesystem::is_directory(root / "data") ? root / "data" : std::filesystem::path();
}

/// `text` in a heap block of exactly its size, so that one byte read beyond it shows.
class exact_copy {
 public:
  explicit exact_copy(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    if (size_ != 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

}  // namespace tests
