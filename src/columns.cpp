// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/columns.ipp>
#include <computelocator/impl/samples_table.ipp>
