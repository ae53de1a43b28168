# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The addresses behind a name: a headless service has one for each replica."""

from __future__ import annotations

import socket


def addresses(name: str) -> list[str]:
    """Give all addresses of a name, sorted.

    Raises
    ------
    OSError
        The name cannot be resolved.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found})
