// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>

#include <computelocator/samples_json.hpp>

namespace computelocator {

namespace detail::samples_json_ {

/// "2026-11-27T16:30:00Z" as milliseconds since 1970; no_timestamp for anything else.
inline std::int64_t read_time(std::string_view text) {
  int parts[6] = {};
  constexpr std::size_t begins[] = {0, 5, 8, 11, 14, 17}, lengths[] = {4, 2, 2, 2, 2, 2};
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' || text.back() != 'Z')
    return no_timestamp;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* const end = text.data() + begins[i] + lengths[i];
    const auto read = std::from_chars(text.data() + begins[i], end, parts[i]);
    if (read.ec != std::errc{} || read.ptr != end || parts[i] < 0) return no_timestamp;
  }
  using namespace std::chrono;
  const year_month_day day{year(parts[0]), month(static_cast<unsigned>(parts[1])), std::chrono::day(static_cast<unsigned>(parts[2]))};
  if (!day.ok() || parts[3] > 23 || parts[4] > 59 || parts[5] > 60) return no_timestamp;
  const auto at = sys_days(day) + hours(parts[3]) + minutes(parts[4]) + std::chrono::seconds(parts[5]);
  return duration_cast<milliseconds>(at.time_since_epoch()).count();
}

/// What a file system of a container holds.
struct fs_usage {
  std::optional<double> used, capacity;
  std::int64_t time_ms = no_timestamp;
};

inline fs_usage read_fs(simdjson::ondemand::value of) {
  fs_usage made;
  if (of.is_null()) return made;
  for (simdjson::ondemand::field field : of.get_object()) {
    const std::string_view key = field.unescaped_key();
    simdjson::ondemand::value value = field.value();
    if (value.is_null()) continue;
    if (key == "usedBytes") made.used = static_cast<double>(std::uint64_t(value.get_uint64()));
    else if (key == "capacityBytes") made.capacity = static_cast<double>(std::uint64_t(value.get_uint64()));
    else if (key == "time") made.time_ms = read_time(std::string_view(value.get_string()));
  }
  return made;
}

struct container_fs {
  std::string name;
  fs_usage rootfs, logs;
};

/// The rows of one pod.
inline void read_pod(simdjson::ondemand::value of, batch_builder& to) {
  std::string name, namespace_name;
  std::vector<container_fs> containers;
  for (simdjson::ondemand::field field : of.get_object()) {
    const std::string_view key = field.unescaped_key();
    simdjson::ondemand::value value = field.value();
    if (key == "podRef") {
      for (simdjson::ondemand::field part : value.get_object()) {
        const std::string_view what = part.unescaped_key();
        if (what == "name") name = std::string(std::string_view(part.value().get_string()));
        else if (what == "namespace") namespace_name = std::string(std::string_view(part.value().get_string()));
      }
    } else if (key == "containers") {
      if (value.is_null()) continue;
      for (simdjson::ondemand::value each : value.get_array()) {
        container_fs& made = containers.emplace_back();
        for (simdjson::ondemand::field part : each.get_object()) {
          const std::string_view what = part.unescaped_key();
          if (what == "name") made.name = std::string(std::string_view(part.value().get_string()));
          else if (what == "rootfs") made.rootfs = read_fs(part.value());
          else if (what == "logs") made.logs = read_fs(part.value());
        }
      }
    }
  }
  for (const container_fs& each : containers) {
    if (each.name.empty() || name.empty() || namespace_name.empty()) continue;
    const std::pair<std::string_view, std::string_view> labels[] = {{"container", each.name}, {"namespace", namespace_name}, {"pod", name}};
    const std::uint32_t set = to.label_set(labels);
    if (each.rootfs.used)
      to.row(to.metric("container_fs_usage_bytes"), set, *each.rootfs.used + each.logs.used.value_or(0), each.rootfs.time_ms);
    if (each.rootfs.capacity)
      to.row(to.metric("container_fs_limit_bytes"), set, *each.rootfs.capacity, each.rootfs.time_ms);
  }
}

}  // namespace detail::samples_json_

result<batch> read_stats_summary(std::string_view body, const std::string& name) {
  using namespace detail::samples_json_;
  const auto refuse = [&](const std::string& what) {
    return error{errc::page_refused, name, "is no /stats/summary of a kubelet: " + what, "check the kubelet's version"};
  };
  const simdjson::padded_string padded(body);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  if (const auto code = parser.iterate(padded).get(document); code != simdjson::SUCCESS)
    return refuse(simdjson::error_message(code));
  batch_builder made;
  bool has_pods = false;
  try {
    for (simdjson::ondemand::field field : document.get_object()) {
      if (std::string_view(field.unescaped_key()) != "pods") continue;
      has_pods = true;
      simdjson::ondemand::value pods = field.value();
      if (pods.is_null()) continue;
      for (simdjson::ondemand::value each : pods.get_array()) read_pod(each, made);
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return refuse("something stands behind it");
  } catch (const simdjson::simdjson_error& wrong) {
    return refuse(wrong.what());
  }
  if (!has_pods) return refuse("it has no pods");
  return std::move(made).take();
}

}  // namespace computelocator
