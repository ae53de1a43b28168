// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/process.hpp>

#if defined(__APPLE__)
#include <crt_externs.h>
#endif

namespace computelocator {

namespace detail::process_ {

inline char** variables() {
#if defined(__APPLE__)
  return *_NSGetEnviron();
#else
  return environ;
#endif
}

/// One of our ends of a pipe.
class reading_end {
 public:
  /// Gives the other end, or -1.
  int open() {
    int ends[2];
    if (::pipe(ends) != 0) return -1;
    for (const int each : ends) ::fcntl(each, F_SETFD, FD_CLOEXEC);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    descriptor = ends[0];
    return ends[1];
  }
  reading_end() = default;
  reading_end(const reading_end&) = delete;
  reading_end& operator=(const reading_end&) = delete;
  ~reading_end() { close(); }
  void close() {
    if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
  }

  /// Takes what is there; `most` bytes are kept. False where there was more.
  bool take(std::size_t most) {
    char buffer[16384];
    while (descriptor >= 0) {
      const ssize_t got = ::read(descriptor, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got == 0 || (got < 0 && errno != EAGAIN)) close();
      if (got <= 0) break;
      const auto size = static_cast<std::size_t>(got);
      text.append(buffer, std::min(size, most - text.size()));
      if (text.size() == most && size > 0) {
        over = true;
        return false;
      }
    }
    return !over;
  }

  int descriptor = -1;
  std::string text;
  bool over = false;
};

/// A program under way; when this goes, it and all of its group are gone.
class child {
 public:
  child() = default;
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() {
    if (id <= 0) return;
    ::kill(-id, SIGKILL);
    while (::waitpid(id, nullptr, 0) < 0 && errno == EINTR) {}
  }
  /// True once it has ended, `status` being how. It stays a zombie, so that its number stays its own.
  bool has_ended() {
    siginfo_t how{};
    if (::waitid(P_PID, static_cast<id_t>(id), &how, WEXITED | WNOWAIT | WNOHANG) != 0) {
      if (errno == EINTR) return false;
      status = 255;  // where this program ignores SIGCHLD nobody can say
      return true;
    }
    if (how.si_pid == 0) return false;
    status = how.si_code == CLD_EXITED ? how.si_status : 128 + how.si_status;
    return true;
  }
  pid_t id = 0;
  int status = 0;
};

/// errno of the attempt, or 0.
inline int spawn(const process_request& what, int output, int said, child& to) {
  std::vector<std::string> text;
  for (char** each = variables(); *each != nullptr; ++each) {
    const std::string_view known(*each);
    const std::string_view name = known.substr(0, known.find('='));
    if (std::none_of(what.environment.begin(), what.environment.end(),
                     [&](const auto& set) { return set.first == name; }))
      text.emplace_back(known);
  }
  for (const auto& [name, value] : what.environment) text.push_back(name + "=" + value);
  std::vector<char*> environment, arguments;
  for (std::string& each : text) environment.push_back(each.data());
  environment.push_back(nullptr);
  for (const std::string& each : what.command) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&how);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, 1);
  ::posix_spawn_file_actions_adddup2(&files, said, 2);
  // A session of its own: no terminal, and a group that can be killed whole.
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
#if defined(POSIX_SPAWN_SETSID)
  flags |= POSIX_SPAWN_SETSID;
#else
  flags |= POSIX_SPAWN_SETPGROUP;
#endif
  // Sockets of ours are not its business.
#if defined(POSIX_SPAWN_CLOEXEC_DEFAULT)
  flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#elif defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
  ::posix_spawn_file_actions_addclosefrom_np(&files, 3);
#endif
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int each : {SIGPIPE, SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGCHLD}) sigaddset(&usual, each);
  ::posix_spawnattr_setsigmask(&how, &none);
  ::posix_spawnattr_setsigdefault(&how, &usual);
  ::posix_spawnattr_setflags(&how, flags);
  const int fault = ::posix_spawnp(&to.id, arguments[0], &files, &how, arguments.data(), environment.data());
  if (fault != 0) to.id = 0;
  ::posix_spawnattr_destroy(&how);
  ::posix_spawn_file_actions_destroy(&files);
  return fault;
}

}  // namespace detail::process_

result<process_answer> run_process(const process_request& what) {
  using namespace detail::process_;
  using clock = std::chrono::steady_clock;
  const auto until = clock::now() + what.timeout;
  if (what.command.empty()) return error{errc::invalid_argument, {}, "no program is named", "name one"};
  reading_end output, said;
  child program;
  const int out = output.open(), err = said.open();
  const int fault = out < 0 || err < 0 ? EMFILE : spawn(what, out, err, program);
  if (out >= 0) ::close(out);
  if (err >= 0) ::close(err);
  const std::string name = printable(what.command.front());
  if (fault == ENOENT)
    return error{errc::not_found, {}, "there is no program " + name, "install it, or correct its name and PATH"};
  if (fault != 0)
    return error{errc::file_failed, {}, name + " cannot be run: " + std::strerror(fault), "check its permissions"};
  for (bool over = false; !over;) {
    pollfd ends[] = {{output.descriptor, POLLIN, 0}, {said.descriptor, POLLIN, 0}};
    (void)::poll(ends, 2, 20);
    // Asked before the pipes are emptied: what it wrote to its end is in them then.
    over = program.has_ended();
    if (!output.take(what.max_output))
      return error{errc::too_large, {}, name + " wrote more than " + std::to_string(what.max_output) + " bytes", ""};
    if (!said.take(what.max_said)) {
      // Read on, so that it does not wait for us, and kept no longer.
      said.over = false;
      char rest[4096];
      while (said.descriptor >= 0 && ::read(said.descriptor, rest, sizeof rest) > 0 && clock::now() < until) {}
    }
    if (over) break;
    if (clock::now() >= until)
      return error{errc::timed_out, {},
                   name + " did not end within " + std::to_string(what.timeout.count()) + " ms and was killed", ""};
    if (what.goes_on && !what.goes_on()) return error{errc::cancelled, {}, "cancelled", ""};
  }
  process_answer made;
  made.status = program.status;
  made.output = secret(std::move(output.text));
  made.said = std::move(said.text);
  return made;
}

}  // namespace computelocator
