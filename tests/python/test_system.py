# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""All parts together over a simulated cluster: test APIs, two collectors that share the nodes, the
aggregation API and, where it is built, a real Prometheus server."""

import json
import time
from pathlib import Path

import computelocator as cl
import pandas as pd
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
from servers import Prometheus, built  # noqa: E402
from services import ask, ask_json, command, free_port, wait_for, workload  # noqa: E402

CPU = "container_cpu_usage_seconds_total"
TOKEN = "0123456789abcdef" * 2
SIZES = ("small", "medium", "large")
NODES, PODS = 4, 6


class System:
    """Everything that kubernetes/ deploys, as processes on loopback."""

    def __init__(self, folder):
        self.parts = []
        try:
            self._start(folder)
        except BaseException:
            self.close()
            raise

    def _add(self, part):
        self.parts.append(part)
        return part

    def _start(self, folder):
        token = folder / "token"
        token.write_text(TOKEN)
        port = free_port("127.3.0.1")
        self.apis = {}
        processes = []
        for number, size in enumerate(SIZES, 1):
            host = f"127.3.0.{number}"
            api = self._add(workload(host=host, port=port))
            self.apis[f"target-api-{size}-0"] = api
            processes.append(
                f"--process=default/target-api-{size}-0={api.process.pid}@{host},app=target-api,size={size}"
            )
        self.cluster = self._add(
            cl.simulate(nodes=NODES, pods=PODS, run=True, options=["--step=1", "--now", *processes])
        )
        hosts = ("127.4.0.1", "127.4.0.2")
        self.observers = []
        for host in hosts:
            self.observers.append(self._add(command(
                "observe", "--kubeconfig", self.cluster.kubeconfig, "--route=direct", "--interval=500ms",
                "--allow-range=127.0.0.0/8", *(f"--peers={each}" for each in hosts), f"--me={host}",
                f"--listen={host}:0", "--probe-listen=127.0.0.1:0", f"--token-file={token}",
            )))  # fmt: skip
        more = []
        self.prometheus = None
        if built("prometheus"):
            self.prometheus = self._add(
                Prometheus(folder, self.cluster.kubeconfig, interval="1s", honor_timestamps=True)
            )
            more = [f"--prometheus={self.prometheus.url}"]
        self.aggregate = self._add(command(
            "aggregate", *(f"--collectors={each.url}" for each in self.observers),
            f"--collector-token-file={token}", f"--target-port={port}", "--allow-range=127.0.0.0/8",
            "--listen=127.0.0.1:0", "--probe-listen=127.0.0.1:0", *more,
        ))  # fmt: skip
        self.url = self.aggregate.url
        for each in self.observers:
            wait_for(lambda each=each: ask(each.urls["observe probes"] + "/readyz")[0] == 200)
        self.connection = cl.connect(self.url)
        wait_for(lambda: len(self.connection.nodes()) == NODES)
        if self.prometheus:
            # It spreads its first scrapes over an interval; executions come after them.
            self.prometheus.wait_for(lambda: len(self.prometheus.stored(f'{CPU}{{container="process"}}')) == len(SIZES))

    def close(self):
        for part in reversed(self.parts):
            part.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    running = System(tmp_path_factory.mktemp("system"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def executed(system):
    """One execution of each size, and the time until the history covers them."""
    began = time.time_ns()
    answers = {}
    for pod, api in system.apis.items():
        answers[pod] = ask_json(f"{api.url}/ml", body={"input": 40})

    def covered():
        frame = system.connection.executions(since=began)
        return len(frame) == len(SIZES) and (frame["coverage"] == 1).all()

    try:
        wait_for(covered)
    except AssertionError:
        raise AssertionError(system.connection.executions(since=began).to_string()) from None
    return began, answers


def test_the_nodes_are_shared_and_joined(system):
    wait_for(lambda: all(len(own_nodes(each)) < NODES for each in system.observers) or len(
        set.union(*map(own_nodes, system.observers))) == NODES)
    shares = [own_nodes(each) for each in system.observers]
    assert not shares[0] & shares[1] and len(shares[0] | shares[1]) == NODES
    frame = system.connection.nodes()
    assert sorted(frame["node"]) == [f"node-00{i}" for i in range(NODES)]
    assert len(system.connection.pods()) == NODES * PODS + len(SIZES)
    containers = system.connection.containers()
    assert not containers.duplicated(["node", "namespace", "pod", "container"]).any()
    assert set(containers["pod"]) >= set(system.apis)
    assert frame.attrs["missing"] == [] and frame.attrs["truncated"] is False


def own_nodes(observer):
    rows = ask_json(f"{observer.url}/nodes", headers={"Authorization": f"Bearer {TOKEN}"})["rows"]
    return {row["node"] for row in rows}


def test_endpoints(system):
    frame = system.connection.endpoints()
    assert frame["pod"].tolist() == sorted(system.apis)
    assert dict(zip(frame["pod"], frame["size"], strict=True)) == {
        f"target-api-{size}-0": size for size in SIZES
    }
    for pod, url in zip(frame["pod"], frame["url"], strict=True):
        assert url == system.apis[pod].url
    assert set(frame["namespace"]) == {"default"} and set(frame["phase"]) == {"Running"}


def test_executions_tell_what_each_request_used(system, executed):
    began, answers = executed
    frame = system.connection.executions(since=began).set_index("pod")
    for pod, answer in answers.items():
        row = frame.loc[pod]
        assert row["function"] == "ml" and row["input"] == 40 and row["status"] == 200
        assert row["start"].value == answer["start"] and row["end"].value == answer["end"]
        assert row["seconds"] == pytest.approx(answer["seconds"])
        # It computes all the time that it is let: no more than one CPU, and not nothing.
        assert 0 < row["cpu_seconds"] <= row["seconds"] * 1.2 + 0.1
        assert row["memory_peak_working_set_bytes"] > 10 << 20
    some = system.connection.executions(since=began, pods="target-api-small-0")
    assert len(some) == 1 and len(system.connection.executions(since=began, functions="pi")) == 0


def test_cpu_of_an_execution_is_in_executions_containers_and_history(system, executed):
    began, answers = executed
    for pod, answer in answers.items():
        history = system.connection.history(pods=pod, metrics=CPU).sort_values("timestamp")
        assert history["value"].is_monotonic_increasing and len(history) > 2
        # Linear between samples, as the executions say.
        def at(ns, of=history):
            times = of["timestamp"].astype("int64") * scale(of["timestamp"])
            after = int((times >= ns).to_numpy().argmax())
            t0, t1 = int(times.iloc[after - 1]), int(times.iloc[after])
            v0, v1 = of["value"].iloc[after - 1], of["value"].iloc[after]
            return v0 + (v1 - v0) * (ns - t0) / (t1 - t0)

        used = at(answer["end"]) - at(answer["start"])
        row = system.connection.executions(since=began).set_index("pod").loc[pod]
        assert row["cpu_seconds"] == pytest.approx(used, abs=1e-6)
        now = system.connection.containers(pods=pod)
        assert len(now) == 1 and now[CPU].iloc[0] >= at(answer["end"]) - 1e-6


def scale(times):
    return {"ns": 1, "us": 10**3, "ms": 10**6}[times.dt.unit]


def test_a_prometheus_server_stored_the_same_samples(system, executed):
    if system.prometheus is None:
        pytest.skip("the Prometheus server is not built; `make peers` builds it")

    def shared(pod):
        ours = system.connection.history(pods=pod, metrics=CPU)
        times = ours["timestamp"].astype("int64") * scale(ours["timestamp"]) // 10**6
        ours = dict(zip(times, ours["value"], strict=True))
        (labels, theirs), = system.prometheus.stored(f'{CPU}{{pod="{pod}",container="process"}}')
        assert labels["node"] == "node-000"
        both = ours.keys() & theirs.keys()
        assert all(ours[at] == theirs[at] for at in both)
        return len(both)

    for pod in system.apis:
        wait_for(lambda pod=pod: shared(pod) >= 3)


def test_executions_from_prometheus_are_the_same(system, executed):
    if system.prometheus is None:
        pytest.skip("the Prometheus server is not built; `make peers` builds it")
    began, answers = executed
    ours = system.connection.executions(since=began).set_index("pod")

    def theirs():
        return system.connection.executions(since=began, source="prometheus").set_index("pod")

    wait_for(lambda: (theirs()["coverage"] == 1).all())
    frame = theirs()
    for pod in answers:
        # Both interpolate between samples a second apart, not always the same ones.
        assert frame.loc[pod, "cpu_seconds"] == pytest.approx(ours.loc[pod, "cpu_seconds"], abs=0.5)
        assert frame.loc[pod, "seconds"] == ours.loc[pod, "seconds"]


def test_history_from_prometheus_has_the_same_columns(system, executed):
    if system.prometheus is None:
        pytest.skip("the Prometheus server is not built; `make peers` builds it")
    query = {"pods": "target-api-small-0", "metrics": CPU}

    def stored():
        return system.connection.history(source="prometheus", since="2m", step=1, **query)

    wait_for(lambda: len(stored()) > 0)
    theirs, ours = stored(), system.connection.history(**query)
    assert theirs.columns.tolist() == ours.columns.tolist()
    assert set(theirs["container"]) == {"process"}
    assert theirs["value"].max() <= ours["value"].max() + 1.0
    status, _, text = ask(f"{system.url}/history?source=prometheus&since=6d&step=1")
    assert status == 502 and b"points" in text


def test_the_python_of_the_docs_runs(system, monkeypatch):
    import re

    text = (Path(__file__).parents[2] / "docs" / "cluster-deployment.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "http://localhost:8080" in code
    exec(code.replace("http://localhost:8080", system.url), {})


def test_formats_and_pages_agree(system):
    rows = ask_json(f"{system.url}/containers?limit=50000")["rows"]
    walked = []
    path = "/containers?limit=7"
    for _ in range(100):
        status, _, body = ask(system.url + path)
        if status == 410:  # a sweep came between two pages: begin again
            walked, path = [], "/containers?limit=7"
            continue
        page = json.loads(body)
        walked += page["rows"]
        path = page["next"]
        if path is None:
            break
    key = ("node", "namespace", "pod", "container")
    assert [[row[k] for k in key] for row in walked] == [[row[k] for k in key] for row in rows]
    csv = ask(f"{system.url}/containers?format=csv&limit=50000")[2].decode().splitlines()
    assert len(csv) == len(rows) + 1 and csv[0].startswith("node,namespace,pod,container")


def test_without_pyarrow_the_tables_are_the_same(system, monkeypatch):
    import sys

    with_arrow = system.connection.endpoints()
    history = system.connection.history(pods="target-api-small-0", metrics=CPU, newest=5)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    pd.testing.assert_frame_equal(
        system.connection.endpoints().astype(object), with_arrow.astype(object), check_dtype=False
    )
    plain = system.connection.history(pods="target-api-small-0", metrics=CPU, newest=5)
    assert plain.columns.tolist() == history.columns.tolist()
    assert str(plain["timestamp"].dt.tz) == "UTC" and len(plain) == len(history)


def test_the_snapshot_and_outcomes(system):
    # On a busy machine a node may miss the deadline of one sweep; it is there again in another.
    def whole():
        outcomes = system.connection.outcomes()
        return len(outcomes) == NODES and outcomes["ok"].all()

    wait_for(whole)
    wait_for(lambda: set(system.connection.snapshot()["node"]) == {f"node-00{i}" for i in range(NODES)})
    assert {"timestamp", "metric", "value", "pod"} <= set(system.connection.snapshot().columns)


def test_the_busiest(system, executed):
    def busiest():
        return ask_json(f"{system.url}/top?level=container&first=5")

    wait_for(lambda: any(len(row["course"]) > 1 for row in busiest()["rows"]))
    made = busiest()
    assert len(made["rows"]) == 5
    cores = [row["cpu_cores"] or 0 for row in made["rows"]]
    assert cores == sorted(cores, reverse=True) and cores[0] > 0
    for level, keys in (("node", 1), ("pod", 3)):
        rows = ask_json(f"{system.url}/top?level={level}&by=memory&first=3&course=false")["rows"]
        assert len(rows) == 3 and len(rows[0]) == keys + 4
        memory = [row["memory_bytes"] for row in rows]
        assert memory == sorted(memory, reverse=True)


def test_collectors_want_the_token_and_tell_of_themselves(system):
    observer = system.observers[0]
    for path in ("/containers", "/history", "/metrics", "/usage", "/docs"):
        assert ask(observer.url + path)[0] == 401
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = ask(f"{observer.url}/metrics", headers=headers)[2].decode()
    for name in ("sweeps_total", "history_bytes", "last_sweep_age_seconds", "targets_failed", "samples"):
        assert f"computelocator_{name}" in text
    assert ask(observer.urls["observe probes"] + "/healthz")[0] == 200
    assert ask(observer.urls["observe probes"] + "/containers")[0] == 404
    assert TOKEN not in "".join(observer.said) + "".join(system.aggregate.said)


def test_bounds(system):
    for wrong in ("/containers?limit=0", "/history?newest=0", "/history?level=x", "/history?of=x",
                  "/history?since=yesterday", "/executions?newest=100000", "/top?first=1000",
                  "/history?source=nowhere", "/executions?since=x"):  # fmt: skip
        assert ask(system.url + wrong)[0] == 422, wrong
    headers = {"Authorization": f"Bearer {TOKEN}"}
    usage = f"{system.observers[0].url}/usage"
    event = {"pod": "p", "start": 1, "end": 2}
    assert ask(usage, body={"events": [event] * 10_001}, headers=headers)[0] == 422
    assert ask(usage, body={"events": [{**event, "start": -1}]}, headers=headers)[0] == 422
    assert ask(usage, body={"events": [{**event, "more": 1}]}, headers=headers)[0] == 422
    assert ask_json(usage, body={"events": [event]}, headers=headers)["rows"][0]["reason"] == "unknown_pod"


def test_the_openapi_page_names_every_route(system):
    schema = ask_json(f"{system.url}/openapi.json")
    wanted = {"/endpoints", "/containers", "/pods", "/nodes", "/history", "/executions", "/top", "/outcomes", "/snapshot"}
    assert set(schema["paths"]) == wanted
    page = ask(f"{system.url}/docs")[2].decode()
    assert all(path in page for path in wanted) and "http" not in page.split("<h2>")[0].replace("http-", "")


def test_a_collector_that_is_gone_is_named_and_the_rest_is_served(system):
    """The last of them: what it stops stays stopped."""
    gone = system.observers[1]
    assert gone.close() == 0
    wait_for(lambda: system.connection.nodes().attrs["missing"] != [])
    frame = system.connection.nodes()
    assert 0 < len(frame) <= NODES and "127.4.0.2" in frame.attrs["missing"][0]
    assert system.observers[0].close() == 0
    wait_for(lambda: ask(f"{system.url}/nodes")[0] == 503)
    with pytest.raises(cl.ComputeLocatorError, match="127.4.0.1"):
        system.connection.nodes()
    assert system.aggregate.close() == 0
    assert "Traceback" not in "".join([*system.aggregate.said, *gone.said])
