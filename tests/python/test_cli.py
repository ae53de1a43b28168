# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The command line, run as a user runs it."""

import csv
import gzip
import io
import json
import os
import subprocess
import sys

import computelocator as cl
import pytest

PAGE = """# TYPE requests_total counter
requests_total{code="200",path="/"} 7 1700000000000
requests_total{code="500",path="/a\\"b"} 0.1
temperature NaN
"""


def run(*arguments, stdin=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "computelocator", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=120,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.prom"
    path.write_text(PAGE)
    return path


@pytest.fixture(scope="module")
def cluster():
    with cl.simulate(nodes=3, pods=6, faults={2: "dead"}) as running:
        yield running


def test_jsonl_is_one_object_a_sample(page):
    done = run("parse", page, "--format", "jsonl")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"name": "requests_total", "labels": {"code": "200", "path": "/"}, "value": "7.0",
         "timestamp_ms": 1700000000000},
        {"name": "requests_total", "labels": {"code": "500", "path": '/a"b'}, "value": "0.1",
         "timestamp_ms": None},
        {"name": "temperature", "labels": {}, "value": "nan", "timestamp_ms": None},
    ]  # fmt: skip


def test_standard_input_and_gzip(page):
    plain = run("parse", page, "--format", "jsonl").stdout
    assert run("parse", "-", "--format", "jsonl", stdin=PAGE.encode()).stdout == plain
    assert run("parse", "-", "--format", "jsonl", stdin=gzip.compress(PAGE.encode())).stdout == plain


def test_a_bad_line_is_named_and_the_rest_is_kept(tmp_path):
    path = tmp_path / "bad.prom"
    path.write_text('a 1\nb{x="1} 2\nc 3\n')
    done = run("parse", path, "--format", "jsonl")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    message = done.stderr.decode()
    assert message.startswith(f"{path}:2:") and "; " in message
    for policy in ("strict", "prometheus"):
        strict = run("parse", path, "--policy", policy)
        assert strict.returncode == 1 and strict.stdout == b""
        assert strict.stderr.decode().startswith(f"{path}:2:")


def test_rows_by_label(page):
    rows = run("parse", page, "--format", "jsonl", "--label", "code=200", "--label", "code=404").stdout
    assert [json.loads(line)["labels"]["code"] for line in rows.splitlines()] == ["200"]
    assert run("parse", page, "--label", "code").returncode == 2


def test_dialects(tmp_path):
    path = tmp_path / "page.om"
    path.write_text("# TYPE a counter\na_total 1 1.5\n# EOF\n")
    for dialect in ("auto", "openmetrics"):
        done = run("parse", path, "--format", "jsonl", "--dialect", dialect, "--policy", "strict")
        assert json.loads(done.stdout)["timestamp_ms"] == 1500
    assert run("parse", path, "--dialect", "prometheus", "--policy", "strict").returncode == 1


def test_csv_holds_no_formula_and_a_terminal_no_control_character(tmp_path):
    path = tmp_path / "evil.prom"
    path.write_bytes(b'a{l="=cmd|\'/c calc\'!A1",m="\x1b]0;x\x07\xe2\x80\xaey"} 1\n')
    rows = list(csv.reader(io.StringIO(run("parse", path, "--format", "csv").stdout.decode())))
    assert rows[1][rows[0].index("l")] == "'=cmd|'/c calc'!A1"
    shown = run("parse", path).stdout
    assert b"\x1b" not in shown and b"\x07" not in shown and "\u202e" not in shown.decode()
    assert b"\\x1b]0;x\\x07\\u{202e}y" in shown
    bad = tmp_path / "bad.prom"
    bad.write_bytes(b"\x1b[2J 1\n")
    assert b"\x1b" not in run("parse", bad).stderr


def test_parquet_and_arrow(page, tmp_path):
    import pyarrow.parquet

    out = tmp_path / "out.parquet"
    assert run("parse", page, "--format", "parquet", "--output", out).returncode == 0
    assert pyarrow.parquet.read_table(out).num_rows == 3
    stream = run("parse", page, "--format", "arrow").stdout
    assert pyarrow.ipc.open_stream(stream).read_all().num_rows == 3


def test_wrong_usage_is_2_and_a_missing_file_1(tmp_path, page):
    assert run().returncode == 2
    assert run("parse").returncode == 2
    assert run("parse", page, "--format", "xml").returncode == 2
    assert run("nonsense").returncode == 2
    assert run("simulate", "--nodes", "0").returncode == 2
    missing = run("parse", tmp_path / "none")
    assert missing.returncode == 1 and b"none: No such file" in missing.stderr
    assert run("--version").stdout.decode().strip() == f"computelocator {cl.__version__}"


def test_no_cluster(tmp_path):
    done = run("scrape", env={"HOME": str(tmp_path), "KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""})
    assert done.returncode == 2
    assert b"no cluster is known" in done.stderr and b"Traceback" not in done.stderr


def test_scrape_writes_tables_and_names_the_failure(cluster, tmp_path):
    raw = tmp_path / "raw"
    done = run("scrape", "--kubeconfig", cluster.kubeconfig, "--raw", raw)
    assert done.returncode == 1
    assert b"node-000" in done.stdout and b"cpu_usage" in done.stdout
    message = done.stderr.decode()
    assert "node-002 (https://127.0.0.1:" in message and "3 nodes" in message and "1 failed" in message
    assert sorted(p.name for p in raw.iterdir()) == ["node-000.prom", "node-001.prom"]
    assert run("parse", raw / "node-000.prom").returncode == 0
    lines = run("scrape", "--kubeconfig", cluster.kubeconfig, "--format", "jsonl").stdout.splitlines()
    assert {json.loads(line)["node"] for line in lines} == {"node-000", "node-001"}
    rows = run("scrape", "--kubeconfig", cluster.kubeconfig, "--format", "csv", "--of", "pods").stdout
    assert len(list(csv.DictReader(io.StringIO(rows.decode())))) == 12


def test_demo_ends_with_a_table_and_totals():
    done = run("demo", "--nodes", 2, "--pods", 5)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "2 nodes, 10 pods" in text.splitlines()[-1] and "0 failed" in text
    for word in ("throttled", "working", "failcnt", "receive", "transmit", "errors"):
        assert word in text


def test_a_reader_that_leaves_is_no_error(page):
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from computelocator.cli import main; sys.exit(main())",
         "parse", "-", "--format", "jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    process.stdin.write(b"a 1\n" * 50_000)
    process.stdin.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)
    process.stderr.close()


def test_descriptors_are_raised_to_what_the_user_may_have():
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 999)); import computelocator.cli as c;"
        "c.main(['parse', '/nowhere']); print(*r.getrlimit(r.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["999", "999"], done.stderr


def test_pins_are_listed_and_forgotten(tmp_path):
    pins = tmp_path / "pins.json"
    pins.write_text(json.dumps({"uid-b": "b" * 64, "uid-a": "a" * 64}))
    assert run("pins", pins).stdout.decode().splitlines() == ["uid-a " + "a" * 64, "uid-b " + "b" * 64]
    done = run("pins", pins, "--forget", "uid-c", "--forget", "uid-a")
    assert done.returncode == 1 and b"no key is pinned for 'uid-c'" in done.stderr
    assert len(json.loads(pins.read_text())) == 2
    assert run("pins", pins, "--forget", "uid-a").stdout.decode() == "uid-b " + "b" * 64 + "\n"
    assert json.loads(pins.read_text()) == {"uid-b": "b" * 64}
    pins.write_text("[]")
    assert b"this is no file of pins" in run("pins", pins).stderr
    assert run("pins", tmp_path / "none").returncode == 1
