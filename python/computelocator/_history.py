# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The history: snapshots over time, and what was used between two moments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from computelocator import _core, _events, _frames
from computelocator._snapshot import Snapshot
from computelocator._time import is_duration, nanoseconds_of, seconds_of, utc

if TYPE_CHECKING:
    import pandas

    Moment = datetime | int | str | None
    Names = str | Sequence[str] | None

LEVELS = ("container", "pod", "node")
TABLES = (
    "samples", "containers", "pods", "nodes", "series", "rate", "increase", "delta", "usage",
)  # fmt: skip
_WIDE = {"containers": "container", "pods": "pod", "nodes": "node"}
_LISTS = ("nodes", "namespaces", "pods", "containers", "metrics")


class History:
    r"""A bounded memory of snapshots: each container's, pod's and node's 16 metrics over time.

    One thread may add while others ask. A sample that stood on an earlier page already is stored
    once. When a bound is passed, the oldest samples are dropped first, a sixteenth at a time.

    Parameters
    ----------
    max_bytes : int
        Memory held after each `add`; at least 1 MiB.
    max_age : str, float or timedelta
        How long a sample is kept: "90s", "15m", "1h", seconds, or a timedelta.
    stale_after : str, float or timedelta
        Nothing is interpolated between two samples further apart, and a series that gave nothing
        new for so long is stale.

    Examples
    --------
    >>> import computelocator as cl
    >>> page = 'container_cpu_usage_seconds_total{{container="c",cpu="total",id="/kubepods/pod{0}/{1}",pod="p",namespace="n"}} {2} {3}\n'
    >>> history = cl.History()
    >>> for seconds, used in [(1700000000, 5), (1700000010, 9)]:
    ...     history.add(cl.parse(page.format("0" * 32, "a" * 64, used, seconds * 1000)))
    >>> history.rate("container_cpu_usage_seconds_total")[["pod", "value", "seconds"]].values.tolist()
    [['p', 0.4, 10.0]]
    >>> event = {"pod": "p", "container": "c", "start": 1700000002 * 10**9, "end": 1700000007 * 10**9}
    >>> history.usage([event])[["cpu_seconds", "coverage"]].values.tolist()
    [[2.0, 1.0]]
    """  # noqa: E501

    def __init__(
        self,
        *,
        max_bytes: int = 256 << 20,
        max_age: str | float | timedelta = "1h",
        stale_after: str | float | timedelta = "5m",
    ) -> None:
        self.max_age = seconds_of("max_age", max_age)
        self.stale_after = seconds_of("stale_after", stale_after)
        self.max_bytes = int(max_bytes)
        if self.max_bytes < 1 << 20:
            raise ValueError(f"max_bytes={max_bytes} cannot be; it is at least {1 << 20}")
        self._core = _core.History(
            max_bytes=self.max_bytes,
            max_age_ms=max(1, round(self.max_age * 1000)),
            stale_after_ms=max(1, round(self.stale_after * 1000)),
        )

    def __repr__(self) -> str:
        span = self.span
        form = "%Y-%m-%dT%H:%M:%SZ"
        between = f" from {span[0]:{form}} to {span[1]:{form}}" if span else ""
        return f"<History of {self.sweeps} snapshots{between}, {self.bytes} bytes>"

    def add(self, snapshot: Snapshot) -> None:
        """Take what is new in a snapshot, then drop what is beyond the bounds."""
        self._core.add(snapshot._core)

    @property
    def bytes(self) -> int:
        """Memory held now."""
        return self._core.bytes

    @property
    def sweeps(self) -> int:
        """How many snapshots were added."""
        return self._core.sweeps

    @property
    def dropped(self) -> int:
        """How many samples the bounds made it forget."""
        return self._core.dropped

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """Time of the oldest and of the newest sample held, in UTC; None while there is none."""
        span = self._core.span_ms
        return None if span is None else (utc(span[0]), utc(span[1]))

    def table(self, of: str = "samples", **query: Any) -> _core.Table:
        """Give one of the tables without any other package: an Arrow PyCapsule exporter.

        Parameters
        ----------
        of : {"samples", "containers", "pods", "nodes", "series", "rate", "increase", "delta", \
"usage"}
        **query
            The keywords of the method of that name; for "usage" ``events``.
        """
        if of not in TABLES:
            raise ValueError(f"there is no table {of!r}; there are {', '.join(TABLES)}")
        if of == "usage":
            events = _events.read(query.pop("events"))
            _none_left(of, query)
            return self._core.usage(*events)
        level = _WIDE.get(of) or query.pop("level", "container")
        if level not in LEVELS:
            raise ValueError(f"level={level!r} cannot be; it is one of {', '.join(LEVELS)}")
        method = query.pop("method", "raw") if of in ("rate", "increase", "delta") else "raw"
        if method != "raw":
            raise ValueError(f"method={method!r} cannot be; it is raw")
        asked = self._query(query)
        _none_left(of, query)
        if of in ("samples", "series"):
            made: _core.Table = getattr(self._core, of)(level, asked)
            return made
        if of in _WIDE:
            return self._core.rows(level, asked)
        return self._core.changes(of, level, asked)

    def _query(self, query: dict[str, Any]) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        for name in _LISTS:
            value = query.pop(name, None)
            if value is not None:
                asked[name] = [value] if isinstance(value, str) else [str(each) for each in value]
        for name in ("since", "until"):
            value = query.pop(name, None)
            if value is None:
                continue
            if is_duration(value):
                span = self._core.span_ms
                newest = span[1] if span else 0
                asked[f"{name}_ms"] = newest - round(seconds_of(name, value) * 1000)
            else:
                ns = nanoseconds_of(name, value)
                # Samples have milliseconds: the first that is not before, the last not after.
                asked[f"{name}_ms"] = -(-ns // 1_000_000) if name == "since" else ns // 1_000_000
        limit = query.pop("limit", None)
        if limit is not None:
            if limit < 0:
                raise ValueError(f"limit={limit} cannot be; it is 0 or more")
            asked["limit"] = int(limit)
        return asked

    def _frame(self, of: str, **query: Any) -> pandas.DataFrame:
        table = self.table(of, **query)
        frame = _frames.to_pandas(table)
        frame.attrs.pop("metrics", None)
        frame.attrs["truncated"] = table.metadata.get("truncated") == "true"
        return frame

    def samples(
        self,
        level: str = "container",
        *,
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        metrics: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give the stored samples, tidy, by time.

        Parameters
        ----------
        level : {"container", "pod", "node"}
        since, until : datetime, int, str, optional
            The first and the last moment, both inclusive: a datetime, integer nanoseconds since
            the epoch, ISO 8601, or a duration ("10m") before the newest sample.
        nodes, namespaces, pods, containers, metrics : str or sequence of str, optional
            These alone.
        limit : int, optional
            The newest rows alone; ``attrs["truncated"]`` says whether there were more.

        Returns
        -------
        pandas.DataFrame
            ``timestamp`` (the sample's own), ``node``, ``namespace``, ``pod``, ``container`` (what
            the level has of these), ``metric``, ``value``.
        """
        return self._frame(
            "samples", level=level, since=since, until=until, nodes=nodes, namespaces=namespaces,
            pods=pods, containers=containers, metrics=metrics, limit=limit,
        )  # fmt: skip

    def containers(
        self,
        *,
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        metrics: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give one row a container and page, by time, and one column a metric; see `samples`."""
        return self._frame(
            "containers", since=since, until=until, nodes=nodes, namespaces=namespaces,
            pods=pods, containers=containers, metrics=metrics, limit=limit,
        )  # fmt: skip

    def pods(
        self,
        *,
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        metrics: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give one row a pod and page, by time, and one column a metric; see `samples`."""
        return self._frame(
            "pods", since=since, until=until, nodes=nodes, namespaces=namespaces,
            pods=pods, metrics=metrics, limit=limit,
        )  # fmt: skip

    def nodes(
        self,
        *,
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        metrics: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give one row a node and page, by time, and one column a metric; see `samples`."""
        return self._frame(
            "nodes", since=since, until=until, nodes=nodes, metrics=metrics, limit=limit
        )

    def series(
        self,
        level: str = "container",
        *,
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
    ) -> pandas.DataFrame:
        """Say what there is: one row a container, pod or node.

        Returns
        -------
        pandas.DataFrame
            ``first`` and ``last`` (times), ``samples`` (of its CPU), ``restarts`` (other
            instances seen), ``stale`` (nothing new for `stale_after`).
        """
        return self._frame(
            "series", level=level, since=since, until=until, nodes=nodes, namespaces=namespaces,
            pods=pods, containers=containers,
        )  # fmt: skip

    def rate(
        self,
        metrics: Names = None,
        level: str = "container",
        *,
        method: str = "raw",
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give how fast counters grew, a second.

        Parameters
        ----------
        metrics : str or sequence of str, optional
            Counters; all by default.
        method : {"raw"}
            "raw": between each two adjacent samples, by their own times. Where the counter began
            anew (it fell, or the container did), what it has counted since.
        level, since, until, nodes, namespaces, pods, containers, limit
            See `samples`; a pair is where its later sample is.

        Returns
        -------
        pandas.DataFrame
            As `samples`, and ``seconds`` between the two samples and ``reset``.
        """
        return self._frame(
            "rate", metrics=metrics, level=level, method=method, since=since, until=until,
            nodes=nodes, namespaces=namespaces, pods=pods, containers=containers, limit=limit,
        )  # fmt: skip

    def increase(
        self,
        metrics: Names = None,
        level: str = "container",
        *,
        method: str = "raw",
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give how much counters grew; see `rate`."""
        return self._frame(
            "increase", metrics=metrics, level=level, method=method, since=since, until=until,
            nodes=nodes, namespaces=namespaces, pods=pods, containers=containers, limit=limit,
        )  # fmt: skip

    def delta(
        self,
        metrics: Names = None,
        level: str = "container",
        *,
        method: str = "raw",
        since: Moment = None,
        until: Moment = None,
        nodes: Names = None,
        namespaces: Names = None,
        pods: Names = None,
        containers: Names = None,
        limit: int | None = None,
    ) -> pandas.DataFrame:
        """Give by how much gauges changed; see `rate`."""
        return self._frame(
            "delta", metrics=metrics, level=level, method=method, since=since, until=until,
            nodes=nodes, namespaces=namespaces, pods=pods, containers=containers, limit=limit,
        )  # fmt: skip

    def usage(self, events: Any) -> pandas.DataFrame:
        """Say for each event what its pod or container used between its start and its end.

        Counters are interpolated linearly between the samples' own times; docs/meaning.md has the
        formulas.

        Parameters
        ----------
        events : DataFrame, sequence of mappings, or exporter of an Arrow stream
            With ``start`` and ``end`` (datetimes or integer nanoseconds since the epoch), ``pod``,
            and perhaps ``namespace`` and ``container``.

        Returns
        -------
        pandas.DataFrame
            One row an event, in order and with the index of a DataFrame given: ``cpu_seconds``,
            ``throttled_seconds``, ``memory_peak_working_set_bytes``, ``memory_peak_usage_bytes``,
            ``network_receive_bytes`` and ``network_transmit_bytes`` (the pod's), ``fs_read_bytes``,
            ``fs_write_bytes``, ``samples`` inside, ``coverage`` (the part of the event for which
            there are samples on both sides) and, where that is not 1, the ``reason``.
        """
        frame = self._frame("usage", events=events)
        if type(events).__module__.split(".")[0] == "pandas" and hasattr(events, "columns"):
            frame.index = events.index
        return frame


def _none_left(of: str, query: dict[str, Any]) -> None:
    if query:
        raise TypeError(f"the table {of!r} takes no {', '.join(query)}")
