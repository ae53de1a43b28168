# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The test API: functions whose cost is to be observed, and a journal of their executions.

Needs the extra ``serve``.
"""
