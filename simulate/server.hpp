// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "certificates.hpp"

namespace computelocator::simulate {

struct request {
  std::string path;                                        ///< without the query, decoded
  std::vector<std::pair<std::string, std::string>> query;  ///< decoded
  std::string accept;
  bool takes_gzip = false;
  std::string authorization;
  bool certificate_verified = false;                       ///< a client certificate of our authority

  std::string query_value(const std::string& name) const;
};

/// The lines of a watch: what is there, then what comes, until its time is over.
struct stream {
  struct news {
    std::vector<std::string> lines;
    bool over = false;                    ///< it ends in order
    std::string cut;                      ///< not empty: sent last, then the connection goes
  };
  std::vector<std::string> first;
  std::function<news()> next;             ///< asked again and again for what has come since
  std::chrono::milliseconds lasts{300'000};
};

struct reply {
  int status = 200;
  std::string content_type = "application/json";
  std::shared_ptr<const std::string> body = std::make_shared<const std::string>();
  bool gzipped = false;
  bool chunked = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<stream> watch;
  // faults
  std::chrono::milliseconds delay{0};
  bool silent = false;                    ///< never answers
  std::optional<std::size_t> cut_after;   ///< bytes of the body after which the connection goes

  static reply text(int status, std::string type, std::string body);
};

using handler = std::function<reply(const request&)>;

struct listener_options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                 ///< 0: a free one
  std::optional<identity> tls;            ///< empty: plain HTTP
  std::string client_authority;           ///< PEM; certificates of it are verified, none is required
};

/// HTTP servers on loopback addresses, all on the same few threads.
class servers {
 public:
  explicit servers(std::size_t threads);
  ~servers();                             ///< closes every socket and joins the threads
  servers(const servers&) = delete;
  servers& operator=(const servers&) = delete;

  /// Listens from now on; gives the port. Throws std::runtime_error where it cannot.
  std::uint16_t listen(const listener_options& options, handler answer);
  /// That server shows `with` from now on, as one that was started again: connections that are open
  /// end at their next request. Throws std::runtime_error where none listens there with TLS.
  void renew(const std::string& address, std::uint16_t port, const identity& with);
  /// That server refuses connections from now on, and those that are open end; or it listens again.
  void pause(const std::string& address, std::uint16_t port, bool on);
  /// Runs `work` on one of the threads.
  void post(std::function<void()> work);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace computelocator::simulate
