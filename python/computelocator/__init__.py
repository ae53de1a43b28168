# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
r"""Container metrics of a whole Kubernetes cluster, straight into pandas.

>>> import computelocator as cl
>>> snap = cl.parse("up 1\n")
>>> len(snap)
1
"""

from computelocator._core import __version__
from computelocator._errors import (
    AuthError,
    ComputeLocatorError,
    ConfigurationError,
    NodeUnreachable,
    ParseError,
    ScrapeTimeout,
    TLSError,
)
from computelocator._snapshot import Snapshot
from computelocator._verbs import parse

__all__ = [
    "AuthError",
    "ComputeLocatorError",
    "ConfigurationError",
    "NodeUnreachable",
    "ParseError",
    "ScrapeTimeout",
    "Snapshot",
    "TLSError",
    "__version__",
    "parse",
]
