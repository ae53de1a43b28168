// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/samples_json.ipp>
#include <computelocator/impl/samples_json_summary.ipp>
