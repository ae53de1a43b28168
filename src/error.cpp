// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#include <computelocator/impl/error.ipp>
#include <computelocator/impl/token.ipp>
#include <computelocator/impl/target.ipp>
