// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// Tables handed over by the Arrow C data interface, without linking Arrow.
// https://arrow.apache.org/docs/format/CDataInterface.html defines the three structs.

#include <cstdint>
#include <memory>

#include <computelocator/table.hpp>

extern "C" {

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
  int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
  const char* (*get_last_error)(struct ArrowArrayStream*);
  void (*release)(struct ArrowArrayStream*);
  void* private_data;
};
#endif

}  // extern "C"

namespace computelocator {

/// Writes the schema of `from`, a struct of its columns with their metadata, to `*to`, which the
/// caller releases once.
void export_schema(const table& from, ArrowSchema* to);

/// Writes the rows of `from` as one struct array to `*to`. Numbers and codes are not copied:
/// the array keeps the table alive until it is released.
void export_array(std::shared_ptr<const table> from, ArrowArray* to);

/// Writes a stream of one batch to `*to`.
void export_stream(std::shared_ptr<const table> from, ArrowArrayStream* to);

}  // namespace computelocator
