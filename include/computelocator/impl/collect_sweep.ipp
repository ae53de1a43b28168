// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <computelocator/collect.hpp>
#include <computelocator/http.hpp>
#include <computelocator/impl/collect_credentials.hpp>
#include <computelocator/impl/collect_exporters.ipp>
#include <computelocator/impl/collect_metrics.hpp>
#include <computelocator/impl/collect_page.ipp>
#include <computelocator/impl/collect_series.hpp>
#include <computelocator/impl/collect_watch.hpp>
#include <computelocator/impl/collect_workers.hpp>
#include <computelocator/impl/token_file.hpp>
#include <computelocator/inflate.hpp>
#include <computelocator/scrape.hpp>

namespace computelocator {

namespace detail::collect_ {

/// What the calling thread has worked so far.
inline std::chrono::nanoseconds thread_cpu() {
  timespec at{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec);
}

/// What a flood of bodies leaves in the heap goes back to the system, which the heap would not do by itself.
inline void give_back_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

/// One list of objects, page after page.
template <class T>
struct listing {
  object_lister<T> lister;
  std::optional<error> failure;
  bool done = false;
  int attempts = 0;
  bool token_renewed = false;
  std::shared_ptr<const access> asked_with;
  std::chrono::milliseconds wait{0};           // that the server asked for when it refused
  std::function<void(listing&)> ended;         // called once it is done

  void end() {
    done = true;
    if (ended) ended(*this);
  }
  explicit listing(list_options options) : lister(std::move(options)) {}
};

}  // namespace detail::collect_

struct collector::state {
  collect_options options;
  cluster_config cluster;
  detail::collect_::credential_source credentials;
  std::string kubelet_ca;
  std::shared_ptr<const access> kubelets;  // the same in each sweep: connections are kept by it
  std::optional<detail::collect_::exporter_source> exporters;  // in place of nodes
  metric_selection chosen_names;
  label_selection chosen_labels;
  http_client client;
  scraper pages;
  std::map<std::string, label_cache> caches;  // by node UID
  std::map<std::string, detail::collect_::series_memory> series;  // likewise
  detail::collect_::text_rooms texts;
  detail::collect_::workers pool;
  std::stop_token stop;
  progress_report report;
  mutable std::mutex guarding;  // of those below, which other threads may ask for
  detail::collect_::tally so_far;
  node_share share;
  std::map<std::string, std::string> pins;
  // With watch_objects.
  std::shared_ptr<detail::collect_::followed<node>> known_nodes;
  std::shared_ptr<detail::collect_::followed<pod>> known_pods;
  std::map<std::pair<std::string, std::uint16_t>, std::pair<std::string, std::string>> addresses;  // whose they were: UID, name
  std::chrono::steady_clock::time_point last_begun{};  // of the sweep before

  state(collect_options given, cluster_config found, std::string ca, std::optional<detail::collect_::exporter_source> others)
      : options(std::move(given)), cluster(std::move(found)), credentials(cluster.access), kubelet_ca(std::move(ca)),
        exporters(std::move(others)), chosen_labels(options.labels), pages(client, scraping(options)),
        texts(options.bytes_in_flight / 2), pool(options.parsers), share(options.share),
        known_nodes(std::make_shared<detail::collect_::followed<node>>(object_watch_options{listed_objects<node>()})),
        known_pods(std::make_shared<detail::collect_::followed<pod>>(object_watch_options{listed_objects<pod>()})) {
    if (!options.all_metrics) chosen_names = metric_selection(detail::collect_::canonical(options.metrics));
    chosen_names.drop(detail::collect_::canonical(options.dropped_metrics));
  }

  /// One page gets through whatever the budget, where it is no larger than this.
  static std::size_t lone_page(const collect_options& from) {
    return std::max(from.bytes_in_flight / 2, std::size_t{32} << 20);
  }

  static scrape_options scraping(const collect_options& from) {
    scrape_options made;
    made.timeout = from.timeout;
    made.concurrency = std::max<std::size_t>(1, from.concurrency);
    made.bytes_in_flight = from.bytes_in_flight / 2;  // the other half is for their text
    made.limits.max_body_bytes = std::min(from.max_page_bytes, lone_page(from));
    made.describe = [](std::string_view body) { return status_message(body); };
    // As Prometheus asks: many exporters tell more in the newer dialect.
    if (from.exporters.any())
      made.accept = "application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
                    "text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    return made;
  }

  bool asks_api_server() const { return !exporters || options.exporters.annotated_pods; }
  std::string where() const { return "API server " + cluster.url(); }
  template <class T>
  list_options listed_objects() const;
  http_request to_api_server(std::string path, secret token) const;

  /// Sees to it that cluster.access holds a credential; may run the kubeconfig's exec plugin.
  result<std::monostate> authenticate();
  /// After a 401 to `asked_with`: whether there is another credential to try.
  result<bool> renew_credential(const std::shared_ptr<const access>& asked_with);
  template <class T>
  void ask(const std::shared_ptr<detail::collect_::listing<T>>& of, std::chrono::steady_clock::time_point deadline);
  template <class T>
  bool answered(detail::collect_::listing<T>& of, http_answer answer);
  result<inventory> list();

  template <class T>
  void begin_list(const std::shared_ptr<detail::collect_::followed<T>>& of);
  template <class T>
  void begin_watch(const std::shared_ptr<detail::collect_::followed<T>>& of);
  template <class T>
  void watch_ended(detail::collect_::followed<T>& of, http_answer answer);
  template <class T>
  void fail(detail::collect_::followed<T>& of, error why, std::chrono::milliseconds at_least);
  /// What is due of it.
  template <class T>
  void go_on(const std::shared_ptr<detail::collect_::followed<T>>& of, std::chrono::steady_clock::time_point now);
  void let_end();
  void go_on_all(std::chrono::steady_clock::time_point now);
  /// Whether a list is to be waited for, begun by now.
  template <class T>
  bool list_now(const std::shared_ptr<detail::collect_::followed<T>>& of, bool anyway);
  template <class T>
  void tell_age(detail::collect_::followed<T>& of, snapshot& to);
  void follow(std::chrono::steady_clock::time_point until, const std::function<bool()>& enough);
  result<inventory> watched(snapshot& to);
  void note_addresses(std::span<const target> targets, snapshot& to);
  /// Of what is gone: label sets, sizes of pages, keys, connections.
  void forget(const std::vector<node>& mine, std::span<const target> targets, const inventory& all,
              std::chrono::steady_clock::time_point begun);
  /// Those of my share, with the pins that were given for them.
  std::vector<node> nodes_of_mine(const std::vector<node>& all);
  /// The targets of this sweep: of the nodes, or of exporters.
  result<std::vector<node_target>> targets_of(const std::vector<node>& mine, snapshot& made);
  route_options route_to_kubelets();
  result<std::string_view> text_of(const scraped_page& page, std::optional<detail::collect_::text_rooms::lease>& room, outcome& about);
  void add_summaries(const std::vector<node>& mine, snapshot& made);
  void work_off(const scraped_page& page, outcome about, label_cache& cache, detail::collect_::series_memory& before,
                collected_page& into, outcome& told);
  result<snapshot> sweep(const sweep_spread& spread);
};

template <class T>
list_options collector::state::listed_objects() const {
  list_options made;
  made.base_path = cluster.base_path;
  made.where = where();
  if constexpr (std::is_same_v<T, node>) made.label_selector = options.node_selector;
  else if (exporters && options.namespaces.size() == 1)
    made.namespace_name = options.namespaces.front();  // who may not list all of them may list these
  return made;
}

http_request collector::state::to_api_server(std::string path, secret token) const {
  http_request made;
  made.scheme = cluster.scheme;
  made.host = cluster.host;
  made.port = cluster.port;
  made.path = std::move(path);
  made.accept = "application/json";
  made.access = cluster.access;
  if (cluster.access) made.pin = cluster.access->tls.pin;
  made.token = std::move(token);
  return made;
}

result<std::monostate> collector::state::authenticate() {
  auto now = credentials.current([this] {
    if (report) report(0, 0, 0);
    return !stop.stop_requested();
  });
  if (!now) return std::move(now).error();
  if (*now != cluster.access) {
    cluster.access = std::move(now).value();
    kubelets = nullptr;
    client.close_kept();  // they belong to whom we were before
  }
  return ok();
}

result<bool> collector::state::renew_credential(const std::shared_ptr<const access>& asked_with) {
  if (!cluster.access) return false;
  if (!cluster.access->who.token_file.empty()) return pages.tokens().token_for(cluster.access, true).has_value();
  if (!cluster.access->who.exec) return false;
  if (asked_with == cluster.access) credentials.refused();
  if (auto known = authenticate(); !known) return std::move(known).error();
  return true;
}

template <class T>
void collector::state::ask(const std::shared_ptr<detail::collect_::listing<T>>& of,
                           std::chrono::steady_clock::time_point deadline) {
  ++of->attempts;
  auto token = pages.tokens().token_for(cluster.access);
  if (!token) {
    of->failure = std::move(token).error();
    of->end();
    return;
  }
  http_request request = to_api_server(of->lister.path(), std::move(token).value());
  of->asked_with = cluster.access;
  request.deadline = deadline;
  request.limits.max_body_bytes = std::size_t{256} << 20;
  client.get(std::move(request), [this, of, deadline](http_answer answer) {
    if (answered(*of, std::move(answer))) ask(of, deadline);
    else of->end();
  });
}

/// True where the list goes on.
template <class T>
bool collector::state::answered(detail::collect_::listing<T>& of, http_answer answer) {
  if (answer.failure) {
    if (answer.failure->code == errc::connection_lost && of.attempts < 3) return true;
    of.failure = std::move(answer.failure);
    of.failure->where = where();
    if (of.failure->code == errc::tls_untrusted || of.failure->code == errc::tls_wrong_name)
      of.failure->advice = "check certificate-authority(-data) and tls-server-name in " + cluster.source;
    return false;
  }
  if (answer.status == 401 && !std::exchange(of.token_renewed, true)) {
    auto renewed = renew_credential(of.asked_with);
    if (!renewed) {
      of.failure = std::move(renewed).error();
      return false;
    }
    if (*renewed) return true;
  }
  of.wait = plan_retry(answer, 1, 2, std::chrono::minutes(6), true).after;
  std::string text = std::move(answer.body);
  if (answer.content_encoding == "gzip") {
    auto inflated = gunzip(text, std::size_t{256} << 20);
    if (!inflated) {
      of.failure = std::move(inflated).error();
      of.failure->where = where();
      return false;
    }
    text = std::move(inflated).value();
  }
  auto step = of.lister.feed(answer.status, text);
  if (!step) {
    of.failure = std::move(step).error();
    return false;
  }
  of.attempts = 0;
  return *step != list_step::done;
}

result<inventory> collector::state::list() {
  const list_options of_nodes = listed_objects<node>();
  if (auto fits = check(of_nodes); !fits) return std::move(fits).error();
  const bool pods_alone = exporters.has_value();
  if (auto fits = check(listed_objects<pod>()); !fits) return std::move(fits).error();
  const auto nodes = std::make_shared<detail::collect_::listing<node>>(of_nodes);
  const auto pods = std::make_shared<detail::collect_::listing<pod>>(listed_objects<pod>());
  const auto deadline = std::chrono::steady_clock::now() + options.discovery_timeout;
  const std::stop_callback on_stop(stop, [this] { client.post([this] { client.cancel(); }); });
  if (pods_alone) nodes->done = true;
  else ask(nodes, deadline);
  ask(pods, deadline);
  client.hold(true);
  while (!nodes->done || (!pods->done && !nodes->failure)) {
    client.run(std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
    if (report) report(0, 0, 0);
  }
  client.hold(false);
  if (!pods->done) {
    client.cancel();
    while (!pods->done) client.run(std::chrono::steady_clock::now() + std::chrono::milliseconds(20));
  }
  if (nodes->failure) return *nodes->failure;
  if (pods_alone && pods->failure) return *pods->failure;
  if (stop.stop_requested()) return error{errc::cancelled, where(), "cancelled", ""};
  inventory made;
  made.nodes = std::move(nodes->lister).items();
  if (pods->failure) {
    made.pods_unknown_because = pods->failure->message();
  } else {
    made.pods_known = true;
    made.pods = std::move(pods->lister).items();
  }
  return made;
}

std::vector<node> collector::state::nodes_of_mine(const std::vector<node>& all) {
  const node_share wanted = [&] {
    const std::lock_guard lock(guarding);
    return share;
  }();
  std::vector<node> made;
  for (const node& each : all) {
    if (!in_share(wanted, each.name)) continue;
    made.push_back(each);
    auto given = options.pins.find(each.uid);
    if (given == options.pins.end()) given = options.pins.find(each.name);
    if (given != options.pins.end() && !each.uid.empty()) pages.pins().try_emplace(each.uid, given->second);
  }
  return made;
}

result<std::vector<node_target>> collector::state::targets_of(const std::vector<node>& mine, snapshot& made) {
  if (exporters) {
    auto found = exporters->targets(made.inventory, cluster, made.warnings);
    if (!found) return found;
    const std::lock_guard lock(guarding);
    std::erase_if(*found, [&](const node_target& each) { return !in_share(share, each.node); });
    return found;
  }
  return kubelet_targets(mine, cluster, route_to_kubelets());
}

route_options collector::state::route_to_kubelets() {
  route_options way;
  way.route = options.route;
  way.path = options.path;
  if (!options.all_metrics) way.metrics = detail::collect_::canonical(options.metrics);
  way.allowed_ranges = options.allowed_ranges;
  way.tls = options.kubelet_tls;
  way.ca_pem = kubelet_ca;
  if (!kubelets) kubelets = kubelet_access(cluster, way);
  way.access = kubelets;
  return way;
}

/// The page, inflated into `room` where it needs it. Runs on a worker.
result<std::string_view> collector::state::text_of(const scraped_page& page, std::optional<detail::collect_::text_rooms::lease>& room,
                                                   outcome& about) {
  result<std::string_view> inflated = std::string_view(page.bytes);
  if (!page.gzip) return inflated;
  const std::size_t most = std::min(options.max_page_bytes, lone_page(options));
  std::size_t wanted = room_for(page.bytes, most);
  for (bool again = true; again;) {
    room.reset();
    room.emplace(texts, wanted);
    const auto begun = std::chrono::steady_clock::now();
    const auto worked = detail::collect_::thread_cpu();
    inflated = gunzip(page.bytes, wanted - 1, room->room);
    about.inflate_time += std::chrono::steady_clock::now() - begun;
    about.inflate_cpu += detail::collect_::thread_cpu() - worked;
    // Of several members the last one's length is said, and a liar says anything.
    again = !inflated && inflated.error().code == errc::too_large && wanted <= most;
    wanted = most + 1;
  }
  return inflated;
}

/// Runs on a worker; touches nothing but its own target's things.
void collector::state::work_off(const scraped_page& page, outcome about, label_cache& cache,
                                detail::collect_::series_memory& before, collected_page& into, outcome& told) {
  using clock = std::chrono::steady_clock;
  const auto refuse = [&](stage at, error why) {
    if (why.where.empty()) why.where = about.node + " (" + about.url + ")";
    about.reached = at;
    about.failure = std::move(why);
    told = std::move(about);
  };
  const auto syntax = dialect_of_content_type(page.content_type);
  if (!syntax)
    return refuse(stage::body, {errc::bad_content_type, {},
                                "the page is " + (page.content_type.empty() ? std::string("of no type") : printable(page.content_type)) +
                                    ", not metrics", "check that this address serves metrics"});
  std::optional<detail::collect_::text_rooms::lease> room;
  auto inflated = text_of(page, room, about);
  if (!inflated) return refuse(stage::inflate, std::move(inflated).error());
  const std::string_view text = *inflated;
  about.page_bytes = text.size();
  const auto begun = clock::now();
  const auto worked = detail::collect_::thread_cpu();
  column_options reading;
  reading.grammar.rules = options.rules;
  reading.grammar.syntax = *syntax;
  reading.max_samples = options.max_samples;
  reading.metrics = chosen_names;
  reading.labels = chosen_labels;
  column_result read = read_columns(text, cache, reading);
  about.parse_time = clock::now() - begun;
  about.parse_cpu = detail::collect_::thread_cpu() - worked;
  about.samples = read.columns.rows();
  about.scraped_samples = read.read.samples + read.read.skipped;
  about.rejected_lines = read.read.rejected;
  if (read.stopped) {
    error why = detail::collect_::page_error(text, *read.stopped, about.node);
    if (read.stopped->code == parse_errc::too_many_samples) why.code = errc::too_large;
    return refuse(stage::parse, std::move(why));
  }
  if (read.columns.sets->names() > options.max_label_names)
    return refuse(stage::parse, {errc::too_large, {},
                                 "the page has more than " + std::to_string(options.max_label_names) + " label names",
                                 "raise max_label_names if that is meant"});
  if (read.columns.rows() == 0 && read.read.skipped == 0 && read.read.rejected > 0) {
    const reject& first = read.columns.rejects.front();
    return refuse(stage::parse, {errc::page_refused,
        about.node + ":" + std::to_string(first.line) + ":" + std::to_string(first.column),
        "no line of the page could be read; the first: " + std::string(what(first.code)),
        "check that this address serves metrics"});
  }
  about.new_series = before.take(read.columns, cache.generation());
  about.reached = stage::done;
  into.node = about.node;
  into.scraped_ms = detail::collect_::milliseconds(page.received);
  into.columns = std::move(read.columns);
  if (options.keep_pages) into.text = text;
  told = std::move(about);
}

result<snapshot> collector::state::sweep(const sweep_spread& spread) {
  snapshot made;
  const auto begun = std::chrono::steady_clock::now();
  made.started = std::chrono::system_clock::now();
  made.of_nodes = !exporters;
  made.timeout = options.timeout;
  made.max_samples = options.max_samples;
  made.source = exporters ? exporters->source(cluster) : cluster.source;
  if (!exporters) made.namespaces = options.namespaces;
  if (asks_api_server()) {
    if (auto known = authenticate(); !known) {
      if (!(exporters ? known_pods->known : known_nodes->known) || stop.stop_requested()) return std::move(known).error();
      made.warnings.push_back(known.error().message());  // what was given before may still do
    }
    auto listed = options.watch_objects ? watched(made) : list();
    if (!listed) return std::move(listed).error();
    made.inventory = std::move(listed).value();
  }
  const std::vector<node> mine = nodes_of_mine(made.inventory.nodes);
  auto either = targets_of(mine, made);
  if (!either) return std::move(either).error();
  const std::vector<node_target> found = std::move(either).value();

  const std::size_t total = found.size();
  std::vector<target> targets;
  std::vector<std::size_t> place;  // of each target in `found`
  std::vector<outcome> outcomes(total);
  std::vector<collected_page> pages_of(total);
  std::size_t done = 0, failed = 0;
  for (std::size_t i = 0; i < total; ++i) {
    outcomes[i].node = found[i].node;
    if (found[i].target) {
      pages_of[i].labels = found[i].target->labels;
      targets.push_back(*found[i].target);
      place.push_back(i);
    } else {
      outcomes[i].failure = found[i].target.error();
      outcomes[i].started = made.started;
      ++done;
      ++failed;
    }
  }
  std::vector<std::chrono::steady_clock::time_point> begins;
  if (spread.over.count() > 0) {
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t i = 0; i < targets.size(); ++i)
      order.emplace_back(place_in_interval(targets[i].node_uid.empty() ? targets[i].node : targets[i].node_uid), i);
    std::sort(order.begin(), order.end());
    std::vector<target> sorted;
    std::vector<std::size_t> sorted_place;
    for (const auto& [at, i] : order) {
      begins.push_back(begun + std::chrono::duration_cast<std::chrono::steady_clock::duration>(spread.over * at));
      sorted.push_back(std::move(targets[i]));
      sorted_place.push_back(place[i]);
    }
    targets = std::move(sorted);
    place = std::move(sorted_place);
  }
  note_addresses(targets, made);
  const bool direct = options.route == route::direct ||
                      (options.route == route::automatic && cluster.in_cluster);
  scrape_events events;
  events.on_page = [&](std::size_t index, scraped_page page, outcome about) {
    const std::size_t at = place[index];
    const target& from = targets[index];
    const std::string& known_as = from.node_uid.empty() ? from.node : from.node_uid;
    label_cache& cache = caches.try_emplace(known_as).first->second;
    detail::collect_::series_memory& before = series.try_emplace(known_as).first->second;
    ++done;
    pool.add([this, at, &cache, &before, &outcomes, &pages_of, page = std::make_shared<scraped_page>(std::move(page)),
              about = std::move(about), handed = std::chrono::steady_clock::now()]() mutable {
      const std::size_t held = page->held;
      try {
        work_off(*page, about, cache, before, pages_of[at], outcomes[at]);
      } catch (const std::bad_alloc&) {
        about.failure = error{errc::too_large, about.node, "no memory is left for this page",
                              "lower the concurrency or bytes_in_flight"};
        about.reached = stage::parse;
        outcomes[at] = about;
      }
      outcomes[at].took += std::chrono::steady_clock::now() - handed;
      pages.release(held, std::move(page->bytes));
    });
  };
  events.on_failure = [&](std::size_t index, outcome about) {
    ++done;
    ++failed;
    error& why = *about.failure;
    if (exporters)
      detail::collect_::advise_on_exporter(why, about.reached, targets[index].access == cluster.access);
    else if (why.code == errc::forbidden)
      why.advice = direct ? "allow `get` on nodes/metrics to this user or service account"
                          : "allow `get` on nodes/proxy to this user, or scrape directly "
                            "(route \"direct\") with `get` on nodes/metrics";
    else if (direct && (why.code == errc::connect_failed || why.code == errc::timed_out) && about.reached == stage::connect)
      why.advice = "the node network may not be reachable from here: scrape through the API server "
                   "(route \"api_server\")";
    else if (!direct && why.code == errc::http_status)
      why.advice = "the API server cannot reach that kubelet; see its kubelet, or scrape directly (route \"direct\")";
    outcomes[place[index]] = std::move(about);
  };
  if (report) events.tick = [&] { report(done, failed, total); };
  pages.sweep(targets, events, stop, {begins, spread.end});
  pool.wait();
  texts.clear();

  forget(mine, targets, made.inventory, begun);
  {
    const std::lock_guard lock(guarding);
    pins = pages.pins();
  }
  if (std::any_of(outcomes.begin(), outcomes.end(),
                  [](const outcome& of) { return of.failure && of.failure->code == errc::too_large; }))
    detail::collect_::give_back_memory();
  for (std::size_t i = 0; i < total; ++i) {
    outcomes[i].labels = pages_of[i].labels;
    if (outcomes[i].ok()) made.pages.push_back(std::move(pages_of[i]));
  }
  made.outcomes = std::move(outcomes);
  if (options.stats_summary && !exporters && !stop.stop_requested()) add_summaries(mine, made);
  made.interrupted = stop.stop_requested() &&
                     std::any_of(made.outcomes.begin(), made.outcomes.end(), [](const outcome& of) {
                       return of.failure && of.failure->code == errc::cancelled;
                     });
  made.ended = std::chrono::system_clock::now();
  if (report) {
    failed = static_cast<std::size_t>(std::count_if(made.outcomes.begin(), made.outcomes.end(),
                                                    [](const outcome& of) { return !of.ok(); }));
    report(total, failed, total);
  }
  return made;
}

void collector::state::forget(const std::vector<node>& mine, std::span<const target> targets, const inventory& all,
                              std::chrono::steady_clock::time_point begun) {
  std::set<std::string> remembered, known;
  for (const node& each : mine) remembered.insert(each.uid.empty() ? each.name : each.uid);
  if (exporters)
    for (const target& each : targets) remembered.insert(each.node_uid);
  std::erase_if(caches, [&](const auto& each) { return remembered.count(each.first) == 0; });
  std::erase_if(series, [&](const auto& each) { return remembered.count(each.first) == 0; });
  // The UID of a node that is gone never comes back, but by another selector.
  for (const node& each : all.nodes) known.insert(each.uid);
  if (!exporters && options.node_selector.empty())
    std::erase_if(pages.pins(), [&](const auto& each) { return known.count(each.first) == 0; });
  client.close_kept(std::exchange(last_begun, begun));
}

result<collector> collector::open(collect_options options) {
  std::optional<detail::collect_::exporter_source> exporters;
  if (options.exporters.any()) {
    auto opened = detail::collect_::exporter_source::open(options);
    if (!opened) return std::move(opened).error();
    exporters = std::move(opened).value();
  }
  cluster_config cluster;
  if (!exporters || options.exporters.annotated_pods) {
    cluster_options where;
    where.kubeconfig = options.kubeconfig;
    where.context = options.context;
    where.exec_plugins = options.exec_plugins;
    auto found = find_cluster(where);
    if (!found) return std::move(found).error();
    cluster = std::move(found).value();
  }
  std::string ca;
  if (!options.kubelet_ca_file.empty()) {
    auto text = detail::token_::read_file(options.kubelet_ca_file);
    if (!text) return std::move(text).error();
    ca = std::move(text).value();
  }
  if (auto fits = check(options.share); !fits) return std::move(fits).error();
  if (!options.pins.empty() && options.kubelet_tls != tls_mode::pin)
    return error{errc::invalid_argument, "pins", "are given, but kubelets are not to be pinned", "set the kubelet TLS mode to \"pin\""};
  for (const auto& [of, pin] : options.pins)
    if (pin.size() != 64 || pin.find_first_not_of("0123456789abcdef") != std::string::npos)
      return error{errc::invalid_argument, "pins", "that of " + printable(of) + " is no sha256 in lower-case hex",
                   "give the 64 digits of the sha256 of the key"};
  if (options.metrics.empty()) {
    if (exporters || options.path != "/metrics/cadvisor") options.all_metrics = true;
    for (const std::string_view name : container_metrics()) options.metrics.emplace_back(name);
  }
  return collector(std::make_unique<state>(std::move(options), std::move(cluster), std::move(ca), std::move(exporters)));
}

collector::collector(std::unique_ptr<state> kept) noexcept : state_(std::move(kept)) {}
collector::collector(collector&&) noexcept = default;
collector& collector::operator=(collector&&) noexcept = default;
collector::~collector() = default;

result<std::monostate> collector::share(node_share nodes) {
  if (auto fits = check(nodes); !fits) return fits;
  const std::lock_guard lock(state_->guarding);
  state_->share = std::move(nodes);
  return ok();
}

std::map<std::string, std::string> collector::pins() const {
  const std::lock_guard lock(state_->guarding);
  return state_->pins;
}

std::string collector::metrics() const {
  const std::lock_guard lock(state_->guarding);
  return state_->so_far.text();
}

result<snapshot> collector::sweep(std::stop_token stop, const progress_report& report, const sweep_spread& spread) {
  const auto begun = std::chrono::steady_clock::now();
  state_->stop = std::move(stop);
  state_->report = report;
  auto made = state_->sweep(spread);
  state_->report = nullptr;
  state_->stop = {};
  detail::collect_::tally::holdings now{state_->caches.size(), 0, state_->client.kept_connections()};
  for (const auto& [of, cache] : state_->caches) now.label_cache_bytes += cache.bytes();
  const std::lock_guard lock(state_->guarding);
  state_->so_far.add(made ? &*made : nullptr, std::chrono::steady_clock::now() - begun, now);
  return made;
}

}  // namespace computelocator
