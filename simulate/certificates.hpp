// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

namespace computelocator::simulate {

/// A key and its certificate, as PEM.
struct identity {
  std::string certificate;
  std::string key;
};

struct certificate_request {
  std::string common_name;
  std::string organization;
  std::string address;      ///< IP in the subject's alternative names; empty: none
  std::string dns_name;     ///< likewise
  int days = 30;            ///< negative: expired so many days ago
  bool for_client = false;
};

/// A certificate authority of one simulation; keys are P-256 and new each time.
class authority {
 public:
  explicit authority(const std::string& name);
  ~authority();
  authority(authority&&) noexcept;

  const std::string& certificate() const noexcept;
  identity issue(const certificate_request& what) const;
  static identity self_signed(const certificate_request& what);

 private:
  struct keys;
  std::unique_ptr<keys> keys_;
};

}  // namespace computelocator::simulate
