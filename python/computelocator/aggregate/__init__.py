# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The aggregation API: joins the collectors of a cluster, and the journals of its test APIs.

Needs the extra ``serve``. It reaches no kubelet and no API server.
"""
