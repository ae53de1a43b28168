// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/discover_exec.ipp>
#include <computelocator/impl/discover_exporters.ipp>
#include <computelocator/impl/discover_file_sd.ipp>
#include <computelocator/impl/discover_kubeconfig.ipp>
#include <computelocator/impl/discover_lists.ipp>
#include <computelocator/impl/discover_targets.ipp>
#include <computelocator/impl/discover_values.ipp>
#include <computelocator/impl/discover_watch.ipp>
