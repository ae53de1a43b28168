# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Figures of a service about itself, in the Prometheus text format."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

TEXT = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """Name, help and type of a metric."""

    name: str
    help: str
    type: str


def escaped(text: str) -> str:
    """Write a label's value."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Figures:
    """Counters and gauges, changed by any thread and read as one page.

    The number of rows is bounded: what would be beyond goes to the row whose labels are "other".
    """

    def __init__(self, most_rows: int = 1000) -> None:
        self._lock = threading.Lock()
        self._families: dict[str, Family] = {}
        self._rows: dict[str, dict[Labels, float]] = {}
        self._asked: dict[str, Callable[[], float]] = {}
        self._joined: list[Callable[[], str]] = []
        self._most = most_rows
        self._count = 0
        self.gauge(
            "process_cpu_seconds_total", "CPU time of this process", time.process_time, "counter"
        )

    def declare(self, name: str, help: str, type: str = "counter") -> None:
        """Name a metric that `add` or `put` will change."""
        self._families[name] = Family(name, help, type)
        self._rows.setdefault(name, {})

    def gauge(self, name: str, help: str, ask: Callable[[], float], type: str = "gauge") -> None:
        """Name a metric whose value is asked for when the page is read."""
        self._families[name] = Family(name, help, type)
        self._asked[name] = ask

    def join(self, page: Callable[[], str]) -> None:
        """Put a page that somebody else writes behind ours; of other metrics than ours."""
        self._joined.append(page)

    def add(self, name: str, by: float = 1, **labels: str) -> None:
        """Let a counter grow."""
        with self._lock:
            key = self._key(name, labels)
            self._rows[name][key] = self._rows[name].get(key, 0) + by

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._rows[name][self._key(name, labels)] = value

    def _key(self, name: str, labels: dict[str, str]) -> Labels:
        key = tuple(sorted(labels.items()))
        if key not in self._rows[name]:
            if self._count >= self._most:
                key = tuple((label, "other") for label, _ in key)
            self._count += 1
        return key

    def text(self) -> bytes:
        """Write all of it."""
        lines = []
        with self._lock:
            for name, family in self._families.items():
                lines.append(f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n")
                rows = {(): self._asked[name]()} if name in self._asked else self._rows[name]
                for key, value in rows.items():
                    inner = ",".join(f'{label}="{escaped(text)}"' for label, text in key)
                    lines.append(
                        f"{name}{{{inner}}} {value!r}\n" if inner else f"{name} {value!r}\n"
                    )
        return "".join([*lines, *(page() for page in self._joined)]).encode()


def page(figures: Figures) -> Any:
    """Make the ASGI application of /metrics alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        known = scope["path"] == "/metrics"
        body = figures.text() if known else b"there is /metrics\n"
        headers = [(b"content-type", TEXT.encode()), (b"content-length", str(len(body)).encode())]
        start = {"type": "http.response.start", "status": 200 if known else 404, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app
