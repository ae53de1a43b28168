# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``computelocator aggregate``."""

from __future__ import annotations

import argparse
import ipaddress

from computelocator._frames import missing
from computelocator.serve._options import add_serving
from computelocator.serve._units import is_loopback, seconds, whole

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def labels(text: str) -> dict[str, str]:
    """Read "app=target-api,tier=test"."""
    pairs = [each.partition("=") for each in text.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} are no labels; write them as app=target-api")
    return {key: value for key, _, value in pairs}


def network(text: str) -> Network:
    """Read a CIDR range."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no CIDR range; write it as 10.0.0.0/8"
        ) from None


def add_arguments(to: argparse.ArgumentParser) -> None:
    """Add the options."""
    to.add_argument(
        "--collectors",
        action="append",
        metavar="URL",
        help="of a collector, or of all behind a headless service; may be repeated "
        "(http://127.0.0.1:8090)",
    )
    to.add_argument(
        "--collector-token-file", metavar="FILE", help="the bearer token to send to them"
    )
    to.add_argument("--collector-ca", metavar="FILE", help="PEM certificates that they show")
    to.add_argument("--collector-timeout", type=seconds, default=20.0, metavar="TIME")
    to.add_argument(
        "--prometheus", metavar="URL", help="of a Prometheus server, for source=prometheus"
    )
    to.add_argument(
        "--target-labels",
        type=labels,
        default={"app": "target-api"},
        metavar="LABELS",
        help="of the pods of test APIs (app=target-api)",
    )
    to.add_argument("--target-size-label", default="size", metavar="NAME")
    to.add_argument("--target-port", type=whole(1, 65535), default=8000, metavar="PORT")
    to.add_argument(
        "--allow-range",
        type=network,
        action="append",
        metavar="CIDR",
        help="addresses of test APIs to allow that are refused otherwise",
    )
    add_serving(to, "127.0.0.1:8080", "127.0.0.1:8081")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from computelocator.aggregate._collectors import Collectors
    from computelocator.aggregate._endpoints import Endpoints
    from computelocator.aggregate._prometheus import Prometheus
    from computelocator.serve._figures import Figures
    from computelocator.serve._guard import Guard, Limits
    from computelocator.serve._server import Site, check_exposure, probes, run
    from computelocator.serve._tables import arrow
    from computelocator.serve._token import token_from

    arrow()
    try:
        from computelocator.aggregate._app import make
    except ModuleNotFoundError as error:
        raise missing(error.name or "fastapi", "serve") from None

    host = options.listen[0]
    token = token_from(options.token_file)
    check_exposure(host, token=token is not None, encrypted=options.tls_certificate is not None)
    collectors = Collectors(
        options.collectors or ["http://127.0.0.1:8090"],
        token=token_from(options.collector_token_file),
        ca=options.collector_ca,
        timeout=options.collector_timeout,
    )
    endpoints = Endpoints(
        collectors,
        options.target_labels,
        size_label=options.target_size_label,
        port=options.target_port,
        allowed=options.allow_range or (),
    )
    figures = Figures()
    prometheus = Prometheus(options.prometheus) if options.prometheus else None
    limits = Limits(body_bytes=64 << 10)
    app = Guard(
        make(collectors, endpoints, figures, prometheus=prometheus),
        token=token,
        loopback=is_loopback(host),
        limits=limits,
        figures=figures,
    )

    def ready() -> tuple[bool, str]:
        return True, "ok"

    sites = [
        Site("aggregate", app, options.listen, limits, options.tls_certificate, options.tls_key),
        Site("aggregate probes", probes(ready, ready), options.probe_listen),
    ]
    return run(sites, begun=lambda: None, ended=lambda: None)
