# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``computelocator workload``."""

from __future__ import annotations

import argparse

from computelocator._frames import missing
from computelocator.serve._units import address, whole


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add the options."""
    to.add_argument(
        "--listen",
        type=address,
        default=("127.0.0.1", 8000),
        metavar="HOST:PORT",
        help="where the functions are served (127.0.0.1:8000)",
    )
    to.add_argument(
        "--metrics-listen",
        type=address,
        default=("127.0.0.1", 9000),
        metavar="HOST:PORT",
        help="where /metrics is served (127.0.0.1:9000)",
    )
    to.add_argument(
        "--at-once", type=whole(1, 64), default=1, metavar="N", help="executions at a time (1)"
    )
    to.add_argument(
        "--journal",
        type=whole(1, 1_000_000),
        default=10_000,
        metavar="N",
        help="executions that are remembered (10000)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    try:
        from computelocator.workload._app import make
    except ModuleNotFoundError as error:
        raise missing(error.name or "fastapi", "serve") from None
    from computelocator.serve._figures import Figures, page
    from computelocator.serve._guard import Guard, Limits
    from computelocator.serve._server import Site, run
    from computelocator.workload._journal import Journal

    figures = Figures()
    limits = Limits(body_bytes=64 << 10, request_seconds=900.0)
    app = Guard(
        make(Journal(options.journal), figures, at_once=options.at_once),
        token=None,
        loopback=False,
        limits=limits,
        figures=figures,
    )
    sites = [
        Site("test API", app, options.listen, limits),
        Site("test API metrics", page(figures), options.metrics_listen),
    ]
    return run(sites, begun=lambda: None, ended=lambda: None)
