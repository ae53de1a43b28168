# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``computelocator top``: who uses CPU and memory now, from a history of the last sweeps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from computelocator._history import History
from computelocator._snapshot import Snapshot
from computelocator._write import brief, cells, printable

BY = ("container", "pod", "node", "namespace")
KEYS = {
    "container": ("namespace", "pod", "container", "node"),
    "pod": ("namespace", "pod", "node"),
    "node": ("node",),
    "namespace": ("namespace",),
}
CPU = "container_cpu_usage_seconds_total"
THROTTLED = "container_cpu_cfs_throttled_periods_total"
PERIODS = "container_cpu_cfs_periods_total"
MEMORY = "container_memory_working_set_bytes"
LIMIT = "container_spec_memory_limit_bytes"
LIMITS = {
    "container": ("limit_cpu_cores", LIMIT),
    "pod": (None, LIMIT),
    "node": ("allocatable_cpu_cores", "allocatable_memory_bytes"),
}
# A kubelet looks at a container every 10 to 20 s; what is older than this is not now.
RECENT = "2m"


@dataclass
class Row:
    """One container, pod, node or namespace."""

    names: tuple[str, ...]
    cpu: float | None = None  # cores
    cpu_limit: float | None = None
    throttled: float | None = None  # part of the periods
    memory: float | None = None
    memory_limit: float | None = None

    def cells(self) -> list[str]:
        """Give it as text."""
        names = [printable(each) for each in self.names]
        return [
            *names,
            number(self.cpu),
            part(self.cpu, self.cpu_limit),
            percent(self.throttled),
            "-" if self.memory is None else brief(self.memory, "bytes"),
            "-" if self.memory_limit is None else brief(self.memory_limit, "bytes"),
            part(self.memory, self.memory_limit),
        ]


def number(cores: float | None) -> str:
    """Write cores."""
    return "-" if cores is None else f"{cores:.3f}"


def percent(of_one: float | None) -> str:
    """Write a part of one."""
    return "-" if of_one is None else f"{100 * of_one:.0f}%"


def part(used: float | None, limit: float | None) -> str:
    """Write how much of a limit is used."""
    return percent(None if used is None or not limit else used / limit)


def total(values: list[float | None]) -> float | None:
    """Add up what is known; None where nothing is."""
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def _records(table: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(cells(table, name) for name in names), strict=True)


def rows(history: History, snapshot: Snapshot, by: str) -> list[Row]:
    """Give a row each of what the newest sweep saw."""
    level = "pod" if by == "namespace" else by
    keys = KEYS[level]
    cpu_limit, memory_limit = LIMITS[level]
    wanted = [name for name in (MEMORY, cpu_limit, memory_limit) if name]
    found: dict[tuple[str, ...], Row] = {}
    table = snapshot.table(f"{level}s")
    for record in _records(table, (*keys, *wanted)):
        key, values = record[: len(keys)], dict(zip(wanted, record[len(keys) :], strict=True))
        found[key] = Row(
            key,
            memory=values[MEMORY],
            cpu_limit=values[cpu_limit] if cpu_limit else None,
            memory_limit=values[memory_limit] if memory_limit else None,
        )
    rates: dict[tuple[str, ...], dict[str, float]] = {}
    newest = history.table("rate", level=level, metrics=[CPU, THROTTLED, PERIODS], since=RECENT)
    for *named, metric, value in _records(newest, (*keys, "metric", "value")):
        rates.setdefault(tuple(named), {})[metric] = value  # by time: the last one stays
    for key, of in rates.items():
        if (row := found.get(key)) is not None:
            row.cpu = of.get(CPU)
            if periods := of.get(PERIODS):
                row.throttled = of.get(THROTTLED, 0.0) / periods
    if by != "namespace":
        return list(found.values())
    groups: dict[str, list[Row]] = {}
    for row in found.values():
        groups.setdefault(row.names[0], []).append(row)
    return [
        Row((name,), cpu=total([r.cpu for r in each]), memory=total([r.memory for r in each]))
        for name, each in groups.items()
    ]


def lines(found: list[Row], by: str, sort: str, most: int | None) -> list[str]:
    """Give the table, the greatest first."""

    def size(row: Row) -> tuple[float, float]:
        cpu, memory = row.cpu or 0.0, row.memory or 0.0
        return (-cpu, -memory) if sort == "cpu" else (-memory, -cpu)

    found = sorted(found, key=lambda row: (size(row), row.names))
    shown = found if most is None else found[: max(1, most)]
    title = [*KEYS[by], "cpu", "of limit", "throttled", "memory", "limit", "of limit"]
    texts = [[each.upper() for each in title], *(row.cells() for row in shown)]
    widths = [max(len(text[i]) for text in texts) for i in range(len(title))]
    names = len(KEYS[by])

    def line(text: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if i < names else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(text, widths, strict=True))
        ).rstrip()

    made = [line(text) for text in texts]
    if len(shown) < len(found):
        made.append(f"... and {len(found) - len(shown)} more")
    return made


def heading(snapshot: Snapshot, missed: int) -> list[str]:
    """Say of when it is, and what is missing."""
    made = (
        f"{time.strftime('%H:%M:%S')}  {snapshot.targets} nodes, {snapshot.failed} failed"
        + (f", {missed} sweeps left out" if missed else "")
        + (f"; nodes and pods of {snapshot.inventory_age:.0f} s ago" if snapshot.warnings else "")
    )
    return [made, *(f"warning: {printable(each)}" for each in snapshot.warnings)]
