// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/collect_page.ipp>
#include <computelocator/impl/collect_summary.ipp>
#include <computelocator/impl/collect_sweep.ipp>
#include <computelocator/impl/collect_tables.ipp>
#include <computelocator/impl/collect_watch.ipp>
#include <computelocator/impl/collect_watcher.ipp>
