// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <computelocator/target.hpp>

namespace computelocator {

std::string target::url() const {
  const bool bracket = host.find(':') != std::string::npos;
  std::string text = scheme == computelocator::scheme::https ? "https://" : "http://";
  text += bracket ? "[" + host + "]" : host;
  text += ":" + std::to_string(port);
  return text + path.substr(0, path.find('?'));
}

}  // namespace computelocator
