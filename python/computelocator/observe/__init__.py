# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The collector: sweeps over a cluster at an interval, keeps a history, serves both.

Needs the extra ``serve``.
"""
