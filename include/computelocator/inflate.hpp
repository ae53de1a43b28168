// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <computelocator/error.hpp>

namespace computelocator {

/// True where `bytes` start as gzip (RFC 1952) does.
bool is_gzip(std::string_view bytes) noexcept;

/// The text of a gzip file of one or more members, at most `max_bytes` of it. Check sums and
/// lengths are verified. errc::too_large past the bound, errc::truncated where the file ends
/// early, errc::bad_encoding for anything else that is not gzip; `where` is left to the caller.
result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes);

}  // namespace computelocator
