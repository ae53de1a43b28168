# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The test API's routes. Needs FastAPI."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from computelocator.serve._answers import Time, moment, service
from computelocator.serve._figures import Figures
from computelocator.workload._functions import FUNCTIONS
from computelocator.workload._journal import Journal

MOST_WAITING = 32
FOREVER = (1 << 63) - 1


class Work(BaseModel):
    """What to execute a function with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: int = Field(ge=1, le=1000, description="units of work")


def make(journal: Journal, figures: Figures, *, at_once: int = 1) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    at_once : int
        Executions at a time. With one, what the container uses between the start and the end of
        an execution is that execution's own.
    """
    app = service(
        "ComputeLocator test API", "Functions whose cost is to be observed, and their journal."
    )
    workers = ThreadPoolExecutor(at_once, thread_name_prefix="execution")
    waiting = 0
    figures.declare("executions_total", "Executed requests, by function and status")
    figures.declare("execution_seconds_total", "Time from start to end of executions, by function")
    figures.gauge(
        "executions_waiting", "Requests that are executed or wait for it", lambda: waiting
    )

    def execute(function: str, units: int) -> dict[str, Any]:
        start, status = time.time_ns(), 500
        try:
            result = FUNCTIONS[function](units)
            status = 200
        finally:
            end = time.time_ns()
            made = journal.write(function, f"/{function}", units, start, end, status)
            figures.add("executions_total", function=function, status=str(status))
            figures.add("execution_seconds_total", (end - start) / 1e9, function=function)
        return {**made._asdict(), "result": result, "seconds": (end - start) / 1e9}

    async def run(function: str, work: Work) -> dict[str, Any]:
        nonlocal waiting
        if waiting >= MOST_WAITING:
            raise HTTPException(
                503, f"{waiting} executions are waiting; try again later", {"Retry-After": "5"}
            )
        waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(workers, execute, function, work.input)
        finally:
            waiting -= 1

    @app.post("/ml")
    async def ml(work: Work) -> dict[str, Any]:
        """Execute a loop of plain arithmetic: about 0.02 s of CPU time a unit."""
        return await run("ml", work)

    @app.post("/pi")
    async def pi(work: Work) -> dict[str, Any]:
        """Execute a sum with NumPy: about 0.02 s of CPU time a unit."""
        return await run("pi", work)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that it is there."""
        return {"status": "ok"}

    @app.get("/journal")
    async def read_journal(
        since: Time = None,
        until: Time = None,
        limit: Annotated[int, Query(ge=1, le=10_000, description="the newest of them")] = 1000,
    ) -> dict[str, Any]:
        """Give the executions that ended between two times, oldest first."""
        first, last = moment(since), moment(until)
        found, truncated = journal.read(first or 0, FOREVER if last is None else last, limit)
        return {
            "pod": socket.gethostname(),
            "now": time.time_ns(),
            "truncated": truncated,
            "executions": [each._asdict() for each in found],
        }

    return app
