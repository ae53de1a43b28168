# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``cl.connect`` where nobody answers, or not as expected."""

import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import computelocator as cl
import pandas as pd
import pytest
from computelocator._connect import moment
from computelocator.serve._client import Site


@pytest.fixture
def server():
    """Answers with what `answers` has for a path: status, content type, bytes; None never ends."""
    answers = {"/openapi.json": (200, "application/json", b"{}")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, kind, body = answers.get(self.path.partition("?")[0], (404, "text/plain", b"none"))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if body == "cut":
                self.end_headers()
                self.wfile.write(b"half of it")
                self.close_connection = True
                return
            if body is None:
                self.send_header("Content-Length", "100000000")
                self.end_headers()
                try:
                    while not stop.wait(0.05):
                        self.wfile.write(b"x")
                except OSError:
                    pass
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    stop = threading.Event()
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    made.answers = answers
    made.url = f"http://127.0.0.1:{made.server_port}"
    yield made
    stop.set()
    made.shutdown()
    made.server_close()


def test_nobody_there():
    with pytest.raises(cl.NodeUnreachable, match="port-forward"):
        cl.connect("http://127.0.0.1:9")
    with pytest.raises(cl.ConfigurationError, match="http://localhost:8080"):
        cl.connect("localhost:8080")
    with pytest.raises(ValueError, match="not both"):
        cl.connect(token="x", token_file="y")


def test_refusals_are_told_in_the_servers_words(server):
    connection = cl.connect(server.url)
    assert server.url in repr(connection)
    server.answers["/nodes"] = (503, "application/json", b'{"detail": "no collector \\u001b[2J"}')
    with pytest.raises(cl.ComputeLocatorError, match="503: no collector") as raised:
        connection.nodes()
    assert "\x1b" not in str(raised.value)
    server.answers["/nodes"] = (401, "text/html", b"<html>" + b"x" * 100_000)
    with pytest.raises(cl.AuthError) as raised:
        connection.nodes()
    assert len(str(raised.value)) < 600


def test_an_answer_that_does_not_end_is_ended(server):
    server.answers["/slow"] = (200, "text/plain", None)
    with pytest.raises(cl.ScrapeTimeout):
        Site(server.url, timeout=0.5).ask("/slow")


def test_an_answer_that_may_be_cut_off_is_not_taken_for_whole(server):
    server.answers["/cut"] = (200, "text/plain", "cut")
    with pytest.raises(cl.NodeUnreachable, match="how long"):
        Site(server.url).ask("/cut")


def test_an_answer_that_is_too_large_is_refused(server):
    server.answers["/large"] = (200, "text/plain", b"x" * 2000)
    with pytest.raises(cl.ComputeLocatorError, match="larger than 1000 bytes"):
        Site(server.url, most_bytes=1000).ask("/large")


def test_what_is_no_arrow_stream_is_said(server):
    server.answers["/nodes"] = (200, "application/vnd.apache.arrow.stream", b"nonsense")
    with pytest.raises(cl.ComputeLocatorError, match="no Arrow stream"):
        cl.connect(server.url).nodes()


def test_moments():
    at = datetime(2026, 11, 27, 6, 0, 0, 123456, timezone.utc)
    assert moment(at) == "1795759200123456000"
    assert moment(pd.Timestamp("2026-11-27T06:00:00.123456789Z")) == "1795759200123456789"
    assert moment(at.astimezone(timezone(timedelta(hours=5)))) == moment(at)
    assert moment(timedelta(minutes=2)) == "120.000s" and moment("10m") == "10m" and moment(5) == "5"
    with pytest.raises(ValueError, match="time zone"):
        moment(datetime(2026, 11, 27))
