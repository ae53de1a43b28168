# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The busiest nodes, pods or containers, with their course over the last minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from computelocator.aggregate._collectors import Collectors, Joined
from computelocator.serve._tables import arrow, cells, undictionaried

if TYPE_CHECKING:
    import pyarrow

CPU = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_working_set_bytes"
KEYS = {
    "node": ("node",),
    "pod": ("node", "namespace", "pod"),
    "container": ("node", "namespace", "pod", "container"),
}
LIMITS = {
    "node": ("allocatable_cpu_cores", "allocatable_memory_bytes"),
    "pod": ("request_cpu_cores", "request_memory_bytes"),
    "container": ("limit_cpu_cores", "limit_memory_bytes"),
}
WINDOW = "2m"  # a rate that is older than this tells nothing of now
COURSE = "15m"
Key = tuple[Any, ...]


def rows_of(table: pyarrow.Table, names: tuple[str, ...]) -> list[Key]:
    """Give rows as tuples; a column that is not there is None."""
    columns = [
        cells(table.column(name)) if name in table.column_names else [None] * table.num_rows
        for name in names
    ]
    return list(zip(*columns, strict=True))


def rates(collectors: Collectors, level: str, since: str, **wanted: Any) -> Joined:
    """Give CPU rates since a time."""
    query = {"of": "rate", "level": level, "metric": CPU, "since": since, "newest": 1_000_000}
    return collectors.table("/history", {**query, **wanted})


def courses(collectors: Collectors, level: str, chosen: list[Key]) -> dict[Key, list[float]]:
    """Give the last minutes of some of them, oldest first."""
    keys = KEYS[level]
    at = {name: sorted({str(key[keys.index(name)]) for key in chosen}) for name in keys}
    found = rates(
        collectors,
        level,
        COURSE,
        node=at["node"],
        namespace=at.get("namespace"),
        pod=at.get("pod"),
        container=at.get("container"),
    )
    made: dict[Key, list[tuple[str, float]]] = {key: [] for key in chosen}
    for *key, moment, value in rows_of(found.table, (*keys, "timestamp", "value")):
        if tuple(key) in made and value is not None:
            made[tuple(key)].append((moment, value))
    return {key: [value for _, value in sorted(points)] for key, points in made.items()}


def top(
    collectors: Collectors, level: str, by: str, limit: int, course: bool
) -> tuple[pyarrow.Table, Joined]:
    """Give the first `limit` of a level by "cpu" or "memory".

    Columns are the keys, ``cpu_cores`` (of the newest two samples), ``memory_bytes`` (working
    set), ``cpu_bound_cores`` and ``memory_bound_bytes`` (what a node has to give, a pod requests,
    a container may use), and ``course``: the CPU rates of the last minutes.
    """
    pyarrow = arrow()
    keys = list(KEYS[level])
    now = collectors.table(f"/{level}s")
    rate = undictionaried(rates(collectors, level, WINDOW).table)
    newest = (
        pyarrow.TableGroupBy(rate.sort_by("timestamp"), keys, use_threads=False)
        .aggregate([("value", "last")])
        .rename_columns([*keys, "cpu_cores"])
    )
    cpu_bound, memory_bound = LIMITS[level]
    found = (
        undictionaried(now.table)
        .select([*keys, MEMORY, cpu_bound, memory_bound])
        .rename_columns([*keys, "memory_bytes", "cpu_bound_cores", "memory_bound_bytes"])
        .join(newest, keys)
    )
    order = "cpu_cores" if by == "cpu" else "memory_bytes"
    ascending = [(key, "ascending") for key in keys]
    found = found.sort_by([(order, "descending"), *ascending]).slice(0, limit)
    found = found.select(
        [*keys, "cpu_cores", "memory_bytes", "cpu_bound_cores", "memory_bound_bytes"]
    )
    if course:
        rows = rows_of(found, KEYS[level])
        lines = courses(collectors, level, rows) if rows else {}
        points = pyarrow.array([lines[row] for row in rows], pyarrow.list_(pyarrow.float64()))
        found = found.append_column("course", points)
    return found, now
