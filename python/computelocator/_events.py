# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Tables of events (start, end, pod), from whatever holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from computelocator import _frames
from computelocator._time import nanoseconds_of

FIELDS = ("start", "end", "namespace", "pod", "container")
NEEDED = ("start", "end", "pod")


class Events(NamedTuple):
    """Columns of one length, as the C++ side takes them."""

    starts: list[int]
    ends: list[int]
    namespaces: list[str]
    pods: list[str]
    containers: list[str]


def read(events: Any) -> Events:
    """Take a DataFrame, any exporter of an Arrow stream, or mappings."""
    if type(events).__module__.split(".")[0] == "pandas" and hasattr(events, "columns"):
        columns = {name: _pandas(events[name]) for name in FIELDS if name in events.columns}
        names, count = [str(name) for name in events.columns], len(events)
    elif hasattr(events, "__arrow_c_stream__"):
        try:
            import pyarrow
        except ImportError:
            raise _frames.missing("pyarrow", "arrow") from None
        table = pyarrow.RecordBatchReader.from_stream(events).read_all()
        columns = {name: _arrow(table[name]) for name in FIELDS if name in table.column_names}
        names, count = table.column_names, table.num_rows
    elif isinstance(events, Iterable) and not isinstance(events, (str, bytes, Mapping)):
        rows = list(events)
        for at, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise TypeError(f"event {at} is a {type(row).__name__}; a mapping is needed")
            for name in NEEDED:
                if row.get(name) is None:
                    there = ", ".join(map(str, row))
                    raise ValueError(f"event {at} has no {name!r}; it has {there}")
        columns = {name: [row.get(name) for row in rows] for name in FIELDS}
        names, count = list(FIELDS), len(rows)
    else:
        raise TypeError(
            f"events are a DataFrame, an exporter of an Arrow stream or mappings, "
            f"not a {type(events).__name__}"
        )
    for name in NEEDED:
        if name not in columns:
            raise ValueError(f"the events have no column {name!r}; they have {', '.join(names)}")

    def moments(name: str) -> list[int]:
        cells: list[int] = []
        for at, value in enumerate(columns[name]):
            if value is None:
                raise ValueError(f"event {at} has no {name!r}")
            cells.append(nanoseconds_of(f"event {at}: {name}", value))
        return cells

    def texts(name: str) -> list[str]:
        cells = columns.get(name, [None] * count)
        return ["" if value is None or value != value else str(value) for value in cells]

    return Events(
        moments("start"), moments("end"), texts("namespace"), texts("pod"), texts("container")
    )


def _pandas(column: Any) -> list[Any]:
    if column.dtype.kind == "M" or hasattr(column.dtype, "tz"):
        import pandas as pd

        moments = pd.to_datetime(column, utc=True).dt.as_unit("ns")
        whole = [None if gap else value for gap, value in zip(
            moments.isna(), moments.astype("int64").tolist(), strict=True)]  # fmt: skip
        return whole
    cells: list[Any] = column.astype(object).tolist()
    return cells


def _arrow(column: Any) -> list[Any]:
    import pyarrow

    if pyarrow.types.is_timestamp(column.type):
        # A column without a time zone is UTC, as a datetime is.
        cells: list[Any] = column.cast(pyarrow.timestamp("ns", "UTC")).cast("int64").to_pylist()
        return cells
    cells = column.to_pylist()
    return cells
