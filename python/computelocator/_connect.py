# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The nouns of a cluster from afar: by the aggregation API or a collector, without a kubelet."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from computelocator._frames import missing
from computelocator.serve._client import Query, Site
from computelocator.serve._tables import from_arrow
from computelocator.serve._token import token_from

if TYPE_CHECKING:
    import pandas

Names = str | Sequence[str] | None
Moment = str | int | datetime | timedelta | None
PAGE_ROWS = 50_000


def moment(value: Moment) -> str | None:
    """Write a time as the services read it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.3f}s"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} names no time zone; give one, such as datetime.timezone.utc")
        nanoseconds = getattr(value, "value", None)  # pandas' own has more than microseconds
        if nanoseconds is not None:
            return str(int(nanoseconds))
        epoch = datetime.fromtimestamp(0, value.tzinfo)
        return str(round((value - epoch) / timedelta(microseconds=1)) * 1000)
    return str(int(value))


class Connection:
    """A cluster as a service tells it. Every table comes as a DataFrame.

    ``DataFrame.attrs`` has ``as_of`` and ``age_seconds``, ``missing`` (what could not be reached,
    in words) and ``truncated``.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def __repr__(self) -> str:
        return f"<Connection to {self._site.url}>"

    def snapshot(self) -> pandas.DataFrame:
        """Give all samples of the newest sweep, tidy."""
        return self._table("/snapshot", {})

    def containers(self, *, namespaces: Names = None, pods: Names = None) -> pandas.DataFrame:
        """Give one row a container, now."""
        return self._table("/containers", {"namespace": namespaces, "pod": pods})

    def pods(self, *, namespaces: Names = None, nodes: Names = None) -> pandas.DataFrame:
        """Give one row a pod, now."""
        return self._table("/pods", {"namespace": namespaces, "node": nodes})

    def nodes(self) -> pandas.DataFrame:
        """Give one row a node, now."""
        return self._table("/nodes", {})

    def outcomes(self) -> pandas.DataFrame:
        """Give one row a kubelet: what became of it in the newest sweep."""
        return self._table("/outcomes", {})

    def endpoints(self) -> pandas.DataFrame:
        """Give one row a pod of a test API."""
        return self._table("/endpoints", {})

    def history(
        self,
        of: str = "samples",
        *,
        level: str = "container",
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        metrics: Names = None,
        newest: int = 1_000_000,
        source: str = "collector",
        step: float = 15.0,
    ) -> pandas.DataFrame:
        """Give what was between two times.

        Parameters
        ----------
        of : {"samples", "containers", "pods", "nodes", "series", "rate", "increase", "delta"}
        level : {"container", "pod", "node"}
        since, until : str, int, datetime or timedelta, optional
            ISO 8601, a duration before now such as "10m", nanoseconds since 1970.
        newest : int
            At most so many rows; ``attrs["truncated"]`` tells whether there were more.
        source : {"collector", "prometheus"}
            With "prometheus" values are `step` seconds apart.
        """
        query: dict[str, object] = {
            "of": of,
            "level": level,
            "since": moment(since),
            "until": moment(until),
            "node": nodes,
            "namespace": namespaces,
            "pod": pods,
            "container": containers,
            "metric": metrics,
            "newest": newest,
        }
        if source != "collector":
            query.update(source=source, step=step)
        return self._table("/history", query)

    def executions(
        self,
        *,
        since: Moment = None,
        until: Moment = None,
        functions: Names = None,
        pods: Names = None,
        source: str = "collector",
    ) -> pandas.DataFrame:
        """Give one row an executed request of the test APIs, with what it used.

        ``coverage`` tells how much of its time the samples cover, ``reason`` why not all of it.
        """
        return self._table(
            "/executions",
            {
                "since": moment(since),
                "until": moment(until),
                "function": functions,
                "pod": pods,
                "source": source,
                "newest": 10_000,
            },
        )

    def _table(self, path: str, query: Query) -> pandas.DataFrame:
        try:
            import pandas
        except ImportError:
            raise missing("pandas", "pandas") from None
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            return self._from_json(pandas, path, query)
        reply = self._site.all_pages(path, query)
        frame: pandas.DataFrame = from_arrow(reply.body).to_pandas()
        headers = reply.headers
        frame.attrs.update(
            age_seconds=float(headers.get("Age", "0")),
            missing=[each for each in headers.get("X-Missing", "").split("; ") if each],
            truncated=headers.get("X-Truncated") == "true",
        )
        return frame

    def _from_json(self, pandas: Any, path: str, query: Query) -> pandas.DataFrame:
        rows: list[dict[str, Any]] = []
        asked = {**query, "limit": PAGE_ROWS, "format": "json"}
        while True:
            page = json.loads(self._site.ask(path, asked).body)
            rows += page["rows"]
            if page.get("next") is None:
                break
            asked.update(offset=len(rows), version=page["version"])
        frame: pandas.DataFrame = pandas.DataFrame(rows, columns=list(page["columns"]))
        for name, kind in page["columns"].items():
            if kind == "time":
                frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601")
            elif kind == "number":
                frame[name] = frame[name].astype("float64")
        for name in ("age_seconds", "missing", "truncated"):
            frame.attrs[name] = page[name]
        return frame


def connect(
    url: str = "http://localhost:8080",
    token: str | None = None,
    *,
    token_file: str | os.PathLike[str] | None = None,
    ca: str | os.PathLike[str] | None = None,
    timeout: float = 30.0,
) -> Connection:
    """Reach a cluster by the aggregation API (or by a collector), as through a port-forward.

    Parameters
    ----------
    url : str
        Where it is served.
    token : str, optional
        Its bearer token, where it wants one; or `token_file`, the file that holds it. It is sent
        to this machine or over https, never over plain HTTP to another.
    ca : path, optional
        PEM certificates to trust in place of the system's.
    timeout : float
        Seconds for one request, all in all.

    Raises
    ------
    ConfigurationError
        The address or the token cannot be.
    NodeUnreachable, AuthError, TLSError, ScrapeTimeout
        It cannot be asked.
    """
    if token is not None and token_file is not None:
        raise ValueError("give token or token_file, not both")
    site = Site(
        url, token=token if token is not None else token_from(token_file), ca=ca, timeout=timeout
    )
    site.ask("/openapi.json")
    return Connection(site)
