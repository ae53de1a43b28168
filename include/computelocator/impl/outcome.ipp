// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <computelocator/outcome.hpp>

namespace computelocator {

std::string_view to_string(stage reached) noexcept {
  switch (reached) {
    case stage::queued: return "queued";
    case stage::resolve: return "resolve";
    case stage::connect: return "connect";
    case stage::tls: return "tls";
    case stage::write: return "write";
    case stage::read: return "read";
    case stage::status: return "status";
    case stage::body: return "body";
    case stage::inflate: return "inflate";
    case stage::parse: return "parse";
    case stage::done: return "done";
  }
  return "unknown";
}

}  // namespace computelocator
