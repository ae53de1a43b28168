// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include <computelocator/process.hpp>

namespace {

namespace cl = computelocator;

cl::process_request shell(const std::string& script) {
  cl::process_request made;
  made.command = {"sh", "-c", script};
  return made;
}

std::string printed(const std::string& script) {
  const auto got = cl::run_process(shell(script));
  EXPECT_TRUE(got) << got.error().message();
  return got ? std::string(got->output.reveal()) : std::string();
}

std::string code_of(const cl::process_request& what) {
  const auto got = cl::run_process(what);
  EXPECT_FALSE(got);
  return got ? "" : std::string(cl::to_string(got.error().code));
}

TEST(process, gives_output_and_status) {
  auto what = shell("printf out; printf err >&2; exit 3");
  const auto got = cl::run_process(what);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 3);
  EXPECT_EQ(got->output.reveal(), "out");
  EXPECT_EQ(got->said, "err");
  EXPECT_EQ(cl::run_process(shell("kill -9 $$"))->status, 137);
}

TEST(process, has_neither_shell_nor_terminal_nor_input_nor_our_files) {
  EXPECT_EQ(printed("cat; tty -s && echo terminal; (echo x >/dev/tty) 2>/dev/null && echo terminal; true"), "");
  cl::process_request what;
  what.command = {"printf", "%s", "$(id) `id` ; id"};
  EXPECT_EQ(cl::run_process(what)->output.reveal(), "$(id) `id` ; id");
  const int ours = ::dup(0);
  const int kept = ::fcntl(ours, F_DUPFD, 77);
  EXPECT_EQ(printed("test -e /dev/fd/77 && echo there; true"), "");
  ::close(kept);
  ::close(ours);
}

TEST(process, variables_are_set_beside_ours) {
  ::setenv("COMPUTELOCATOR_OURS", "kept", 1);
  ::setenv("COMPUTELOCATOR_SET", "ours", 1);
  auto what = shell("printf %s \"$COMPUTELOCATOR_OURS $COMPUTELOCATOR_SET\"");
  what.environment = {{"COMPUTELOCATOR_SET", "theirs"}};
  EXPECT_EQ(cl::run_process(what)->output.reveal(), "kept theirs");
}

TEST(process, signals_are_as_usual_in_it) {
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(printed("kill -PIPE $$; echo ignored"), "");
  ::signal(SIGPIPE, SIG_DFL);
}

TEST(process, limits) {
  auto slow = shell("sleep 60");
  slow.timeout = std::chrono::milliseconds(150);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(code_of(slow), "timed_out");
  EXPECT_EQ(code_of(shell("yes")), "too_large");
  auto stopped = shell("sleep 60");
  int asked = 0;
  stopped.goes_on = [&] { return ++asked < 3; };
  EXPECT_EQ(code_of(stopped), "cancelled");
  auto deaf = shell("trap '' TERM INT; while :; do sleep 60; done");
  deaf.timeout = std::chrono::milliseconds(150);
  EXPECT_EQ(code_of(deaf), "timed_out");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  // What it complains of is kept to a bound, and it can go on to its end.
  const auto loud = cl::run_process(shell("yes | head -c 3000000 >&2; printf end"));
  ASSERT_TRUE(loud);
  EXPECT_EQ(loud->output.reveal(), "end");
  EXPECT_EQ(loud->said.size(), cl::process_request{}.max_said);
}

TEST(process, a_child_that_outlives_it_is_not_waited_for_and_killed) {
  const auto begun = std::chrono::steady_clock::now();
  const std::string child = printed("sleep 60 & printf $!");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  const pid_t id = static_cast<pid_t>(std::stol(child));
  for (int i = 0; i < 500 && ::kill(id, 0) == 0; ++i) {
    // Where nobody reaps it, it stays as a zombie.
    const std::string state = printed("sed -n 's/^State:.//p' /proc/" + child + "/status 2>/dev/null; true");
    if (state.substr(0, 1) == "Z") return;
    ::usleep(10'000);
  }
  EXPECT_NE(::kill(id, 0), 0);
}

TEST(process, what_cannot_be_run) {
  cl::process_request what;
  EXPECT_EQ(code_of(what), "invalid_argument");
  what.command = {"computelocator-no-such-program"};
  EXPECT_EQ(code_of(what), "not_found");
  what.command = {"/"};
  EXPECT_EQ(code_of(what), "file_failed");
}

}  // namespace
