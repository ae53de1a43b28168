# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
r"""Container metrics of a whole Kubernetes cluster, straight into pandas.

>>> import computelocator as cl
>>> snap = cl.parse("up 1\n")
>>> len(snap)
1

``cl.scrape()`` gets the pages of a cluster, ``cl.scrape_targets()`` those of any exporter;
``cl.watch()`` does it again and again; ``cl.simulate()`` makes a cluster to try it on.
"""

from computelocator._connect import Connection, connect
from computelocator._core import __version__
from computelocator._errors import (
    AuthError,
    ComputeLocatorError,
    ConfigurationError,
    NodeUnreachable,
    ParseError,
    ScrapeInterrupted,
    ScrapeTimeout,
    TLSError,
)
from computelocator._history import History
from computelocator._simulate import simulate
from computelocator._snapshot import Snapshot
from computelocator._targets import TargetCollector, scrape_targets
from computelocator._verbs import (
    Collector,
    container_metrics,
    parse,
    read_prometheus_json,
    scrape,
    watch,
)
from computelocator._watch import Watcher

__all__ = [
    "AuthError",
    "Collector",
    "ComputeLocatorError",
    "ConfigurationError",
    "Connection",
    "History",
    "NodeUnreachable",
    "ParseError",
    "ScrapeInterrupted",
    "ScrapeTimeout",
    "Snapshot",
    "TLSError",
    "TargetCollector",
    "Watcher",
    "__version__",
    "connect",
    "container_metrics",
    "parse",
    "read_prometheus_json",
    "scrape",
    "scrape_targets",
    "simulate",
    "watch",
]
