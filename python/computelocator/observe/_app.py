# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The collector's routes. Needs FastAPI."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from computelocator.observe._sweeper import Sweep, Sweeper
from computelocator.serve._answers import Found, Names, Part, answer, part, responses, service
from computelocator.serve._figures import TEXT, Figures
from computelocator.serve._histories import Question, question
from computelocator.serve._tables import MEDIA, arrow, chosen, encoded, kept, with_facts

MOST_EVENTS = 10_000
Asked = Annotated[Part, Depends(part)]


class Event(BaseModel):
    """A stretch of time of a pod. Times are nanoseconds since 1970."""

    model_config = ConfigDict(extra="forbid")

    start: int = Field(ge=0)
    end: int = Field(ge=0)
    pod: str = Field(min_length=1, max_length=253)
    namespace: str | None = Field(None, max_length=63)
    container: str | None = Field(None, max_length=253)


class Events(BaseModel):
    """What `/usage` is asked about."""

    model_config = ConfigDict(extra="forbid")

    events: list[Event] = Field(max_length=MOST_EVENTS)


def make(sweeper: Sweeper, figures: Figures) -> FastAPI:
    """Make the application."""
    app = service(
        "ComputeLocator collector",
        "Container metrics of this replica's share of the nodes: now, and over time.",
    )
    born = f"{time.time_ns():x}"

    def latest() -> Sweep:
        sweep = sweeper.latest
        if sweep is None:
            raise HTTPException(503, sweeper.ready()[1], {"Retry-After": "2"})
        return sweep

    def current(of: str, **wanted: list[str] | None) -> Found:
        sweep = latest()
        table = kept(arrow().table(sweep.snapshot.table(of)), **wanted)
        missing = [sweeper.failure] if sweeper.failure else []
        if sweep.snapshot.inventory_age > 1:
            missing += sweep.snapshot.warnings
        return Found(table, f"{born}-{sweep.number}", sweep.ended, tuple(missing))

    def now(of: str, what: str) -> None:
        def route(
            asked: Asked,
            node: Names = None,
            namespace: Names = None,
            pod: Names = None,
            container: Names = None,
        ) -> Response:
            return answer(
                current(of, node=node, namespace=namespace, pod=pod, container=container), asked
            )

        path = "snapshot" if of == "samples" else of
        app.get(f"/{path}", name=path, description=what, responses=dict(responses(what)))(route)

    now("samples", "All samples of the newest sweep, one row a sample.")
    now("containers", "One row a container, from the newest sweep.")
    now("pods", "One row a pod, from the newest sweep.")
    now("nodes", "One row a node, from the newest sweep.")
    now("outcomes", "One row a kubelet: what became of it in the newest sweep.")
    now("inventory", "One row a pod that the API server listed: address, phase, labels.")

    @app.get("/history", responses=dict(responses("Samples over time, oldest first.")))
    def history(asked: Asked, wanted: Annotated[Question, Depends(question)]) -> Response:
        """Give what the history holds, between two times; the newest rows where it is too much."""
        sweep = latest()
        table, truncated = wanted.table(sweeper.history)
        version = f"{born}-{sweep.number}"
        return answer(Found(table, version, sweep.ended, (), truncated), asked)

    @app.post("/usage")
    def usage(
        events: Events,
        format: Annotated[str | None, Query(description="json, csv or arrow")] = None,
    ) -> Response:
        """Tell what pods or containers used between two times, one row an event in its order."""
        sweep = latest()
        table = arrow().table(
            sweeper.history.table("usage", events=[each.model_dump() for each in events.events])
        )
        found = Found(table, f"{born}-{sweep.number}", sweep.ended)
        kind = chosen(format, None)
        body = encoded(table, kind)
        if kind == "json":
            body = with_facts(found.about(), body)
        return Response(body, media_type=MEDIA[kind])

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(figures.text(), media_type=TEXT)

    return app
