// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace computelocator {

/// A token or private key. It cannot be printed, compared or formatted, and its
/// bytes are overwritten when it goes. The one way out is `reveal()`, which
/// stands only where a secret is put on a verified connection or into OpenSSL.
class secret {
 public:
  secret() = default;
  explicit secret(std::string text) noexcept : text_(std::move(text)) {}
  secret(const secret&) = default;
  secret(secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }
  secret& operator=(const secret& other) {
    if (this != &other) { wipe(); text_ = other.text_; }
    return *this;
  }
  secret& operator=(secret&& other) noexcept {
    if (this != &other) { wipe(); text_ = std::move(other.text_); other.wipe(); }
    return *this;
  }
  ~secret() { wipe(); }

  bool empty() const noexcept { return text_.empty(); }

  /// The bytes themselves. The view lives as long as this object is unchanged.
  std::string_view reveal() const noexcept { return text_; }

 private:
  void wipe() noexcept {
    volatile char* bytes = text_.data();
    for (std::size_t i = 0; i < text_.size(); ++i) bytes[i] = 0;
    text_.clear();
  }
  std::string text_;
};

}  // namespace computelocator
