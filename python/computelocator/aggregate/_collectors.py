# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The collectors behind a headless service, asked together as if they were one."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from computelocator._errors import ComputeLocatorError
from computelocator.serve._addresses import addresses
from computelocator.serve._client import Query, Reply, Site
from computelocator.serve._tables import from_arrow, joined
from computelocator.serve._token import TokenFile

if TYPE_CHECKING:
    import pyarrow

MOST_COLLECTORS = 256


@dataclass(frozen=True)
class Joined:
    """A table of all collectors together."""

    table: pyarrow.Table
    version: str
    as_of: float
    missing: tuple[str, ...]
    truncated: bool


class Unavailable(ComputeLocatorError):
    """No collector answered."""


class Memory:
    """Remembers what was fetched, for a moment; who asks for the same meanwhile waits for it."""

    def __init__(self, seconds: float, most: int = 128) -> None:
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[Any, tuple[float, Future[Any]]] = {}

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """Give what `make` gives, or gave a moment ago."""
        now = time.monotonic()
        with self._lock:
            until, future = self._kept.get(key, (0.0, Future()))
            mine = until <= now
            if mine:
                future = Future()
                self._kept[key] = (float("inf"), future)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
            with self._lock:
                self._kept[key] = (time.monotonic() + self._seconds, future)
                for old in [k for k, (until, _) in self._kept.items() if until <= now]:
                    del self._kept[old]
                while len(self._kept) > self._most:
                    done = next((k for k, (u, _) in self._kept.items() if u != float("inf")), None)
                    if done is None:
                        break
                    del self._kept[done]
        return future.result()


class Collectors:
    """All collectors whose addresses stand behind the given URLs.

    Parameters
    ----------
    urls : sequence of str
        Each may be a headless service: every address that its name has is a collector.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: TokenFile | None = None,
        ca: str | None = None,
        timeout: float = 20.0,
        remembered: float = 1.0,
    ) -> None:
        self._urls = list(urls)
        self._token = token
        self._ca = ca
        self._timeout = timeout
        self._sites: dict[tuple[str, str], Site] = {}
        self._memory = Memory(remembered)
        self._names = Memory(5.0)
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="collectors")
        for url in self._urls:  # a faulty one is told at the start
            Site(url, token=token, ca=ca)

    def sites(self) -> tuple[list[Site], list[str]]:
        """Give the collectors that there are now, and what is in the way of finding others."""
        found: dict[tuple[str, str], Site] = {}
        missing: list[str] = []
        for url in self._urls:
            host = urllib.parse.urlsplit(url).hostname or ""
            try:
                known: list[str] = self._names.get(host, partial(addresses, host))
            except OSError as error:
                missing.append(f"{host} cannot be resolved: {error.strerror or error}")
                continue
            for address in known[:MOST_COLLECTORS]:
                key = (url, address)
                found[key] = self._sites.get(key) or Site(
                    url, token=self._token, ca=self._ca, address=address, timeout=self._timeout
                )
        self._sites = found  # those of replicas that went are forgotten
        return list(found.values()), missing

    def _fetch(self, ask: Callable[[Site], Reply]) -> Joined:
        sites, missing = self.sites()
        waiting = [(site, self._pool.submit(ask, site)) for site in sites]
        replies: list[Reply] = []
        for site, future in waiting:
            try:
                replies.append(future.result())
            except ComputeLocatorError as error:
                missing.append(f"collector {site.address}: {error.what}")
        if not replies:
            raise Unavailable(
                "connect_failed",
                "collectors",
                "; ".join(missing) or "there is none",
                "see kubectl get pods -l app=observer",
            )
        tables = [from_arrow(reply.body) for reply in replies]
        versions = sorted(reply.headers.get("X-Version", "") for reply in replies)
        stale = [reply.headers["X-Missing"] for reply in replies if "X-Missing" in reply.headers]
        oldest = max(float(reply.headers.get("Age", "0")) for reply in replies)
        return Joined(
            joined(tables),
            hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16],
            time.time() - oldest,
            (*missing, *stale),
            any(reply.headers.get("X-Truncated") == "true" for reply in replies),
        )

    def table(self, path: str, query: Query | None = None) -> Joined:
        """Ask all collectors for a table and put the answers below one another.

        Raises
        ------
        Unavailable
            None of them answered. Where some did, `missing` names the others.
        """
        asked = dict(query or {})
        key = (path, repr(sorted(asked.items(), key=lambda each: each[0])))

        def whole(site: Site) -> Reply:
            return site.all_pages(path, asked)

        made: Joined = self._memory.get(key, lambda: self._fetch(whole))
        return made

    def usage(self, body: bytes) -> list[pyarrow.Table]:
        """Ask all collectors what events used; each knows its own nodes' pods."""
        sites, _ = self.sites()
        waiting = [
            self._pool.submit(site.ask, "/usage", {"format": "arrow"}, body=body) for site in sites
        ]
        made = []
        for future in waiting:
            try:
                made.append(from_arrow(future.result().body))
            except ComputeLocatorError:
                continue  # its events stay without values, and say so
        return made
