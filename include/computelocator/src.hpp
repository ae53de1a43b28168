// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The whole library in one translation unit of your own: include this in exactly one .cpp, and
// the headers that you need elsewhere. Link OpenSSL, simdjson, libyaml and ISA-L; Boost's headers
// do. Where only pages are parsed, src_columns.hpp is enough and needs nothing.

#include <computelocator/src_columns.hpp>

#include <computelocator/impl/collect_exporters.ipp>
#include <computelocator/impl/collect_page.ipp>
#include <computelocator/impl/collect_summary.ipp>
#include <computelocator/impl/collect_sweep.ipp>
#include <computelocator/impl/collect_tables.ipp>
#include <computelocator/impl/collect_watch.ipp>
#include <computelocator/impl/collect_watcher.ipp>
#include <computelocator/impl/discover_exec.ipp>
#include <computelocator/impl/discover_exporters.ipp>
#include <computelocator/impl/discover_file_sd.ipp>
#include <computelocator/impl/discover_kubeconfig.ipp>
#include <computelocator/impl/discover_lists.ipp>
#include <computelocator/impl/discover_targets.ipp>
#include <computelocator/impl/discover_values.ipp>
#include <computelocator/impl/discover_watch.ipp>
#include <computelocator/impl/error.ipp>
#include <computelocator/impl/http.ipp>
#include <computelocator/impl/inflate.ipp>
#include <computelocator/impl/outcome.ipp>
#include <computelocator/impl/process.ipp>
#include <computelocator/impl/samples_json.ipp>
#include <computelocator/impl/samples_json_summary.ipp>
#include <computelocator/impl/scrape.ipp>
#include <computelocator/impl/target.ipp>
#include <computelocator/impl/token.ipp>
