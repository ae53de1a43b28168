// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include <computelocator/columns.hpp>
#include <computelocator/openmetrics.hpp>

namespace {

namespace cl = computelocator;

void must(bool holds) {
  if (!holds) std::abort();
}

struct watcher {
  std::string_view page;
  std::size_t samples = 0;

  void inside(std::string_view part) const {
    must(part.empty() || (part.data() >= page.data() && part.data() + part.size() <= page.data() + page.size()));
  }
  void on_sample(const cl::sample_view& of) {
    ++samples;
    inside(of.name());
    inside(of.line());
    for (const cl::label_view& label : of.labels()) {
      inside(label.name());
      inside(label.raw_value());
      must(label.decoded().size() <= label.raw_value().size());
    }
    if (of.exemplar())
      for (const cl::label_view& label : of.exemplar()->labels()) inside(label.raw_value());
  }
  void on_metadata(const cl::metadata_view& of) { must(of.decoded().size() <= of.text.size()); }
};

void read(std::string_view page, cl::parse_options options) {
  watcher sink{page};
  cl::validating checked(sink);  // as read_columns does where the page is held to the rules
  const bool rules = options.syntax == cl::dialect::openmetrics && options.rules == cl::policy::strict;
  const cl::parse_result read = rules ? cl::parse(page, checked, options) : cl::parse(page, sink, options);
  must(read.samples == sink.samples);
  if (read.error) {
    must(read.error->offset <= page.size());
    must(cl::locate(page, read.error->offset).line >= 1 && !cl::what(read.error->code).empty());
  }
  // The second page of a target has the same rows by way of the cache.
  cl::label_cache cache;
  cl::column_options columns;
  columns.grammar = options;
  const cl::batch cold = cl::read_columns(page, cache, columns).columns;
  const cl::batch warm = cl::read_columns(page, cache, columns).columns;
  must(cold.rows() == sink.samples && warm.label_set_id == cold.label_set_id && warm.rejects.size() == cold.rejects.size());
  must(std::memcmp(warm.value.data(), cold.value.data(), cold.rows() * sizeof(double)) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Of exactly its size, so that the address sanitizer sees a byte too many.
  const std::unique_ptr<char[]> copy(new char[size]);
  if (size != 0) std::memcpy(copy.get(), data, size);
  for (const auto syntax : {cl::dialect::prometheus, cl::dialect::openmetrics})
    for (const auto rules : {cl::policy::strict, cl::policy::prometheus, cl::policy::lenient})
      read({copy.get(), size}, {syntax, rules});
  return 0;
}
