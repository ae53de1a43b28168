// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Says what text.hpp makes of pages, for comparison with the Go program of textparse/. Reads frames
// "DIALECT POLICY LENGTH\n" and so many bytes; answers each with one JSON line
// {"error": text or null, "rejected": n, "samples": [[labels, bits, timestamp, exemplar], ...]}, where
// labels are [name, value] pairs in hexadecimal, decoded, the metric's name as __name__ first.

#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

#include <computelocator/text.hpp>

namespace {

using namespace computelocator;

std::string hex(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string made;
  for (const char c : text) {
    made += digits[static_cast<unsigned char>(c) >> 4];
    made += digits[static_cast<unsigned char>(c) & 15];
  }
  return made;
}

std::string bits(double value) {
  unsigned long long raw = 0;
  std::memcpy(&raw, &value, sizeof value);
  char text[24];
  std::snprintf(text, sizeof text, "\"%llx\"", raw);
  return text;
}

std::string time(const std::optional<std::int64_t>& at) { return at ? std::to_string(*at) : "null"; }

std::string quoted(std::string_view text) {
  std::string made = "\"";
  for (const char c : text) made += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
  return made + '"';
}

std::string decoded(std::string_view raw) { return label_view({}, raw).decoded(); }

void add(std::string& to, const labels_view& labels, bool first) {
  for (const label_view& label : labels) {
    to += first ? "" : ",";
    to += "[\"" + hex(decoded(label.name())) + "\",\"" + hex(label.decoded()) + "\"]";
    first = false;
  }
}

struct writer {
  std::string out;
  void on_sample(const sample_view& of) {
    out += out.empty() ? "[[" : ",[[";
    out += "[\"" + hex("__name__") + "\",\"" + hex(decoded(of.name())) + "\"]";
    add(out, of.labels(), false);
    out += "]," + bits(of.value()) + "," + time(of.timestamp_ms()) + ",";
    if (of.exemplar()) {
      out += "[[";
      add(out, of.exemplar()->labels(), true);
      out += "]," + bits(of.exemplar()->value) + "," + time(of.exemplar()->timestamp_ms) + "]";
    } else {
      out += "null";
    }
    out += "]";
  }
};

}  // namespace

int main() {
  std::string syntax, rules;
  std::size_t length = 0;
  while (std::cin >> syntax >> rules >> length) {
    std::cin.get();
    std::string page(length, '\0');
    std::cin.read(page.data(), static_cast<std::streamsize>(length));
    writer sink;
    const parse_result read = parse(
        page, sink,
        {syntax == "openmetrics" ? dialect::openmetrics : dialect::prometheus,
         rules == "strict" ? policy::strict : rules == "prometheus" ? policy::prometheus : policy::lenient});
    std::cout << "{\"error\":" << (read.error ? quoted(what(read.error->code)) : "null")
              << ",\"rejected\":" << read.rejected << ",\"samples\":[" << sink.out << "]}\n";
  }
}
