# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What stands before every request: host, token, size, deadline, and headers of every answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from computelocator.serve._figures import Figures
from computelocator.serve._token import TokenFile
from computelocator.serve._units import is_loopback

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """Bounds of a server, all on by default."""

    body_bytes: int = 1 << 20
    head_bytes: int = 16 << 10
    head_fields: int = 100
    head_seconds: float = 10.0  # from the first byte, or from connecting
    request_seconds: float = 60.0  # from the head to the last byte of the answer
    idle_seconds: float = 30.0  # of a connection between requests
    connections: int = 512


ALWAYS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class TooLarge(Exception):
    """The body goes beyond its bound."""


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    token : TokenFile, optional
        Who has none gets 401.
    loopback : bool
        The server listens on loopback alone: a Host header that names another machine is a page
        of somebody else's that reaches for us (DNS rebinding), and gets 421.
    """

    def __init__(
        self,
        app: App,
        *,
        token: TokenFile | None,
        loopback: bool,
        limits: Limits,
        figures: Figures,
    ) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback
        self._limits = limits
        self._figures = figures
        figures.declare("http_requests_total", "Requests, by status")
        figures.declare("http_request_seconds_total", "Time that requests took, by status")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let one request through, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        status = 0
        taken = 0

        async def guarded_send(message: Message) -> None:
            nonlocal status
            if taken > self._limits.body_bytes and status == 0:
                raise TooLarge  # a framework that caught it would answer 500 and read on
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                headers += [each for each in ALWAYS if each[0] not in names]
                if NOTHING[0] not in names:
                    headers.append(NOTHING)
                message = {**message, "headers": headers}
            await send(message)

        async def guarded_receive() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._limits.body_bytes:
                    raise TooLarge
            return message

        async def refuse(code: int, what: str, *more: tuple[bytes, bytes]) -> None:
            body = json.dumps({"detail": what}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *more,
            ]
            await guarded_send({"type": "http.response.start", "status": code, "headers": headers})
            await guarded_send({"type": "http.response.body", "body": body})

        headers = {name.lower(): value for name, value in scope["headers"]}
        size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        size += len(scope["path"]) + len(scope["query_string"])
        try:
            if size > self._limits.head_bytes or len(scope["headers"]) > self._limits.head_fields:
                await refuse(431, "the head of the request is too large")
            elif b"transfer-encoding" in headers and b"content-length" in headers:
                await refuse(400, "a body has one length: Content-Length or Transfer-Encoding")
            elif self._loopback and not is_own_host(headers.get(b"host", b"")):
                await refuse(421, "this server answers for localhost alone; check the Host header")
            elif self._token is not None and not self._token.is_in(
                headers.get(b"authorization", b"")
            ):
                await refuse(
                    401, "send the bearer token of this service", (b"www-authenticate", b"Bearer")
                )
            elif int(headers.get(b"content-length", b"0")) > self._limits.body_bytes:
                raise TooLarge
            else:
                await asyncio.wait_for(
                    self._app(scope, guarded_receive, guarded_send), self._limits.request_seconds
                )
        except TooLarge:
            taken = 0
            if status == 0:
                most = self._limits.body_bytes
                await refuse(413, f"a body of up to {most} bytes is taken; send less at once")
        except (asyncio.TimeoutError, TimeoutError):
            if status == 0:
                within = self._limits.request_seconds
                await refuse(
                    503, f"not done within {within:g} s; ask for less", (b"retry-after", b"5")
                )
            else:
                raise
        finally:
            self._figures.add("http_requests_total", status=str(status))
            self._figures.add(
                "http_request_seconds_total", time.monotonic() - begun, status=str(status)
            )


def is_own_host(header: bytes) -> bool:
    """Tell whether a Host header names this machine as loopback."""
    text = header.decode("latin-1").lower()
    host = text[: text.rindex("]") + 1] if "]" in text else text.partition(":")[0]
    return is_loopback(host.removeprefix("[").removesuffix("]"))
