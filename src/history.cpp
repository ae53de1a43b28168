// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/history.ipp>
#include <computelocator/impl/history_tables.ipp>
#include <computelocator/impl/history_usage.ipp>
