// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/text.hpp>

#include <cmath>
#include <limits>
#include <random>

#include "captures.hpp"

namespace {

using namespace computelocator;
using namespace std::string_literals;

constexpr dialect classic = dialect::prometheus, om = dialect::openmetrics;
constexpr policy strict = policy::strict, prom = policy::prometheus, lenient = policy::lenient;

/// What a page says, written plainly, so that tests compare texts.
struct recorder {
  std::string said;
  std::vector<parse_errc> errors;

  void on_sample(const sample_view& sample) {
    said += std::string(sample.name());
    for (const label_view& label : sample.labels())
      said += "|" + std::string(label.name()) + "=" + label.decoded();
    char number[40];
    std::snprintf(number, sizeof number, " %.17g", sample.value());
    said += number;
    if (sample.timestamp_ms()) said += " @" + std::to_string(*sample.timestamp_ms());
    if (sample.exemplar()) {
      said += " #";
      for (const label_view& label : sample.exemplar()->labels())
        said += "|" + std::string(label.name()) + "=" + label.decoded();
      std::snprintf(number, sizeof number, " %.17g", sample.exemplar()->value);
      said += number;
      if (sample.exemplar()->timestamp_ms) said += " @" + std::to_string(*sample.exemplar()->timestamp_ms);
    }
    said += ";";
  }
  void on_metadata(const metadata_view& meta) {
    constexpr const char* words[] = {"HELP", "TYPE", "UNIT"};
    said += words[static_cast<int>(meta.what)] + " "s + std::string(meta.name) + " " + meta.decoded() + ";";
  }
};

std::string read(std::string_view page, dialect syntax, policy rules) {
  const tests::exact_copy copy(page);
  recorder sink;
  const parse_result result = parse(copy.view(), sink, {syntax, rules});
  if (result.error) return "error";
  return sink.said + (result.rejected != 0 ? "rejected" : "");
}

struct verdicts {
  const char* name;
  std::string page;
  std::string strict_says, prom_says, lenient_says;
};

constexpr const char* no = "error";
constexpr const char* bad_line = "rejected";

TEST(text, classic_edges) {
  const std::vector<verdicts> rows = {
      {"plain", "a 1\n", "a 1;", "a 1;", "a 1;"},
      {"escapes", "a{b=\"x\\\\y\\n\\\"z\"} 1\n", "a|b=x\\y\n\"z 1;", "a|b=x\\y\n\"z 1;", "a|b=x\\y\n\"z 1;"},
      {"undefined escape stays", "a{b=\"dom\\some\"} 1\n", "a|b=dom\\some 1;", "a|b=dom\\some 1;", "a|b=dom\\some 1;"},
      {"unterminated", "a{b=\"x\\\"} 1\nc 2\n", no, no, "c 2;rejected"},
      {"line feed in value", "a{b=\"x\ny\"} 1\n", no, no, bad_line},
      {"tab in value", "a{b=\"x\ty\"} 1\n", "a|b=x\ty 1;", "a|b=x\ty 1;", "a|b=x\ty 1;"},
      {"CRLF", "a 1\r\nb 2\r\n", no, no, "a 1;b 2;"},
      {"trailing comma", "a{b=\"c\",} 1\n", "a|b=c 1;", "a|b=c 1;", "a|b=c 1;"},
      {"double comma", "a{b=\"c\",,d=\"e\"} 1\n", no, no, bad_line},
      {"leading comma", "a{,b=\"c\"} 1\n", no, no, bad_line},
      {"missing comma", "a{b=\"c\" d=\"e\"} 1\n", no, no, bad_line},
      {"empty braces", "a{} 1\n", "a 1;", "a 1;", "a 1;"},
      {"blank before brace", "a {b=\"c\"} 1\n", "a|b=c 1;", "a|b=c 1;", "a|b=c 1;"},
      {"no blank after brace", "a{b=\"c\"}1\n", "a|b=c 1;", "a|b=c 1;", "a|b=c 1;"},
      {"leading blanks", " \ta 1\n", "a 1;", "a 1;", "a 1;"},
      {"trailing blanks", "a 1 \t\n", "a 1;", "a 1;", "a 1;"},
      {"duplicate label", "a{b=\"c\",b=\"d\"} 1\n", no, "a|b=c|b=d 1;", bad_line},
      {"__name__ label", "a{__name__=\"z\"} 1\n", no, "a|__name__=z 1;", bad_line},
      {"empty value", "a{b=\"\"} 1\n", "a|b= 1;", "a|b= 1;", "a|b= 1;"},
      {"colon in label name", "a{b:c=\"d\"} 1\n", no, no, bad_line},
      {"digit starts label name", "a{1b=\"d\"} 1\n", no, no, bad_line},
      {"dot in name", "a.b 1\n", no, no, bad_line},
      {"a value that cannot merge with the name", "a+1\nb-1\nc.5\n", "a 1;b -1;c 0.5;", "a 1;b -1;c 0.5;", "a 1;b -1;c 0.5;"},
      {"dash in name", "a-b 1\n", no, no, bad_line},
      {"single quotes", "a{b='c'} 1\n", no, no, bad_line},
      {"milliseconds", "a 1 1395066363000\n", "a 1 @1395066363000;", "a 1 @1395066363000;", "a 1 @1395066363000;"},
      {"negative timestamp", "a 1 -3982045\n", "a 1 @-3982045;", "a 1 @-3982045;", "a 1 @-3982045;"},
      {"float timestamp", "a 1 1.5\n", no, no, bad_line},
      {"timestamp beyond int64", "a 1 9223372036854775808\n", no, no, bad_line},
      {"timestamp beyond int64 below zero", "a 1 -9223372036854775809\n", no, no, bad_line},
      {"text behind a timestamp beyond int64", "a 1 9223372036854775808x\n", no, no, bad_line},
      {"plus timestamp", "a 1 +5\n", "a 1 @5;", no, "a 1 @5;"},
      {"plus without a number", "a 1 +\n", no, no, bad_line},
      {"plus before no number", "a 1 +x\n", no, no, bad_line},
      {"extra token", "a 1 2 3\n", no, no, bad_line},
      {"special values", "a NaN\nb +Inf\nc -inf\nd INFINITY\n", "a nan;b inf;c -inf;d inf;", "a nan;b inf;c -inf;d inf;", "a nan;b inf;c -inf;d inf;"},
      {"special values in any case", "a nan\nb NAN\nc iNf\n", "a nan;b nan;c inf;", "a nan;b nan;c inf;", "a nan;b nan;c inf;"},
      {"signed NaN", "a +NaN\n", no, no, bad_line},
      {"hexadecimal", "a 0x1p-3\n", no, no, bad_line},
      {"underscore", "a 1_000\n", no, no, bad_line},
      {"odd decimals", "a +1\nb .5\nc 5.\nd 00012\n", "a 1;b 0.5;c 5;d 12;", "a 1;b 0.5;c 5;d 12;", "a 1;b 0.5;c 5;d 12;"},
      {"overflow", "a 1e400\n", no, no, bad_line},
      {"overflow by digits", "a 1" + std::string(400, '0') + "\n", no, no, bad_line},
      {"overflow by digits and an exponent", "a 1" + std::string(200, '0') + "E+200\n", no, no, bad_line},
      {"underflow", "a 1e-400\n", "a 0;", "a 0;", "a 0;"},
      {"underflow by digits", "a 0." + std::string(400, '0') + "1\n", "a 0;", "a 0;", "a 0;"},
      {"underflow below zero", "a -0." + std::string(200, '0') + "1E-200\n", "a -0;", "a -0;", "a -0;"},
      {"exemplar", "a_total 1 # {t=\"x\"} 0.5\n", no, no, bad_line},
      {"text behind", "a 1 # hello\n", no, no, bad_line},
      {"no line feed at the end", "a 1", no, "a 1;", "a 1;"},
      {"blank lines", "\n\na 1\n \t\n", "a 1;", "a 1;", "a 1;"},
      {"empty page", "", "", "", ""},
      {"comments", "#foo\n# bar\n#\na 1\n", "a 1;", "a 1;", "a 1;"},
      {"metadata", "# HELP a x\\\\y\\nz\n# TYPE a gauge\na 1\n", "HELP a x\\y\nz;TYPE a gauge;a 1;", "HELP a x\\y\nz;TYPE a gauge;a 1;", "HELP a x\\y\nz;TYPE a gauge;a 1;"},
      {"help keeps its quotes", "# HELP a \\\"q\\\"\n", "HELP a \\\"q\\\";", "HELP a \\\"q\\\";", "HELP a \\\"q\\\";"},
      {"help without text", "# HELP a\n", "HELP a ;", "HELP a ;", "HELP a ;"},
      {"HELP without a name", "# HELP\na 1\n", no, "a 1;", "a 1;"},
      {"quoted name of metadata", "# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n", "HELP a.b x;TYPE a.b gauge;", "HELP a.b x;TYPE a.b gauge;", "HELP a.b x;TYPE a.b gauge;"},
      {"unterminated name of metadata", "# TYPE \"a gauge\n", no, no, bad_line},
      {"empty quoted name of metadata", "# TYPE \"\" gauge\n", no, no, bad_line},
      {"name of metadata that is no UTF-8", "# HELP \"\xFF\" x\n", no, no, bad_line},
      {"blanks around a type", "# TYPE a \tgauge \n", "TYPE a gauge;", no, "TYPE a gauge;"},
      {"unknown is untyped here", "# TYPE a unknown\na 1\n", no, no, "TYPE a unknown;a 1;"},
      {"new type in 0.0.4", "# TYPE a stateset\na 1\n", no, no, "TYPE a stateset;a 1;"},
      {"no such type", "# TYPE a Gauge\n", no, no, bad_line},
      {"byte order mark", "\xEF\xBB\xBF" "a 1\n", no, no, "a 1;"},
      {"NUL in value", "a{b=\"x\0y\"} 1\n"s, "a|b=x\0y 1;"s, "a|b=x\0y 1;"s, "a|b=x\0y 1;"s},
      {"NUL at line start", "\0a 1\nb 2\n"s, no, no, "b 2;rejected"},
      {"invalid UTF-8", "a{b=\"\xC0\xAF\"} 1\n", no, no, bad_line},
      {"surrogate", "a{b=\"\xED\xA0\x80\"} 1\n", no, no, bad_line},
      {"UTF-8", "a{b=\"\xC3\xA9\xF0\x9F\x98\x80\"} 1\n", "a|b=\xC3\xA9\xF0\x9F\x98\x80 1;", "a|b=\xC3\xA9\xF0\x9F\x98\x80 1;", "a|b=\xC3\xA9\xF0\x9F\x98\x80 1;"},
      {"quoted name", "{\"my.metric\", a=\"b\"} 1\n", "my.metric|a=b 1;", "my.metric|a=b 1;", "my.metric|a=b 1;"},
      {"quoted label", "a{\"x.y\"=\"b\"} 1\n", "a|x.y=b 1;", "a|x.y=b 1;", "a|x.y=b 1;"},
      {"quoted label that is no UTF-8", "a{\"\xFF\"=\"b\"} 1\n", no, no, bad_line},
      {"name not first", "{a=\"b\",\"m\"} 1\n", no, "m|a=b 1;", "m|a=b 1;"},
      {"two names", "a{\"b\"} 1\n", no, no, bad_line},
      {"no name", "{a=\"b\"} 1\n", no, no, bad_line},
      {"bare name in braces", "{A} 1\n", no, no, bad_line},
      {"quoted name outside", "\"my.metric\"{a=\"b\"} 1\n", no, no, bad_line},
      {"empty quoted name", "{\"\"} 1\n", no, no, bad_line},
      {"no value", "a{b=\"c\"}\n", no, no, bad_line},
      {"open braces", "a{b=\"c\" 1\n", no, no, bad_line},
      {"HTML", "<html><body>404</body></html>\n", no, no, bad_line},
  };
  for (const verdicts& row : rows) {
    EXPECT_EQ(read(row.page, classic, strict), row.strict_says) << row.name << ", strict";
    EXPECT_EQ(read(row.page, classic, prom), row.prom_says) << row.name << ", prometheus";
    EXPECT_EQ(read(row.page, classic, lenient), row.lenient_says) << row.name << ", lenient";
  }
}

TEST(text, openmetrics_edges) {
  const std::vector<verdicts> rows = {
      {"plain", "a 1\n# EOF\n", "a 1;", "a 1;", "a 1;"},
      {"EOF without line feed", "a 1\n# EOF", "a 1;", "a 1;", "a 1;"},
      {"no EOF", "a 1\n", no, no, no},
      {"behind EOF", "# EOF\na 1\n", no, no, bad_line},
      {"empty page", "", no, no, no},
      {"seconds", "a 1 1395066363.1239\n# EOF\n", "a 1 @1395066363123;", "a 1 @1395066363123;", "a 1 @1395066363123;"},
      {"negative seconds", "a 1 -0.5\n# EOF\n", "a 1 @-500;", "a 1 @-500;", "a 1 @-500;"},
      {"seconds beyond 64 bits", "a 1 9223372036854775808\n# EOF\n", "a 1 @9223372036854775807;", "a 1 @9223372036854775807;", "a 1 @9223372036854775807;"},
      {"last second within 64 bits", "a 1 9223372036854774\n# EOF\n", "a 1 @9223372036854774000;", "a 1 @9223372036854774000;", "a 1 @9223372036854774000;"},
      {"first second beyond 64 bits", "a 1 9223372036854775\n# EOF\n", "a 1 @9223372036854775807;", "a 1 @9223372036854775807;", "a 1 @9223372036854775807;"},
      {"seconds far below zero", "a 1 -1e300\n# EOF\n", "a 1 @-9223372036854775807;", "a 1 @-9223372036854775807;", "a 1 @-9223372036854775807;"},
      {"plus timestamp", "a 1 +5\n# EOF\n", "a 1 @5000;", "a 1 @5000;", "a 1 @5000;"},
      {"NaN timestamp", "a 1 NaN\n# EOF\n", no, no, bad_line},
      {"infinite timestamp", "a 1 Inf\n# EOF\n", no, no, bad_line},
      {"tab before the time", "a 1\t3\n# EOF\n", no, no, "a 1 @3000;"},
      {"tab behind TYPE", "# TYPE\ta gauge\n# EOF\n", no, no, "TYPE a gauge;"},
      {"sign behind the name", "a+1\n# EOF\n", no, no, bad_line},
      {"unit that ends no name", "# UNIT a s\n# UNIT as s\n# UNIT s s\n# UNIT a_s s\n# EOF\n", no, no, "UNIT a_s s;rejected"},
      {"exponent timestamp", "a 1 1e3\n# EOF\n", "a 1 @1000000;", "a 1 @1000000;", "a 1 @1000000;"},
      {"exponent behind a point", "a 1 1.5e3\n# EOF\n", "a 1 @1500000;", "a 1 @1500000;", "a 1 @1500000;"},
      {"exemplar", "a_total 1 # {t=\"x#y\"} 0.5 1.5\n# EOF\n", "a_total 1 #|t=x#y 0.5 @1500;", "a_total 1 #|t=x#y 0.5 @1500;", "a_total 1 #|t=x#y 0.5 @1500;"},
      {"exemplar behind timestamp", "a_total{b=\"{}\"} 1 2 # {} 3\n# EOF\n", "a_total|b={} 1 @2000 # 3;", "a_total|b={} 1 @2000 # 3;", "a_total|b={} 1 @2000 # 3;"},
      {"broken exemplar", "a_total 1 # {t=\"x\"\n# EOF\n", no, no, bad_line},
      {"nothing for an exemplar", "a_total 1 # \n# EOF\n", no, no, bad_line},
      {"exemplar without labels", "a_total 1 # 1\n# EOF\n", no, no, bad_line},
      {"exemplar without a value", "a_total 1 # {}\n# EOF\n", no, no, bad_line},
      {"no blank behind the labels of an exemplar", "a_total 1 # {}1\n# EOF\n", no, no, bad_line},
      {"value of an exemplar", "a_total 1 # {} x\n# EOF\n", no, no, bad_line},
      {"time of an exemplar", "a_total 1 # {} 1 x\n# EOF\n", no, no, bad_line},
      {"metric name in an exemplar", "a_total 1 # {\"x\"} 1\n# EOF\n", no, no, bad_line},
      {"blank before EOF", "a 1\n # EOF\n", no, no, "a 1;"},
      {"blank before TYPE", " # TYPE a gauge\n# EOF\n", no, no, bad_line},
      {"blank line", "a 1\n\n# EOF\n", no, no, "a 1;"},
      {"two blanks", "a  1\n# EOF\n", no, no, bad_line},
      {"blank before brace", "a {b=\"c\"} 1\n# EOF\n", no, no, bad_line},
      {"trailing comma", "a{b=\"c\",} 1\n# EOF\n", no, "a|b=c 1;", "a|b=c 1;"},
      {"comment", "# hello\n# EOF\n", no, no, bad_line},
      {"untyped", "# TYPE a untyped\n# EOF\n", no, no, "TYPE a untyped;"},
      {"metadata", "# TYPE a info\n# UNIT a_seconds seconds\n# HELP a \\\"q\\\"\n# EOF\n", "TYPE a info;UNIT a_seconds seconds;HELP a \"q\";", "TYPE a info;UNIT a_seconds seconds;HELP a \"q\";", "TYPE a info;UNIT a_seconds seconds;HELP a \"q\";"},
  };
  for (const verdicts& row : rows) {
    EXPECT_EQ(read(row.page, om, strict), row.strict_says) << row.name << ", strict";
    EXPECT_EQ(read(row.page, om, prom), row.prom_says) << row.name << ", prometheus";
    EXPECT_EQ(read(row.page, om, lenient), row.lenient_says) << row.name << ", lenient";
  }
}

TEST(text, an_error_says_where) {
  const std::string page = "a 1\nb{c=\"d\" 2\n";
  const parse_result result = parse(page, detail::no_sink{}, {classic, strict});
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, parse_errc::missing_comma);
  EXPECT_EQ(result.error->line, "b{c=\"d\" 2");
  const position at = locate(page, result.error->offset);
  EXPECT_EQ(at.line, 2u);
  EXPECT_EQ(at.column, 9u);
  for (std::size_t code = 0; code < parse_errc_count; ++code) {
    EXPECT_FALSE(what(static_cast<parse_errc>(code)).empty());
    EXPECT_FALSE(advice(static_cast<parse_errc>(code)).empty());
  }
  const auto unknown = static_cast<parse_errc>(parse_errc_count);
  EXPECT_EQ(what(unknown), "not readable");
  EXPECT_EQ(advice(unknown), advice(parse_errc::missing_value));
  EXPECT_EQ(to_string(static_cast<metric_type>(99)), "unknown");
}

TEST(text, numbers_are_exact) {
  std::mt19937_64 random(1);
  const auto check = [](const std::string& text) {
    double ours = 0;
    ASSERT_EQ(detail::parse_value(text, ours), detail::number_fault::none) << text;
    const double theirs = std::strtod(text.c_str(), nullptr);
    ASSERT_EQ(std::memcmp(&ours, &theirs, sizeof ours), 0) << text;
  };
  char text[64];
  for (int i = 0; i < 50'000; ++i) {
    double any;
    const std::uint64_t bits = random();
    std::memcpy(&any, &bits, sizeof any);
    if (!std::isfinite(any)) continue;
    std::snprintf(text, sizeof text, "%.*g", static_cast<int>(random() % 20) + 1, any);
    if (std::isinf(std::strtod(text, nullptr))) continue;
    check(text);
    std::snprintf(text, sizeof text, "%.*f", static_cast<int>(random() % 9), static_cast<double>(random() % 100'000'000) / 1e4);
    check(text);
    std::snprintf(text, sizeof text, "%llu", static_cast<unsigned long long>(random() >> (random() % 64)));
    check(text);
  }
  for (const char* each : {"9007199254740993", "1.7976931348623157e308", "4.9e-324", "2.2250738585072011e-308",
                           "12345678901234567890123456789E-3", "1e22", "1e23", "123456789012345e-22", "0.1", "-0", "1.097728e+06"})
    check(each);
}

TEST(text, every_cut_of_a_page_is_read_within_its_bounds) {
  const std::string page = "# HELP a h\n# TYPE a counter\na{b=\"c\\\\\",d=\"\xC3\xA9\"} 1.5 1700000000000\n{\"q.r\"} 2\n";
  for (std::size_t cut = 0; cut <= page.size(); ++cut)
    for (const dialect syntax : {classic, om})
      for (const policy rules : {strict, prom, lenient}) {
        const tests::exact_copy copy(std::string_view(page).substr(0, cut));
        recorder sink;
        const parse_result result = parse(copy.view(), sink, {syntax, rules});
        EXPECT_LE(result.samples, 2u);
      }
}

TEST(text, lines_longer_than_the_window_are_read) {
  for (const std::size_t length : {32u * 1024u - 10, 32u * 1024u, 100u * 1024u, 3u * 1024u * 1024u}) {
    const std::string page = "x 1\na{b=\"" + std::string(length, 'v') + "\",c=\"d\"} 2\nz 3\n";
    recorder sink;
    const parse_result result = parse(page, sink, {classic, strict});
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.samples, 3u);
    EXPECT_EQ(sink.said.size(), length + sizeof "x 1;a|b=|c=d 2;z 3;" - 1);
  }
}

TEST(text, a_sample_may_have_more_labels_than_are_compared) {
  std::string labels;
  for (int i = 0; i < 100; ++i) labels += "l" + std::to_string(i) + "=\"v\",";
  const std::string quickly_read(100, '#');  // behind it
  for (const std::string& behind : {std::string(), quickly_read}) {
    std::size_t count = 0;
    struct counter {
      std::size_t& count;
      void on_sample(const sample_view& sample) { count = static_cast<std::size_t>(std::distance(sample.labels().begin(), sample.labels().end())); }
    } sink{count};
    EXPECT_FALSE(parse("a{" + labels + "} 1\n" + behind + "\n", sink, {classic, strict}).error);
    EXPECT_EQ(count, 100u);
    const parse_result twice = parse("a{" + labels + "l0=\"v\"} 1\n" + behind + "\n", sink, {classic, strict});
    ASSERT_TRUE(twice.error);
    EXPECT_EQ(twice.error->code, parse_errc::duplicate_label);
  }
}

TEST(text, labels_of_bytes_that_nobody_checked_end_within_them) {
  const std::string whole = " { a = \"b\" , \"c\\\"d\" = \"e\" , \"f\" , g=\"h\" } ";
  for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
    const tests::exact_copy block(std::string_view(whole).substr(0, cut));
    std::string said;
    for (const label_view& label : labels_view(block.view())) said += std::string(label.name()) + "=" + label.decoded() + ";";
    EXPECT_TRUE(std::string_view("a=b;c\\\"d=e;g=h;").starts_with(said)) << cut << ": " << said;
    EXPECT_EQ(labels_view(block.view()).empty(), said.empty());
  }
  for (const char* odd : {"", "}", "=", "{=}", "{a b=\"c\"", "{a=b}", "{a", "{a ", "{\"", "{\"a\"", "{a=", "{a= ", ",,,", "a=\"b"}) {
    const tests::exact_copy block{std::string_view(odd)};
    EXPECT_LE(std::distance(labels_view(block.view()).begin(), labels_view(block.view()).end()), 1) << odd;
  }
}

TEST(text, labels_are_a_forward_range) {
  struct remembering {
    std::string said;
    void on_sample(const sample_view& sample) {
      auto at = sample.labels().begin();
      const auto first = at++;
      said += std::string(first->name()) + std::string(at->name()) + (sample_view(sample).labels().empty() ? "" : "!");
      EXPECT_EQ(++at, sample.labels().end());
    }
  } sink;
  EXPECT_EQ(parse("a{b=\"1\",c=\"2\"} 1\n", sink).samples, 1u);
  EXPECT_EQ(sink.said, "bc!");
}

TEST(text, many_comments_need_no_stack) {
  std::string page;
  for (int i = 0; i < 2'000'000; ++i) page += "#\n";
  page += "a 1\n";
  EXPECT_EQ(parse(page, detail::no_sink{}).samples, 1u);
}

TEST(text, a_sink_skips_what_it_does_not_want) {
  struct wanting {
    std::vector<std::string> names;
    bool wants(std::string_view name) { return name == "b" || name == "q.r"; }
    void on_sample(const sample_view& sample) { names.emplace_back(sample.name()); }
  } sink;
  const std::string page = "a{x=\"unterminated 1\nb 2\n{\"q.r\"} 3\n{\"other\"} 4\n";
  const parse_result result = parse(page, sink, {classic, strict});
  EXPECT_FALSE(result.error);
  EXPECT_EQ(sink.names, (std::vector<std::string>{"b", "q.r"}));
  EXPECT_EQ(result.skipped, 2u);
}

TEST(text, the_range_gives_the_same_samples) {
  const std::string page = "a 1\nb{c=\"d\"} 2\nbad\ne 3\n";
  double sum = 0;
  samples all(page);
  for (const sample_view& sample : all) sum += sample.value();
  EXPECT_EQ(sum, 6);
  EXPECT_EQ(all.result().rejected, 1u);
  samples again(page);
  auto at = again.begin();
  EXPECT_EQ(at->name(), "a");
  at++;
  EXPECT_EQ(at->name(), "b");
}

TEST(text, content_types) {
  EXPECT_EQ(dialect_of_content_type("text/plain; version=0.0.4; charset=utf-8; escaping=values"), classic);
  EXPECT_EQ(dialect_of_content_type("application/openmetrics-text;version=1.0.0"), om);
  EXPECT_EQ(dialect_of_content_type(" \tTEXT/Plain \t; charset=utf-8"), classic);
  EXPECT_EQ(dialect_of_content_type("application/openmetrics-text\r"), om);
  EXPECT_EQ(dialect_of_content_type(""), classic);
  EXPECT_EQ(dialect_of_content_type("text/html"), std::nullopt);
  EXPECT_EQ(detect_dialect("a 1\n# EOF\n"), om);
  EXPECT_EQ(detect_dialect("a 1\r\n# EOF\r\n\n"), om);
  EXPECT_EQ(detect_dialect("a 1\n"), classic);
  EXPECT_EQ(detect_dialect("\n\r\n"), classic);
}

TEST(text, good_openmetrics_pages_are_accepted) {
  const std::filesystem::path data = tests::shared_data();
  if (data.empty()) GTEST_SKIP() << "the conformance cases are not beside this checkout: set COMPUTELOCATOR_SHARED";
  int good = 0;
  for (const auto& file : std::filesystem::directory_iterator(data / "openmetrics-1.0")) {
    if (!file.path().filename().string().starts_with("good.")) continue;
    ++good;
    const std::string page = tests::read_file(file.path());
    for (const policy rules : {strict, prom}) {
      const parse_result result = parse(page, detail::no_sink{}, {om, rules});
      EXPECT_FALSE(result.error) << file.path().filename() << ": " << (result.error ? what(result.error->code) : "");
    }
  }
  EXPECT_EQ(good, 44);
}

}  // namespace
