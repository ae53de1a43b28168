# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""A Prometheus server as the source of a history."""

from __future__ import annotations

import re
from collections.abc import Sequence

from computelocator._errors import ComputeLocatorError, ConfigurationError
from computelocator._history import History
from computelocator._verbs import container_metrics, read_prometheus_json
from computelocator.serve._client import Query, Site

MOST_POINTS = 11_000  # of a series, as the server itself bounds it
MOST_RANGE_SECONDS = 7 * 86400.0
LIMIT = "container_spec_memory_limit_bytes"


def literal(text: str) -> str:
    r"""Write a string of PromQL.

    >>> print(literal('a"b'))
    "a\"b"
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def one_of(values: Sequence[str]) -> str:
    r"""Write a matcher's value that stands for any of these, and for nothing else.

    >>> print(one_of(["a.b", "c"]))
    "a\\.b|c"
    """
    return literal("|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value) for value in values))


def selector(metrics: Sequence[str], **wanted: Sequence[str] | None) -> str:
    """Write a selector of series."""
    parts = [f"__name__=~{one_of(metrics)}"]
    parts += [f"{name}=~{one_of(values)}" for name, values in wanted.items() if values]
    return "{" + ",".join(parts) + "}"


class Prometheus:
    """Reads what a Prometheus server stored of the cAdvisor metrics."""

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self._site = Site(url, timeout=timeout, most_bytes=64 << 20)

    def _history(self, path: str, query: Query, span: float) -> History:
        try:
            body = self._site.ask(path, query).body
        except ComputeLocatorError as error:
            raise type(error)(error.code, "Prometheus", error.what, error.advice) from None
        history = History(max_bytes=256 << 20, max_age=span + 3600)
        history.add(read_prometheus_json(body))
        return history

    def at_steps(
        self,
        since: int,
        until: int,
        step: float,
        metrics: Sequence[str] | None = None,
        **wanted: Sequence[str] | None,
    ) -> History:
        """Read values at steps between two times (nanoseconds), as `query_range` gives them."""
        span = (until - since) / 1e9
        if not 0 < span <= MOST_RANGE_SECONDS:
            raise ConfigurationError(
                "invalid_argument",
                "since, until",
                f"{span:g} s lie between them",
                f"more than 0 and up to {MOST_RANGE_SECONDS:g} can be asked for",
            )
        if span / step > MOST_POINTS:
            raise ConfigurationError(
                "invalid_argument",
                "step",
                f"{step:g} s makes more than {MOST_POINTS} points",
                "make the step longer or the time shorter",
            )
        query = {
            "query": selector(metrics or [*container_metrics(), LIMIT], **wanted),
            "start": f"{since / 1e9:.3f}",
            "end": f"{until / 1e9:.3f}",
            "step": f"{step:g}",
        }
        return self._history("/api/v1/query_range", query, span)

    def as_stored(self, since: int, until: int, **wanted: Sequence[str] | None) -> History:
        """Read the samples themselves, with their own times."""
        span = max(1.0, (until - since) / 1e9)
        if span > 86400:
            raise ConfigurationError(
                "invalid_argument",
                "since, until",
                f"{span:g} s lie between them",
                "samples of up to a day can be asked for",
            )
        text = f"{selector(container_metrics(), **wanted)}[{round(span * 1000)}ms]"
        return self._history("/api/v1/query", {"query": text, "time": f"{until / 1e9:.3f}"}, span)
