# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Routes that give tables: what a client may ask of any of them. Needs FastAPI."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse

from computelocator._core import __version__
from computelocator._errors import ComputeLocatorError, ParseError
from computelocator.serve._encoded import Encoded
from computelocator.serve._page import reference_page
from computelocator.serve._tables import MEDIA, NotAcceptable, chosen, encoded, with_facts
from computelocator.serve._units import nanoseconds

if TYPE_CHECKING:
    import pyarrow

MOST_ROWS = 50_000
MOST_NAMES = 200


@dataclass(frozen=True)
class Found:
    """A table, and what is to be known about it.

    Attributes
    ----------
    version : str
        Changes when the table does; pages of one version fit together.
    as_of : float
        When it was true, in seconds since 1970.
    missing : tuple of str
        What it should hold and does not, in words.
    content : str
        Tells tables of one version apart where values still change, as those of executions do
        until samples cover them.
    """

    table: pyarrow.Table
    version: str
    as_of: float
    missing: tuple[str, ...] = ()
    truncated: bool = False
    content: str = ""

    def about(self) -> dict[str, Any]:
        """Say it to a reader."""
        return {
            "version": self.version,
            "as_of": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.as_of)),
            "age_seconds": round(max(0.0, time.time() - self.as_of), 3),
            "missing": list(self.missing),
            "truncated": self.truncated,
        }


@dataclass(frozen=True)
class Part:
    """Which rows a client asks for, and in which format."""

    format: str
    limit: int
    offset: int
    version: str | None
    request: Request = field(repr=False)


def part(
    request: Request,
    format: Annotated[
        str | None, Query(description="json, csv or arrow; else the Accept header decides")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="rows of this page")] = 1000,
    offset: Annotated[int, Query(ge=0, le=1 << 40, description="rows before this page")] = 0,
    version: Annotated[
        str | None, Query(max_length=64, description="of the first page: 410 where it is gone")
    ] = None,
    accept: Annotated[str | None, Header(max_length=1024)] = None,
) -> Part:
    """Read the parameters that every table has."""
    return Part(chosen(format, accept), limit, offset, version, request)


Names = Annotated[list[str] | None, Query(max_length=MOST_NAMES, description="may be repeated")]
Time = Annotated[
    str | None,
    Query(max_length=40, description="ISO 8601, nanoseconds since 1970, or a duration before now"),
]


def moment(text: str | None) -> int | None:
    """Read a time as nanoseconds since 1970."""
    return None if text is None else nanoseconds(text, now_ns=time.time_ns())


def answer(found: Found, asked: Part) -> Response:
    """Give the rows asked for; where there are more, a Link to them."""
    if asked.version is not None and asked.version != found.version:
        raise HTTPException(410, "the table has changed since the first page; begin again")
    total = found.table.num_rows
    rows = found.table.slice(asked.offset, asked.limit)
    about = found.about()
    about.update(total=total, offset=asked.offset)
    headers = {
        "X-Total-Rows": str(total),
        "X-Version": found.version,
        "X-Truncated": str(found.truncated).lower(),
        "Age": str(int(about["age_seconds"])),
    }
    if found.missing:
        headers["X-Missing"] = printable_header("; ".join(found.missing))
    after = asked.offset + rows.num_rows
    about["next"] = None
    if after < total:
        # Relative, so that it holds behind a port-forward too.
        at = asked.request.url.include_query_params(
            offset=after, limit=asked.limit, version=found.version
        )
        about["next"] = f"{at.path}?{at.query}"
        headers["Link"] = f'<{about["next"]}>; rel="next"'
    of = asked.request
    key = (found.version, found.content, of.url.path, of.url.query, asked.format, total)
    body = of.app.state.encoded.get(key, lambda: encoded(rows, asked.format))
    if asked.format == "json":
        body = with_facts(about, body)
    return Response(body, media_type=MEDIA[asked.format], headers=headers)


def printable_header(text: str, most: int = 512) -> str:
    """Keep what a header may hold."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:most]


def service(title: str, description: str) -> FastAPI:
    """Make an application with a reference page of its own and errors in one shape."""
    app = FastAPI(
        title=title,
        description=description,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )

    app.state.encoded = Encoded()

    def refused(status: int) -> Callable[[Request, Exception], JSONResponse]:
        return lambda _, error: JSONResponse({"detail": str(error)}, status)

    app.add_exception_handler(NotAcceptable, refused(406))
    app.add_exception_handler(ParseError, refused(502))
    app.add_exception_handler(ComputeLocatorError, refused(502))
    app.add_exception_handler(ValueError, refused(422))

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return reference_page(app.openapi())

    return app


def responses(what: str) -> Mapping[int | str, dict[str, Any]]:
    """Describe to OpenAPI a route that gives a table."""
    content: dict[str, Any] = {media.split(";")[0]: {} for media in MEDIA.values()}
    return {
        200: {"description": what, "content": content},
        406: {"description": "no format that can be had is accepted"},
        410: {"description": "the table has changed since the first page"},
    }
