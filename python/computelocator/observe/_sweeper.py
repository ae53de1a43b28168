# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The loop: a sweep at each tick of the interval, into the history."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from computelocator._errors import ComputeLocatorError
from computelocator._history import History
from computelocator._snapshot import Snapshot
from computelocator._verbs import Collector
from computelocator._write import printable
from computelocator.observe._peers import Peers
from computelocator.serve._figures import Figures


@dataclass(frozen=True)
class Sweep:
    """The newest sweep that gave something."""

    snapshot: Snapshot
    number: int
    ended: float  # seconds since 1970


class Sweeper:
    """Sweeps in a thread of its own; whoever reads `latest` never waits for it.

    A sweep that fails, or whose kubelets all do, leaves the last one in place, with its age.
    """

    def __init__(
        self,
        collector: Collector,
        history: History,
        figures: Figures,
        *,
        interval: float,
        peers: Peers | None = None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._collector = collector
        self._watcher = collector.watch(interval)
        self._peers = peers
        self._after = after
        self._interval = interval
        self._warned: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sweeper", daemon=True)
        self._active = time.monotonic()
        self.history = history
        self.latest: Sweep | None = None
        self.failure = ""
        figures.join(collector.metrics)
        for name, help, ask in (
            ("last_sweep_age_seconds", "Since the newest sweep that gave something", self.age),
            ("last_sweep_seconds", "How long it took", lambda: self._of_latest("seconds")),
            ("targets", "Kubelets of its share", lambda: self._of_latest("targets")),
            ("targets_failed", "Those that gave no page", lambda: self._of_latest("failed")),
            ("history_bytes", "Memory that the history holds", lambda: history.bytes),
            ("history_bytes_limit", "Its bound", lambda: history.max_bytes),
            ("history_sweeps_total", "Sweeps that the history took", lambda: history.sweeps),
            ("history_dropped_samples_total", "Samples that gave way", lambda: history.dropped),
            ("history_seconds", "Time that the history spans", self._span),
            ("samples", "Samples of the newest sweep", self._samples),
            ("inventory_age_seconds", "Since nodes and pods were known", self._inventory_age),
            ("missed_sweeps_total", "Times left out", lambda: self._watcher.missed),
        ):
            kind = "counter" if name.endswith("_total") else "gauge"
            figures.gauge(f"computelocator_{name}", help, ask, kind)

    def _of_latest(self, what: str) -> float:
        return float(getattr(self.latest.snapshot, what)) if self.latest else 0.0

    def _inventory_age(self) -> float:
        return self.latest.snapshot.inventory_age if self.latest else -1.0

    def _samples(self) -> float:
        return float(len(self.latest.snapshot)) if self.latest else 0.0

    def _span(self) -> float:
        span = self.history.span
        return (span[1] - span[0]).total_seconds() if span else 0.0

    def age(self) -> float:
        """Seconds since the newest sweep that gave something; -1 before the first."""
        return time.time() - self.latest.ended if self.latest else -1.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, also in the middle of a sweep."""
        self._stop.set()
        self._watcher.close()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def alive(self) -> tuple[bool, str]:
        """Tell whether the loop goes on."""
        quiet = time.monotonic() - self._active
        good = self._thread.is_alive() and quiet < max(120.0, 3 * self._interval)
        return good, "ok" if good else f"no sweep has begun or ended for {quiet:.0f} s"

    def ready(self) -> tuple[bool, str]:
        """Tell whether there is something to serve."""
        if self.latest is None:
            why = self.failure or "the first is under way"
            return False, f"no sweep has given anything yet; {why}"
        return True, f"the newest sweep is {self.age():.1f} s old"

    def sweep(self) -> None:
        """Sweep once, at the next time; a failure is told and kept."""
        try:
            if self._peers is not None:
                replicas = self._peers.look()
                self._collector.share(self._peers.me, replicas)
            snapshot = self._watcher.next()
            if snapshot is None:
                return
            self._warn(snapshot.warnings)
            if self.latest and snapshot.failed == snapshot.targets > 0:
                self._tell(self._failures(snapshot))
                return
            self.history.add(snapshot)
            number = self.latest.number + 1 if self.latest else 1
            self.latest = Sweep(snapshot, number, time.time())
            self._tell("" if not snapshot.failed else self._failures(snapshot))
            try:
                self._after()
            except OSError as error:
                self._tell(f"pins cannot be kept: {error}")
        except ComputeLocatorError as error:
            self._tell(str(error))

    def _failures(self, snapshot: Snapshot) -> str:
        from computelocator._write import cells

        table = snapshot.table("outcomes")
        columns = (cells(table, name) for name in ("ok", "node", "message", "advice"))
        first = next((row for row in zip(*columns, strict=True) if not row[0]), None)
        told = f"; {first[1]}: {first[2]}; {first[3]}" if first else ""
        return f"{snapshot.failed} of {snapshot.targets} nodes failed{told}"

    def _tell(self, failure: str) -> None:
        """Say on standard error what has changed, not the same at each tick."""
        if failure != self.failure:
            print(
                f"observe: {printable(failure) or 'all is well again'}", file=sys.stderr, flush=True
            )
        self.failure = failure

    def _warn(self, warnings: list[str]) -> None:
        """Say likewise what the snapshot is to be taken with."""
        for each in warnings:
            if each not in self._warned:
                print(f"observe: warning: {printable(each)}", file=sys.stderr, flush=True)
        self._warned = warnings

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._active = time.monotonic()
            self.sweep()
