// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0

// The part that needs nothing but a compiler.

#include <computelocator/columns.hpp>

int main() {
  computelocator::label_cache cache;
  return computelocator::read_columns("a{b=\"c\"} 1\n", cache).columns.rows() == 1 ? 0 : 1;
}
