# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Runs a service until it is told to stop: uvicorn, with a deadline for the head of a request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from computelocator._errors import ConfigurationError
from computelocator._frames import missing
from computelocator.serve._guard import App, Limits, Message, Receive, Send
from computelocator.serve._units import is_loopback

if TYPE_CHECKING:
    from uvicorn import Server

STOPS = (signal.SIGTERM, signal.SIGINT)
Probe = Callable[[], tuple[bool, str]]


@dataclass(frozen=True)
class Site:
    """An application and where it is served."""

    name: str
    app: App
    at: tuple[str, int]
    limits: Limits = field(default_factory=Limits)
    certificate: str | None = None
    key: str | None = None


def check_exposure(host: str, *, token: bool, encrypted: bool, anyway: bool = False) -> None:
    """Refuse to serve beyond loopback what nobody has to prove a right to.

    Raises
    ------
    ConfigurationError
    """
    if is_loopback(host) or anyway:
        return
    if not token:
        raise ConfigurationError(
            "invalid_argument",
            f"--listen {host}",
            "beyond loopback a token is needed",
            "name its file with --token-file, or listen on 127.0.0.1",
        )
    if not encrypted:
        raise ConfigurationError(
            "invalid_argument",
            f"--listen {host}",
            "a token may not go over plain HTTP",
            "name --tls-certificate and --tls-key, or listen on 127.0.0.1",
        )


def probes(alive: Probe, ready: Probe) -> App:
    """Make the application of /healthz and /readyz."""
    asked = {"/healthz": alive, "/readyz": ready}

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        probe = asked.get(scope["path"])
        good, text = probe() if probe else (False, "there are /healthz and /readyz")
        status = 200 if good else 503 if probe else 404
        body = text.encode() + b"\n"
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Make uvicorn's protocol with a deadline for each head and a bound on connections.

    uvicorn bounds the size of a head and the time between requests, not the time that a head
    takes: one byte a second would hold a connection for ever. Nor does it bound what it throws
    away of a body that was answered unread.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread = 0

        def _await_head(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(limits.head_seconds, self.transport.abort)

        def _forget_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
            else:
                self._await_head()

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self._await_head()
                if self.conn.their_state is h11.SEND_BODY:
                    self._unread += len(data)
                    if self._unread > limits.body_bytes:
                        self.transport.abort()
                        return
                else:
                    self._unread = 0
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_deadline()
            super().connection_lost(exc)

    return Protocol


def uvicorn_server(site: Site) -> Server:
    """Make the server of a site."""
    try:
        import uvicorn
    except ImportError:
        raise missing("uvicorn", "serve") from None

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals are for all servers of the process together

    config = uvicorn.Config(
        site.app,
        http=protocol(site.limits),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=site.limits.head_bytes,
        timeout_keep_alive=int(site.limits.idle_seconds),
        timeout_graceful_shutdown=5,
        ssl_certfile=site.certificate,
        ssl_keyfile=site.key,
    )
    return Quiet(config)


def opened(site: Site) -> socket.socket:
    """Listen. Port 0 takes a free one."""
    host, port = site.at
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise ConfigurationError(
            "invalid_argument",
            f"{host}:{port}",
            f"cannot listen here: {error.strerror}",
            "choose another address with --listen",
        ) from None


def run(sites: Sequence[Site], *, begun: Callable[[], object], ended: Callable[[], object]) -> int:
    """Serve until SIGTERM or SIGINT; answers that are under way get five seconds.

    Parameters
    ----------
    begun : callable
        Called when the addresses are taken.
    ended : callable
        Called when nothing is served any more.
    """
    told: list[int] = []  # to stop, before the loop runs that hears it
    for number in STOPS:
        signal.signal(number, lambda at, _: told.append(at))
    sockets = [opened(site) for site in sites]
    servers = [uvicorn_server(site) for site in sites]
    for site, at in zip(sites, sockets, strict=True):
        scheme = "https" if site.certificate else "http"
        host, port = at.getsockname()[:2]
        where = f"[{host}]" if ":" in host else host
        print(f"{site.name}: {scheme}://{where}:{port}", file=sys.stderr, flush=True)

    async def all_of_them() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            for server in servers:
                server.should_exit = True

        for number in STOPS:
            loop.add_signal_handler(number, stop)
        if told:
            stop()
        await asyncio.gather(
            *(server.serve(sockets=[at]) for server, at in zip(servers, sockets, strict=True))
        )

    begun()
    try:
        asyncio.run(all_of_them())
    finally:
        ended()
        for at in sockets:
            at.close()
    if any(
        not each.daemon for each in threading.enumerate() if each is not threading.main_thread()
    ):
        # Work whose answer nobody waits for any more: the interpreter would wait for its end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0
