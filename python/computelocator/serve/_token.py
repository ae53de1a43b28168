# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The bearer token of a service: kept in a file, compared in constant time, never printed."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time

from computelocator._errors import ConfigurationError

MOST_BYTES = 4096
LOOK_AGAIN_SECONDS = 10.0


class TokenFile:
    """A token that is read again when its file changes, as mounted secrets do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._next_look = 0.0
        self._text = ""
        self._digest = b""
        self._look()

    def __repr__(self) -> str:
        return f"<TokenFile {self._path}>"

    def _look(self) -> None:
        try:
            with open(self._path, "rb") as file:
                text = file.read(MOST_BYTES + 1).strip()
        except OSError as error:
            if self._text:
                return  # what was valid stays so while the file is being replaced
            raise ConfigurationError(
                "bad_configuration",
                self._path,
                f"the token cannot be read: {error.strerror}",
                "name a file that holds it",
            ) from None
        if not 16 <= len(text) <= MOST_BYTES or not all(0x21 <= byte < 0x7F for byte in text):
            if self._text:
                return
            raise ConfigurationError(
                "bad_configuration",
                self._path,
                "this is no token",
                "16 to 4096 printable characters are needed, such as openssl rand -hex 32 gives",
            )
        self._text = text.decode()
        self._digest = hashlib.sha256(text).digest()

    @property
    def text(self) -> str:
        """The token, for the one who sends it."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next_look:
                self._next_look = now + LOOK_AGAIN_SECONDS
                self._look()
            return self._text

    def is_in(self, authorization: bytes) -> bool:
        """Tell whether an Authorization header carries it. The time taken tells nothing of it."""
        _ = self.text
        scheme, _, given = authorization.partition(b" ")
        same = hmac.compare_digest(hashlib.sha256(given.strip()).digest(), self._digest)
        return same and scheme.lower() == b"bearer"


def token_from(path: str | os.PathLike[str] | None) -> TokenFile | None:
    """Open a token's file; None where none is named."""
    return None if path is None else TokenFile(os.fspath(path))
