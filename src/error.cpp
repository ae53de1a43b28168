// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/error.ipp>
#include <computelocator/impl/outcome.ipp>
#include <computelocator/impl/target.ipp>
#include <computelocator/impl/token.ipp>
