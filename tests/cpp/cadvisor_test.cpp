// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/cadvisor.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

namespace {

using namespace computelocator;

const std::string uid = "11111111-2222-3333-4444-555555555555";
const std::string pod_id = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice";

/// Labels of a cgroup as cAdvisor writes them, `extra` in front as if sorted.
std::string labels(const std::string& container, const std::string& id, const std::string& image,
                   const std::string& name, const std::string& space, const std::string& pod,
                   const std::string& extra = {}) {
  return "{container=\"" + container + "\"," + extra + "id=\"" + id + "\",image=\"" + image + "\",name=\"" + name +
         "\",namespace=\"" + space + "\",pod=\"" + pod + "\"} ";
}

/// A node with one pod of one container, and the numbers that a test looks for.
std::string containerd_page() {
  const std::string app = pod_id + "/cri-containerd-" + std::string(64, 'a') + ".scope";
  const std::string old = pod_id + "/cri-containerd-" + std::string(64, 'b') + ".scope";
  const std::string box = pod_id + "/cri-containerd-" + std::string(64, 'c') + ".scope";
  std::string page;
  const auto line = [&](const std::string& metric, const std::string& of, const std::string& value, const std::string& at) {
    page += metric + of + value + (at.empty() ? "" : " " + at) + "\n";
  };
  const auto of_app = [&](const std::string& extra = {}) { return labels("app", app, "img", std::string(64, 'a'), "shop", "web-0", extra); };
  const auto of_old = [&](const std::string& extra = {}) { return labels("app", old, "img", std::string(64, 'b'), "shop", "web-0", extra); };
  const auto of_box = [&](const std::string& extra = {}) { return labels("", box, "pause", std::string(64, 'c'), "shop", "web-0", extra); };
  const auto of_pod = [&](const std::string& extra = {}) { return labels("", pod_id, "", "", "shop", "web-0", extra); };
  const auto of_node = [&](const std::string& extra = {}) { return labels("", "/", "", "", "", "", extra); };
  const std::string total = "cpu=\"total\",";
  line("container_cpu_usage_seconds_total", of_node(total), "100", "1000");
  line("container_cpu_usage_seconds_total", labels("", "/kubepods.slice", "", "", "", "", total), "60", "1000");
  line("container_cpu_usage_seconds_total", of_pod(total), "12", "2000");
  line("container_cpu_usage_seconds_total", of_old(total), "9", "500");
  line("container_cpu_usage_seconds_total", of_app(total), "11", "2500");
  line("container_cpu_usage_seconds_total", of_box(total), "0.5", "2000");
  line("container_cpu_cfs_periods_total", of_pod(), "7", "2000");
  line("container_memory_working_set_bytes", of_node(), "4000", "1000");
  line("container_memory_working_set_bytes", of_pod(), "300", "2000");
  line("container_memory_working_set_bytes", of_app(), "200", "2500");
  line("container_memory_working_set_bytes", of_old(), "999", "500");
  line("container_memory_failcnt", of_app(), "0", "2500");
  line("container_spec_memory_limit_bytes", of_app(), "0", "");
  line("container_fs_reads_bytes_total", of_node("device=\"/dev/sda\","), "50", "1000");
  line("container_fs_reads_bytes_total", of_node("device=\"tmpfs\","), "9", "1000");
  line("container_fs_usage_bytes", of_node("device=\"/dev/sda1\","), "70", "1000");
  for (const char* const nic : {"eth0", "cali123", "lo"})
    line("container_network_receive_bytes_total", of_node(std::string("interface=\"") + nic + "\","), "5000", "1000");
  line("container_network_receive_bytes_total", of_box("interface=\"eth0\","), "40", "2000");
  line("container_network_receive_bytes_total", of_box("interface=\"net1\","), "2", "2000");
  return page;
}

struct reading {
  batch columns;
  inventory known;
  node_page source() const { return {&columns, "n1", 5000}; }
};

reading read(const std::string& page, inventory known = {}) {
  label_cache cache;
  return {read_columns(page, cache).columns, std::move(known)};
}

std::optional<double> cell(const table& from, const std::string& name, std::size_t row = 0) {
  const column* const found = from.find(name);
  if (found == nullptr || row >= from.rows) return -1;
  const double value = (*found->float64)[row];
  EXPECT_EQ(std::isnan(value), found->valid && !(*found->valid)[row]);
  return std::isnan(value) ? std::nullopt : std::optional(value);
}

std::string word(const table& from, const std::string& name, std::size_t row = 0) {
  const column* const found = from.find(name);
  const std::int32_t code = (*found->codes)[row];
  return code < 0 ? std::string() : (*found->dictionary)[static_cast<std::size_t>(code)];
}

std::string why(const table& reasons, const std::string& level, const std::string& metric) {
  for (std::size_t row = 0; row < reasons.rows; ++row)
    if (word(reasons, "level", row) == level && word(reasons, "metric", row) == metric) return word(reasons, "reason", row);
  return {};
}

pod shop_pod() {
  pod made;
  made.namespace_name = "shop";
  made.name = "web-0";
  made.uid = uid;
  made.owner_kind = "StatefulSet";
  made.containers.push_back({.name = "app", .id = std::string(64, 'a'), .image = "img", .running = true, .restarts = 1, .request_cpu = 0.25});
  return made;
}

TEST(cadvisor, disk_usage_of_a_summary_is_taken_where_the_page_has_none) {
  label_cache cache;
  const batch summary = read_columns("container_fs_usage_bytes{container=\"app\",namespace=\"shop\",pod=\"web-0\"} 7 9000\n"
                                     "container_fs_limit_bytes{container=\"app\",namespace=\"shop\",pod=\"web-0\"} 100 9000\n"
                                     "container_fs_usage_bytes{container=\"other\",namespace=\"shop\",pod=\"web-0\"} 8 9000\n", cache).columns;
  const auto tables = [&](const std::string& page) {
    const reading of = read(page);
    node_page source = of.source();
    source.summary = &summary;
    return std::pair{container_table(std::span(&source, 1), of.known), reason_table(std::span(&source, 1), of.known)};
  };
  const auto [containers, reasons] = tables(containerd_page());
  EXPECT_EQ(cell(containers, "container_fs_usage_bytes"), 7);
  EXPECT_EQ(cell(containers, "container_fs_limit_bytes"), 100);
  EXPECT_EQ(why(reasons, "container", "container_fs_usage_bytes"), "stats_summary");
  EXPECT_EQ(containers.find("timestamp")->int64->at(0), 2500);  // of the page's own samples
  // What the runtime tells itself stays.
  const std::string app = pod_id + "/cri-containerd-" + std::string(64, 'a') + ".scope";
  const auto [own, of_own] = tables(containerd_page() + "container_fs_usage_bytes" +
                                    labels("app", app, "img", "x", "shop", "web-0", "device=\"/dev/sda1\",") + "3 2500\n");
  EXPECT_EQ(cell(own, "container_fs_usage_bytes"), 3);
  EXPECT_EQ(cell(own, "container_fs_limit_bytes"), 100);
  EXPECT_EQ(why(of_own, "container", "container_fs_usage_bytes"), "");
  // Of a history each value has the time of its own source.
  const reading of = read(containerd_page());
  node_page source = of.source();
  source.summary = &summary;
  int seen = 0;
  for_each_reading(std::span(&source, 1), of.known, {}, [&](const computelocator::reading& each) {
    if (each.level != reading_level::container) return;
    ++seen;
    EXPECT_EQ(each.value[8], 7);
    EXPECT_EQ(each.time_ms[8], 9000);
  });
  EXPECT_EQ(seen, 1);
}

TEST(cadvisor, classes) {
  const std::string leaf = "/cri-containerd-" + std::string(64, 'a') + ".scope";
  struct row { std::string id, container, image, name, pod; row_class kind; };
  const std::vector<row> rows = {
      {"/", "", "", "", "", row_class::machine},
      {"/kubepods.slice", "", "", "", "", row_class::system},
      {"/system.slice/kubelet.service", "", "", "", "", row_class::system},
      {"/kubepods.slice/kubepods-besteffort.slice", "", "", "", "", row_class::system},
      {pod_id, "", "", "", "web-0", row_class::pod},
      {"/kubepods/besteffort/pod" + uid, "", "", "", "web-0", row_class::pod},
      {"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod11111111_2222_3333_4444_555555555555.slice", "", "", "", "w", row_class::pod},
      {"/kubepods/burstable/pod28e3529bd3ce4d408163e5f5b4b985b9", "", "", "", "static", row_class::pod},
      {pod_id + leaf, "app", "img", "x", "web-0", row_class::container},
      {pod_id + leaf, "", "pause", "x", "web-0", row_class::sandbox},
      {pod_id + leaf, "POD", "", "k8s_POD", "web-0", row_class::sandbox},
      {pod_id + "/docker-" + std::string(64, 'a') + ".scope", "", "", "", "", row_class::other},
      {pod_id + leaf + "/init.scope", "", "", "", "", row_class::other},
      {"", "", "", "", "", row_class::other},
  };
  for (const row& each : rows)
    EXPECT_EQ(classify(each.id, each.container, each.image, each.name, each.pod), each.kind) << each.id;
}

TEST(cadvisor, containers) {
  const reading page = read(containerd_page(), {.pods = {shop_pod()}, .pods_known = true});
  const node_page pages[] = {page.source()};
  const table made = container_table(pages, page.known);
  ASSERT_EQ(made.rows, 1u) << "the older instance does not count";
  EXPECT_EQ(word(made, "container"), "app");
  EXPECT_EQ(cell(made, "container_cpu_usage_seconds_total"), 11);
  EXPECT_EQ(cell(made, "container_memory_working_set_bytes"), 200);
  EXPECT_EQ(cell(made, "container_cpu_cfs_periods_total"), std::nullopt);
  EXPECT_EQ(cell(made, "container_memory_failcnt"), 0);
  EXPECT_EQ(cell(made, "container_spec_memory_limit_bytes"), std::nullopt);
  EXPECT_EQ(cell(made, "container_fs_reads_bytes_total"), 0);
  EXPECT_EQ(cell(made, "container_fs_usage_bytes"), std::nullopt);
  EXPECT_EQ(cell(made, "container_fs_writes_bytes_total"), std::nullopt);
  EXPECT_EQ(cell(made, "request_cpu_cores"), 0.25);
  EXPECT_EQ(cell(made, "limit_cpu_cores"), std::nullopt);
  EXPECT_EQ(cell(made, "restarts"), 1);
  EXPECT_EQ((*made.find("timestamp")->int64)[0], 2500);
  const table reasons = reason_table(pages, page.known);
  EXPECT_EQ(why(reasons, "container", "container_cpu_cfs_periods_total"), "no_cpu_limit");
  EXPECT_EQ(why(reasons, "container", "container_memory_failcnt"), "zero_on_whole_node");
  EXPECT_EQ(why(reasons, "container", "container_spec_memory_limit_bytes"), "no_memory_limit");
  EXPECT_EQ(why(reasons, "container", "container_fs_reads_bytes_total"), "zero_so_far");
  EXPECT_EQ(why(reasons, "container", "container_fs_usage_bytes"), "runtime_reports_none");
  EXPECT_EQ(why(reasons, "container", "container_fs_writes_bytes_total"), "not_on_page");
}

TEST(cadvisor, pods_and_nodes) {
  const reading page = read(containerd_page());
  const node_page pages[] = {page.source()};
  const table pods = pod_table(pages, page.known);
  ASSERT_EQ(pods.rows, 1u);
  EXPECT_EQ(cell(pods, "container_cpu_usage_seconds_total"), 12) << "the pod's own cgroup, not a sum";
  EXPECT_EQ(cell(pods, "container_cpu_cfs_periods_total"), 7);
  EXPECT_EQ(cell(pods, "container_network_receive_bytes_total"), 42);
  const table nodes = node_table(pages, page.known);
  ASSERT_EQ(nodes.rows, 1u);
  EXPECT_EQ(cell(nodes, "container_cpu_usage_seconds_total"), 100);
  EXPECT_EQ(cell(nodes, "container_network_receive_bytes_total"), 5000) << "eth0 alone is real";
  EXPECT_EQ(cell(nodes, "container_fs_reads_bytes_total"), 50);
  EXPECT_EQ(cell(nodes, "container_fs_usage_bytes"), 70);
  const row_filter elsewhere{{"kube-system"}};
  EXPECT_EQ(pod_table(pages, page.known, elsewhere).rows, 0u);
  EXPECT_EQ(container_table(pages, page.known, elsewhere).rows, 0u);
}

TEST(cadvisor, pods_on_the_hosts_network) {
  pod host = shop_pod();
  host.host_network = true;
  const reading told = read(containerd_page(), {.pods = {host}, .pods_known = true});
  const node_page by_spec[] = {told.source()};
  EXPECT_EQ(cell(pod_table(by_spec, told.known), "container_network_receive_bytes_total"), std::nullopt);
  EXPECT_EQ(why(reason_table(by_spec, told.known), "pod", "container_network_receive_bytes_total"), "host_network");

  // Where pods may not be listed, the same counters on the same interfaces tell.
  const auto network = [&](const std::string& node_bytes, const std::string& pod_bytes) {
    return read("container_network_receive_bytes_total" + labels("", "/", "", "", "", "", "interface=\"eth0\",") + node_bytes + "\n" +
                "container_network_receive_bytes_total" + labels("", pod_id + "/cri-containerd-" + std::string(64, 'c') + ".scope", "pause", "x", "shop", "web-0", "interface=\"eth0\",") + pod_bytes + "\n");
  };
  for (const auto& [pod_bytes, own] : {std::pair{"1000000", false}, {"999000", false}, {"500000", true}}) {
    const reading page = network("1000000", pod_bytes);
    const node_page pages[] = {page.source()};
    EXPECT_EQ(cell(pod_table(pages, page.known), "container_network_receive_bytes_total").has_value(), own) << pod_bytes;
  }
  const reading lone = read("container_network_receive_bytes_total" + labels("", pod_id + "/cri-containerd-" + std::string(64, 'c') + ".scope", "pause", "x", "shop", "web-0", "interface=\"eth0\",") + "5\n");
  const node_page pages[] = {lone.source()};
  EXPECT_EQ(why(reason_table(pages, lone.known), "pod", "container_network_receive_bytes_total"), "host_network_unknown");
}

TEST(cadvisor, empty_labels_of_the_docker_runtime_are_filled) {
  const std::string app = "container_memory_working_set_bytes" + labels("", pod_id + "/docker-" + std::string(64, 'a') + ".scope", "", "", "", "") + "200 1\n";
  const std::string box = "container_network_receive_bytes_total" + labels("", pod_id + "/docker-" + std::string(64, 'c') + ".scope", "", "", "", "", "interface=\"eth0\",") + "40 1\n";
  const std::string own = "container_memory_working_set_bytes" + labels("", pod_id, "", "", "shop", "web-0") + "300 1\n";
  const reading page = read(app + box + own, {.pods = {shop_pod()}, .pods_known = true});
  const node_page pages[] = {page.source()};
  const table containers = container_table(pages, page.known);
  ASSERT_EQ(containers.rows, 1u);
  EXPECT_EQ(word(containers, "pod"), "web-0");
  EXPECT_EQ(word(containers, "container"), "app");
  EXPECT_EQ(cell(containers, "container_memory_working_set_bytes"), 200);
  const table pods = pod_table(pages, page.known);
  ASSERT_EQ(pods.rows, 1u);
  EXPECT_EQ(cell(pods, "container_memory_working_set_bytes"), 300);
  EXPECT_EQ(cell(pods, "container_network_receive_bytes_total"), 40);

  const reading unknown = read(app + box + own);
  const node_page without[] = {unknown.source()};
  EXPECT_EQ(container_table(without, unknown.known).rows, 0u);
  EXPECT_EQ(pod_table(without, unknown.known).rows, 1u);
}

TEST(cadvisor, names) {
  EXPECT_EQ(container_metrics().size(), 16u);
  EXPECT_EQ(canonical_metric("container_memory_limit_bytes"), "container_spec_memory_limit_bytes");
  EXPECT_EQ(canonical_metric("up"), "up");
}

}  // namespace
