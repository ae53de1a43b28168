// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include <computelocator/impl/token_file.hpp>

namespace computelocator {

result<secret> token_reader::read(clock::time_point now) {
  if (read_at_ && now - *read_at_ < every_ && !token_.empty()) return token_;
  return refresh(now);
}

result<secret> token_reader::refresh(clock::time_point now) {
  read_at_ = now;
  auto text = detail::token_::read_file(path_);
  if (!text) return token_.empty() ? result<secret>(text.error()) : result<secret>(token_);
  auto token = detail::token_::clean_token(std::move(text).value(), path_);
  if (token && !token->empty()) token_ = *token;
  if (!token_.empty()) return token_;
  if (!token) return token.error();
  return error{errc::bad_configuration, printable(path_), "the token file is empty",
               "wait until it is written, or name another"};
}

}  // namespace computelocator
