# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What a client may ask of a history, and how a history is asked it. Needs FastAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Query

from computelocator.serve._answers import MOST_ROWS, Names, Time, moment
from computelocator.serve._tables import arrow

if TYPE_CHECKING:
    import pyarrow

    from computelocator._history import History

Level = Literal["container", "pod", "node"]
Kind = Literal["samples", "containers", "pods", "nodes", "series", "rate", "increase", "delta"]
OF_A_LEVEL = ("samples", "series", "rate", "increase", "delta")
CHANGES = ("rate", "increase", "delta")
CPU = "container_cpu_usage_seconds_total"


@dataclass(frozen=True)
class Question:
    """Which table of a history, and which rows. Times are as the client wrote them."""

    of: Kind
    level: Level
    since: str | None
    until: str | None
    node: list[str] | None
    namespace: list[str] | None
    pod: list[str] | None
    container: list[str] | None
    metric: list[str] | None
    newest: int

    @property
    def subject(self) -> str:
        """What a row is about: a container, pod or node."""
        return self.level if self.of in OF_A_LEVEL else self.of.removesuffix("s")

    def table(self, history: History, *, times: bool = True) -> tuple[pyarrow.Table, bool]:
        """Ask a history; the second value tells whether older rows were left out."""
        wanted: dict[str, Any] = {"nodes": self.node}
        if self.of in OF_A_LEVEL:
            wanted["level"] = self.level
        if self.subject != "node":
            wanted.update(namespaces=self.namespace, pods=self.pod)
        if self.subject == "container":
            wanted["containers"] = self.container
        if self.of in CHANGES:
            wanted["metrics"] = self.metric or [CPU]
        elif self.of != "series":
            wanted["metrics"] = self.metric
        if self.of != "series":
            wanted["limit"] = self.newest
        if times:
            wanted.update(since=moment(self.since), until=moment(self.until))
        made = history.table(self.of, **wanted)
        return arrow().table(made), made.metadata.get("truncated") == "true"


def question(
    of: Annotated[Kind, Query(description="which table")] = "samples",
    level: Level = "container",
    since: Time = None,
    until: Time = None,
    node: Names = None,
    namespace: Names = None,
    pod: Names = None,
    container: Names = None,
    metric: Names = None,
    newest: Annotated[
        int, Query(ge=1, le=1_000_000, description="at most so many rows, the newest")
    ] = MOST_ROWS,
) -> Question:
    """Read the parameters of a history."""
    moment(since), moment(until)  # refused here where they are no times
    return Question(of, level, since, until, node, namespace, pod, container, metric, newest)
