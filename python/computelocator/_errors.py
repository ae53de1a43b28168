# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The errors of the package. Each is also the built-in one that it is a kind of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computelocator._snapshot import Snapshot

__all__ = [
    "AuthError",
    "ComputeLocatorError",
    "ConfigurationError",
    "NodeUnreachable",
    "ParseError",
    "ScrapeInterrupted",
    "ScrapeTimeout",
    "TLSError",
]


class ComputeLocatorError(Exception):
    """What went wrong, where, and what to do about it.

    Attributes
    ----------
    code : str
        A word for programs, the same as in the ``error`` column of outcomes.
    where, what, advice : str
        The parts of the message.
    """

    def __init__(self, code: str = "", where: str = "", what: str = "", advice: str = "") -> None:
        message = f"{where}: {what}" if where else what
        super().__init__(f"{message}; {advice}" if advice else message)
        self.code = code
        self.where = where
        self.what = what
        self.advice = advice

    def __reduce__(self) -> tuple[type[ComputeLocatorError], tuple[str, str, str, str]]:
        return type(self), (self.code, self.where, self.what, self.advice)


class ParseError(ComputeLocatorError, ValueError):
    """A page that cannot be read under the policy asked for; `where` is NAME:LINE:COLUMN."""

    @property
    def line(self) -> int:
        """Line of the fault, from 1; 0 where the page as a whole is at fault."""
        return self._number(-2)

    @property
    def column(self) -> int:
        """Column of the fault in bytes, from 1; 0 where the page as a whole is at fault."""
        return self._number(-1)

    def _number(self, part: int) -> int:
        parts = self.where.rsplit(":", 2)
        return int(parts[part]) if len(parts) == 3 and parts[part].isdigit() else 0


class ConfigurationError(ComputeLocatorError, ValueError):
    """A kubeconfig, option or file that cannot be used."""


class AuthError(ComputeLocatorError, PermissionError):
    """Not known to the server (401) or not permitted (403)."""


class TLSError(ComputeLocatorError, ConnectionError):
    """A peer whose certificate was refused."""


class ScrapeTimeout(ComputeLocatorError, TimeoutError):
    """A deadline that passed."""


class NodeUnreachable(ComputeLocatorError, ConnectionError):
    """A server that cannot be reached."""


class ScrapeInterrupted(KeyboardInterrupt):
    """Ctrl-C during a scrape. What was scraped until then is in ``snapshot`` (None before that)."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        super().__init__("the scrape was interrupted; what was done is in the snapshot attribute")
        self.snapshot = snapshot


_KINDS: dict[str, type[ComputeLocatorError]] = {
    "invalid_argument": ConfigurationError,
    "no_configuration": ConfigurationError,
    "bad_configuration": ConfigurationError,
    "unsupported": ConfigurationError,
    "page_refused": ParseError,
    "truncated": ParseError,
    "bad_encoding": ParseError,
    "timed_out": ScrapeTimeout,
    "unauthorized": AuthError,
    "forbidden": AuthError,
    "resolve_failed": NodeUnreachable,
    "connect_refused": NodeUnreachable,
    "connect_failed": NodeUnreachable,
    "connection_lost": NodeUnreachable,
}


def from_core(code: str, where: str, what: str, advice: str) -> ComputeLocatorError:
    """Make the exception for a failure of the C++ side."""
    kind = _KINDS.get(code, TLSError if code.startswith("tls_") else ComputeLocatorError)
    return kind(code, where, what, advice)
