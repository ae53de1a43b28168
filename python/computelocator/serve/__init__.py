# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What the three services share: a guarded HTTP server, formats, pages and figures of their own.

It knows neither the kubelet nor Kubernetes. Needs the extra ``serve``.
"""
