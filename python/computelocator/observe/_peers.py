# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Which replicas there are: the addresses of a headless service."""

from __future__ import annotations

from collections.abc import Sequence

from computelocator.serve._addresses import addresses


class Peers:
    """The replicas of this collector, this one among them.

    Each gives itself a share of the nodes by the same rule, so nobody has to be asked. Where the
    name cannot be resolved for a moment, the last known replicas stay.
    """

    def __init__(self, names: Sequence[str], me: str) -> None:
        self.me = me
        self._names = list(names)
        self._known = [me]
        self.failure = ""

    def look(self) -> list[str]:
        """Give the replicas as they are now."""
        found = {self.me}
        for name in self._names:
            try:
                found.update(addresses(name))
            except OSError as error:
                self.failure = f"{name} cannot be resolved: {error.strerror or error}"
                return self._known
        self.failure = ""
        self._known = sorted(found)
        return self._known
