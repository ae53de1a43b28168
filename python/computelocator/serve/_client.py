# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""One HTTP request with the standard library alone: bounded, encrypted where it carries a token."""

from __future__ import annotations

import contextlib
import email.message
import http.client
import json
import os
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from computelocator._errors import (
    AuthError,
    ComputeLocatorError,
    ConfigurationError,
    NodeUnreachable,
    ScrapeTimeout,
    TLSError,
)
from computelocator.serve._token import TokenFile
from computelocator.serve._units import is_loopback

Query = Mapping[str, object]


@dataclass(frozen=True)
class Reply:
    """What a server answered with status 200."""

    body: bytes
    headers: email.message.Message  # whose names are found in any case


def encoded(query: Query) -> str:
    """Write a query; None is left out, a sequence is repeated."""
    pairs: list[tuple[str, str]] = []
    for key, value in query.items():
        if value is None:
            continue
        if isinstance(value, Sequence) and not isinstance(value, str):
            pairs += [(key, str(each)) for each in value]
        else:
            pairs.append((key, str(value)))
    return urllib.parse.urlencode(pairs)


class Site:
    """A server to ask, with its name, token, trust and bounds. Threads may share it.

    Parameters
    ----------
    url : str
        As in "http://localhost:8080".
    token : str or TokenFile, optional
        Sent as a bearer token; never over plain HTTP to another machine.
    ca : path, optional
        PEM certificates to trust in place of the system's.
    address : str, optional
        Connect there, and hold the server to the name in `url`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenFile | None = None,
        ca: str | os.PathLike[str] | None = None,
        address: str | None = None,
        timeout: float = 30.0,
        most_bytes: int = 256 << 20,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ConfigurationError(
                "invalid_argument",
                url,
                "this is no address of a service",
                "write it as http://localhost:8080",
            )
        if token is not None and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ConfigurationError(
                "invalid_argument",
                url,
                "a token is not sent over plain HTTP to another machine",
                "use https, or a port-forward and http://localhost",
            )
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._base = parts.path.rstrip("/")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self.address = address or parts.hostname
        self._token = token
        self._timeout = timeout
        self._most = most_bytes
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context(cafile=os.fspath(ca) if ca else None)

    def __repr__(self) -> str:
        return f"<Site {self.url}>"

    def _connected(self) -> http.client.HTTPConnection:
        made = http.client.HTTPConnection(self.address, self._port, timeout=self._timeout)
        if self._tls is not None:
            raw = socket.create_connection((self.address, self._port), self._timeout)
            try:
                made.sock = self._tls.wrap_socket(raw, server_hostname=self._host)
            except BaseException:
                raw.close()
                raise
        else:
            made.connect()
        return made

    def ask(
        self,
        path: str,
        query: Query | None = None,
        *,
        accept: str = "application/json",
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Reply:
        """Ask with GET, or with POST where there is a body.

        Raises
        ------
        ComputeLocatorError
            Or one of its kinds: not reached, not permitted, too slow, or another status than 200.
        """
        asked = encoded(query or {})
        where = f"{self.url}{path}"
        headers = {
            "Accept": accept,
            "Host": f"{self._host}:{self._port}",
            "User-Agent": "computelocator",
        }
        if self._token is not None:
            text = self._token if isinstance(self._token, str) else self._token.text
            headers["Authorization"] = f"Bearer {text}"
        if body is not None:
            headers["Content-Type"] = content_type
        connection: http.client.HTTPConnection | None = None
        watch: threading.Timer | None = None
        begun = time.monotonic()
        try:
            connection = self._connected()
            # Timeouts of a socket begin anew with each byte; this one ends the whole.
            watch = threading.Timer(self._timeout, cut, (connection.sock,))
            watch.daemon = True
            watch.start()
            target = f"{self._base}{path}" + (f"?{asked}" if asked else "")
            connection.request("GET" if body is None else "POST", target, body, headers)
            answer = connection.getresponse()
            content = answer.read(self._most + 1)
            status, fields = answer.status, answer.headers
            check_whole(content, fields, chunked=bool(answer.chunked), most=self._most)
        except ssl.SSLError as error:
            raise TLSError(
                "tls_untrusted",
                where,
                f"the server cannot be verified: {error.reason or error}",
                "trust the certificate that it was given",
            ) from None
        except TimeoutError:  # of a socket, too, since Python 3.10
            raise self._too_slow(where) from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() - begun >= self._timeout:
                raise self._too_slow(where) from None
            raise NodeUnreachable(
                "connect_failed",
                where,
                f"no answer: {error}",
                "check that it runs and the port-forward is up",
            ) from None
        finally:
            if watch is not None:
                watch.cancel()
            if connection is not None:
                connection.close()
        if len(content) > self._most:
            raise ComputeLocatorError(
                "too_large",
                where,
                f"the answer is larger than {self._most} bytes",
                "ask for less at once",
            )
        if status != 200:
            raise refusal(status, where, content)
        return Reply(content, fields)

    def all_pages(self, path: str, query: Query | None = None, *, rows: int = 50_000) -> Reply:
        """Ask for a table as Arrow, page after page of one version, and give it as one stream.

        Raises
        ------
        ComputeLocatorError
            As `ask`; code "changed" where the table changed three times meanwhile.
        """
        accept = "application/vnd.apache.arrow.stream"
        for attempt in range(3):
            try:
                first = self.ask(path, {**(query or {}), "limit": rows}, accept=accept)
                total = int(first.headers.get("X-Total-Rows", "0"))
                if total <= rows:
                    return first
                version = first.headers.get("X-Version", "")
                parts = [first.body]
                for offset in range(rows, total, rows):
                    asked = {**(query or {}), "limit": rows, "offset": offset, "version": version}
                    parts.append(self.ask(path, asked, accept=accept).body)
                return Reply(one_stream(parts), first.headers)
            except ComputeLocatorError as error:
                if error.code != "changed" or attempt == 2:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _too_slow(self, where: str) -> ScrapeTimeout:
        return ScrapeTimeout(
            "timed_out",
            where,
            f"no answer within {self._timeout:g} s",
            "try again, or ask for less",
        )


def one_stream(parts: Sequence[bytes]) -> bytes:
    """Put Arrow streams of the same table behind one another."""
    from computelocator.serve._tables import as_arrow, from_arrow, joined

    return as_arrow(joined([from_arrow(part) for part in parts]))


def check_whole(content: bytes, fields: email.message.Message, *, chunked: bool, most: int) -> None:
    """Refuse an answer that was cut off, or that may have been: http.client takes it as it is."""
    length = fields.get("Content-Length")
    if chunked:
        return
    if length is None or not length.isdigit():
        raise http.client.HTTPException("the answer does not say how long it is")
    if len(content) < min(int(length), most + 1):
        raise http.client.HTTPException("the answer was cut off")


def cut(of: socket.socket) -> None:
    """End a connection that a thread may be reading."""
    with contextlib.suppress(OSError):
        of.shutdown(socket.SHUT_RDWR)


def refusal(status: int, where: str, content: bytes) -> ComputeLocatorError:
    """Make the error of a status other than 200, in the server's own words."""
    said = content[:256].decode("utf-8", "replace")
    try:
        detail = json.loads(content[: 64 << 10])["detail"]
        said = detail if isinstance(detail, str) else json.dumps(detail)[:256]
    except (ValueError, KeyError, TypeError):
        pass
    said = "".join(c if c.isprintable() else "?" for c in said)
    if status in (401, 403):
        return AuthError(
            "unauthorized" if status == 401 else "forbidden",
            where,
            f"HTTP status {status}: {said}",
            "give the service's token",
        )
    if status == 410:
        return ComputeLocatorError("changed", where, said, "begin again")
    return ComputeLocatorError("http_status", where, f"HTTP status {status}: {said}")
