# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Answers that were written a moment ago, within a bound: many readers ask for the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Encoded:
    """Bytes by what they were made from; the longest unused give way."""

    def __init__(self, most_bytes: int = 32 << 20) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()
        self._held = 0

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """Give what `make` gives for a key, or gave."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            if key not in self._kept and len(made) <= self._most // 4:
                self._kept[key] = made
                self._held += len(made)
            while self._held > self._most:
                self._held -= len(self._kept.popitem(last=False)[1])
        return made
