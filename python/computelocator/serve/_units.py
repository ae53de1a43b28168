# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Durations, sizes and addresses as people write them, and times as nanoseconds."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}


def seconds(text: str) -> float:
    """Read "15s", "500ms", "2m" or "1h"; a bare number is seconds.

    >>> seconds("2m")
    120.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above 0; write it as 15s")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def size(text: str) -> int:
    """Read "256Mi" or "1G"; a bare number is bytes.

    >>> size("1Ki")
    1024
    """
    found = re.fullmatch(r"(\d+)(Ki|Mi|Gi|k|M|G)?", text.strip())
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size above 0; write it as 256Mi or 1Gi")
    return int(found[1]) * _BYTES[found[2] or ""]


def address(text: str) -> tuple[str, int]:
    """Read "127.0.0.1:8080" or "[::1]:8080".

    >>> address("[::1]:8080")
    ('::1', 8080)
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write it as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine (or pod) can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # "127.0.0.1.example.com" is somebody else's name


def nanoseconds(text: str, *, now_ns: int) -> int:
    """Read a time: ISO 8601 (UTC where it names no zone), nanoseconds, or a duration before now.

    >>> nanoseconds("2026-11-27T00:00:00Z", now_ns=0)
    1795737600000000000
    >>> nanoseconds("1m", now_ns=60_000_000_001)
    1
    """
    text = text.strip()
    if re.fullmatch(r"\d{15,19}", text):
        return int(text)
    if re.fullmatch(r"\d+(?:\.\d+)?(ms|s|m|h|d)", text):
        return now_ns - round(seconds(text) * 1e9)
    # datetime knows microseconds; what is finer is added behind it.
    found = re.fullmatch(r"(.*:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", text)
    try:
        at = datetime.fromisoformat((found[1] if found else text).replace(" ", "T"))
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write ISO 8601, nanoseconds, or a duration before now as 10m"
        ) from None
    zone = (found[3] if found else None) or "Z"
    offset = timedelta()
    if zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    whole = at.replace(tzinfo=at.tzinfo or timezone.utc) - offset
    fraction = int(((found[2] if found else None) or "0").ljust(9, "0"))
    return int(whole.timestamp()) * 10**9 + fraction


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make the reader of a whole number within bounds."""

    def read(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return read
