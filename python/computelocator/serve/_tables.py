# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Tables as JSON, CSV or Arrow; which of them, and which part."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from computelocator._errors import ComputeLocatorError
from computelocator._frames import missing
from computelocator._write import plain

if TYPE_CHECKING:
    import pyarrow

MEDIA = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "arrow": "application/vnd.apache.arrow.stream",
}


class NotAcceptable(ValueError):
    """No format that we write is asked for."""


def arrow() -> Any:
    """Give pyarrow, or say how to get it."""
    try:
        import pyarrow
    except ImportError:
        raise missing("pyarrow", "serve") from None
    return pyarrow


def chosen(wanted: str | None, accept: str | None) -> str:
    """Choose json, csv or arrow: as `wanted` says, else by the Accept header, else JSON."""
    if wanted:
        if wanted not in MEDIA:
            raise NotAcceptable(f"there is no format {wanted!r}; there are {', '.join(MEDIA)}")
        return wanted
    ranked: list[tuple[float, str]] = []
    for part in (accept or "*/*").split(",")[:32]:
        kind, *parameters = (each.strip() for each in part.split(";"))
        quality = 1.0
        for each in parameters:
            if each.startswith("q="):
                try:
                    quality = float(each[2:])
                except ValueError:
                    quality = 0.0
        if quality > 0:
            ranked.append((quality, kind.lower()))
    for _, kind in sorted(ranked, key=lambda each: -each[0]):
        for name, media in MEDIA.items():
            full = media.split(";")[0]
            if kind in (full, "*/*", full.split("/")[0] + "/*"):
                return name
    raise NotAcceptable(
        "of what is accepted nothing can be had; there are "
        + ", ".join(media.split(";")[0] for media in MEDIA.values())
    )


def kind_of(column: pyarrow.DataType) -> str:
    """Name a type for readers of JSON: text, number, integer, boolean, time or duration."""
    types = arrow().types
    if types.is_timestamp(column):
        return "time"
    if types.is_duration(column):
        return "duration"
    if types.is_boolean(column):
        return "boolean"
    if types.is_integer(column):
        return "integer"
    return "number" if types.is_floating(column) else "text"


def cells(column: pyarrow.ChunkedArray) -> list[Any]:
    """Give a column as JSON has it: times as ISO 8601, durations in seconds, no NaN."""
    pyarrow = arrow()
    from pyarrow import compute

    kind = kind_of(column.type)
    if kind == "time":
        column = compute.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
    elif kind == "duration":
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = compute.divide(column.cast(pyarrow.int64()).cast(pyarrow.float64()), per_second)
    elif kind == "number":
        column = compute.if_else(compute.is_finite(column), column, None)
    elif pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    made: list[Any] = column.to_pylist()
    return made


def as_json(table: pyarrow.Table) -> bytes:
    """Write the columns' types, and one object a row."""
    columns = [cells(table.column(name)) for name in table.column_names]
    names = table.column_names
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    types = {field.name: kind_of(field.type) for field in table.schema}
    return json.dumps({"columns": types, "rows": rows}, separators=(",", ":")).encode()


def with_facts(facts: Mapping[str, Any], body: bytes) -> bytes:
    """Put facts in front of the members of a JSON object."""
    return json.dumps(facts, separators=(",", ":")).encode()[:-1] + b"," + body[1:]


def as_csv(table: pyarrow.Table) -> bytes:
    """Write RFC 4180 with a line of names; what a spreadsheet would run gets a quote."""
    out = io.StringIO()
    to = csv.writer(out, lineterminator="\r\n")
    to.writerow([plain(name) for name in table.column_names])
    columns = [cells(table.column(name)) for name in table.column_names]
    to.writerows([plain(cell) for cell in row] for row in zip(*columns, strict=True))
    return out.getvalue().encode()


def as_arrow(table: pyarrow.Table) -> bytes:
    """Write an Arrow IPC stream."""
    pyarrow = arrow()
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def from_arrow(body: bytes) -> pyarrow.Table:
    """Read an Arrow IPC stream that came over the network.

    Raises
    ------
    ComputeLocatorError
        It is none, or damaged.
    """
    pyarrow = arrow()
    try:
        table = pyarrow.ipc.open_stream(body).read_all()
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise ComputeLocatorError(
            "page_refused",
            "service",
            f"the answer is no Arrow stream: {str(error)[:200]}",
            "check the address, and run the same version everywhere",
        ) from None
    return table


def digest(table: pyarrow.Table) -> str:
    """Tell tables apart by all that they hold."""
    return hashlib.sha256(as_arrow(table)).hexdigest()[:16]


def encoded(table: pyarrow.Table, format: str) -> bytes:
    """Write a table in one of the formats."""
    writers = {"json": as_json, "csv": as_csv, "arrow": as_arrow}
    return writers[format](table)


def kept(table: pyarrow.Table, **wanted: Sequence[str] | None) -> pyarrow.Table:
    """Keep the rows whose columns have one of the given values; a name without values keeps all."""
    pyarrow = arrow()
    from pyarrow import compute

    for name, values in wanted.items():
        if values and name in table.column_names:
            column = table.column(name)
            if pyarrow.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            table = table.filter(
                compute.is_in(column, value_set=pyarrow.array(values, pyarrow.string()))
            )
    return table


def joined(tables: Sequence[pyarrow.Table]) -> pyarrow.Table:
    """Put tables below one another; a column that one lacks is null there."""
    pyarrow = arrow()
    if len(tables) == 1:
        return tables[0]
    whole = pyarrow.concat_tables(
        [undictionaried(table) for table in tables], promote_options="default"
    )
    return whole.combine_chunks()


def undictionaried(table: pyarrow.Table) -> pyarrow.Table:
    """Turn categories into text, so that tables with unlike dictionaries go together."""
    pyarrow = arrow()
    fields = [
        field.with_type(field.type.value_type)
        if pyarrow.types.is_dictionary(field.type)
        else field.with_nullable(True)
        for field in table.schema
    ]
    return table.cast(pyarrow.schema(fields))
