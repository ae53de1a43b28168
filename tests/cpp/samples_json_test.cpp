// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <computelocator/samples_json.hpp>

namespace {

namespace cl = computelocator;

cl::result<cl::prometheus_samples> read(const std::string& text, const cl::prometheus_json_options& options = {}) {
  // Copied into memory of just that size, so that a byte read beyond it shows.
  const auto exact = std::make_unique<char[]>(text.size());
  std::memcpy(exact.get(), text.data(), text.size());
  return cl::read_prometheus_json({exact.get(), text.size()}, options);
}

std::string answer(const std::string& type, const std::string& result, const std::string& rest = "") {
  return R"({"status":"success","data":{"resultType":")" + type + R"(","result":)" + result + "}" + rest + "}";
}

TEST(prometheus_json, a_matrix_with_times_in_fractions) {
  const auto got = read(answer("matrix", R"([
    {"metric":{"__name__":"up","job":"prometheus","instance":"localhost:9090"},"values":[[1435781430.781,"1"],[1435781445.7814,"0"]]},
    {"metric":{"__name__":"up","job":"node","instance":"localhost:9091"},"values":[[1435781430,"1"],[1435781431e0,"2.5e-3"]]}])"));
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->result_type, "matrix");
  ASSERT_EQ(got->nodes.size(), 1u);
  EXPECT_EQ(got->nodes[0].node, "");
  const cl::batch& rows = got->nodes[0].columns;
  EXPECT_EQ(rows.value, (std::vector<double>{1, 0, 1, 0.0025}));
  EXPECT_EQ(rows.timestamp_ms, (std::vector<std::int64_t>{1435781430781, 1435781445781, 1435781430000, 1435781431000}));
  EXPECT_EQ(rows.metric_id, (std::vector<std::uint32_t>{0, 0, 0, 0}));
  EXPECT_EQ(rows.label_set_id, (std::vector<std::uint32_t>{0, 0, 1, 1}));
  EXPECT_EQ(rows.sets->value_of(1, "job"), "node");
  EXPECT_EQ(rows.metrics[0].name, "up");
}

TEST(prometheus_json, a_vector_by_node_with_words_for_numbers) {
  const auto got = read(answer("vector", R"([
    {"metric":{"__name__":"container_memory_usage_bytes","node":"b","pod":"p\u00e9\"\n"},"value":[1.5,"NaN"]},
    {"metric":{"__name__":"x","node":"a"},"value":[-0.001,"+Inf"]},
    {"metric":{"__name__":"x","node":"b","empty":""},"value":[0,"-Inf"]},
    {"value":[2,"1e308"],"metric":{}}])"));
  ASSERT_TRUE(got) << got.error().message();
  ASSERT_EQ(got->nodes.size(), 3u);
  EXPECT_EQ(got->nodes[0].node, "b");
  EXPECT_TRUE(std::isnan(got->nodes[0].columns.value[0]));
  EXPECT_EQ(got->nodes[0].columns.sets->value_of(0, "pod"), "p\xC3\xA9\"\n");
  EXPECT_EQ(got->nodes[0].columns.value[1], -INFINITY);
  EXPECT_EQ(got->nodes[0].columns.metrics[0].unit, "bytes");
  EXPECT_EQ(got->nodes[1].columns.value[0], INFINITY);
  EXPECT_EQ(got->nodes[1].columns.timestamp_ms[0], -1);
  EXPECT_EQ(got->nodes[2].node, "");
  EXPECT_EQ(got->nodes[2].columns.metrics[0].name, "");
}

TEST(prometheus_json, scalars_and_names_for_what_has_none) {
  cl::prometheus_json_options options;
  options.metric = "answer";
  const auto got = read(answer("scalar", R"([1435781451.781,"42"])"), options);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->nodes[0].columns.metrics[0].name, "answer");
  EXPECT_EQ(got->nodes[0].columns.value, std::vector<double>{42});
  EXPECT_EQ(got->nodes[0].columns.timestamp_ms, std::vector<std::int64_t>{1435781451781});
  // resultType behind the result, and other members around it.
  const auto turned = read(R"({"stats":{"a":[1,{}]},"data":{"result":[1,"2"],"x":null,"resultType":"scalar"},"status":"success"})");
  ASSERT_TRUE(turned) << turned.error().message();
  EXPECT_EQ(turned->nodes[0].columns.value, std::vector<double>{2});
  const auto nothing = read(answer("vector", "[]"));
  ASSERT_TRUE(nothing);
  EXPECT_TRUE(nothing->nodes.empty());
}

TEST(prometheus_json, warnings_infos_and_histograms_are_said) {
  const auto got = read(answer("matrix", R"([{"metric":{"a":"b"},"values":[[1,"2"]],"histograms":[[1,{"count":"5"}],[2,{}]]},
    {"metric":{},"histogram":[1,{"count":"5","buckets":[[0,"1","2","3"]]}]}])", R"(,"warnings":["partly\u001b[31m"],"infos":["a hint"])"));
  ASSERT_TRUE(got) << got.error().message();
  ASSERT_EQ(got->warnings.size(), 3u);
  EXPECT_EQ(got->warnings[0], "partly\\x1b[31m");
  EXPECT_EQ(got->warnings[1], "a hint");
  EXPECT_EQ(got->warnings[2], "3 samples are native histograms and were left out");
  EXPECT_EQ(got->nodes[0].columns.rows(), 1u);
}

TEST(prometheus_json, a_failed_query_is_told_in_the_servers_words) {
  for (const char* text : {R"({"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected end of input"})",
                           R"({"data":null,"error":"1:5: parse error: unexpected end of input","errorType":"bad_data","status":"error"})"}) {
    const auto got = read(text);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, cl::errc::query_failed);
    EXPECT_EQ(got.error().message(), "<json>: the server says bad_data: 1:5: parse error: unexpected end of input; correct the query");
  }
}

TEST(prometheus_json, what_is_no_answer_is_refused_with_its_place) {
  struct row { const char* name; std::string text; const char* where; const char* what; };
  const std::string good = answer("vector", R"([{"metric":{"a":"b"},"value":[1,"2"]}])");
  for (const row& each : {
           row{"nothing", "", "<json>:1:1", "is no JSON"},
           row{"another document", "<html>\n</html>", "<json>:1:1", ""},
           row{"an array", "[]", "<json>:1:1", "is not what it should be"},
           row{"an object", "{}", "", "the answer has no status"},
           row{"no data", R"({"status":"success"})", "", "the answer has no data.result"},
           row{"no type", R"({"status":"success","data":{"result":[]}})", "", "the answer has no data.resultType"},
           row{"odd type", answer("table", "[]"), "", "the answer's resultType is \"table\""},
           row{"a string", answer("string", R"([1,"x"])"), "", "the answer is a string"},
           row{"odd status", R"({"status":"maybe"})", "", "the answer's status is \"maybe\""},
           row{"two results", R"({"status":"success","data":{"resultType":"vector","result":[],"result":[]}})", "", "two results"},
           row{"cut off in a list", good.substr(0, good.size() - 5), "", ""},
           row{"cut off in a text", good.substr(0, 20), "<json>:1:21", ""},
           row{"a number that is none", "{\"status\":\"success\",\n\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\n\"value\":[1,\"two\"]}]}}", "<json>:3", "the value \"two\" is no number"},
           row{"a hex number", answer("vector", R"([{"metric":{},"value":[1,"0x10"]}])"), "", "is no number"},
           row{"infinity in full", answer("vector", R"([{"metric":{},"value":[1,"infinity"]}])"), "", "is no number"},
           row{"a nan with a payload", answer("vector", R"j([{"metric":{},"value":[1,"nan(1)"]}])j"), "", "is no number"},
           row{"too great", answer("vector", R"([{"metric":{},"value":[1,"1e999"]}])"), "", "is no number"},
           row{"a value without quotes", answer("vector", R"([{"metric":{},"value":[1,2]}])"), "<json>:1:", ""},
           row{"three of two", answer("vector", R"([{"metric":{},"value":[1,"2",3]}])"), "", "a sample is not a time and a value"},
           row{"one of two", answer("vector", R"([{"metric":{},"value":[1]}])"), "", "a sample is not a time and a value"},
           row{"beyond all years", answer("vector", R"([{"metric":{},"value":[1e300,"2"]}])"), "", "beyond all years"},
           row{"a scalar as a vector", answer("vector", R"([1,"2"])"), "", "not what its resultType says"},
           row{"a vector as a scalar", answer("scalar", R"([{"metric":{},"value":[1,"2"]}])"), "", "not what its resultType says"},
           row{"text among series", answer("vector", R"(["x"])"), "", "neither a series nor a sample"},
           row{"something behind", good + " {}", "<json>:1:", ""},
           row{"not UTF-8", "{\"status\":\n\"\xC3(\"}", "<json>:2:2", "is no JSON"},
           row{"a lone surrogate", answer("vector", R"([{"metric":{"a":"\ud800"},"value":[1,"2"]}])"), "", ""},
           row{"only braces", std::string(5000, '{'), "", ""},
           row{"only brackets", std::string(5000, '['), "", ""}}) {
    const auto got = read(each.text);
    ASSERT_FALSE(got) << each.name;
    EXPECT_EQ(got.error().code, cl::errc::page_refused) << each.name << ": " << got.error().message();
    EXPECT_EQ(got.error().where.substr(0, std::strlen(each.where)), each.where) << each.name << ": " << got.error().message();
    EXPECT_EQ(got.error().where.substr(0, 7), "<json>:") << each.name;
    EXPECT_NE(got.error().what.find(each.what), std::string::npos) << each.name << ": " << got.error().message();
  }
}

TEST(prometheus_json, every_cut_of_an_answer_is_refused) {
  const std::string whole = answer("matrix", R"([{"metric":{"__name__":"up","a":"\"x\\"},"values":[[1.5,"1"],[2,"NaN"]]}])", R"(,"warnings":["w"])");
  ASSERT_TRUE(read(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto got = read(whole.substr(0, size));
    ASSERT_FALSE(got) << size;
    EXPECT_EQ(got.error().code, cl::errc::page_refused) << size;
  }
}

TEST(prometheus_json, limits) {
  const std::string two = answer("matrix", R"([{"metric":{"a":"1","b":"2"},"values":[[1,"1"],[2,"2"]]}])");
  cl::prometheus_json_options options;
  options.max_bytes = two.size() - 1;
  EXPECT_EQ(read(two, options).error().code, cl::errc::too_large);
  options = {};
  options.max_samples = 1;
  EXPECT_EQ(read(two, options).error().code, cl::errc::too_large);
  options.max_samples = 2;
  options.max_label_names = 1;
  EXPECT_EQ(read(two, options).error().code, cl::errc::too_large);
  options.max_label_names = 2;
  EXPECT_TRUE(read(two, options));
  options.max_label_names = 2;
  EXPECT_EQ(read(answer("vector", R"([{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"b":"1"},"value":[1,"1"]},{"metric":{"c":"1"},"value":[1,"1"]}])"), options).error().code, cl::errc::too_large);
}

/// container usage limit time, a line each.
std::string summary(std::string_view body) {
  const auto got = cl::read_stats_summary(body, "n1");
  if (!got) return std::string(to_string(got.error().code)) + " " + got.error().where;
  std::string text;
  for (std::size_t row = 0; row < got->rows(); ++row) {
    for (const char* label : {"namespace", "pod", "container"}) text += std::string(got->sets->value_of(got->label_set_id[row], label)) + "/";
    text += (got->metrics[got->metric_id[row]].name == "container_fs_limit_bytes" ? " limit " : " usage ") +
            std::to_string(static_cast<long long>(got->value[row])) + " at " +
            (got->timestamp_ms[row] == cl::no_timestamp ? "none" : std::to_string(got->timestamp_ms[row])) + "; ";
  }
  return text;
}

TEST(stats_summary, root_file_system_and_logs_of_each_container) {
  EXPECT_EQ(summary(R"({"node":{"nodeName":"n1"},"pods":[{"podRef":{"name":"p","namespace":"s","uid":"u"},"startTime":"2026-01-01T00:00:00Z",
      "containers":[{"name":"a","rootfs":{"time":"2026-11-27T16:30:00Z","availableBytes":1,"capacityBytes":100,"usedBytes":7,"inodes":5},
                     "logs":{"time":"2026-11-27T16:30:00Z","usedBytes":3}},
                    {"name":"b","rootfs":{"usedBytes":5,"capacityBytes":null,"time":"yesterday"}},
                    {"name":"c","logs":{"usedBytes":9}},{"name":"d","rootfs":null,"logs":null}],"ephemeral-storage":{"usedBytes":1}}]})"),
            "s/p/a/ usage 10 at 1795797000000; s/p/a/ limit 100 at 1795797000000; s/p/b/ usage 5 at none; ");
  EXPECT_EQ(summary(R"({"pods":null})"), "");
  EXPECT_EQ(summary(R"({"pods":[{"containers":[{"name":"a","rootfs":{"usedBytes":1}}]}]})"), "");
}

TEST(stats_summary, what_is_none_is_refused_with_the_node) {
  for (const std::string_view body : {"", "{}", "[]", "{\"pods\":7}", "{\"pods\":[7]}", "{\"pods\":[]} x", "{\"pods\":[", "<html>",
                                      R"({"pods":[{"podRef":{"name":"p","namespace":"s"},"containers":[{"name":"a","rootfs":{"usedBytes":-1}}]}]})",
                                      R"({"pods":[{"podRef":{"name":"p","namespace":"s"},"containers":[{"name":"a","rootfs":{"usedBytes":"1"}}]}]})"})
    EXPECT_EQ(summary(body), "page_refused n1") << body;
}

TEST(batch_builder, equal_label_sets_are_one) {
  cl::batch_builder builder;
  using pairs = std::vector<std::pair<std::string_view, std::string_view>>;
  const auto first = builder.label_set(pairs{{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(builder.label_set(pairs{{"a", "1"}, {"b", "2"}}), first);
  EXPECT_NE(builder.label_set(pairs{{"a", "2"}, {"b", "1"}}), first);
  EXPECT_NE(builder.label_set({}), first);
  const auto metric = builder.metric("requests_total");
  EXPECT_EQ(builder.metric("requests_total"), metric);
  builder.row(metric, first, 5, 7);
  const cl::batch made = std::move(builder).take();
  EXPECT_EQ(made.rows(), 1u);
  EXPECT_EQ(made.sets->size(), 3u);
  EXPECT_EQ(made.sets->value_of(first, "b"), "2");
  EXPECT_EQ((*made.sets)[2].size(), 0u);
}

}  // namespace
