# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Executions: the journals of the test APIs joined with what their containers used meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from computelocator.aggregate._collectors import Collectors
from computelocator.aggregate._endpoints import Endpoint, Endpoints
from computelocator.aggregate._prometheus import Prometheus
from computelocator.serve._tables import arrow, joined

if TYPE_CHECKING:
    import pyarrow

MOST_EXECUTIONS = 10_000
MARGIN = 120 * 10**9  # around an event, so that samples lie on both sides of it
Rows = Sequence[tuple[Endpoint, dict[str, Any]]]


def events_of(rows: Rows) -> list[dict[str, Any]]:
    """Give what the history is asked about."""
    return [
        {"start": row["start"], "end": row["end"], "pod": of.pod, "namespace": of.namespace}
        for of, row in rows
    ]


def from_collectors(collectors: Collectors, rows: Rows) -> pyarrow.Table | None:
    """Ask the collectors; of each event the answer that covers most of it stands."""
    tables = collectors.usage(json.dumps({"events": events_of(rows)}).encode())
    tables = [table for table in tables if table.num_rows == len(rows)]
    if not tables:
        return None
    coverage = [table.column("coverage").to_pylist() for table in tables]
    reasons = [table.column("reason").to_pylist() for table in tables]

    def fitness(which: int, row: int) -> tuple[float, bool]:
        return coverage[which][row] or 0.0, reasons[which][row] != "unknown_pod"

    places = [
        max(range(len(tables)), key=lambda which: fitness(which, row)) * len(rows) + row
        for row in range(len(rows))
    ]
    return joined(tables).take(arrow().array(places, "int64"))


def from_prometheus(prometheus: Prometheus, rows: Rows) -> pyarrow.Table:
    """Ask a Prometheus server for the samples around the events."""
    since = min(row["start"] for _, row in rows) - MARGIN
    until = max(row["end"] for _, row in rows) + MARGIN
    history = prometheus.as_stored(
        since,
        until,
        namespace=sorted({of.namespace for of, _ in rows}),
        pod=sorted({of.pod for of, _ in rows}),
    )
    return arrow().table(history.table("usage", events=events_of(rows)))


def executions(
    endpoints: Endpoints,
    source: Collectors | Prometheus,
    *,
    since: int | None,
    until: int | None,
    functions: Sequence[str] | None = None,
    pods: Sequence[str] | None = None,
    newest: int = MOST_EXECUTIONS,
) -> tuple[pyarrow.Table, tuple[str, ...], bool]:
    """Give one row an executed request, oldest first: the newest where there are too many.

    Returns
    -------
    pyarrow.Table, tuple of str, bool
        What could not be read, and whether older ones were left out.
    """
    found, listed = endpoints.find()
    chosen = [each for each in found if not pods or each.pod in pods]
    rows, missing = endpoints.journals(chosen, since, until, min(newest + 1, MOST_EXECUTIONS))
    rows = [each for each in rows if not functions or each[1]["function"] in functions]
    rows.sort(key=lambda each: (each[1]["end"], each[0].pod, each[1]["number"]))
    truncated = len(rows) > newest
    rows = rows[-newest:]
    pyarrow = arrow()
    time = pyarrow.timestamp("ns", "UTC")
    columns = {
        **{
            name: pyarrow.array([getattr(of, name) for of, _ in rows], "string")
            for name in ("namespace", "pod", "node", "size")
        },
        **{
            name: pyarrow.array([row[name] for _, row in rows], "string")
            for name in ("function", "endpoint")
        },
        "input": pyarrow.array([row["input"] for _, row in rows], "int64"),
        **{
            name: pyarrow.array([row[name] for _, row in rows], "int64").cast(time)
            for name in ("start", "end")
        },
        "seconds": pyarrow.array([(row["end"] - row["start"]) / 1e9 for _, row in rows], "float64"),
        "status": pyarrow.array([row["status"] for _, row in rows], "int64"),
    }
    table = pyarrow.table(columns)
    if rows:
        used = (
            from_prometheus(source, rows)
            if isinstance(source, Prometheus)
            else from_collectors(source, rows)
        )
        if used is None:
            missing.append("no collector could tell what was used")
        else:
            for name in used.column_names:
                if name not in table.column_names and name != "container":
                    table = table.append_column(name, used.column(name))
    return table, (*missing, *listed.missing), truncated
