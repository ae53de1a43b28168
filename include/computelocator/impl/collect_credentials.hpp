// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <computelocator/discover.hpp>
#include <computelocator/process.hpp>

namespace computelocator::detail::collect_ {

/// What a plugin complains of, without what could be a credential: the token that it printed, and
/// words as long as none of a language is.
inline std::string without_secrets(std::string_view said, const secret& token) {
  constexpr std::size_t longest = 40;
  std::string out;
  while (!said.empty()) {
    const auto in_word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_.+=~").find(c) != std::string_view::npos;
    };
    const auto length = static_cast<std::size_t>(std::find_if_not(said.begin(), said.end(), in_word) - said.begin());
    const std::string_view word = said.substr(0, length);
    const bool hidden = length >= longest ||
                        (!token.empty() && word.find(token.reveal()) != std::string_view::npos);
    out += hidden ? "[secret]" : std::string(word);
    said.remove_prefix(length);
    if (said.empty()) break;
    out += said.front();
    said.remove_prefix(1);
  }
  while (!out.empty() && std::isspace(static_cast<unsigned char>(out.back()))) out.pop_back();
  return out;
}

inline result<exec_credential> run_plugin(const exec_plugin& plugin, const std::function<bool()>& goes_on) {
  process_request what;
  what.command = plugin.command;
  what.environment = plugin.environment;
  what.goes_on = goes_on;
  auto ran = run_process(what);
  if (!ran) {
    error why = std::move(ran).error();
    why.where = plugin.where;
    if (why.code == errc::not_found) {
      why.code = errc::bad_configuration;
      if (!plugin.install_hint.empty()) why.advice = printable(plugin.install_hint, 1000);
    } else if (why.advice.empty() && why.code != errc::cancelled) {
      why.advice = "run it by hand to see what it waits for or prints";
    }
    return why;
  }
  auto read = read_exec_credential(plugin, ran->output.reveal(), std::chrono::system_clock::now());
  if (ran->status == 0) return read;
  const std::string said = without_secrets(ran->said, read ? read->token : secret());
  return error{errc::unauthorized, plugin.where,
               "ended with status " + std::to_string(ran->status) + (said.empty() ? "" : ": " + printable(said, 512)),
               "log in as it asks for, or run it by hand"};
}

/// The access to a cluster. Where its kubeconfig names an exec plugin, that is run when there is no
/// credential yet, when it is about to expire, and when it was refused.
class credential_source {
 public:
  explicit credential_source(std::shared_ptr<const access> from) : base_(std::move(from)), now_(base_) {}

  /// The same pointer as before as long as nothing has changed.
  result<std::shared_ptr<const access>> current(const std::function<bool()>& goes_on) {
    constexpr std::chrono::seconds margin(30);  // about what a sweep takes
    if (!base_ || !base_->who.exec) return now_;
    if (given_ && !(expires_ && std::chrono::system_clock::now() + margin >= *expires_)) return now_;
    auto got = run_plugin(*base_->who.exec, goes_on);
    if (!got) return std::move(got).error();
    access made = *base_;
    made.who.token = std::move(got->token);
    made.who.client_certificate_pem = std::move(got->client_certificate_pem);
    made.who.client_key_pem = std::move(got->client_key_pem);
    expires_ = got->expires;
    given_ = true;
    now_ = std::make_shared<const access>(std::move(made));
    return now_;
  }

  /// What was given is not taken: current() asks the plugin again.
  void refused() { given_ = false; }

 private:
  std::shared_ptr<const access> base_, now_;
  std::optional<std::chrono::system_clock::time_point> expires_;
  bool given_ = false;
};

}  // namespace computelocator::detail::collect_
