# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Which test APIs there are, by label, from the collectors' pod list; and their journals."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from computelocator._errors import ComputeLocatorError
from computelocator.aggregate._collectors import Collectors, Joined
from computelocator.serve._client import Site
from computelocator.serve._tables import arrow

if TYPE_CHECKING:
    import pyarrow

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_ENDPOINTS = 200
JOURNAL_BYTES = 32 << 20
WHOLE = ("number", "input", "start", "end", "status")
TEXTS = ("function", "endpoint")


def labels_of(text: str) -> dict[str, str]:
    """Read labels as the inventory has them.

    >>> labels_of("app=target-api,size=small")
    {'app': 'target-api', 'size': 'small'}
    """
    pairs = (each.partition("=") for each in text.split(",") if each)
    return {key: value for key, _, value in pairs}


@dataclass(frozen=True)
class Endpoint:
    """One pod of a test API."""

    namespace: str
    pod: str
    node: str
    size: str
    phase: str
    address: str
    url: str


class Endpoints:
    """Finds test APIs and reads what they executed.

    Parameters
    ----------
    selector : mapping of str to str
        Labels that all of their pods have.
    size_label : str
        The label that tells how large one is.
    port : int
        Where they serve their functions.
    allowed : sequence of networks
        Addresses of pods that would be refused otherwise: loopback, link-local.
    """

    def __init__(
        self,
        collectors: Collectors,
        selector: Mapping[str, str],
        *,
        size_label: str = "size",
        port: int = 8000,
        allowed: Sequence[Network] = (),
        timeout: float = 5.0,
    ) -> None:
        self._collectors = collectors
        self._selector = dict(selector)
        self._size_label = size_label
        self._port = port
        self._allowed = tuple(allowed)
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="journals")

    def find(self) -> tuple[list[Endpoint], Joined]:
        """Give those that have an address, and the pod list they come from."""
        listed = self._collectors.table("/inventory")
        columns = {
            name: listed.table.column(name).to_pylist() for name in listed.table.column_names
        }
        found: dict[str, Endpoint] = {}
        for row in range(listed.table.num_rows):
            labels = labels_of(columns["labels"][row] or "")
            if any(labels.get(key) != value for key, value in self._selector.items()):
                continue
            address = columns["address"][row] or ""
            if not is_pod_address(address, self._allowed):
                continue
            host = f"[{address}]" if ":" in address else address
            # Every replica lists all pods: the same pod comes once.
            found[columns["uid"][row]] = Endpoint(
                columns["namespace"][row],
                columns["pod"][row],
                columns["node"][row],
                labels.get(self._size_label, ""),
                columns["phase"][row],
                address,
                f"http://{host}:{self._port}",
            )
        ordered = sorted(found.values(), key=lambda each: (each.namespace, each.pod))
        return ordered[:MOST_ENDPOINTS], listed

    def table(self) -> tuple[pyarrow.Table, Joined]:
        """Give them as a table."""
        found, listed = self.find()
        pyarrow = arrow()
        names = list(Endpoint.__dataclass_fields__)
        columns = {
            name: pyarrow.array([getattr(e, name) for e in found], "string") for name in names
        }
        return pyarrow.table(columns), listed

    def journals(
        self, endpoints: list[Endpoint], since: int | None, until: int | None, limit: int
    ) -> tuple[list[tuple[Endpoint, dict[str, Any]]], list[str]]:
        """Give the executions of each, and what could not be read."""

        def read(of: Endpoint) -> list[dict[str, Any]]:
            site = Site(of.url, timeout=self._timeout, most_bytes=JOURNAL_BYTES)
            query = {"since": since, "until": until, "limit": limit}
            return executions_in(site.ask("/journal", query).body)

        waiting = [(of, self._pool.submit(read, of)) for of in endpoints]
        rows: list[tuple[Endpoint, dict[str, Any]]] = []
        missing: list[str] = []
        for of, future in waiting:
            try:
                rows += [(of, each) for each in future.result()]
            except ComputeLocatorError as error:
                missing.append(f"journal of {of.namespace}/{of.pod}: {error.what}")
        return rows, missing


def is_pod_address(text: str, allowed: Sequence[Network]) -> bool:
    """Tell whether a pod can be asked there: what a pod's status says is not ours to trust."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if any(address in network for network in allowed):
        return True
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def executions_in(body: bytes) -> list[dict[str, Any]]:
    """Read a journal, and hold it to its form: a pod may answer anything."""
    try:
        rows = json.loads(body)["executions"]
        made = []
        for row in rows:
            kept = {name: row[name] for name in (*WHOLE, *TEXTS)}
            if not all(type(kept[n]) is int and 0 <= kept[n] < 1 << 63 for n in WHOLE):
                raise ValueError
            if not all(isinstance(kept[n], str) and len(kept[n]) <= 256 for n in TEXTS):
                raise ValueError
            if kept["end"] < kept["start"]:
                raise ValueError
            made.append(kept)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ComputeLocatorError("page_refused", "journal", "this is no journal") from None
    return made
