// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <utility>

#include <computelocator/history.hpp>
#include <computelocator/impl/history_codec.hpp>

namespace computelocator {

namespace detail::history_ {

/// Times that nanoseconds since the epoch can say, with room to subtract two of them.
inline constexpr std::int64_t max_time_ms = 4'000'000'000'000;

/// "level\0namespace\0pod\0container\0node": sorted so, the containers of a pod are neighbours.
inline std::string key_of(reading_level level, std::string_view namespace_name, std::string_view pod,
                          std::string_view container, std::string_view node) {
  std::string key;
  key.reserve(namespace_name.size() + pod.size() + container.size() + node.size() + 5);
  key += static_cast<char>('0' + static_cast<int>(level));
  for (const std::string_view part : {namespace_name, pod, container, node}) {
    key += '\0';
    key += part;
  }
  return key;
}

struct names {
  reading_level level = reading_level::container;
  std::string_view namespace_name, pod, container, node;

  /// Of a key, which the views are into.
  explicit names(std::string_view key) {
    level = static_cast<reading_level>(key[0] - '0');
    key.remove_prefix(2);
    for (std::string_view* part : {&namespace_name, &pod, &container}) {
      const std::size_t end = std::min(key.find('\0'), key.size());
      *part = key.substr(0, end);
      key.remove_prefix(std::min(end + 1, key.size()));
    }
    node = key;
  }
};

/// 0: not known.
inline std::uint64_t instance_of(std::string_view id) {
  return id.empty() ? 0 : static_cast<std::uint64_t>(std::hash<std::string_view>{}(id));
}

/// One reading, kept until the lock is had.
struct pending {
  std::string key;
  std::uint64_t id = 0, network_id = 0;
  double started_s = 0;
  std::array<double, slots> value{};
  std::array<std::int64_t, slots> time_ms{};
};

/// What a stretch of a series says of itself.
struct extent {
  std::int64_t first_ms = 0, last_ms = 0;
  std::int64_t added_ms = 0;     ///< when its newest sample was
  std::uint64_t values = 0;
};

/// A series that is being written.
struct live_series {
  codec_state codec;
  octets stream;
  extent told;
  std::array<std::int64_t, slots> time_ms;  ///< of the newest sample of each slot
  std::int64_t page_ms = std::numeric_limits<std::int64_t>::min();  ///< the newest of all slots
  std::uint64_t id = 0, network_id = 0, generation = 0;
  double started_s = 0;
  std::uint64_t seen = 0;                   ///< the add that saw it last

  live_series() noexcept { time_ms.fill(std::numeric_limits<std::int64_t>::min()); }
};

/// A stretch of time that no longer changes.
struct segment {
  struct entry {
    std::size_t key = 0, key_size = 0, begin = 0, size = 0;
    extent told;
  };
  std::string keys;
  octets data;
  std::vector<entry> entries;  ///< by key
  std::int64_t first_ms = max_time_ms, last_ms = -max_time_ms;
  std::int64_t added_ms = std::numeric_limits<std::int64_t>::min();  ///< when its newest sample was
  std::uint64_t values = 0;

  std::string_view key(const entry& of) const noexcept { return std::string_view(keys).substr(of.key, of.key_size); }
  std::size_t held() const noexcept {
    return sizeof *this + keys.capacity() + data.capacity() + entries.capacity() * sizeof(entry);
  }
};

/// All stretches of one series, oldest first.
struct found_series {
  std::string_view key;
  std::vector<std::pair<std::span<const std::uint8_t>, extent>> parts;
};

/// What a query reads: keeps alive all that its views are into.
struct view {
  std::vector<std::shared_ptr<const segment>> segments;
  std::vector<std::string> keys;
  std::vector<octets> copies;
  std::vector<found_series> series;  ///< by key
};

inline constexpr std::size_t stretches = 16;
/// A node of a map beside its value, as usual libraries make it.
inline constexpr std::size_t live_overhead = 48;

}  // namespace detail::history_

struct history::state {
  using live_map = std::map<std::string, detail::history_::live_series>;

  history_options options;
  std::mutex writing;                   // held over a whole add
  mutable std::shared_mutex guarding;   // all below, but what only the writer reads and writes
  live_map live;
  std::vector<std::shared_ptr<const detail::history_::segment>> sealed;
  std::int64_t now_ms = std::numeric_limits<std::int64_t>::min(), head_began_ms = 0;
  std::uint64_t head_values = 0, head_first = 1;  // head_first: the first add of what is being written
  std::size_t head_bytes = 0, live_bytes = 0, sealed_bytes = 0;
  std::atomic<std::uint64_t> sweeps{0}, dropped{0};
  std::atomic<std::size_t> held{0};

  explicit state(history_options given) : options(given) {
    if (options.max_bytes < std::size_t{1} << 20)
      throw std::invalid_argument("max_bytes of " + std::to_string(options.max_bytes) + " is too little for a history; it is at least 1048576");
    if (options.max_age.count() <= 0) throw std::invalid_argument("max_age of a history is above 0");
    if (options.stale_after.count() <= 0) throw std::invalid_argument("stale_after of a history is above 0");
  }

  static std::size_t fixed_bytes(const std::string& key) noexcept {
    return sizeof(live_map::value_type) + detail::history_::live_overhead + key.capacity();
  }
  std::size_t total() const noexcept { return sizeof *this + live_bytes + head_bytes + sealed_bytes; }
  void take(detail::history_::pending& from, std::uint64_t add_number);
  void seal();
  void bound();
  detail::history_::view read(const std::function<bool(const detail::history_::names&)>& wanted) const;
};

/// Under the lock.
void history::state::take(detail::history_::pending& from, std::uint64_t add_number) {
  using namespace detail::history_;
  const auto [at, fresh] = live.try_emplace(std::move(from.key));
  live_series& to = at->second;
  if (fresh) live_bytes += fixed_bytes(at->first);
  to.seen = add_number;

  std::uint16_t repeats = 0;
  std::array<std::pair<std::int64_t, std::size_t>, slots> news;
  std::size_t count = 0;
  for (std::size_t s = 0; s < slots; ++s) {
    if (std::isnan(from.value[s]) || from.time_ms[s] < -max_time_ms || from.time_ms[s] > max_time_ms) continue;
    if (from.time_ms[s] > to.time_ms[s]) news[count++] = {from.time_ms[s], s};
    else repeats = static_cast<std::uint16_t>(repeats | 1u << s);
  }
  if (count == 0) return;
  // The same cgroup is another instance where it began after what was known of it; a start time
  // that merely changed says nothing, since a kubelet that restarts may find another one.
  if (from.id == to.id && from.started_s > 0 && from.started_s != to.started_s && to.page_ms != std::numeric_limits<std::int64_t>::min() &&
      from.started_s * 1000 > static_cast<double>(to.page_ms))
    ++to.generation;
  // A page that lacks the row of the cgroup itself says nothing of its instance.
  if (from.id != 0) to.id = from.id, to.started_s = from.started_s;
  if (from.network_id != 0) to.network_id = from.network_id;

  std::sort(news.begin(), news.begin() + static_cast<std::ptrdiff_t>(count));
  const std::size_t before = to.stream.capacity();
  if (to.stream.empty()) {
    to.codec = codec_state{};
    to.told = {news[0].first, news[0].first, 0, 0};
  }
  record written;
  written.repeats = repeats;
  written.value = from.value;
  written.instance = to.id + to.generation;
  written.network_instance = to.network_id + to.generation;
  for (std::size_t i = 0; i < count; ++i) {
    to.time_ms[news[i].second] = news[i].first;
    written.mask = static_cast<std::uint16_t>(written.mask | 1u << news[i].second);
    if (i + 1 < count && news[i + 1].first == news[i].first) continue;
    written.time_ms = news[i].first;
    put_record(to.stream, to.codec, written);
    written.row = false;
    written.mask = written.repeats = 0;
  }
  to.told.first_ms = std::min(to.told.first_ms, news[0].first);
  to.told.last_ms = std::max(to.told.last_ms, news[count - 1].first);
  to.told.added_ms = now_ms;
  to.told.values += count;
  to.page_ms = std::max(to.page_ms, news[count - 1].first);
  head_values += count;
  head_bytes += to.stream.capacity() - before;
}

/// Makes a segment of what is being written. Only the writer calls this and only it changes `live`,
/// so it reads without the lock and takes it for the exchange alone.
void history::state::seal() {
  using namespace detail::history_;
  std::size_t count = 0, key_bytes = 0, data_bytes = 0;
  for (const auto& [key, from] : live) {
    if (from.stream.empty()) continue;
    ++count;
    key_bytes += key.size();
    data_bytes += from.stream.size();
  }
  auto made = std::make_shared<segment>();
  made->keys.reserve(key_bytes);
  made->data.reserve(data_bytes);
  made->entries.reserve(count);
  for (const auto& [key, from] : live) {
    if (from.stream.empty()) continue;
    made->entries.push_back({made->keys.size(), key.size(), made->data.size(), from.stream.size(), from.told});
    made->keys += key;
    made->data.insert(made->data.end(), from.stream.begin(), from.stream.end());
    made->first_ms = std::min(made->first_ms, from.told.first_ms);
    made->last_ms = std::max(made->last_ms, from.told.last_ms);
    made->added_ms = std::max(made->added_ms, from.told.added_ms);
  }
  made->values = head_values;

  const std::unique_lock lock(guarding);
  // Forgotten where no page of this stretch had it: nothing of it can come again as a repetition.
  for (auto at = live.begin(); at != live.end();) {
    at->second.stream = octets();
    if (at->second.seen >= head_first) {
      ++at;
    } else {
      live_bytes -= fixed_bytes(at->first);
      at = live.erase(at);
    }
  }
  head_first = sweeps + 1;
  head_bytes = 0;
  head_values = 0;
  head_began_ms = now_ms;
  if (!made->entries.empty()) {
    sealed_bytes += made->held();
    sealed.push_back(std::move(made));
  }
}

void history::state::bound() {
  using namespace detail::history_;
  const std::int64_t stretch_ms = std::max<std::int64_t>(1, options.max_age.count() / static_cast<std::int64_t>(stretches));
  if (head_values > 0 && (head_bytes > options.max_bytes / stretches || now_ms - head_began_ms >= stretch_ms)) seal();
  const std::unique_lock lock(guarding);
  std::size_t gone = 0;
  while (gone < sealed.size() &&
         (total() > options.max_bytes || sealed[gone]->added_ms < now_ms - options.max_age.count())) {
    sealed_bytes -= sealed[gone]->held();
    dropped += sealed[gone]->values;
    ++gone;
  }
  sealed.erase(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(gone));
  if (total() > options.max_bytes) {
    // Not even what is being written fits: begin again with nothing.
    dropped += head_values;
    live_map().swap(live);
    head_values = 0;
    head_bytes = live_bytes = 0;
  }
  held = total();
}

detail::history_::view history::state::read(const std::function<bool(const detail::history_::names&)>& wanted) const {
  using namespace detail::history_;
  view made;
  std::vector<extent> heads;  // beside keys and copies
  {
    const std::shared_lock lock(guarding);
    made.segments = sealed;
    for (const auto& [key, from] : live) {
      if (from.stream.empty() || !wanted(names(key))) continue;
      made.keys.push_back(key);
      made.copies.push_back(from.stream);
      heads.push_back(from.told);
    }
  }
  std::map<std::string_view, found_series> found;
  const auto add = [&](std::string_view key, std::span<const std::uint8_t> data, const extent& told) {
    found_series& to = found[key];
    to.key = key;
    to.parts.emplace_back(data, told);
  };
  for (const auto& each : made.segments)
    for (const segment::entry& entry : each->entries)
      if (const std::string_view key = each->key(entry); wanted(names(key)))
        add(key, std::span(each->data).subspan(entry.begin, entry.size), entry.told);
  for (std::size_t i = 0; i < heads.size(); ++i) add(made.keys[i], made.copies[i], heads[i]);
  for (auto& [key, each] : found) made.series.push_back(std::move(each));
  return made;
}

history::history(history_options options) : state_(std::make_unique<state>(options)) {
  state_->held = state_->total();
}
history::history(history&&) noexcept = default;
history& history::operator=(history&&) noexcept = default;
history::~history() = default;

void history::add(std::span<const node_page> pages, const inventory& known, std::int64_t now_ms, const row_filter& filter) {
  using namespace detail::history_;
  const std::lock_guard one(state_->writing);
  const std::uint64_t number = ++state_->sweeps;
  {
    const std::unique_lock lock(state_->guarding);
    if (state_->head_values == 0) state_->head_began_ms = now_ms;
    state_->now_ms = std::max(state_->now_ms, now_ms);
  }
  // Readers get in between: a cluster's worth of samples takes a while.
  constexpr std::size_t at_once = 512;
  std::vector<pending> waiting;
  waiting.reserve(at_once);
  const auto write = [&] {
    const std::unique_lock lock(state_->guarding);
    for (pending& each : waiting) state_->take(each, number);
    waiting.clear();
  };
  for_each_reading(pages, known, filter, [&](const reading& from) {
    pending& made = waiting.emplace_back();
    made.key = key_of(from.level, from.namespace_name, from.pod, from.container, from.node);
    made.id = instance_of(from.id);
    made.network_id = instance_of(from.network_id);
    made.started_s = from.started_s;
    made.value = from.value;
    made.time_ms = from.time_ms;
    for (std::int64_t& at : made.time_ms)
      if (at == no_timestamp) at = now_ms;
    if (waiting.size() == at_once) write();
  });
  write();
  state_->bound();
}

std::size_t history::bytes() const noexcept { return state_->held; }
std::uint64_t history::sweeps() const noexcept { return state_->sweeps; }
std::uint64_t history::dropped() const noexcept { return state_->dropped; }
const history_options& history::options() const noexcept { return state_->options; }

std::optional<std::pair<std::int64_t, std::int64_t>> history::span_ms() const {
  std::int64_t first = std::numeric_limits<std::int64_t>::max(), last = std::numeric_limits<std::int64_t>::min();
  const std::shared_lock lock(state_->guarding);
  for (const auto& each : state_->sealed) {
    first = std::min(first, each->first_ms);
    last = std::max(last, each->last_ms);
  }
  for (const auto& [key, from] : state_->live) {
    if (from.stream.empty()) continue;
    first = std::min(first, from.told.first_ms);
    last = std::max(last, from.told.last_ms);
  }
  if (first > last) return std::nullopt;
  return std::pair{first, last};
}

}  // namespace computelocator
