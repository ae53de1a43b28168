# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Pinned keys of kubelets in a file, so that a restart does not trust anew."""

from __future__ import annotations

import json
import os
import re
import tempfile

from computelocator._errors import ConfigurationError


def read_pins(path: str) -> dict[str, str]:
    """Read them; none where there is no file yet."""
    try:
        with open(path, encoding="utf-8") as file:
            pins = json.loads(file.read(16 << 20))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "bad_configuration",
            path,
            f"pins cannot be read: {error}",
            "remove the file to pin anew",
        ) from None
    if not isinstance(pins, dict) or not all(
        isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) for value in pins.values()
    ):
        raise ConfigurationError(
            "bad_configuration", path, "this is no file of pins", "remove the file to pin anew"
        )
    return pins


def write_pins(path: str, pins: dict[str, str]) -> None:
    """Write them so that a reader sees the old or the new ones, never a part."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, name = tempfile.mkstemp(dir=folder, prefix=".pins-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(pins, file, sort_keys=True)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
