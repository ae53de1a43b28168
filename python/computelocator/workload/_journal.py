# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The journal: the newest executed requests, each with its start and end."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple


class Execution(NamedTuple):
    """One executed request. Times are nanoseconds since 1970, of this machine's clock."""

    number: int  # counts from 1 since the start of the process
    function: str
    endpoint: str
    input: int
    start: int
    end: int
    status: int


class Journal:
    """Keeps the newest executions; the oldest give way."""

    def __init__(self, most: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Execution] = deque(maxlen=most)
        self._written = 0

    def write(
        self, function: str, endpoint: str, input: int, start: int, end: int, status: int
    ) -> Execution:
        """Add one."""
        with self._lock:
            self._written += 1
            made = Execution(self._written, function, endpoint, input, start, end, status)
            self._kept.append(made)
            return made

    def read(self, since: int, until: int, limit: int) -> tuple[list[Execution], bool]:
        """Give those that ended between two times, the newest `limit` of them, oldest first.

        Returns
        -------
        list of Execution, bool
            True where older ones were left out, by `limit` or because they are gone.
        """
        with self._lock:
            kept = list(self._kept)
            gone = self._written > len(kept)
        found = [each for each in kept if since <= each.end <= until]
        lost = gone and bool(kept) and since < kept[0].end
        return found[-limit:], lost or len(found) > limit
