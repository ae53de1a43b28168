# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The snapshot: what one sweep, or one page, gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from computelocator import _frames

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

    from computelocator import _core

TABLES = (
    "samples", "containers", "pods", "nodes", "outcomes", "rejects", "reasons", "inventory", "meta",
)  # fmt: skip


class Snapshot:
    r"""What one sweep over a cluster's nodes, or one parsed page, gave.

    pyarrow, polars and DuckDB take the object as it is (its samples, by the Arrow PyCapsule
    interface); pandas gets a copy without pyarrow being there.

    Examples
    --------
    >>> import computelocator as cl
    >>> snap = cl.parse('# TYPE up gauge\nup{node="a"} 1\n')
    >>> snap
    <Snapshot of 1 sample from 1 target>
    >>> snap.to_pandas()[["metric", "value"]].values.tolist()
    [['up', 1.0]]
    """

    def __init__(self, core: _core.Snapshot) -> None:
        self._core = core

    def __repr__(self) -> str:
        samples, targets = self._core.samples, self._core.targets
        failed = self._core.failed
        ending = f", {failed} failed" if failed else ""
        ending += ", interrupted" if self._core.interrupted else ""
        return (
            f"<Snapshot of {samples} sample{'s' * (samples != 1)} "
            f"from {targets} target{'s' * (targets != 1)}{ending}>"
        )

    def __len__(self) -> int:
        return self._core.samples

    @property
    def source(self) -> str:
        """Where it came from, in words."""
        return self._core.source

    @property
    def targets(self) -> int:
        """How many targets were asked, or pages parsed."""
        return self._core.targets

    @property
    def failed(self) -> int:
        """How many of them gave no page."""
        return self._core.failed

    @property
    def pods_unknown_because(self) -> str:
        """Why the pods could not be listed; empty where they were."""
        return self._core.pods_unknown_because

    @property
    def named(self) -> str:
        """The column that says whose a row is: ``node``, or ``instance`` of other targets."""
        return "node" if self._core.of_nodes else "instance"

    @property
    def seconds(self) -> float:
        """How long it took, from the first request to the last row."""
        return (self._core.ended_ms - self._core.started_ms) / 1000

    @property
    def interrupted(self) -> bool:
        """True where it was cancelled before all targets were done."""
        return self._core.interrupted

    @property
    def warnings(self) -> list[str]:
        """What is not as it should be, though there is something.

        Of `watch`: that nodes and pods are the last known ones and why, or are listed since they
        may not be watched; addresses that another node has now. Of a Prometheus server: what it
        said beside its answer, and what of it was left out.
        """
        return self._core.warnings

    @property
    def inventory_age(self) -> float:
        """Seconds since nodes and pods were known to be current; 0 while watches tell of them."""
        return self._core.inventory_age_ms / 1000

    def page(self, node: str) -> bytes | None:
        """Give the page of a node as it came, inflated; None unless pages were kept."""
        return self._core.page(node) or None

    def table(
        self, of: str = "samples", *, namespaces: str | Sequence[str] | None = None
    ) -> _core.Table:
        """Give one of the tables without any other package: an Arrow PyCapsule exporter.

        Parameters
        ----------
        of : {"samples", "containers", "pods", "nodes", "outcomes", "rejects", "reasons",
            "inventory", "meta"}
        namespaces : str or sequence of str, optional
            Rows of these namespaces alone.
        """
        if of not in TABLES:
            raise ValueError(f"there is no table {of!r}; there are {', '.join(TABLES)}")
        core = self._core
        if namespaces is not None:
            core = core.narrowed([namespaces] if isinstance(namespaces, str) else list(namespaces))
        made: _core.Table = getattr(core, f"{of}_table")()
        return made

    def to_pandas(self, *, namespaces: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Give all samples, tidy: one row a sample, labels as categoricals, times in UTC.

        Columns are ``timestamp`` (the sample's own, NaT where it had none),
        ``scrape_timestamp``, ``metric``, ``value``, ``node`` and one a label. Units, types and
        help texts are in ``DataFrame.attrs["metrics"]``.
        """
        return _frames.to_pandas(self.table(namespaces=namespaces))

    def to_polars(self) -> polars.DataFrame:
        """Give all samples as a polars frame."""
        return _frames.to_polars(self.table())

    def to_arrow(self) -> pyarrow.Table:
        """Give all samples as a pyarrow table."""
        return _frames.to_arrow(self.table())

    def to_numpy(self) -> dict[str, numpy.ndarray[Any, Any]]:
        """Give all samples as a dict of arrays."""
        return _frames.to_numpy(self.table())

    def containers(self, *, namespaces: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Give one row a container, one column a metric; see docs/meaning.md."""
        return _frames.to_pandas(self.table("containers", namespaces=namespaces))

    def pods(self, *, namespaces: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Give one row a pod: totals of its own cgroup, network of its sandbox."""
        return _frames.to_pandas(self.table("pods", namespaces=namespaces))

    def nodes(self) -> pandas.DataFrame:
        """Give one row a node, from its root cgroup."""
        return _frames.to_pandas(self.table("nodes"))

    def outcomes(self) -> pandas.DataFrame:
        """Give one row a target: what became of it, and the time of each stage."""
        return _frames.to_pandas(self.table("outcomes"))

    def meta(self) -> pandas.DataFrame:
        r"""Give one row a target with what Prometheus stores of its targets, under its names.

        ``up``, ``scrape_duration_seconds``, ``scrape_samples_scraped``,
        ``scrape_samples_post_metric_relabeling`` (those that were wanted),
        ``scrape_series_added`` (not on the page of the sweep before), ``scrape_body_size_bytes``
        (inflated; -1 where it was too large), ``scrape_timeout_seconds`` and
        ``scrape_sample_limit``.

        Examples
        --------
        >>> import computelocator as cl
        >>> cl.parse("a 1\nb 2\n", metrics="a").meta()["scrape_samples_scraped"].tolist()
        [2]
        """
        return _frames.to_pandas(self.table("meta"))

    def rejects(self) -> pandas.DataFrame:
        """Give one row a line that could not be read: where, what and its text."""
        return _frames.to_pandas(self.table("rejects"))

    def inventory(self, *, namespaces: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Give one row a pod that the API server listed: address, phase, labels as ``k=v,...``."""
        return _frames.to_pandas(self.table("inventory", namespaces=namespaces))

    def reasons(self, *, namespaces: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Say why values of the container, pod and node tables are missing or what they mean."""
        return _frames.to_pandas(self.table("reasons", namespaces=namespaces))

    def __arrow_c_schema__(self) -> object:
        return self.table().__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table().__arrow_c_stream__(requested_schema)
