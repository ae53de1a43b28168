# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The verbs: how a snapshot is had."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from computelocator import _core
from computelocator._errors import ScrapeInterrupted
from computelocator._snapshot import Snapshot
from computelocator._watch import Interval, Watcher

Path = str | os.PathLike[str]
Names = str | Sequence[str]
Labels = Mapping[str, Names]
Share = tuple[str, Sequence[str]] | None
KUBELET_PATHS = ("/metrics/cadvisor", "/metrics", "/metrics/resource", "/metrics/probes")


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


def label_choices(
    labels: Labels | None, exclude_labels: Labels | None
) -> list[tuple[str, list[str], bool]]:
    """Give each label with its values, and whether these are the ones to be left out."""
    return [
        (str(label), names(values), excluded)
        for given, excluded in ((labels, False), (exclude_labels, True))
        for label, values in (given or {}).items()
    ]


def bounds(timeout: float, concurrency: int, max_page_bytes: int, policy: str) -> dict[str, Any]:
    """Check what each sweep is bound by."""
    choose("policy", policy, ("lenient", "prometheus", "strict"))
    if not 0 < timeout <= 3600:
        raise ValueError(f"timeout={timeout} cannot be; it is seconds, above 0 and up to 3600")
    if not 1 <= concurrency <= 10_000:
        raise ValueError(f"concurrency={concurrency} cannot be; it is 1 to 10000")
    if max_page_bytes < 1:
        raise ValueError(f"max_page_bytes={max_page_bytes} cannot be; it is at least 1")
    return {
        "timeout": float(timeout),
        "concurrency": concurrency,
        "max_page_bytes": max_page_bytes,
        "policy": policy,
    }


def _named_bytes(source: Any) -> tuple[str, Any]:
    """Give what messages call a source, and its bytes."""
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
    return name, page


def parse(
    source: Any,
    *,
    dialect: str = "auto",
    policy: str = "lenient",
    metrics: Names | None = None,
    labels: Labels | None = None,
    exclude_metrics: Names | None = None,
    exclude_labels: Labels | None = None,
    namespaces: Names | None = None,
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
        at the first bad line, and "strict" holds OpenMetrics to all of its rules.
    metrics : str or sequence of str, optional
        Keep these alone. The lines of others are skipped unread.
    labels : mapping of str to str or sequence of str, optional
        Keep samples alone that have one of the values of each label; "" is the value of a label
        that is not there. Others leave nothing behind, also not in ``containers()`` and the like,
        which `namespaces` only filters.
    exclude_metrics : str or sequence of str, optional
        Leave these out: names as on the lines, so ``x_bucket`` for the buckets of ``x``.
    exclude_labels : mapping of str to str or sequence of str, optional
        Leave samples out that have one of the values of one of the labels.
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
    >>> len(cl.parse(b'a{b="c"} 1\na{b="d"} 2\na 3\n', labels={"b": ["c", ""]}))
    2
    >>> len(cl.parse(b'a{b="c"} 1\na{b="d"} 2\na 3\n', exclude_labels={"b": "d"}))
    2
    """
    choose("dialect", dialect, ("auto", "prometheus", "openmetrics"))
    choose("policy", policy, ("lenient", "prometheus", "strict"))
    name, page = _named_bytes(source)
    core = _core.parse(
        page,
        name=name,
        dialect=dialect,
        policy=policy,
        metrics=names(metrics),
        dropped_metrics=names(exclude_metrics),
        labels=label_choices(labels, exclude_labels),
        namespaces=names(namespaces),
    )
    return Snapshot(core)


def read_prometheus_json(
    source: Any,
    *,
    metric: str = "",
    node_label: str = "node",
    max_bytes: int = 256 << 20,
    max_samples: int = 10_000_000,
) -> Snapshot:
    r"""Read what a Prometheus server answers to ``/api/v1/query`` or ``/api/v1/query_range``.

    Parameters
    ----------
    source : path, str, bytes-like or binary file
        A path; a text that holds a brace; or the bytes of the answer. gzip is undone.
    metric : str
        The name of series that have none, as those of ``rate()``.
    node_label : str
        The label that says the node of a row.
    max_bytes, max_samples : int
        More is refused.

    Returns
    -------
    Snapshot
        With the server's ``warnings``. Native histograms are left out, which is one of them.

    Raises
    ------
    ParseError
        What is no such answer, or cut off; with line and column.
    ComputeLocatorError
        The server says that the query failed (``code`` "query_failed"), or a limit was passed.

    Examples
    --------
    >>> import computelocator as cl
    >>> answer = (
    ...     '{"status":"success","data":{"resultType":"vector","result":['
    ...     '{"metric":{"__name__":"up","node":"a"},"value":[1435781451.781,"1"]}]}}'
    ... )
    >>> cl.read_prometheus_json(answer).to_pandas()[["metric", "node", "value"]].values.tolist()
    [['up', 'a', 1.0]]
    """
    if isinstance(source, str) and "{" in source:
        name, body = "<text>", source.encode()
    else:
        name, body = _named_bytes(source)
    core = _core.read_prometheus_json(
        body,
        name=name,
        metric=metric,
        node_label=node_label,
        max_bytes=max_bytes,
        max_samples=max_samples,
    )
    return Snapshot(core)


def _share(value: Share) -> tuple[str, list[str]] | None:
    if value is None:
        return None
    if isinstance(value, str) or len(value) != 2 or isinstance(value[1], str):
        raise ValueError(
            f"share={value!r} cannot be; it is the name of this collector and those of all"
        )
    return str(value[0]), names(value[1])


class Collector:
    """Sweep over the nodes of one cluster, again and again, with the same connections.

    Keeps connections, credentials, pinned keys and the memory of label sets between sweeps, so
    that a second sweep costs less than the first. One sweep at a time.

    Parameters are those of `scrape`.

    Raises
    ------
    ConfigurationError
        No cluster can be found, or an option cannot be.
    """

    def __init__(
        self,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        exec_plugins: str = "auto",
        metrics: Names | None = None,
        labels: Labels | None = None,
        exclude_metrics: Names | None = None,
        exclude_labels: Labels | None = None,
        path: str = "/metrics/cadvisor",
        stats_summary: bool = False,
        namespaces: Names | None = None,
        node_selector: str | None = None,
        route: str = "auto",
        kubelet_tls: str = "verify",
        kubelet_ca: Path | None = None,
        pins: Mapping[str, str] | None = None,
        allowed_ranges: Names | None = None,
        share: Share = None,
        timeout: float = 10.0,
        concurrency: int = 64,
        max_page_bytes: int = 64 << 20,
        policy: str = "lenient",
        keep_pages: bool = False,
    ) -> None:
        choose("exec_plugins", exec_plugins, ("auto", "allow", "deny"))
        choose("route", route, ("auto", "direct", "api_server"))
        choose("kubelet_tls", kubelet_tls, ("verify", "pin", "insecure"))
        choose("path", path, KUBELET_PATHS)
        bound = bounds(timeout, concurrency, max_page_bytes, policy)
        if kubelet_tls == "insecure":
            warnings.warn(
                "kubelet_tls='insecure': kubelets are not verified, and no token is sent to them",
                stacklevel=3,
            )
        every = metrics == "all"
        self._core = _core.Collector(
            {
                "kubeconfig": os.fspath(kubeconfig) if kubeconfig is not None else "",
                "context": context or "",
                "exec_plugins": exec_plugins,
                "all_metrics": every,
                "metrics": [] if every else names(metrics),
                "dropped_metrics": names(exclude_metrics),
                "labels": label_choices(labels, exclude_labels),
                "path": path,
                "stats_summary": stats_summary,
                "namespaces": names(namespaces),
                "node_selector": node_selector or "",
                "route": route,
                "kubelet_tls": kubelet_tls,
                "kubelet_ca": os.fspath(kubelet_ca) if kubelet_ca is not None else "",
                "pins": {str(of): str(pin).lower() for of, pin in (pins or {}).items()},
                "allowed_ranges": names(allowed_ranges),
                "share": _share(share),
                "keep_pages": keep_pages,
                **bound,
            }
        )

    def share(self, me: str | None, all_names: Sequence[str] | None = None) -> None:
        """Scrape this collector's share of the nodes from the next sweep on.

        Each node is that collector's whose name and the node's give the greatest hash, so that
        where one leaves or comes only its own nodes move.

        Parameters
        ----------
        me : str or None
            The name of this collector; None: all nodes.
        all_names : sequence of str
            The names of all collectors, this one's too.

        Raises
        ------
        ConfigurationError
            The name is not among them, or one stands there twice.
        """
        self._core.share(None if me is None else _share((me, all_names or [])))

    def pins(self) -> dict[str, str]:
        """Give the pinned key of each kubelet, by node UID: sha256 as 64 hex digits.

        As of the last sweep; held as long as this collector. Give them as ``pins`` to another one
        to hold them longer.
        """
        return self._core.pins()

    def metrics(self) -> str:
        """Give what it has done since it was made, as a page of the Prometheus text format.

        Sweeps, targets by result, retries, bytes, samples, time per stage, label sets and
        connections kept; as of the last sweep. Safe from any thread.
        """
        return self._core.metrics()

    def sweep(self, *, progress: Callable[[int, int, int], object] | None = None) -> Snapshot:
        """Scrape every node once.

        Parameters
        ----------
        progress : callable, optional
            Called with the numbers of targets done, failed and all, at most ten times a second.
            What it raises ends the sweep.

        Returns
        -------
        Snapshot
            Nodes that failed are in ``outcomes()``; none of them raises.

        Raises
        ------
        ScrapeInterrupted
            Ctrl-C; its ``snapshot`` has what was done.
        ComputeLocatorError
            The API server cannot be asked for the nodes.
        """
        core, raised = self._core.sweep(progress)
        snapshot = None if core is None else Snapshot(core)
        if isinstance(raised, KeyboardInterrupt):
            raise ScrapeInterrupted(snapshot) from None
        if raised is not None:
            raise raised
        assert snapshot is not None
        return snapshot

    def watch(self, interval: Interval = "15s", *, spread: bool | None = None) -> Watcher:
        """Sweep again and again, with nodes and pods kept fresh by watches; see `watch`.

        The collector itself is not to sweep meanwhile.
        """
        return Watcher(self, interval=interval, spread=spread)


def watch(interval: Interval = "15s", *, spread: bool | None = None, **options: Any) -> Watcher:
    """Scrape a cluster again and again, at fixed times.

    Nodes and pods are listed once and then watched. While the API server is away the last known
    ones are scraped: ``Snapshot.warnings`` says so, and ``Snapshot.inventory_age`` how old they
    are. A time that passes while a sweep is under way, or its snapshot is dealt with, is left out.

    Parameters
    ----------
    interval : str, float or timedelta
        From the beginning of one sweep to that of the next: "15s", seconds, or a timedelta; at
        least 0.1 s.
    spread : bool, optional
        Whether nodes are asked at different times of the interval, each always at the same. Each
        sweep ends within its interval then. Default: where that is 5 s or more.
    **options
        Those of `scrape`, but for ``progress``.

    Returns
    -------
    Watcher
        An iterator of snapshots, and a context manager.

    Raises
    ------
    ConfigurationError
        No cluster can be found, or an option cannot be.

    Examples
    --------
    >>> import computelocator as cl
    >>> history = cl.History()
    >>> with cl.simulate(nodes=2, pods=4) as cluster:
    ...     with cl.watch("100ms", kubeconfig=cluster.kubeconfig) as snapshots:
    ...         for snap in snapshots:
    ...             history.add(snap)
    ...             if history.sweeps == 3:
    ...                 break
    ...     cluster.tell("counts")["node_lists"]
    1
    """
    return Collector(**options).watch(interval, spread=spread)


def scrape(
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    exec_plugins: str = "auto",
    metrics: Names | None = None,
    labels: Labels | None = None,
    exclude_metrics: Names | None = None,
    exclude_labels: Labels | None = None,
    path: str = "/metrics/cadvisor",
    stats_summary: bool = False,
    namespaces: Names | None = None,
    node_selector: str | None = None,
    route: str = "auto",
    kubelet_tls: str = "verify",
    kubelet_ca: Path | None = None,
    pins: Mapping[str, str] | None = None,
    allowed_ranges: Names | None = None,
    share: Share = None,
    timeout: float = 10.0,
    concurrency: int = 64,
    max_page_bytes: int = 64 << 20,
    policy: str = "lenient",
    keep_pages: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
) -> Snapshot:
    """Scrape the container metrics of every node of a cluster once.

    Parameters
    ----------
    kubeconfig : path, optional
        This file alone. Else what ``KUBECONFIG`` lists, ``~/.kube/config``, or, in a pod, its
        service account.
    context : str, optional
        A context of the kubeconfig in place of its current one.
    exec_plugins : {"auto", "allow", "deny"}
        Whether a kubeconfig may name a program that gives the credential. "auto": not in a pod.
    metrics : str or sequence of str, optional
        Names of metrics; "all" for every metric. Default: the 16 of `container_metrics`, and all
        of a `path` other than ``/metrics/cadvisor``.
    labels, exclude_metrics, exclude_labels
        Which samples to keep or to leave out; see `parse`.
    path : {"/metrics/cadvisor", "/metrics", "/metrics/resource", "/metrics/probes"}
        The kubelet's page. ``containers()`` and the like are of ``/metrics/cadvisor`` alone.
    stats_summary : bool
        Also ask for ``/stats/summary``, the one source of containers' disk usage where containerd
        runs them; it needs `get` on nodes/stats (route "direct"). ``reasons()`` names the values.
    namespaces : str or sequence of str, optional
        Rows of these namespaces alone.
    node_selector : str, optional
        Nodes by label, as ``kubectl get nodes -l``.
    route : {"auto", "direct", "api_server"}
        The way to the kubelets. "auto": directly from a pod, through the API server elsewhere.
    kubelet_tls : {"verify", "pin", "insecure"}
        With route "direct": check the kubelet's certificate against the cluster's CA or
        `kubelet_ca`; hold the key that it shows first; or check nothing and send no token.
    kubelet_ca : path, optional
        PEM certificates that sign the kubelets' ones.
    pins : mapping of str to str, optional
        With kubelet_tls "pin": the sha256 of kubelets' keys as 64 hex digits, by node UID or
        name, such as ``Collector.pins`` gave them; those of other nodes are taken at first use.
    allowed_ranges : str or sequence of str, optional
        CIDR ranges of node addresses that would be refused otherwise (loopback, link-local).
    share : (str, sequence of str), optional
        The name of this collector and those of all: each node is scraped by one of them.
    timeout : float
        Seconds for one node, all in all.
    concurrency : int
        Nodes at once.
    max_page_bytes : int
        A larger page is refused.
    policy : {"lenient", "prometheus", "strict"}
        What to make of faulty lines; see `parse`.
    keep_pages : bool
        Keep each page as it came; see ``Snapshot.page``.
    progress : callable, optional
        Called with the numbers of targets done, failed and all.

    Returns
    -------
    Snapshot
        A node that failed has its row in ``outcomes()``; a warning counts them.

    Raises
    ------
    ConfigurationError
        No cluster can be found, or an option cannot be.
    AuthError, TLSError, ScrapeTimeout, NodeUnreachable
        The API server cannot be asked for the nodes.
    ScrapeInterrupted
        Ctrl-C; its ``snapshot`` has what was done.

    Examples
    --------
    >>> import computelocator as cl
    >>> with cl.simulate(nodes=2, pods=4) as cluster:
    ...     snap = cl.scrape(kubeconfig=cluster.kubeconfig)
    >>> snap.nodes()["node"].tolist()
    ['node-000', 'node-001']
    """
    collector = Collector(
        kubeconfig=kubeconfig,
        context=context,
        exec_plugins=exec_plugins,
        metrics=metrics,
        labels=labels,
        exclude_metrics=exclude_metrics,
        exclude_labels=exclude_labels,
        path=path,
        stats_summary=stats_summary,
        namespaces=namespaces,
        node_selector=node_selector,
        route=route,
        kubelet_tls=kubelet_tls,
        kubelet_ca=kubelet_ca,
        pins=pins,
        allowed_ranges=allowed_ranges,
        share=share,
        timeout=timeout,
        concurrency=concurrency,
        max_page_bytes=max_page_bytes,
        policy=policy,
        keep_pages=keep_pages,
    )
    return swept(collector, progress, "nodes")


def swept(
    collector: Collector, progress: Callable[[int, int, int], object] | None, what: str
) -> Snapshot:
    """Sweep once for the caller's caller, who is warned of what failed."""
    snapshot = collector.sweep(progress=progress)
    if failed := snapshot.failed:
        warnings.warn(
            f"{failed} of {snapshot.targets} {what} failed; outcomes() says why", stacklevel=3
        )
    for said in snapshot.warnings:
        warnings.warn(said, stacklevel=3)
    return snapshot


def container_metrics() -> list[str]:
    """Give the names of the 16 metrics that `scrape` asks for by default."""
    return _core.container_metrics()
