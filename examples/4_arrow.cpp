// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// Hands a table to whoever speaks the Arrow C data interface, without linking Arrow.

#include <cstdio>
#include <string>
#include <vector>

#include <computelocator/arrow.hpp>
#include <computelocator/columns.hpp>

namespace cl = computelocator;

int main() {
  const std::string page = "# TYPE up gauge\nup{job=\"a\"} 1\nup{job=\"b\"} 0\n";
  cl::label_cache cache;
  const cl::batch columns = cl::read_columns(page, cache).columns;
  cl::batch_source source;
  source.columns = &columns;
  source.node = "here";
  const auto table = std::make_shared<const cl::table>(cl::samples_table(std::vector{source}));

  ArrowArrayStream stream;  // the consumer's: its release() frees what is shared, once
  cl::export_stream(table, &stream);
  ArrowSchema schema;
  if (stream.get_schema(&stream, &schema) != 0) return 1;
  for (std::int64_t i = 0; i < schema.n_children; ++i)
    std::printf("%s: %s\n", schema.children[i]->name, schema.children[i]->format);
  schema.release(&schema);
  stream.release(&stream);
  return 0;
}
