# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The options of how a service is served."""

from __future__ import annotations

import argparse

from computelocator.serve._units import address


def add_serving(to: argparse.ArgumentParser, listen: str, probe: str) -> None:
    """Add them."""
    to.add_argument(
        "--listen",
        type=address,
        default=address(listen),
        metavar="HOST:PORT",
        help=f"where it is served ({listen})",
    )
    to.add_argument(
        "--probe-listen",
        type=address,
        default=address(probe),
        metavar="HOST:PORT",
        help=f"where /healthz and /readyz are served ({probe})",
    )
    to.add_argument("--token-file", metavar="FILE", help="who asks has to send this bearer token")
    to.add_argument("--tls-certificate", metavar="FILE", help="PEM; with --tls-key it serves https")
    to.add_argument("--tls-key", metavar="FILE")
