# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``computelocator observe``."""

from __future__ import annotations

import argparse
import os
import socket
from typing import TYPE_CHECKING, Any

from computelocator._frames import missing
from computelocator.serve._options import add_serving
from computelocator.serve._units import is_loopback, seconds, size, whole

if TYPE_CHECKING:
    from computelocator._verbs import Collector


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add the options."""
    to.add_argument(
        "--kubeconfig", metavar="FILE", help="default: as kubectl finds it, or the pod's"
    )
    to.add_argument("--context", metavar="NAME")
    to.add_argument(
        "--interval", type=seconds, default=15.0, metavar="TIME", help="between sweeps (15s)"
    )
    to.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="TIME", help="of one kubelet (10s)"
    )
    to.add_argument("--concurrency", type=whole(1, 10_000), default=64, metavar="N")
    to.add_argument("--route", choices=("auto", "direct", "api_server"), default="auto")
    to.add_argument("--node-selector", metavar="LABELS", help="as kubectl get nodes -l")
    to.add_argument("--all-metrics", action="store_true", help="every metric, not the 16")
    to.add_argument(
        "--stats-summary",
        action="store_true",
        help="also ask for /stats/summary: disk usage of containers that containerd runs",
    )
    to.add_argument(
        "--kubelet-tls",
        choices=("verify", "pin"),
        default="verify",
        help="verify certificates (default), or hold the key that a node shows first",
    )
    to.add_argument("--kubelet-ca", metavar="FILE", help="PEM certificates that sign kubelets")
    to.add_argument("--pins", metavar="FILE", help="keep pinned keys there over restarts")
    to.add_argument(
        "--allow-range",
        action="append",
        metavar="CIDR",
        help="node addresses to allow that are refused otherwise",
    )
    to.add_argument(
        "--history-bytes",
        type=size,
        default=256 << 20,
        metavar="SIZE",
        help="memory of the history (256Mi)",
    )
    to.add_argument(
        "--history-age",
        type=seconds,
        default=3600.0,
        metavar="TIME",
        help="how far it goes back (1h)",
    )
    to.add_argument(
        "--peers",
        action="append",
        metavar="NAME",
        help="headless service of all replicas, which then share the nodes; may be repeated",
    )
    to.add_argument(
        "--me",
        metavar="ADDRESS",
        default=os.environ.get("POD_IP"),
        help="this replica's address in it (POD_IP)",
    )
    add_serving(to, "127.0.0.1:8090", "127.0.0.1:8091")


def opened(options: argparse.Namespace) -> Collector:
    """Make the collector that the options describe."""
    from computelocator._verbs import Collector
    from computelocator.observe._pins import read_pins

    more: dict[str, Any] = {}
    if options.pins:
        more["pins"] = read_pins(options.pins)
    return Collector(
        kubeconfig=options.kubeconfig,
        context=options.context,
        metrics="all" if options.all_metrics else None,
        stats_summary=options.stats_summary,
        node_selector=options.node_selector,
        route=options.route,
        kubelet_tls=options.kubelet_tls,
        kubelet_ca=options.kubelet_ca,
        allowed_ranges=options.allow_range,
        timeout=options.timeout,
        concurrency=options.concurrency,
        **more,
    )


def run(options: argparse.Namespace) -> int:
    """Sweep and serve until told to stop."""
    from computelocator._history import History
    from computelocator.observe._peers import Peers
    from computelocator.observe._pins import write_pins
    from computelocator.observe._sweeper import Sweeper
    from computelocator.serve._figures import Figures
    from computelocator.serve._guard import Guard, Limits
    from computelocator.serve._server import Site, check_exposure, probes, run
    from computelocator.serve._tables import arrow
    from computelocator.serve._token import token_from

    arrow()
    try:
        from computelocator.observe._app import make
    except ModuleNotFoundError as error:
        raise missing(error.name or "fastapi", "serve") from None

    host = options.listen[0]
    token = token_from(options.token_file)
    check_exposure(host, token=token is not None, encrypted=options.tls_certificate is not None)
    collector = opened(options)
    pinned: dict[str, str] = {}

    def keep_pins() -> None:
        nonlocal pinned
        if options.pins and (now := collector.pins()) != pinned:
            write_pins(options.pins, now)
            pinned = now

    figures = Figures()
    peers = Peers(options.peers, options.me or socket.gethostname()) if options.peers else None
    history = History(max_bytes=options.history_bytes, max_age=options.history_age)
    sweeper = Sweeper(
        collector, history, figures, interval=options.interval, peers=peers, after=keep_pins
    )
    limits = Limits(body_bytes=2 << 20)
    app = Guard(
        make(sweeper, figures),
        token=token,
        loopback=is_loopback(host),
        limits=limits,
        figures=figures,
    )
    sites = [
        Site("observe", app, options.listen, limits, options.tls_certificate, options.tls_key),
        Site("observe probes", probes(sweeper.alive, sweeper.ready), options.probe_listen),
    ]
    return run(sites, begun=sweeper.start, ended=sweeper.stop)
