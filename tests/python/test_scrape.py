# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``cl.scrape`` over the simulated cluster, as a user calls it."""

import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.request

import computelocator as cl
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture(scope="module")
def cluster():
    with cl.simulate(nodes=4, pods=16) as running:
        yield running


@pytest.fixture(scope="module")
def snapshot(cluster):
    return cl.scrape(kubeconfig=cluster.kubeconfig, metrics="all", keep_pages=True)


def test_the_three_lines(cluster, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    snap = cl.scrape()
    frame = snap.to_pandas()
    assert set(frame["node"]) == {f"node-00{i}" for i in range(4)}
    assert set(frame["metric"]) <= set(cl.container_metrics()) | {"container_spec_memory_limit_bytes"}
    assert isinstance(frame["metric"].dtype, pd.CategoricalDtype)
    assert str(frame["timestamp"].dt.tz) == "UTC"
    assert frame.attrs["metrics"]["container_cpu_usage_seconds_total"]["type"] == "counter"


def test_rows_equal_what_prometheus_client_reads_on_the_same_pages(snapshot):
    for node, rows in snapshot.to_pandas().groupby("node", observed=True):
        text = snapshot.page(node).decode()
        theirs = sorted(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        )
        assert sorted(rows["value"]) == theirs


def test_one_row_a_container_pod_and_node(snapshot):
    containers, pods, nodes = snapshot.containers(), snapshot.pods(), snapshot.nodes()
    assert not containers.duplicated(["node", "namespace", "pod", "container"]).any()
    assert not pods.duplicated(["namespace", "pod"]).any()
    assert len(pods) == 64 and len(nodes) == 4
    # A pod is at least the sum of its containers, and a node at least the sum of its pods.
    name = "container_cpu_usage_seconds_total"
    parts = containers.groupby(["namespace", "pod"], observed=True)[name].sum()
    whole = pods.set_index(["namespace", "pod"])[name]
    assert (whole >= parts.reindex(whole.index) - 1e-6).all()
    by_node = pods.groupby("node", observed=True)[name].sum()
    assert (nodes.set_index("node")[name] >= by_node).all()
    # Without a CPU limit there is no throttling row: missing, with the reason.
    unlimited = containers["limit_cpu_cores"].isna()
    assert unlimited.any()
    assert containers.loc[unlimited, "container_cpu_cfs_periods_total"].isna().all()
    assert len(snapshot.reasons()) > 0


@pytest.mark.parametrize("runtime", ["containerd", "crio", "docker"])
def test_the_runtime_does_not_change_the_tables(runtime):
    with cl.simulate(nodes=1, pods=8, runtime=runtime) as running:
        snap = cl.scrape(kubeconfig=running.kubeconfig)
    with cl.simulate(nodes=1, pods=8) as running:
        reference = cl.scrape(kubeconfig=running.kubeconfig)
    keys = ["namespace", "pod", "container"]
    columns = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"]
    ours = snap.containers().astype({k: str for k in keys}).set_index(keys)[columns].sort_index()
    theirs = reference.containers().astype({k: str for k in keys}).set_index(keys)[columns].sort_index()
    pd.testing.assert_frame_equal(ours, theirs)


def test_filters(cluster):
    whole = cl.scrape(kubeconfig=cluster.kubeconfig)
    name = whole.pods()["namespace"].iloc[0]
    some = cl.scrape(kubeconfig=cluster.kubeconfig, namespaces=name)
    assert set(some.pods()["namespace"]) == {name}
    assert set(some.to_pandas()["namespace"].dropna()) == {name}
    assert len(some.pods()) == (whole.pods()["namespace"] == name).sum()
    one = cl.scrape(kubeconfig=cluster.kubeconfig, node_selector="kubernetes.io/hostname=node-002")
    assert one.nodes()["node"].tolist() == ["node-002"]
    metric = cl.scrape(kubeconfig=cluster.kubeconfig, metrics="container_memory_limit_bytes")
    assert set(metric.to_pandas()["metric"]) == {"container_spec_memory_limit_bytes"}


def test_arrow_polars_and_duckdb_take_the_snapshot(snapshot):
    import duckdb
    import polars
    import pyarrow

    table = pyarrow.table(snapshot)
    assert table.num_rows == len(snapshot)
    assert polars.DataFrame(snapshot).height == len(snapshot)
    assert duckdb.sql("select count(*) from snapshot").fetchall()[0][0] == len(snapshot)
    assert pyarrow.table(snapshot.table("pods")).num_rows == 64


def test_faults_are_rows_and_a_warning():
    faults = {0: "dead", 1: "cut-off", 2: "bad-line", 3: "bad-page"}
    with cl.simulate(nodes=5, pods=4, faults=faults) as running:
        with pytest.warns(UserWarning, match="3 of 5 nodes failed"):
            snap = cl.scrape(kubeconfig=running.kubeconfig)
    outcomes = snap.outcomes().set_index("node")
    assert outcomes["ok"].tolist() == [False, False, True, False, True]
    assert outcomes.loc["node-001", "error"] == "truncated"
    assert outcomes.loc["node-003", "error"] == "bad_content_type"
    assert (outcomes.loc[~outcomes["ok"], "message"] != "").all()
    rejects = snap.rejects()
    assert rejects["node"].tolist() == ["node-002"] and "damaged" in rejects["text"][0]


def test_self_signed_kubelets():
    with cl.simulate(nodes=2, pods=4, self_signed=True) as running:
        options = {"kubeconfig": running.kubeconfig, "route": "direct"}
        with pytest.warns(UserWarning, match="2 of 2 nodes failed"):
            snap = cl.scrape(**options)
        assert set(snap.outcomes()["error"]) == {"tls_untrusted"}
        assert cl.scrape(**options, kubelet_tls="pin").failed == 0
        with pytest.warns(UserWarning, match="not verified"):
            assert cl.scrape(**options, kubelet_tls="insecure").failed == 2


def test_a_kubelet_that_shows_another_key():
    with cl.simulate(nodes=2, pods=2, self_signed=True) as running:
        options = {"kubeconfig": running.kubeconfig, "route": "direct", "kubelet_tls": "pin"}
        collector = cl.Collector(**options)
        assert collector.pins() == {}
        assert collector.sweep().failed == 0
        pins = collector.pins()
        assert len(pins) == 2 and all(len(pin) == 64 for pin in pins.values())
        running.new_key(1)
        for _ in range(2):
            outcomes = collector.sweep().outcomes()
            assert outcomes["error"].tolist() == ["", "tls_pin_mismatch"]
            assert "the peer's key has changed: pinned" in outcomes["message"][1]
        assert collector.pins() == pins
        # A collector that was given the pins refuses it as well; one that was not takes the new key.
        assert cl.Collector(**options, pins=pins).sweep().failed == 1
        assert cl.Collector(**options, pins={"node-000": "0" * 64}).sweep().outcomes()["ok"].tolist() == [False, True]
        assert cl.Collector(**options).sweep().failed == 0
        with pytest.raises(cl.ComputeLocatorError, match="there is no node 7"):
            running.new_key(7)
        with pytest.raises(cl.ConfigurationError, match="kubelet TLS mode"):
            cl.Collector(kubeconfig=running.kubeconfig, pins=pins)


def test_collectors_share_the_nodes(cluster):
    names = ["a", "b", "c"]
    parts = [cl.Collector(kubeconfig=cluster.kubeconfig, share=(me, names)).sweep().outcomes()["node"].tolist() for me in names]
    assert sorted(sum(parts, [])) == [f"node-00{i}" for i in range(4)]
    collector = cl.Collector(kubeconfig=cluster.kubeconfig)
    assert collector.sweep().targets == 4
    collector.share("b", names)
    assert collector.sweep().outcomes()["node"].tolist() == parts[1]
    collector.share(None)
    assert collector.sweep().targets == 4
    with pytest.raises(cl.ConfigurationError, match='"d" is not among'):
        collector.share("d", names)
    with pytest.raises(cl.ConfigurationError, match="stands there twice"):
        cl.Collector(kubeconfig=cluster.kubeconfig, share=("a", ["a", "a"]))
    with pytest.raises(ValueError, match="cannot be"):
        cl.Collector(kubeconfig=cluster.kubeconfig, share="a")


def test_docker_and_self_signed_kubelets_as_on_minikube():
    """Container rows have no labels there; the containers of the pods say whose they are."""
    with cl.simulate(nodes=1, pods=12, runtime="docker", self_signed=True) as running:
        snap = cl.Collector(kubeconfig=running.kubeconfig, route="direct", kubelet_tls="pin").sweep()
    with cl.simulate(nodes=1, pods=12) as running:
        reference = cl.scrape(kubeconfig=running.kubeconfig)
    rows = snap.to_pandas()
    assert rows["id"].astype(str).str.contains("/docker-").any() and "container" not in rows
    keys = ["namespace", "pod", "container"]
    metrics = [name for name in cl.container_metrics() if "network" not in name]
    ours, theirs = (
        each.containers().astype(dict.fromkeys(keys, str)).set_index(keys).sort_index() for each in (snap, reference)
    )
    pd.testing.assert_frame_equal(ours[metrics], theirs[metrics])
    assert (ours["limit_memory_bytes"].fillna(0) == theirs["limit_memory_bytes"].fillna(0)).all()
    assert set(ours["image"].astype(str)) == set(theirs["image"].astype(str))
    pods = [each.pods().astype({"namespace": str, "pod": str}).set_index(["namespace", "pod"]).sort_index() for each in (snap, reference)]
    pd.testing.assert_frame_equal(pods[0][cl.container_metrics()], pods[1][cl.container_metrics()])
    history = cl.History()
    history.add(snap)
    assert len(history.series()) == len(ours)


def test_errors_say_what_where_and_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(cl.ConfigurationError, match="missing"):
        cl.scrape(kubeconfig=tmp_path / "missing")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(cl.ConfigurationError, match=r"no cluster is known.*\.kube/config.*in-cluster"):
        cl.scrape()
    with cl.simulate(nodes=1, pods=1, deny=["nodes"]) as running:
        with pytest.raises(cl.AuthError, match="allow `get` and `list` on nodes"):
            cl.scrape(kubeconfig=running.kubeconfig)
        kept = tmp_path / "kept"
        kept.write_text(open(running.kubeconfig).read())
    with pytest.raises(cl.NodeUnreachable, match="refused"):
        cl.scrape(kubeconfig=kept)
    for wrong in ({"route": "x"}, {"timeout": 0}, {"concurrency": 0}, {"kubelet_tls": "none"}):
        with pytest.raises(ValueError, match="cannot be"):
            cl.scrape(kubeconfig=kept, **wrong)


def test_the_token_is_nowhere_to_be_seen(cluster):
    config = open(cluster.kubeconfig).read()
    token = config.split("token: ")[1].split()[0]
    collector = cl.Collector(kubeconfig=cluster.kubeconfig)
    snap = collector.sweep()
    shown = repr(collector) + repr(snap) + snap.source + snap.outcomes().to_string()
    assert token not in shown


def test_control_c_ends_it_at_once_and_keeps_what_was_done(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        import computelocator as cl
        with cl.simulate(nodes=4, pods=4, faults={3: "silent"}) as running:
            try:
                cl.scrape(kubeconfig=running.kubeconfig, timeout=600,
                          progress=lambda done, failed, total: print(done, flush=True))
            except cl.ScrapeInterrupted as stopped:
                assert isinstance(stopped, KeyboardInterrupt)
                print("kept", len(stopped.snapshot.pods()), stopped.snapshot.interrupted, flush=True)
        """
    )
    # Whoever runs the tests in the background may have told all children to ignore it.
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if line.strip() == "3":
            process.send_signal(signal.SIGINT)
            break
    out, _ = process.communicate(timeout=60)
    assert "kept 12 True" in out
    assert process.returncode == 0


def test_what_progress_raises_ends_the_sweep(cluster):
    def fail(done, failed, total):
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        cl.scrape(kubeconfig=cluster.kubeconfig, progress=fail)


def test_the_lock_is_released_while_it_waits():
    with cl.simulate(nodes=1, pods=2, faults={0: "slow"}) as running:
        beats = []
        over = threading.Event()

        def beat():
            while not over.wait(0.01):
                beats.append(1)

        thread = threading.Thread(target=beat)
        thread.start()
        cl.scrape(kubeconfig=running.kubeconfig)
        over.set()
        thread.join()
        assert len(beats) > 50


def test_a_collector_sweeps_again():
    with cl.simulate(nodes=2, pods=4) as running:
        collector = cl.Collector(kubeconfig=running.kubeconfig, route="direct")
        first, second = collector.sweep(), collector.sweep()
        pd.testing.assert_frame_equal(first.pods(), second.pods())
        assert (second.outcomes()["tls_time"].dt.total_seconds() == 0).all()


def test_the_simulated_api_server_pages_selects_and_asks_who_it_is(cluster):
    config = open(cluster.kubeconfig).read()
    server = config.split("server: ")[1].split()[0]
    token = config.split("token: ")[1].split()[0]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def get(path, token=token):
        request = urllib.request.Request(server + path, headers={"Authorization": f"Bearer {token}"})
        return urllib.request.urlopen(request, context=context, timeout=10)

    import json

    page = json.load(get("/api/v1/pods?limit=10"))
    assert len(page["items"]) == 10 and page["metadata"]["remainingItemCount"] == 54
    rest = json.load(get(f"/api/v1/pods?continue={page['metadata']['continue']}"))
    assert len(rest["items"]) == 54
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get("/api/v1/nodes", token="wrong")
    with pytest.raises(urllib.error.HTTPError, match="410"):
        get("/api/v1/nodes?continue=99999")
    lines = get("/api/v1/nodes?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&timeoutSeconds=1").read()
    kinds = [json.loads(line)["type"] for line in lines.decode().splitlines()]
    assert kinds[:5] == ["ADDED"] * 4 + ["BOOKMARK"]


def test_the_simulator_leaves_nothing_behind():
    running = cl.simulate(nodes=1, pods=1)
    path = running.kubeconfig
    assert os.path.exists(path) and os.stat(path).st_mode & 0o77 == 0
    running.close()
    assert not os.path.exists(path)
    with pytest.raises(cl.ComputeLocatorError, match="there is no fault"):
        cl.simulate(faults={0: "nonsense"})
