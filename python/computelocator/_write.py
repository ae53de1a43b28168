# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Tables to terminals and files, without any other package unless the format is one."""

from __future__ import annotations

import csv
import json
import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

from computelocator import _frames

if TYPE_CHECKING:
    from computelocator._core import Table

Cell = str | float | int | bool | None


def cells(table: Table, name: str) -> list[Cell]:
    """Give one column as Python values; None where missing; times as ISO 8601, in UTC."""
    kind, values, valid, dictionary, _ = table.column(name)
    made: list[Cell]
    if kind == "category":
        texts: list[str | None] = [*dictionary, None]
        made = [texts[int(code)] for code in memoryview(values)]
    elif kind == "text":
        made = list(values)
    else:
        made = [*memoryview(values).tolist()]
    if valid is not None:
        made = [
            cell if there else None
            for cell, there in zip(made, memoryview(valid).tolist(), strict=True)
        ]
    if kind == "timestamp_ms":
        made = [None if cell is None else iso(int(cell)) for cell in made]
    elif kind == "timestamp_ns":
        made = [None if cell is None else iso(int(cell) // 1_000_000) for cell in made]
    elif kind == "duration_ns":
        made = [None if cell is None else float(cell) / 1e9 for cell in made]
    elif kind == "boolean":
        made = [None if cell is None else bool(cell) for cell in made]
    return made


def iso(milliseconds: int) -> str:
    """Write milliseconds since the epoch as ISO 8601; years beyond 9999 as the number."""
    try:
        at = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def printable(text: str) -> str:
    """Escape what would move a terminal's cursor or turn its text around."""
    return "".join(
        f"\\x{ord(c):02x}" if ord(c) < 256 and unicodedata.category(c) == "Cc"
        else f"\\u{{{ord(c):04x}}}" if unicodedata.category(c) in ("Cf", "Zl", "Zp", "Cs")
        else c
        for c in text
    )  # fmt: skip


def brief(value: Cell, unit: str) -> str:
    """Write a number for people: three digits that count, bytes in powers of 1024."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if unit == "bytes" and math.isfinite(value):
        size = float(value)
        for suffix in ("", "Ki", "Mi", "Gi", "Ti"):
            if abs(size) < 1024:
                digits = 0 if suffix == "" or size >= 100 else 1
                return f"{size:.{digits}f}{suffix}"
            size /= 1024
        return f"{size:.1f}Pi"
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


def heading(name: str) -> list[str]:
    """Break a long name over lines, so that a column of numbers stays narrow."""
    words = name.removeprefix("container_").split("_")
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= 9:
            lines[-1] += "_" + word
        else:
            lines.append(word)
    return lines


def write_table(
    table: Table,
    out: IO[str],
    *,
    rows: int | None,
    width: int | None,
    keys: int = 0,
    names: Sequence[str] | None = None,
) -> None:
    """Write columns of text; what is wider than `width` goes into blocks below one another.

    Parameters
    ----------
    keys : int
        So many columns on the left are repeated in each block.
    names : sequence of str, optional
        These columns alone.
    """
    shown = table.rows if rows is None else min(rows, table.rows)
    columns: list[tuple[list[str], list[str], bool]] = []
    for name in table.names if names is None else names:
        kind, _, _, _, about = table.column(name)
        unit = about.get("unit", "")
        left = kind in ("category", "text", "timestamp_ms", "timestamp_ns", "boolean")
        title = [name] if left else heading(name)
        columns.append((title, [brief(c, unit) for c in cells(table, name)[:shown]], left))
    widths = [max(len(line) for line in [*title, *texts]) for title, texts, _ in columns]

    def block(chosen: Sequence[int]) -> None:
        height = max(len(columns[i][0]) for i in chosen)

        def line(texts: Iterable[str]) -> None:
            parts = [
                text.ljust(widths[i]) if columns[i][2] else text.rjust(widths[i])
                for i, text in zip(chosen, texts, strict=True)
            ]
            out.write("  ".join(parts).rstrip() + "\n")

        for level in range(height):
            line(
                title[level - height] if height - level <= len(title) else ""
                for title in (columns[i][0] for i in chosen)
            )
        for row in range(shown):
            line(columns[i][1][row] for i in chosen)

    fixed = min(keys, len(columns))
    always, rest = list(range(fixed)), list(range(fixed, len(columns)))
    first = True
    while rest or first:
        chosen = list(always)
        used = sum(widths[i] + 2 for i in always)
        while rest and (width is None or used + widths[rest[0]] <= width or len(chosen) == fixed):
            used += widths[rest[0]] + 2
            chosen.append(rest.pop(0))
        if not chosen:
            break
        if not first:
            out.write("\n")
        block(chosen)
        first = False
    if shown < table.rows:
        out.write(f"... and {table.rows - shown} more rows\n")


def plain(value: Cell) -> str:
    """Write a value for a CSV cell; what a spreadsheet would run as a formula gets a quote."""
    if value is None:
        return ""
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", " ") else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def write_csv(table: Table, out: IO[str]) -> None:
    """Write all columns as CSV (RFC 4180) with a line of names."""
    to = csv.writer(out, lineterminator="\r\n")
    to.writerow([plain(name) for name in table.names])
    columns = [cells(table, name) for name in table.names]
    for row in zip(*columns, strict=True):
        to.writerow([plain(cell) for cell in row])


FIXED = ("timestamp", "scrape_timestamp", "metric", "value", "node")


def samples_as_objects(table: Table, *, with_node: bool) -> Iterator[dict[str, Any]]:
    """Give one object a sample: name, labels, value as text, timestamp_ms."""
    # Samples of other targets than nodes have no such column, but perhaps a label of that name.
    fixed = FIXED if table.names[4:5] == ["node"] else FIXED[:4]
    labels = {
        name: table.column(name)[4].get("label", name.removeprefix("label_"))
        if name.removeprefix("label_") in fixed
        else name
        for name in table.names
        if name not in fixed
    }
    columns = {name: cells(table, name) for name in (*labels, "metric", "value")}
    if with_node:
        columns["node"] = cells(table, "node")
    _, values, valid, _, _ = table.column("timestamp")
    times = memoryview(values).tolist()
    there = [1] * len(times) if valid is None else memoryview(valid).tolist()
    for row in range(table.rows):
        made: dict[str, Any] = {
            "name": columns["metric"][row],
            "labels": {
                label: columns[name][row]
                for name, label in labels.items()
                if columns[name][row] is not None
            },
            "value": repr(columns["value"][row]),
            "timestamp_ms": times[row] if there[row] else None,
        }
        if with_node:
            made["node"] = columns["node"][row]
        yield made


def rows_as_objects(table: Table) -> Iterator[dict[str, Any]]:
    """Give one object a row; numbers that JSON has not are null."""
    columns = {name: cells(table, name) for name in table.names}
    for row in range(table.rows):
        yield {
            name: None
            if isinstance(cell := column[row], float) and not math.isfinite(cell)
            else cell
            for name, column in columns.items()
        }


def write_jsonl(objects: Iterable[dict[str, Any]], out: IO[str]) -> None:
    """Write one JSON object a line, ASCII alone."""
    for each in objects:
        out.write(json.dumps(each) + "\n")


def write_parquet(table: Table, out: IO[bytes]) -> None:
    """Write a Parquet file."""
    arrow = _frames.to_arrow(table)
    from pyarrow import parquet

    parquet.write_table(arrow, out)


def write_arrow(table: Table, out: IO[bytes]) -> None:
    """Write an Arrow IPC stream."""
    arrow = _frames.to_arrow(table)
    from pyarrow import ipc

    with ipc.new_stream(out, arrow.schema) as stream:
        stream.write_table(arrow)


BINARY: dict[str, Callable[[Table, IO[bytes]], None]] = {
    "parquet": write_parquet,
    "arrow": write_arrow,
}
