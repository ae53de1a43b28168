# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The aggregation API's routes. Needs FastAPI."""

from __future__ import annotations

import hashlib
import time
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Response

from computelocator.aggregate._collectors import Collectors, Joined, Memory, Unavailable
from computelocator.aggregate._endpoints import Endpoints
from computelocator.aggregate._executions import MOST_EXECUTIONS, executions
from computelocator.aggregate._prometheus import Prometheus
from computelocator.aggregate._top import top
from computelocator.serve._answers import (
    Found,
    Names,
    Part,
    Time,
    answer,
    moment,
    part,
    responses,
    service,
)
from computelocator.serve._figures import TEXT, Figures
from computelocator.serve._histories import Level, Question, question
from computelocator.serve._page import self_contained
from computelocator.serve._tables import cells, digest, kept

Asked = Annotated[Part, Depends(part)]
Source = Literal["collector", "prometheus"]
From = Annotated[Source, Query(description="the collectors, or the Prometheus server")]


def found_in(joined: Joined, table: Any = None) -> Found:
    """Say of a table what is known of the answers it was made from."""
    return Found(
        joined.table if table is None else table,
        joined.version,
        joined.as_of,
        joined.missing,
        joined.truncated,
    )


def make(
    collectors: Collectors,
    endpoints: Endpoints,
    figures: Figures,
    *,
    prometheus: Prometheus | None = None,
) -> FastAPI:
    """Make the application."""
    app = service(
        "ComputeLocator aggregation API",
        "A cluster's containers, pods and nodes, now and over time, and what executions cost.",
    )
    page = files("computelocator.aggregate").joinpath("page.html").read_text("utf-8")
    remembered = Memory(1.0)

    @app.exception_handler(Unavailable)
    def unavailable(_: Any, error: Unavailable) -> Response:
        from fastapi.responses import JSONResponse

        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "2"})

    def server() -> Prometheus:
        if prometheus is None:
            raise HTTPException(422, "no Prometheus server is named to this API; see --prometheus")
        return prometheus

    @app.get("/", include_in_schema=False)
    def cluster_page() -> Response:
        return self_contained(page)

    def now(path: str, what: str) -> None:
        def route(
            asked: Asked,
            node: Names = None,
            namespace: Names = None,
            pod: Names = None,
            container: Names = None,
        ) -> Response:
            joined = collectors.table(f"/{path}")
            table = kept(joined.table, node=node, namespace=namespace, pod=pod, container=container)
            return answer(found_in(joined, table), asked)

        app.get(f"/{path}", name=path, description=what, responses=dict(responses(what)))(route)

    now("containers", "One row a container, from the newest sweep of each collector.")
    now("pods", "One row a pod, from the newest sweep of each collector.")
    now("nodes", "One row a node, from the newest sweep of each collector.")
    now("outcomes", "One row a kubelet: what became of it in the newest sweep.")
    now("snapshot", "All samples of the newest sweeps, one row a sample.")

    @app.get("/endpoints", responses=dict(responses("One row a pod of a test API.")))
    def find_endpoints(asked: Asked) -> Response:
        """Tell which test APIs there are: pod, address and size."""
        table, listed = endpoints.table()
        return answer(found_in(listed, table), asked)

    @app.get("/history", responses=dict(responses("Samples over time, oldest first.")))
    def history(
        asked: Asked,
        wanted: Annotated[Question, Depends(question)],
        source: From = "collector",
        step: Annotated[float, Query(ge=1, le=86400, description="seconds between values")] = 15.0,
    ) -> Response:
        """Give the history of pods, containers or nodes between two times.

        `step` is of `source=prometheus` alone, which without `since` gives the last 10 minutes.
        """
        if source == "collector":
            joined = collectors.table("/history", vars(wanted))
            table = joined.table
            if "timestamp" in table.column_names:
                table = table.sort_by("timestamp").slice(max(0, table.num_rows - wanted.newest))
            return answer(found_in(joined, table), asked)
        now = time.time_ns()
        # Whole ten seconds, so that the pages of one table fit together.
        until = moment(wanted.until) or now - now % (10 * 10**9)
        since = moment(wanted.since) or until - 600 * 10**9
        asked_of = server()

        def read() -> tuple[Any, bool]:
            container = wanted.container if wanted.subject == "container" else None
            stored = asked_of.at_steps(
                since,
                until,
                step,
                wanted.metric,
                node=wanted.node,
                namespace=wanted.namespace,
                pod=wanted.pod,
                container=container,
            )
            return wanted.table(stored, times=False)

        key = ("history", repr(wanted), since, until, step)
        table, truncated = remembered.get(key, read)
        version = hashlib.sha256(f"{key} {table.num_rows}".encode()).hexdigest()[:16]
        return answer(Found(table, version, until / 1e9, (), truncated, digest(table)), asked)

    @app.get("/executions", responses=dict(responses("One row an executed request.")))
    def executed(
        asked: Asked,
        since: Time = None,
        until: Time = None,
        function: Names = None,
        pod: Names = None,
        newest: Annotated[
            int, Query(ge=1, le=MOST_EXECUTIONS, description="at most so many, the newest")
        ] = 1000,
        source: From = "collector",
    ) -> Response:
        """Give what the test APIs executed, with what the pod used between start and end.

        `coverage` tells how much of that time the samples cover, `reason` why not all of it: the
        newest executions are covered after the next sweeps.
        """
        key = ("executions", since, until, str(function), str(pod), newest, source)

        def read() -> Any:
            return executions(
                endpoints,
                collectors if source == "collector" else server(),
                since=moment(since),
                until=moment(until),
                functions=function,
                pods=pod,
                newest=newest,
            )

        table, missing, truncated = remembered.get(key, read)
        newest_one = cells(table.column("end").slice(max(0, table.num_rows - 1)))
        told = f"{key} {table.num_rows} {newest_one}"
        version = hashlib.sha256(told.encode()).hexdigest()[:16]
        return answer(Found(table, version, time.time(), missing, truncated, digest(table)), asked)

    @app.get("/top", responses=dict(responses("The busiest first.")))
    def busiest(
        asked: Asked,
        level: Level = "container",
        by: Literal["cpu", "memory"] = "cpu",
        first: Annotated[int, Query(ge=1, le=200, description="how many")] = 20,
        course: Annotated[bool, Query(description="with the last minutes of each")] = True,
    ) -> Response:
        """Give the busiest nodes, pods or containers, with the course of their CPU rate."""
        table, seen = remembered.get(
            ("top", level, by, first, course), lambda: top(collectors, level, by, first, course)
        )
        return answer(found_in(seen, table), asked)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(figures.text(), media_type=TEXT)

    return app
