# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Moments and durations as users write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def seconds_of(option: str, value: Any) -> float:
    """Read a duration: a number of seconds, a timedelta, or a text such as "90s", "1h30m"."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    elif is_duration(value):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdw])", value)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise ValueError(
            f"{option}={value!r} is no duration; it is seconds, a timedelta, "
            'or a text such as "90s", "15m" or "1h"'
        )
    if not 0 < seconds <= 100 * 366 * 86400:
        raise ValueError(f"{option}={value!r} cannot be; it is above 0 and at most a century")
    return seconds


def is_duration(value: Any) -> bool:
    """Whether a text is a duration, where a moment is as good."""
    return isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+)?(ms|[smhdw]))+", value) is not None


def nanoseconds_of(what: str, value: Any) -> int:
    """Read a moment: integer nanoseconds since the epoch, a datetime, or ISO 8601.

    A datetime without a time zone is UTC.
    """
    if hasattr(value, "item") and not isinstance(value, datetime):  # a NumPy scalar
        kind = getattr(value, "dtype", None)
        if kind is not None and kind.kind == "M":
            value = value.astype("datetime64[ns]").astype("int64")
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{what}={value} is beyond what 64 bits of nanoseconds say")
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", value))
        except ValueError:
            raise ValueError(
                f"{what}={value!r} is no moment; it is integer nanoseconds since the epoch, "
                "a datetime, or ISO 8601 text"
            ) from None
    if isinstance(value, datetime):
        whole = getattr(value, "value", None)  # a pandas Timestamp, exact to the nanosecond
        if isinstance(whole, int):
            exact = value.as_unit("ns").value  # type: ignore[attr-defined]
            return int(exact)
        if value != value:
            raise ValueError(f"{what} is missing")
        aware = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        passed = aware - _EPOCH
        return ((passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000
    raise TypeError(
        f"{what} is a {type(value).__name__}; it is integer nanoseconds since the epoch, "
        "a datetime, or ISO 8601 text"
    )


def utc(milliseconds: int) -> datetime:
    """Give milliseconds since the epoch as a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
