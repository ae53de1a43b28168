// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <computelocator/discover.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

struct verdict {
  cl::watch_step step = cl::watch_step::go_on;
  std::string known, version, said;
  std::uint64_t events = 0;
  bool operator==(const verdict&) const = default;
};

template <class Watcher, class Object>
verdict judge(std::string_view bytes, std::size_t piece) {
  cl::object_watch_options options;
  options.max_event = 1024;
  options.objects.max_items = 3;
  Watcher of(options);
  Object known;
  known.name = "known";
  known.uid = "1";
  of.reset({known}, "1");
  verdict made;
  must(of.begin(200) == cl::watch_step::go_on);
  for (std::size_t at = 0; at < bytes.size() && made.step == cl::watch_step::go_on; at += piece)
    made.step = of.feed(bytes.substr(at, piece));
  for (const char c : of.path()) must(c > 0x20 && c < 0x7F);
  made.said = of.failure().message();
  for (const char c : made.said) must(static_cast<unsigned char>(c) >= 0x20);
  must(made.step == cl::watch_step::go_on || !of.failure().what.empty());
  must(of.size() <= options.objects.max_items + 1);
  for (const auto& each : of.items()) made.known += each.name + '=' + each.uid + ' ';
  made.version = of.resource_version();
  made.events = of.events();
  must(of.end() == cl::watch_step::reconnect);
  return made;
}

template <class Watcher, class Object>
void check(std::string_view bytes) {
  // However the bytes are cut, they say the same.
  const verdict whole = judge<Watcher, Object>(bytes, bytes.size() + 1);
  must(whole == judge<Watcher, Object>(bytes, 1));
  must(whole == judge<Watcher, Object>(bytes, bytes.size() / 2 + 1));
}

}  // namespace

/// The first byte says of what: odd for pods.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) check<cl::node_watcher, cl::node>(rest);
  else check<cl::pod_watcher, cl::pod>(rest);
  return 0;
}
