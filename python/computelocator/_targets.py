# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Any exporter: the same scraper for targets that are no kubelets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence

from computelocator import _core
from computelocator._snapshot import Snapshot
from computelocator._verbs import (
    Collector,
    Labels,
    Names,
    Path,
    bounds,
    choose,
    label_choices,
    names,
    swept,
)


def paths(value: Path | Sequence[Path] | None) -> list[str]:
    """Take one path, several, or none."""
    if value is None:
        return []
    if isinstance(value, (str, os.PathLike)):
        return [os.fspath(value)]
    return [os.fspath(each) for each in value]


class TargetCollector(Collector):
    """Sweep over targets that are no kubelets, again and again, with the same connections.

    Files are read anew in each sweep, and pods listed anew; while a file cannot be read its targets
    are those of before, and ``Snapshot.warnings`` says so.

    Parameters are those of `scrape_targets`.

    Raises
    ------
    ConfigurationError
        An address, a file of credentials or an option that cannot be; with `annotated_pods`, no
        cluster can be found.
    """

    def __init__(
        self,
        targets: Names | None = None,
        *,
        files: Path | Sequence[Path] | None = None,
        annotated_pods: bool = False,
        add_labels: Mapping[str, str] | None = None,
        metrics: Names | None = None,
        labels: Labels | None = None,
        exclude_metrics: Names | None = None,
        exclude_labels: Labels | None = None,
        token_file: Path | None = None,
        username: str | None = None,
        password_file: Path | None = None,
        ca: Path | None = None,
        server_name: str | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        tls: str = "verify",
        kubeconfig: Path | None = None,
        context: str | None = None,
        exec_plugins: str = "auto",
        namespaces: Names | None = None,
        route: str = "auto",
        allowed_ranges: Names | None = None,
        timeout: float = 10.0,
        concurrency: int = 64,
        max_page_bytes: int = 64 << 20,
        policy: str = "lenient",
        keep_pages: bool = False,
    ) -> None:
        addresses, of_files = names(targets), paths(files)
        if not addresses and not of_files and not annotated_pods:
            raise ValueError("name targets, files of them, or annotated_pods=True")
        choose("exec_plugins", exec_plugins, ("auto", "allow", "deny"))
        choose("route", route, ("auto", "direct", "api_server"))
        choose("tls", tls, ("verify", "insecure"))
        if tls == "insecure":
            warnings.warn(
                "tls='insecure': targets are not verified, and no token or password is sent",
                stacklevel=3,
            )

        def path(value: Path | None) -> str:
            return "" if value is None else os.fspath(value)

        every = metrics is None or metrics == "all"
        self._core = _core.Collector(
            {
                "kubeconfig": path(kubeconfig),
                "context": context or "",
                "exec_plugins": exec_plugins,
                "all_metrics": every,
                "metrics": [] if every else names(metrics),
                "dropped_metrics": names(exclude_metrics),
                "labels": label_choices(labels, exclude_labels),
                "namespaces": names(namespaces),
                "route": route,
                "allowed_ranges": names(allowed_ranges),
                "keep_pages": keep_pages,
                "exporters": {
                    "addresses": addresses,
                    "files": of_files,
                    "annotated_pods": annotated_pods,
                    "labels": [(str(n), str(v)) for n, v in (add_labels or {}).items()],
                    "tls": tls,
                    "ca": path(ca),
                    "server_name": server_name or "",
                    "token_file": path(token_file),
                    "username": username or "",
                    "password_file": path(password_file),
                    "certificate": path(certificate),
                    "key": path(key),
                },
                **bounds(timeout, concurrency, max_page_bytes, policy),
            }
        )


def scrape_targets(
    targets: Names | None = None,
    *,
    files: Path | Sequence[Path] | None = None,
    annotated_pods: bool = False,
    add_labels: Mapping[str, str] | None = None,
    metrics: Names | None = None,
    labels: Labels | None = None,
    exclude_metrics: Names | None = None,
    exclude_labels: Labels | None = None,
    token_file: Path | None = None,
    username: str | None = None,
    password_file: Path | None = None,
    ca: Path | None = None,
    server_name: str | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    tls: str = "verify",
    kubeconfig: Path | None = None,
    context: str | None = None,
    exec_plugins: str = "auto",
    namespaces: Names | None = None,
    route: str = "auto",
    allowed_ranges: Names | None = None,
    timeout: float = 10.0,
    concurrency: int = 64,
    max_page_bytes: int = 64 << 20,
    policy: str = "lenient",
    keep_pages: bool = False,
    progress: Callable[[int, int, int], object] | None = None,
) -> Snapshot:
    """Scrape any exporter once: addresses, files of Prometheus' file_sd, or annotated pods.

    Parameters
    ----------
    targets : str or sequence of str, optional
        ``http://127.0.0.1:9100/metrics``, ``https://host/path?query`` or ``host:9100``, which is
        ``http`` and ``/metrics``.
    files : path or sequence of path, optional
        JSON or YAML as for Prometheus' ``file_sd_configs``, ``*`` and ``?`` in the last part.
        ``__scheme__``, ``__metrics_path__`` and ``__param_NAME`` mean what they mean there.
    annotated_pods : bool
        The pods of a cluster with ``prometheus.io/scrape: "true"``, by their annotations ``port``,
        ``path``, ``scheme`` and ``param_NAME``.
    add_labels : mapping of str to str, optional
        Columns to add to the rows of every target that does not give them itself.
    metrics : str or sequence of str, optional
        These alone. Default: all.
    labels, exclude_metrics, exclude_labels
        Which samples to keep or to leave out; see `parse`.
    token_file, username, password_file, certificate, key : path or str, optional
        A bearer token, basic authentication, or a client certificate for `targets` and `files`;
        with a token or password those on plain HTTP are refused.
        Pods never get them, nor any target a credential of the cluster.
    ca : path, optional
        PEM certificates that sign the targets' ones. Default: the system's.
    server_name : str, optional
        The name that their certificates are to be for, in place of the host.
    tls : {"verify", "insecure"}
        "insecure" checks nothing and sends neither token nor password.
    kubeconfig, context, exec_plugins
        The cluster of the annotated pods; see `scrape`.
    namespaces : str or sequence of str, optional
        Annotated pods of these namespaces alone.
    route : {"auto", "direct", "api_server"}
        The way to the annotated pods. "auto": directly in a pod, through the API server elsewhere.
    allowed_ranges : str or sequence of str, optional
        CIDR ranges of pods' addresses that would be refused otherwise (loopback, link-local).
    timeout, concurrency, max_page_bytes, policy, keep_pages, progress
        As for `scrape`.

    Returns
    -------
    Snapshot
        One row a sample. The labels of targets are columns, ``instance`` among them; where a page
        has one of these labels itself, its own is ``exported_NAME``.

    Raises
    ------
    ConfigurationError
        An address, a file or an option that cannot be.
    AuthError, TLSError, ScrapeTimeout, NodeUnreachable
        With `annotated_pods`, the API server cannot be asked for the pods.
    ScrapeInterrupted
        Ctrl-C; its ``snapshot`` has what was done.

    Examples
    --------
    >>> import computelocator as cl
    >>> snap = cl.scrape_targets("http://127.0.0.1:9100/metrics")  # doctest: +SKIP
    >>> cl.scrape_targets("ftp://127.0.0.1/metrics")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    computelocator._errors.ConfigurationError: target ftp://127.0.0.1/metrics: has a scheme other...
    """
    collector = TargetCollector(
        targets,
        files=files,
        annotated_pods=annotated_pods,
        add_labels=add_labels,
        metrics=metrics,
        labels=labels,
        exclude_metrics=exclude_metrics,
        exclude_labels=exclude_labels,
        token_file=token_file,
        username=username,
        password_file=password_file,
        ca=ca,
        server_name=server_name,
        certificate=certificate,
        key=key,
        tls=tls,
        kubeconfig=kubeconfig,
        context=context,
        exec_plugins=exec_plugins,
        namespaces=namespaces,
        route=route,
        allowed_ranges=allowed_ranges,
        timeout=timeout,
        concurrency=concurrency,
        max_page_bytes=max_page_bytes,
        policy=policy,
        keep_pages=keep_pages,
    )
    return swept(collector, progress, "targets")
