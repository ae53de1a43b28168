# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What stands before every request: a server that is attacked, and whose token is guessed at."""

import json
import socket
import sys
import textwrap
import urllib.parse

import computelocator as cl
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
import pyarrow as pa  # noqa: E402
from computelocator.serve import _client, _server, _tables, _token, _units  # noqa: E402
from computelocator.serve._figures import Figures  # noqa: E402
from services import Service, ask  # noqa: E402

PROGRAM = """
import sys
from computelocator.serve._answers import Found, answer, part, service
from computelocator.serve._figures import Figures
from computelocator.serve._guard import Guard, Limits
from computelocator.serve._server import Site, run
from computelocator.serve._token import token_from
from fastapi import Depends, Request
import pyarrow as pa

app = service("test", "")

@app.get("/table")
def table(asked=Depends(part)):
    rows = {"text": ["=1+1", "b", None], "number": [1.5, float("nan"), float("inf")],
            "time": pa.array([0, 1, None], pa.timestamp("ms", "UTC")),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode()}
    return answer(Found(pa.table(rows), "v1", 0.0, ("a part",)), asked)

@app.post("/length")
async def length(request: Request):
    return {"bytes": len(await request.body())}

figures = Figures()
limits = Limits(body_bytes=1000, head_bytes=4096, head_seconds=1.0, request_seconds=8.0, idle_seconds=2.0,
                connections=20)
guarded = Guard(app, token=token_from(sys.argv[1] or None), loopback=True, limits=limits, figures=figures)
sys.exit(run([Site("test", guarded, ("127.0.0.1", 0), limits)], begun=lambda: None, ended=lambda: None))
"""
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def server():
    with Service([sys.executable, "-c", textwrap.dedent(PROGRAM), ""], ["test"]) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN + "\n")
    with Service([sys.executable, "-c", textwrap.dedent(PROGRAM), str(path)], ["test"]) as running:
        yield running


def connected(server):
    parts = urllib.parse.urlsplit(server.url)
    made = socket.create_connection((parts.hostname, parts.port), timeout=30)
    return made


def rest(of):
    """Read until the other side closes."""
    text = b""
    try:
        while more := of.recv(65536):
            text += more
    except ConnectionError:
        pass
    return text


def resident(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_head_that_comes_byte_by_byte_is_cut_off(server):
    slow = connected(server)
    slow.settimeout(0.1)
    ended = False
    slow.sendall(b"GET /table HTTP/1.1\r\nHost: localhost\r\nX: ")
    for _ in range(300):
        try:
            slow.sendall(b"a")
            ended = slow.recv(1) == b""
        except TimeoutError:
            continue
        except OSError:
            ended = True
        if ended:
            break
    assert ended


def test_a_second_head_on_the_same_connection_is_held_to_the_deadline_too(server):
    kept = connected(server)
    kept.sendall(b"GET /table HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(65536).startswith(b"HTTP/1.1 200")
    kept.sendall(b"GET /table HT")
    assert b"200 OK" not in rest(kept)


def test_connections_that_say_nothing_end_and_others_are_served_meanwhile(server):
    silent = [connected(server) for _ in range(15)]
    assert ask(f"{server.url}/table")[0] == 200
    for each in silent:
        assert rest(each) == b""


def test_connections_beyond_the_bound_are_not_taken(server):
    many = [connected(server) for _ in range(60)]
    for each in many:
        rest(each)
    assert ask(f"{server.url}/table")[0] == 200


def test_a_body_of_a_gigabyte_is_refused_unread(server):
    before = resident(server)
    large = connected(server)
    large.sendall(b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    assert rest(large).startswith(b"HTTP/1.1 413")
    for path, status in (("/length", b"413"), ("/nothing", b"404")):
        endless = connected(server)
        endless.sendall(b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode())
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        endless.sendall(chunk)
        assert endless.recv(65536).startswith(b"HTTP/1.1 " + status)
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 1_000_000_000:
                endless.sendall(chunk)
                sent += len(chunk)
        assert sent < 32 << 20  # what the kernel's buffers take
    assert resident(server) - before < 64 << 20
    assert ask(f"{server.url}/length", body="x" * 900)[2] == b'{"bytes":902}'
    assert ask(f"{server.url}/length", body="x" * 1000)[0] == 413


def test_a_body_that_does_not_come_ends_in_503(server):
    waiting = connected(server)
    waiting.sendall(b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
    assert rest(waiting).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /table HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /table HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
        b"GET /table HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /table HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["long field", "many fields", "negative length", "two lengths", "no HTTP"],
)
def test_heads_that_cannot_be_are_refused(server, head):
    with connected(server) as wrong:
        try:
            wrong.sendall(head)
        except OSError:
            return
        said = rest(wrong)
        assert b" 200 " not in said.split(b"\r\n")[0]


def test_a_page_of_another_host_does_not_reach_it(server):
    assert ask(f"{server.url}/table", headers={"Host": "evil.example.com"})[0] == 421
    assert ask(f"{server.url}/table", headers={"Host": "127.0.0.1.evil.example.com"})[0] == 421
    for host in ("localhost", "127.0.0.1:80", "[::1]:80"):
        assert ask(f"{server.url}/table", headers={"Host": host})[0] == 200


def test_only_the_token_opens_it(locked):
    def status(value):
        return ask(f"{locked.url}/table", headers={"Authorization": value} if value else {})[0]

    assert status(f"Bearer {TOKEN}") == status(f"bearer {TOKEN}") == 200
    wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}",
             TOKEN, f"Bearer {TOKEN} {TOKEN}"]  # fmt: skip
    assert [status(value) for value in wrong] == [401] * len(wrong)
    for path in ("/docs", "/openapi.json", "/nothing"):
        assert ask(locked.url + path)[0] == 401
    assert TOKEN not in "".join(locked.said)


def test_a_token_is_read_again_when_its_file_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(_token, "LOOK_AGAIN_SECONDS", 0.0)
    path = tmp_path / "token"
    path.write_text(TOKEN)
    token = _token.TokenFile(str(path))
    assert TOKEN not in repr(token) and TOKEN not in str(vars(token)["_digest"])
    other = TOKEN[::-1]
    path.write_text(other)
    assert token.is_in(b"Bearer " + other.encode()) and not token.is_in(b"Bearer " + TOKEN.encode())
    path.write_text("")  # being replaced: the last one stays
    assert token.is_in(b"Bearer " + other.encode())
    for bad in ("", "short", "with a blank in the middle of it", "\x1b" * 20):
        path.write_text(bad)
        with pytest.raises(cl.ConfigurationError) as raised:
            _token.TokenFile(str(path))
        assert not bad or bad not in str(raised.value)


def test_exposure_needs_a_token_and_encryption():
    _server.check_exposure("127.0.0.1", token=False, encrypted=False)
    _server.check_exposure("0.0.0.0", token=True, encrypted=True)
    with pytest.raises(cl.ConfigurationError, match="a token is needed"):
        _server.check_exposure("0.0.0.0", token=False, encrypted=True)
    with pytest.raises(cl.ConfigurationError, match="plain HTTP"):
        _server.check_exposure("10.0.0.1", token=True, encrypted=False)


def test_a_client_sends_no_token_over_plain_http():
    with pytest.raises(cl.ConfigurationError, match="plain HTTP"):
        _client.Site("http://10.0.0.1:8080", token=TOKEN)
    assert TOKEN not in repr(_client.Site("https://10.0.0.1", token=TOKEN))
    for wrong in ("localhost:8080", "ftp://x", "http://", "http://me:secret@localhost"):
        with pytest.raises(cl.ConfigurationError):
            _client.Site(wrong)


def test_formats(server):
    import csv
    import io
    import json

    _, headers, body = ask(f"{server.url}/table")
    made = json.loads(body)
    assert headers["content-type"] == "application/json"
    assert made["columns"] == {"text": "text", "number": "number", "time": "time", "kind": "text"}
    assert made["rows"] == [
        {"text": "=1+1", "number": 1.5, "time": "1970-01-01T00:00:00.000Z", "kind": "x"},
        {"text": "b", "number": None, "time": "1970-01-01T00:00:00.001Z", "kind": "y"},
        {"text": None, "number": None, "time": None, "kind": "x"},
    ]
    assert made["total"] == 3 and made["missing"] == ["a part"] and made["next"] is None
    _, headers, body = ask(f"{server.url}/table", headers={"Accept": "text/csv"})
    assert headers["content-type"].startswith("text/csv") and headers["x-missing"] == "a part"
    assert list(csv.reader(io.StringIO(body.decode())))[1] == ["'=1+1", "1.5", "1970-01-01T00:00:00.000Z", "x"]
    _, headers, body = ask(f"{server.url}/table?format=arrow", headers={"Accept": "text/csv"})
    assert pa.ipc.open_stream(body).read_all().num_rows == 3
    assert ask(f"{server.url}/table", headers={"Accept": "image/png"})[0] == 406
    assert ask(f"{server.url}/table?format=xml")[0] == 406


def test_pages(server):
    import json

    _, headers, body = ask(f"{server.url}/table?limit=2")
    first = json.loads(body)
    assert len(first["rows"]) == 2 and headers["x-total-rows"] == "3"
    assert headers["link"] == f'<{first["next"]}>; rel="next"'
    last = json.loads(ask(server.url + first["next"])[2])
    assert [row["kind"] for row in first["rows"] + last["rows"]] == ["x", "y", "x"]
    assert last["next"] is None
    assert ask(f"{server.url}/table?version=v0")[0] == 410
    for wrong in ("limit=0", "limit=1000000000", "offset=-1", "limit=x"):
        assert ask(f"{server.url}/table?{wrong}")[0] == 422


@pytest.mark.parametrize(
    "accept,format",
    [
        (None, "json"), ("*/*", "json"), ("text/csv", "csv"), ("text/*", "csv"),
        ("application/vnd.apache.arrow.stream", "arrow"), ("text/html, text/csv;q=0.5", "csv"),
        ("text/csv;q=0.1, application/json;q=0.2", "json"), ("text/csv;q=0, */*;q=0.1", "json"),
    ],
)  # fmt: skip
def test_the_accept_header_chooses(accept, format):
    assert _tables.chosen(None, accept) == format


def test_tables_with_unlike_columns_and_dictionaries_go_together():
    one = pa.table({"a": pa.array(["x", "y"]).dictionary_encode(), "b": [1.0, 2.0]})
    two = pa.table({"a": pa.array(["z"]).dictionary_encode(), "c": [3.0]})
    made = _tables.joined([one, two])
    assert made.to_pydict() == {"a": ["x", "y", "z"], "b": [1.0, 2.0, None], "c": [None, None, 3.0]}
    assert _tables.kept(made, a=["x", "z"]).num_rows == 2
    assert _tables.kept(made, a=None, nothing=["x"]).num_rows == 3


def test_times_and_sizes():
    now = 1_795_737_600_000_000_000
    assert _units.nanoseconds("2026-11-27T00:00:00.123456789Z", now_ns=0) == now + 123_456_789
    assert _units.nanoseconds("2026-11-27T01:00:00+01:00", now_ns=0) == now
    assert _units.nanoseconds("2026-11-27", now_ns=0) == now
    assert _units.nanoseconds("90s", now_ns=now) == now - 90 * 10**9
    assert _units.nanoseconds(str(now), now_ns=0) == now
    for wrong in ("yesterday", "", "12:00", "1 week", "2026-13-01"):
        with pytest.raises(ValueError):
            _units.nanoseconds(wrong, now_ns=now)
    assert _units.size("256Mi") == 256 << 20 and _units.seconds("1.5m") == 90.0


def test_figures_are_bounded_and_escaped():
    figures = Figures(most_rows=3)
    figures.declare("a_total", "help")
    for i in range(10):
        figures.add("a_total", path=f'/{i}"\n')
    text = figures.text().decode()
    assert text.count("a_total{") == 4 and 'path="other"} 7' in text
    assert 'path="/0\\"\\n"} 1' in text


def test_it_ends_cleanly_when_told_to(tmp_path):
    running = Service([sys.executable, "-c", textwrap.dedent(PROGRAM), ""], ["test"])
    idle = connected(running)
    assert running.close() == 0
    idle.close()
    assert "Traceback" not in "".join(running.said)


def test_tables_are_written_without_pandas():
    """The image has none; pyarrow gives some times as pandas' own where that is there."""
    import subprocess

    script = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import pyarrow as pa\n"
        "from computelocator.serve._tables import as_csv, as_json, cells\n"
        "times = {unit: pa.array([1795759830000975489 // 10**(9 - 3 * i), None], pa.timestamp(unit, 'UTC'))\n"
        "         for i, unit in enumerate(('s', 'ms', 'us', 'ns'))}\n"
        "table = pa.table({**times, 'd': pa.array([1, 2], pa.duration('ns')), 'l': [[1.5], []]})\n"
        "as_csv(table); as_json(table)\n"
        "print(cells(table.column('ns'))[0], cells(table.column('s'))[0], cells(table.column('d')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2026-11-27T06:10:30.000975489Z 2026-11-27T06:10:30Z [1e-09, 2e-09]\n"


def test_encoded_answers_are_kept_within_a_bound():
    from computelocator.serve._encoded import Encoded

    made = []

    def make(key):
        made.append(key)
        return bytes(100)

    kept = Encoded(most_bytes=400)
    for key in (1, 2, 3, 1, 4, 1, 5, 1, 2):
        kept.get(key, lambda key=key: make(key))
    assert made == [1, 2, 3, 4, 5, 2]
    for _ in range(2):
        kept.get("large", lambda: make("large") * 2)
    assert made[-2:] == ["large", "large"] and kept._held <= 400


def test_what_was_written_is_not_given_for_other_values_of_the_same_version():
    from computelocator.serve import _answers
    from fastapi import Request

    app = _answers.service("test", "test")
    scope = {
        "type": "http", "method": "GET", "path": "/executions", "query_string": b"", "headers": [],
        "server": ("localhost", 80), "scheme": "http", "app": app,
    }  # fmt: skip
    asked = _answers.Part("json", 10, 0, None, Request(scope))

    def said(coverage):
        made = pa.table({"coverage": [coverage]})
        found = _answers.Found(made, "1", 0.0, content=_tables.digest(made))
        return json.loads(_answers.answer(found, asked).body)["rows"]

    assert said(0.5) == [{"coverage": 0.5}]
    assert said(1.0) == [{"coverage": 1.0}]


def test_collectors_that_went_are_forgotten(monkeypatch):
    from computelocator.aggregate import _collectors

    behind = []
    monkeypatch.setattr(_collectors, "addresses", lambda host: list(behind))
    collectors = _collectors.Collectors(["http://observer:8080"])
    monkeypatch.setattr(collectors, "_names", _collectors.Memory(0.0))
    for number in range(50):
        behind[:] = [f"10.0.0.{number}", f"10.0.0.{number + 1}"]
        sites, missing = collectors.sites()
        assert [site.address for site in sites] == behind and not missing
        again, _ = collectors.sites()
        assert again == sites  # the very same, with their connections
    assert len(collectors._sites) == 2
