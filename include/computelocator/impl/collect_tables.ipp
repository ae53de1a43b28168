// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <computelocator/collect.hpp>
#include <computelocator/impl/collect_page.ipp>

namespace computelocator::detail::collect_ {

/// The rows of `from` that belong to one of `namespaces`: the same label sets, fewer rows.
inline batch rows_of_namespaces(const batch& from, const std::vector<std::string>& namespaces) {
  std::vector<std::uint8_t> wanted(from.sets->size());
  for (std::uint32_t id = 0; id < wanted.size(); ++id) {
    const std::string_view name = from.sets->value_of(id, "namespace");
    wanted[id] = std::find(namespaces.begin(), namespaces.end(), name) != namespaces.end();
  }
  batch kept;
  kept.metrics = from.metrics;
  kept.sets = from.sets;
  kept.rejects = from.rejects;
  for (std::size_t row = 0; row < from.rows(); ++row) {
    if (!wanted[from.label_set_id[row]]) continue;
    kept.metric_id.push_back(from.metric_id[row]);
    kept.label_set_id.push_back(from.label_set_id[row]);
    kept.value.push_back(from.value[row]);
    kept.timestamp_ms.push_back(from.timestamp_ms[row]);
  }
  return kept;
}

/// The samples of each moment, the label sets shared.
inline std::map<std::int64_t, batch> by_time(const batch& from) {
  std::map<std::int64_t, batch> made;
  for (std::size_t row = 0; row < from.rows(); ++row) {
    batch& to = made[from.timestamp_ms[row]];
    to.metric_id.push_back(from.metric_id[row]);
    to.label_set_id.push_back(from.label_set_id[row]);
    to.value.push_back(from.value[row]);
    to.timestamp_ms.push_back(from.timestamp_ms[row]);
  }
  for (auto& [at, to] : made) {
    to.metrics = from.metrics;
    to.sets = from.sets;
  }
  return made;
}

/// A table of one row an item, filled column by column.
class rows {
 public:
  explicit rows(std::size_t count) { made_.rows = count; }

  template <class Function>
  rows& texts(std::string name, Function&& value) {
    auto cells = std::make_shared<std::vector<std::string>>(made_.rows);
    for (std::size_t row = 0; row < made_.rows; ++row) (*cells)[row] = std::string(value(row));
    column& added = add(std::move(name), column_type::text);
    added.text = std::move(cells);
    return *this;
  }

  template <class Function>
  rows& counts(std::string name, Function&& value, metadata meta = {}) {
    return numbers(std::move(name), column_type::int64, value, std::move(meta));
  }
  template <class Function>
  rows& times(std::string name, Function&& value) {
    return numbers(std::move(name), column_type::timestamp_ms, value, {});
  }
  template <class Function>
  rows& durations(std::string name, Function&& value) {
    return numbers(std::move(name), column_type::duration_ns, value, {});
  }
  template <class Function>
  rows& reals(std::string name, Function&& value, metadata meta) {
    auto cells = std::make_shared<std::vector<double>>(made_.rows);
    for (std::size_t row = 0; row < made_.rows; ++row) (*cells)[row] = value(row);
    column& added = add(std::move(name), column_type::float64);
    added.float64 = std::move(cells);
    added.meta = std::move(meta);
    return *this;
  }
  template <class Function>
  rows& flags(std::string name, Function&& value) {
    auto cells = std::make_shared<std::vector<std::uint8_t>>(made_.rows);
    for (std::size_t row = 0; row < made_.rows; ++row) (*cells)[row] = value(row) ? 1 : 0;
    add(std::move(name), column_type::boolean).boolean = std::move(cells);
    return *this;
  }

  table take() && { return std::move(made_); }

 private:
  column& add(std::string name, column_type type) {
    column& added = made_.columns.emplace_back();
    added.name = std::move(name);
    added.type = type;
    return added;
  }
  template <class Function>
  rows& numbers(std::string name, column_type type, Function&& value, metadata meta) {
    auto cells = std::make_shared<std::vector<std::int64_t>>(made_.rows);
    for (std::size_t row = 0; row < made_.rows; ++row)
      (*cells)[row] = static_cast<std::int64_t>(value(row));
    column& added = add(std::move(name), type);
    added.int64 = std::move(cells);
    added.meta = std::move(meta);
    return *this;
  }
  table made_;
};

/// Who each row is about: the node, or the instance with the labels of its target.
inline void name_targets(rows& to, const snapshot& from) {
  const std::vector<outcome>& all = from.outcomes;
  to.texts(from.of_nodes ? "node" : "instance", [&](std::size_t row) -> std::string_view { return all[row].node; });
  std::set<std::string> names;
  for (const outcome& each : all)
    for (const auto& [name, value] : each.labels)
      if (name != "instance") names.insert(name);
  for (const std::string& name : names)
    to.texts(name, [&](std::size_t row) -> std::string_view {
      for (const auto& [key, value] : all[row].labels)
        if (key == name) return value;
      return {};
    });
}

}  // namespace computelocator::detail::collect_

namespace computelocator {

std::size_t snapshot::samples() const noexcept {
  std::size_t total = 0;
  for (const collected_page& page : pages) total += page.columns.rows();
  return total;
}

std::vector<node_page> snapshot::node_pages() const {
  std::vector<node_page> views;
  views.reserve(pages.size());
  for (const collected_page& page : pages)
    views.push_back({&page.columns, page.node, page.scraped_ms, page.whole, page.summary.get()});
  return views;
}

table samples_table(const snapshot& from) {
  std::vector<batch> kept;
  std::vector<batch_source> sources;
  kept.reserve(from.pages.size());
  for (const collected_page& page : from.pages) {
    const batch* columns = &page.columns;
    if (!from.namespaces.empty())
      columns = &kept.emplace_back(
          detail::collect_::rows_of_namespaces(page.columns, from.namespaces));
    batch_source source;
    source.columns = columns;
    if (from.of_nodes) source.node = page.node;
    source.scrape_ms = page.scraped_ms;
    source.labels = page.labels;
    sources.push_back(source);
  }
  return samples_table(sources);
}

void add(history& to, const snapshot& from) {
  const std::int64_t now_ms = detail::collect_::milliseconds(from.ended);
  const row_filter filter{from.namespaces};
  std::vector<node_page> pages;
  for (const collected_page& page : from.pages)
    if (page.whole) pages.push_back({&page.columns, page.node, page.scraped_ms, true, page.summary.get()});
  if (!pages.empty() || from.pages.empty()) to.add(pages, from.inventory, now_ms, filter);
  for (const collected_page& page : from.pages) {
    if (page.whole) continue;
    // A part at a time, so that the bounds hold meanwhile, too.
    constexpr std::size_t rows_at_once = 200'000;
    auto moments = detail::collect_::by_time(page.columns);
    for (auto at = moments.begin(); at != moments.end();) {
      pages.clear();
      for (std::size_t rows = 0; at != moments.end() && rows < rows_at_once; ++at) {
        pages.push_back({&at->second, page.node, at->first, false});
        rows += at->second.rows();
      }
      to.add(pages, from.inventory, now_ms, filter);
    }
  }
}

table containers_table(const snapshot& from) {
  return container_table(from.node_pages(), from.inventory, {from.namespaces});
}

table pods_table(const snapshot& from) {
  return pod_table(from.node_pages(), from.inventory, {from.namespaces});
}

table nodes_table(const snapshot& from) { return node_table(from.node_pages(), from.inventory); }

table reasons_table(const snapshot& from) {
  return reason_table(from.node_pages(), from.inventory, {from.namespaces});
}

table outcomes_table(const snapshot& from) {
  const std::vector<outcome>& all = from.outcomes;
  const metadata bytes{{"unit", "bytes"}};
  detail::collect_::rows made(all.size());
  const auto failure = [&](std::size_t row) -> const error& {
    static const error none{};
    return all[row].failure ? *all[row].failure : none;
  };
  detail::collect_::name_targets(made, from);
  made.texts("url", [&](std::size_t row) -> std::string_view { return all[row].url; })
      .flags("ok", [&](std::size_t row) { return all[row].ok(); })
      .texts("stage", [&](std::size_t row) { return to_string(all[row].reached); })
      .texts("error",
             [&](std::size_t row) {
               return all[row].failure ? to_string(all[row].failure->code) : std::string_view();
             })
      .texts("message", [&](std::size_t row) -> std::string_view { return failure(row).what; })
      .texts("advice", [&](std::size_t row) -> std::string_view { return failure(row).advice; })
      .counts("http_status", [&](std::size_t row) { return all[row].http_status; })
      .counts("attempts", [&](std::size_t row) { return all[row].attempts; })
      .counts("wire_bytes", [&](std::size_t row) { return all[row].wire_bytes; }, bytes)
      .counts("page_bytes", [&](std::size_t row) { return all[row].page_bytes; }, bytes)
      .counts("samples", [&](std::size_t row) { return all[row].samples; })
      .counts("rejected_lines", [&](std::size_t row) { return all[row].rejected_lines; })
      .times("started",
             [&](std::size_t row) { return detail::collect_::milliseconds(all[row].started); })
      .durations("resolve_time", [&](std::size_t row) { return all[row].resolve_time.count(); })
      .durations("connect_time", [&](std::size_t row) { return all[row].connect_time.count(); })
      .durations("tls_time", [&](std::size_t row) { return all[row].tls_time.count(); })
      .durations("first_byte_time",
                 [&](std::size_t row) { return all[row].first_byte_time.count(); })
      .durations("body_time", [&](std::size_t row) { return all[row].body_time.count(); })
      .durations("inflate_time", [&](std::size_t row) { return all[row].inflate_time.count(); })
      .durations("parse_time", [&](std::size_t row) { return all[row].parse_time.count(); });
  return std::move(made).take();
}

table meta_table(const snapshot& from) {
  const std::vector<outcome>& all = from.outcomes;
  const metadata bytes{{"unit", "bytes"}}, seconds{{"unit", "seconds"}};
  const auto in_seconds = [](std::chrono::nanoseconds of) { return std::chrono::duration<double>(of).count(); };
  detail::collect_::rows made(all.size());
  detail::collect_::name_targets(made, from);
  made.times("timestamp", [&](std::size_t row) { return detail::collect_::milliseconds(all[row].started); })
      .counts("up", [&](std::size_t row) { return all[row].ok() ? 1 : 0; })
      .reals("scrape_duration_seconds", [&](std::size_t row) { return in_seconds(all[row].took); }, seconds)
      .counts("scrape_samples_scraped", [&](std::size_t row) { return all[row].scraped_samples; })
      .counts("scrape_samples_post_metric_relabeling", [&](std::size_t row) { return all[row].samples; })
      .counts("scrape_series_added", [&](std::size_t row) { return all[row].new_series; })
      .counts("scrape_body_size_bytes", [&](std::size_t row) -> std::int64_t {
        const outcome& of = all[row];
        if (of.page_bytes != 0) return static_cast<std::int64_t>(of.page_bytes);
        return of.failure && of.failure->code == errc::too_large ? -1 : 0;
      }, bytes)
      .reals("scrape_timeout_seconds", [&](std::size_t) { return in_seconds(from.timeout); }, seconds)
      .counts("scrape_sample_limit", [&](std::size_t) { return from.max_samples; });
  return std::move(made).take();
}

table inventory_table(const snapshot& from) {
  std::vector<const pod*> all;
  for (const pod& each : from.inventory.pods)
    if (from.namespaces.empty() ||
        std::find(from.namespaces.begin(), from.namespaces.end(), each.namespace_name) != from.namespaces.end())
      all.push_back(&each);
  const auto labels = [&](std::size_t row) {
    std::string text;
    for (const auto& [key, value] : all[row]->labels) text += (text.empty() ? "" : ",") + key + "=" + value;
    return text;
  };
  detail::collect_::rows made(all.size());
  made.texts("namespace", [&](std::size_t row) -> std::string_view { return all[row]->namespace_name; })
      .texts("pod", [&](std::size_t row) -> std::string_view { return all[row]->name; })
      .texts("uid", [&](std::size_t row) -> std::string_view { return all[row]->uid; })
      .texts("node", [&](std::size_t row) -> std::string_view { return all[row]->node; })
      .texts("phase", [&](std::size_t row) -> std::string_view { return all[row]->phase; })
      .texts("address", [&](std::size_t row) -> std::string_view { return all[row]->pod_ip; })
      .texts("labels", labels);
  return std::move(made).take();
}

table rejects_table(const snapshot& from) {
  std::vector<std::pair<const collected_page*, const reject*>> all;
  for (const collected_page& page : from.pages)
    for (const reject& line : page.columns.rejects) all.emplace_back(&page, &line);
  detail::collect_::rows made(all.size());
  made.texts(from.of_nodes ? "node" : "instance", [&](std::size_t row) -> std::string_view { return all[row].first->node; })
      .counts("line", [&](std::size_t row) { return all[row].second->line; })
      .counts("column", [&](std::size_t row) { return all[row].second->column; })
      .counts("offset", [&](std::size_t row) { return all[row].second->offset; })
      .texts("what", [&](std::size_t row) { return what(all[row].second->code); })
      .texts("advice", [&](std::size_t row) { return advice(all[row].second->code); })
      .texts("text", [&](std::size_t row) -> std::string_view { return all[row].second->text; });
  return std::move(made).take();
}

}  // namespace computelocator
