// Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
#pragma once

// The parser, columns, tables and Arrow in one translation unit of your own: include this in
// exactly one .cpp. Needs nothing but a compiler.

#include <computelocator/impl/arrow.ipp>
#include <computelocator/impl/cadvisor_rows.ipp>
#include <computelocator/impl/cadvisor_tables.ipp>
#include <computelocator/impl/columns.ipp>
#include <computelocator/impl/history.ipp>
#include <computelocator/impl/history_tables.ipp>
#include <computelocator/impl/history_usage.ipp>
#include <computelocator/impl/samples_table.ipp>
