// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace computelocator {

using metadata = std::vector<std::pair<std::string, std::string>>;

enum class column_type : std::uint8_t {
  float64,       ///< double
  int64,         ///< std::int64_t
  timestamp_ms,  ///< std::int64_t, milliseconds since the epoch, UTC
  timestamp_ns,  ///< std::int64_t, nanoseconds since the epoch, UTC
  duration_ns,   ///< std::int64_t
  boolean,       ///< std::uint8_t, 0 or 1 (packed to bits on export)
  category,      ///< std::int32_t codes into `dictionary`; -1 is missing
  text           ///< std::string each
};

/// One named column. Values are shared and never change after the table is made,
/// so a view of them (NumPy, Arrow) costs no copy and keeps only its column alive.
struct column {
  std::string name;
  column_type type = column_type::float64;
  std::shared_ptr<const std::vector<double>> float64;
  std::shared_ptr<const std::vector<std::int64_t>> int64;        ///< int64, timestamps, duration_ns
  std::shared_ptr<const std::vector<std::uint8_t>> boolean;
  std::shared_ptr<const std::vector<std::int32_t>> codes;
  std::shared_ptr<const std::vector<std::string>> dictionary;    ///< distinct, UTF-8
  std::shared_ptr<const std::vector<std::string>> text;
  /// 1 where the value is there; null: it is everywhere. A missing float64 also
  /// holds NaN, a missing int64 column value 0, so a consumer that ignores this sees no garbage.
  std::shared_ptr<const std::vector<std::uint8_t>> valid;
  metadata meta;   ///< "unit", "type", "help": becomes Arrow field metadata
};

/// Columns of one length: what every room hands to the outside (Arrow, NumPy, CSV).
struct table {
  std::vector<column> columns;
  std::size_t rows = 0;
  metadata meta;

  const column* find(std::string_view name) const noexcept {
    for (const column& c : columns)
      if (c.name == name) return &c;
    return nullptr;
  }
};

}  // namespace computelocator
