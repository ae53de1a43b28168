// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <computelocator/arrow.hpp>

namespace computelocator {

namespace detail::arrow_ {

/// What an exported schema owns. Children live in vectors here and are released with it unless a
/// consumer moved them out, which it says by setting their release to null.
struct schema_owner {
  std::string format, name, metadata;
  std::vector<ArrowSchema> nodes;
  std::vector<ArrowSchema*> children;
  ArrowSchema dictionary{};
};

struct array_owner {
  std::shared_ptr<const table> kept;
  std::vector<const void*> buffers;
  std::vector<std::uint8_t> validity, bits;
  std::vector<std::int32_t> offsets;
  std::vector<std::int64_t> large_offsets;
  std::string text;
  std::vector<ArrowArray> nodes;
  std::vector<ArrowArray*> children;
  ArrowArray dictionary{};
};

template <class Node, class Owner>
void release(Node* node) noexcept {
  auto* const owner = static_cast<Owner*>(node->private_data);
  for (Node* child : owner->children)
    if (child->release != nullptr) child->release(child);
  if (node->dictionary != nullptr && node->dictionary->release != nullptr)
    node->dictionary->release(node->dictionary);
  node->release = nullptr;
  delete owner;
}

/// Arrow's own encoding: int32 count, then int32-counted key and value, native byte order.
inline std::string encode(const metadata& pairs) {
  if (pairs.empty()) return {};
  std::string out;
  const auto number = [&](std::size_t n) {
    const auto counted = static_cast<std::int32_t>(n);
    out.append(reinterpret_cast<const char*>(&counted), sizeof counted);
  };
  number(pairs.size());
  for (const auto& [key, value] : pairs) {
    number(key.size());
    out += key;
    number(value.size());
    out += value;
  }
  return out;
}

inline std::size_t text_bytes(const std::vector<std::string>& all) noexcept {
  std::size_t total = 0;
  for (const std::string& each : all) total += each.size();
  return total;
}

inline const char* text_format(const std::vector<std::string>& all) noexcept {
  return text_bytes(all) > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) ? "U" : "u";
}

inline const char* format_of(const column& of) noexcept {
  switch (of.type) {
    case column_type::float64: return "g";
    case column_type::int64: return "l";
    case column_type::timestamp_ms: return "tsm:UTC";
    case column_type::timestamp_ns: return "tsn:UTC";
    case column_type::duration_ns: return "tDn";
    case column_type::boolean: return "b";
    case column_type::category: return "i";
    case column_type::text: return text_format(*of.text);
  }
  return "n";
}

inline void fill_schema(ArrowSchema* to, std::unique_ptr<schema_owner> owner, std::int64_t flags) {
  *to = ArrowSchema{};
  to->format = owner->format.c_str();
  to->name = owner->name.c_str();
  to->metadata = owner->metadata.empty() ? nullptr : owner->metadata.data();
  to->flags = flags;
  for (ArrowSchema& node : owner->nodes) owner->children.push_back(&node);
  to->n_children = static_cast<std::int64_t>(owner->children.size());
  to->children = owner->children.data();
  to->dictionary = owner->dictionary.release != nullptr ? &owner->dictionary : nullptr;
  to->release = release<ArrowSchema, schema_owner>;
  to->private_data = owner.release();
}

inline void export_column(const column& from, ArrowSchema* to) {
  auto owner = std::make_unique<schema_owner>();
  owner->format = format_of(from);
  owner->name = from.name;
  owner->metadata = encode(from.meta);
  if (from.type == column_type::category) {
    auto values = std::make_unique<schema_owner>();
    values->format = text_format(*from.dictionary);
    fill_schema(&owner->dictionary, std::move(values), 0);
  }
  fill_schema(to, std::move(owner), ARROW_FLAG_NULLABLE);
}

inline void pack(const std::vector<std::uint8_t>& flags, std::vector<std::uint8_t>& bits) {
  bits.assign((flags.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < flags.size(); ++i)
    bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (flags[i] != 0) << (i % 8));
}

inline void fill_array(ArrowArray* to, std::unique_ptr<array_owner> owner, std::size_t length,
                       std::int64_t nulls) {
  *to = ArrowArray{};
  to->length = static_cast<std::int64_t>(length);
  to->null_count = nulls;
  to->n_buffers = static_cast<std::int64_t>(owner->buffers.size());
  to->buffers = owner->buffers.data();
  for (ArrowArray& node : owner->nodes) owner->children.push_back(&node);
  to->n_children = static_cast<std::int64_t>(owner->children.size());
  to->children = owner->children.data();
  to->dictionary = owner->dictionary.release != nullptr ? &owner->dictionary : nullptr;
  to->release = release<ArrowArray, array_owner>;
  to->private_data = owner.release();
}

inline void add_text(array_owner& owner, const std::vector<std::string>& all) {
  const std::size_t total = text_bytes(all);
  owner.text.reserve(total + 1);
  const bool large = total > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (large) owner.large_offsets.push_back(0);
  else owner.offsets.push_back(0);
  for (const std::string& each : all) {
    owner.text += each;
    if (large) owner.large_offsets.push_back(static_cast<std::int64_t>(owner.text.size()));
    else owner.offsets.push_back(static_cast<std::int32_t>(owner.text.size()));
  }
  owner.buffers.push_back(large ? static_cast<const void*>(owner.large_offsets.data()) : owner.offsets.data());
  owner.buffers.push_back(owner.text.data());
}

inline void export_column(std::shared_ptr<const table> kept, const column& from, ArrowArray* to) {
  auto owner = std::make_unique<array_owner>();
  const std::size_t rows = kept->rows;
  owner->kept = std::move(kept);
  std::int64_t nulls = 0;
  if (from.type == column_type::category) {
    std::vector<std::uint8_t> present(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      present[i] = (*from.codes)[i] >= 0;
      nulls += present[i] == 0;
    }
    if (nulls != 0) pack(present, owner->validity);
  } else if (from.valid) {
    for (const std::uint8_t there : *from.valid) nulls += there == 0;
    if (nulls != 0) pack(*from.valid, owner->validity);
  }
  owner->buffers.push_back(nulls != 0 ? owner->validity.data() : nullptr);
  switch (from.type) {
    case column_type::float64: owner->buffers.push_back(from.float64->data()); break;
    case column_type::int64:
    case column_type::timestamp_ms:
    case column_type::timestamp_ns:
    case column_type::duration_ns: owner->buffers.push_back(from.int64->data()); break;
    case column_type::boolean:
      pack(*from.boolean, owner->bits);
      owner->buffers.push_back(owner->bits.data());
      break;
    case column_type::category: {
      owner->buffers.push_back(from.codes->data());
      auto values = std::make_unique<array_owner>();
      values->buffers.push_back(nullptr);
      add_text(*values, *from.dictionary);
      fill_array(&owner->dictionary, std::move(values), from.dictionary->size(), 0);
      break;
    }
    case column_type::text: add_text(*owner, *from.text); break;
  }
  fill_array(to, std::move(owner), rows, nulls);
}

struct stream_owner {
  std::shared_ptr<const table> left;  // null once it was handed over
  std::shared_ptr<const table> all;
  std::string fault;
};

template <class Work>
int guarded(ArrowArrayStream* stream, Work&& work) noexcept {
  auto* const owner = static_cast<stream_owner*>(stream->private_data);
  try {
    work(*owner);
    return 0;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (const std::exception& fault) {
    try {
      owner->fault = fault.what();
    } catch (...) {
    }
    return EIO;
  }
}

}  // namespace detail::arrow_

void export_schema(const table& from, ArrowSchema* to) {
  using namespace detail::arrow_;
  auto owner = std::make_unique<schema_owner>();
  owner->format = "+s";
  owner->metadata = encode(from.meta);
  owner->nodes.resize(from.columns.size());
  std::size_t made = 0;
  try {
    for (; made < from.columns.size(); ++made) export_column(from.columns[made], &owner->nodes[made]);
  } catch (...) {
    while (made-- > 0) owner->nodes[made].release(&owner->nodes[made]);
    throw;
  }
  fill_schema(to, std::move(owner), 0);
}

void export_array(std::shared_ptr<const table> from, ArrowArray* to) {
  using namespace detail::arrow_;
  auto owner = std::make_unique<array_owner>();
  owner->buffers.push_back(nullptr);
  owner->nodes.resize(from->columns.size());
  std::size_t made = 0;
  try {
    for (; made < from->columns.size(); ++made)
      export_column(from, from->columns[made], &owner->nodes[made]);
  } catch (...) {
    while (made-- > 0) owner->nodes[made].release(&owner->nodes[made]);
    throw;
  }
  const std::size_t rows = from->rows;
  owner->kept = std::move(from);
  fill_array(to, std::move(owner), rows, 0);
}

void export_stream(std::shared_ptr<const table> from, ArrowArrayStream* to) {
  using detail::arrow_::guarded;
  using detail::arrow_::stream_owner;
  auto owner = std::make_unique<stream_owner>();
  owner->left = from;
  owner->all = std::move(from);
  *to = ArrowArrayStream{};
  to->get_schema = [](ArrowArrayStream* stream, ArrowSchema* out) {
    return guarded(stream, [&](stream_owner& mine) { export_schema(*mine.all, out); });
  };
  to->get_next = [](ArrowArrayStream* stream, ArrowArray* out) {
    return guarded(stream, [&](stream_owner& mine) {
      if (mine.left) export_array(mine.left, out);
      else *out = ArrowArray{};
      mine.left.reset();
    });
  };
  to->get_last_error = [](ArrowArrayStream* stream) -> const char* {
    const auto* const mine = static_cast<stream_owner*>(stream->private_data);
    return mine->fault.empty() ? nullptr : mine->fault.c_str();
  };
  to->release = [](ArrowArrayStream* stream) {
    delete static_cast<stream_owner*>(stream->private_data);
    stream->release = nullptr;
  };
  to->private_data = owner.release();
}

}  // namespace computelocator
