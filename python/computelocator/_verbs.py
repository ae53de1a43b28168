# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The verbs: how a snapshot is had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from computelocator import _core
from computelocator._snapshot import Snapshot


def names(value: str | Sequence[str] | None) -> list[str]:
    """Take one name, several, or none."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(each) for each in value]


def choose(option: str, value: str, choices: tuple[str, ...]) -> str:
    """Check that an option is one of its choices."""
    if value not in choices:
        raise ValueError(f"{option}={value!r} cannot be; it is one of {', '.join(choices)}")
    return value


def parse(
    source: Any,
    *,
    dialect: str = "auto",
    policy: str = "lenient",
    metrics: str | Sequence[str] | None = None,
    namespaces: str | Sequence[str] | None = None,
) -> Snapshot:
    r"""Parse one page of the Prometheus text format or of OpenMetrics.

    Parameters
    ----------
    source : path, str, bytes-like or binary file
        A path; a text that holds a line feed; or the bytes of a page. gzip is undone.
    dialect : {"auto", "prometheus", "openmetrics"}
        "auto": OpenMetrics where the last line is ``# EOF``.
    policy : {"lenient", "prometheus", "strict"}
        "lenient" keeps the good lines and gives the bad ones as ``rejects()``; the others raise
        at the first bad line.
    metrics : str or sequence of str, optional
        Keep these alone. The lines of others are skipped unread.
    namespaces : str or sequence of str, optional
        Keep rows of these namespaces alone.

    Returns
    -------
    Snapshot

    Raises
    ------
    ParseError
        A page that cannot be read under the policy, with line and column.
    OSError
        A file that cannot be read.

    Examples
    --------
    >>> import computelocator as cl
    >>> snap = cl.parse(b'requests_total{code="200"} 7 1700000000000\n')
    >>> snap.to_pandas()[["metric", "code", "value"]].values.tolist()
    [['requests_total', '200', 7.0]]
    """
    choose("dialect", dialect, ("auto", "prometheus", "openmetrics"))
    choose("policy", policy, ("lenient", "prometheus", "strict"))
    name = "<bytes>"
    page: Any
    if isinstance(source, os.PathLike) or (isinstance(source, str) and "\n" not in source):
        name = os.fspath(source)
        with open(source, "rb") as file:
            page = file.read()
    elif isinstance(source, str):
        name, page = "<text>", source.encode()
    elif hasattr(source, "read"):
        name = str(getattr(source, "name", "<file>"))
        page = source.read()
        if isinstance(page, str):
            page = page.encode()
    else:
        try:
            page = memoryview(source)
        except TypeError:
            raise TypeError(
                f"a path, text, bytes or a file is needed, not {type(source).__name__}"
            ) from None
        if not page.c_contiguous or isinstance(source, bytearray):
            page = bytes(page)  # what another thread may change is read from a copy
        elif page.format != "B" or page.ndim != 1:
            page = page.cast("B")
    core = _core.parse(
        page,
        name=name,
        dialect=dialect,
        policy=policy,
        metrics=names(metrics),
        namespaces=names(namespaces),
    )
    return Snapshot(core)
