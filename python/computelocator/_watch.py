# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Sweeps again and again, at fixed times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from computelocator import _core
from computelocator._errors import ScrapeInterrupted
from computelocator._snapshot import Snapshot
from computelocator._time import seconds_of

if TYPE_CHECKING:
    from computelocator._verbs import Collector

Interval = str | float | timedelta


class Watcher(Iterator[Snapshot]):
    """Snapshots of a cluster at fixed times: iterate over it, or call `next`.

    Made by `watch` or ``Collector.watch``; ends with its ``with`` statement, by `close`, or by
    Ctrl-C, which raises `ScrapeInterrupted`. What fails of one sweep raises for that one alone: the
    next call goes on at the next time.
    """

    def __init__(self, collector: Collector, *, interval: Interval, spread: bool | None) -> None:
        self.collector = collector
        self._core = _core.Watcher(collector._core, seconds_of("interval", interval), spread)

    @property
    def missed(self) -> int:
        """How many times passed while a sweep, or whoever took the snapshot, was busy."""
        return self._core.missed

    def next(self, *, progress: Callable[[int, int, int], object] | None = None) -> Snapshot | None:
        """Wait for the next time and sweep; None once it is closed.

        Parameters
        ----------
        progress : callable, optional
            As of ``Collector.sweep``.
        """
        core, raised = self._core.next(progress)
        snapshot = None if core is None else Snapshot(core)
        if isinstance(raised, KeyboardInterrupt):
            self.close()
            raise ScrapeInterrupted(snapshot) from None
        if raised is not None:
            raise raised
        return None if self._core.over else snapshot

    def __next__(self) -> Snapshot:
        snapshot = self.next()
        if snapshot is None:
            raise StopIteration
        return snapshot

    def close(self) -> None:
        """End it, from any thread; every socket is closed at once."""
        self._core.close()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
