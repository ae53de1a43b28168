# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The collector in bad times: nobody answers, kubelets sign for themselves, keys change, bounds are met."""

import json
import shutil
import stat
import subprocess
import sys

import computelocator as cl
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
from services import ask, ask_json, command, wait_for  # noqa: E402

TOKEN = "fedcba9876543210" * 2
QUICK = ("--interval=300ms", "--listen=127.0.0.1:0", "--probe-listen=127.0.0.1:0")


def observe(cluster, *more):
    return command("observe", f"--kubeconfig={cluster.kubeconfig}", *QUICK, *more)


def ready(observer):
    return ask(observer.urls["observe probes"] + "/readyz")


def figure(observer, name):
    for line in ask(f"{observer.url}/metrics")[2].decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(name)


def test_before_the_first_sweep_it_says_why_there_is_nothing(tmp_path):
    with cl.simulate(nodes=1, pods=1) as cluster:
        kept = tmp_path / "kubeconfig"
        shutil.copy(cluster.kubeconfig, kept)
    with command("observe", f"--kubeconfig={kept}", *QUICK) as observer:
        wait_for(lambda: b"refused" in ready(observer)[2])
        status, _, text = ready(observer)
        assert status == 503 and b"no sweep has given anything yet" in text
        assert ask(observer.urls["observe probes"] + "/healthz")[0] == 200
        status, headers, text = ask(f"{observer.url}/containers")
        assert status == 503 and b"refused" in text and headers["retry-after"]
        assert figure(observer, 'computelocator_sweeps_total{result="failed"}') > 0


def test_when_sweeps_fail_the_last_one_stays_and_says_its_age():
    cluster = cl.simulate(nodes=1, pods=6)  # of two nodes one might give its page while the cluster ends
    try:
        with observe(cluster) as observer:
            wait_for(lambda: ready(observer)[0] == 200)
            before = ask_json(f"{observer.url}/pods")
            assert before["missing"] == []
            cluster.close()
            wait_for(lambda: ask_json(f"{observer.url}/pods")["missing"] != [])
            wait_for(lambda: ask_json(f"{observer.url}/pods")["age_seconds"] > 1.5)
            after = ask_json(f"{observer.url}/pods")
            assert after["rows"] == before["rows"] and "refused" in after["missing"][0]
            assert ready(observer)[0] == 200
            assert figure(observer, "computelocator_last_sweep_age_seconds") > 1
            said = [line for line in observer.said if line.startswith("observe: ") and "http://" not in line]
            # Each once, not at each tick: nodes are the last known ones, pods, too; all nodes failed.
            assert len(said) == len(set(said)) <= 3 and "nodes failed" in "".join(said), said
    finally:
        cluster.close()


def test_a_node_that_fails_is_named_and_the_others_are_served():
    with cl.simulate(nodes=3, pods=3, faults={1: "dead"}) as cluster, observe(cluster) as observer:
        wait_for(lambda: ready(observer)[0] == 200)
        outcomes = {row["node"]: row for row in ask_json(f"{observer.url}/outcomes")["rows"]}
        assert [outcomes[f"node-00{i}"]["ok"] for i in range(3)] == [True, False, True]
        nodes = ask_json(f"{observer.url}/nodes")
        assert [row["node"] for row in nodes["rows"]] == ["node-000", "node-002"]
        assert "node-001" in nodes["missing"][0]
        assert figure(observer, "computelocator_targets_failed") == 1


def test_self_signed_kubelets_are_pinned_and_the_pins_outlive_it(tmp_path):
    pins = tmp_path / "pins.json"
    more = ("--route=direct", "--allow-range=127.0.0.0/8")
    with cl.simulate(nodes=2, pods=3, self_signed=True) as cluster:
        with observe(cluster, *more) as observer:
            wait_for(lambda: ask(f"{observer.url}/outcomes")[0] == 200)
            assert {row["error"] for row in ask_json(f"{observer.url}/outcomes")["rows"]} == {"tls_untrusted"}
        with observe(cluster, *more, "--kubelet-tls=pin", f"--pins={pins}") as observer:
            wait_for(lambda: ready(observer)[0] == 200 and pins.exists())
            assert all(row["ok"] for row in ask_json(f"{observer.url}/outcomes")["rows"])
            wait_for(lambda: len(json.loads(pins.read_text())) == 2)
        held = json.loads(pins.read_text())
        assert stat.S_IMODE(pins.stat().st_mode) == 0o600
        # Another key than the one that was held: refused and said, also after a restart.
        changed = sorted(held)[0]
        pins.write_text(json.dumps({**held, changed: "0" * 64}))
        with observe(cluster, *more, "--kubelet-tls=pin", f"--pins={pins}") as observer:
            wait_for(lambda: ask(f"{observer.url}/outcomes")[0] == 200)
            rows = ask_json(f"{observer.url}/outcomes")["rows"]
            assert sorted(row["ok"] for row in rows) == [False, True]
            (refused,) = [row for row in rows if not row["ok"]]
            assert "key" in refused["message"] or "pin" in refused["message"], refused
            wait_for(lambda: any(refused["node"] in line for line in observer.said))
            assert json.loads(pins.read_text())[changed] == "0" * 64


def test_pins_that_cannot_be_kept_are_said_and_it_goes_on(tmp_path):
    folder = tmp_path / "gone"
    with cl.simulate(nodes=1, pods=1, self_signed=True) as cluster:
        more = ("--route=direct", "--allow-range=127.0.0.0/8", "--kubelet-tls=pin", f"--pins={folder}/pins")
        with observe(cluster, *more) as observer:
            wait_for(lambda: any("pins cannot be kept" in line for line in observer.said))
            assert ask_json(f"{observer.url}/nodes")["total"] == 1
            folder.mkdir()
            wait_for((folder / "pins").exists)


def test_a_kubelet_that_shows_another_key_is_refused_while_it_runs():
    with cl.simulate(nodes=2, pods=3, self_signed=True) as cluster:
        options = ("--route=direct", "--allow-range=127.0.0.0/8", "--kubelet-tls=pin")
        with observe(cluster, *options) as observer:
            wait_for(lambda: ready(observer)[0] == 200 and ask_json(f"{observer.url}/outcomes")["total"] == 2)
            assert ask_json(f"{observer.url}/nodes")["total"] == 2
            cluster.new_key(1)
            wait_for(lambda: ask_json(f"{observer.url}/nodes")["missing"] != [])
            nodes = ask_json(f"{observer.url}/nodes")
            assert [row["node"] for row in nodes["rows"]] == ["node-000"]
            assert "node-001" in nodes["missing"][0]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed; it makes the certificates")
def test_tls_between_collector_and_aggregation_api(tmp_path):
    def certificate(name):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-subj", "/CN=observer", "-addext", "subjectAltName=DNS:observer,DNS:localhost",
             "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
             "-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        return tmp_path / f"{name}.crt", tmp_path / f"{name}.key"

    own, key = certificate("own")
    other, _ = certificate("other")
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with (
        cl.simulate(nodes=2, pods=3) as cluster,
        observe(cluster, f"--token-file={token}", f"--tls-certificate={own}", f"--tls-key={key}") as observer,
    ):
        url = observer.url.replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        aggregate = ("--listen=127.0.0.1:0", "--probe-listen=127.0.0.1:0", f"--collectors={url}")
        with command("aggregate", *aggregate, f"--collector-ca={own}", f"--collector-token-file={token}") as good:
            wait_for(lambda: ask(f"{good.url}/nodes")[0] == 200)
            assert ask_json(f"{good.url}/nodes")["total"] == 2
        with command("aggregate", *aggregate, f"--collector-ca={other}", f"--collector-token-file={token}") as bad:
            status, _, text = ask(f"{bad.url}/nodes")
            assert status == 503 and b"cannot be verified" in text
        with command("aggregate", *aggregate, f"--collector-ca={own}") as nameless:
            status, _, text = ask(f"{nameless.url}/nodes")
            assert status == 503 and b"401" in text
        frame = cl.connect(url, TOKEN, ca=own).nodes()
        assert frame["node"].tolist() == ["node-000", "node-001"]
        with pytest.raises(cl.TLSError):
            cl.connect(url, TOKEN, ca=other)
        with pytest.raises(cl.AuthError):
            cl.connect(url, "x" * 32, ca=own)


def test_the_history_keeps_to_its_bounds():
    with cl.simulate(nodes=2, pods=30, run=True, options=["--pace=200"]) as cluster:
        with observe(cluster, "--history-bytes=1Mi", "--interval=200ms") as observer:
            wait_for(lambda: ready(observer)[0] == 200)
            wait_for(lambda: figure(observer, "computelocator_history_sweeps_total") > 20)
            assert 0 < figure(observer, "computelocator_history_bytes") <= 1 << 20


def test_the_history_over_http():
    cpu = "container_cpu_usage_seconds_total"
    with cl.simulate(nodes=1, pods=4, run=True, options=["--pace=300"]) as cluster:
        with observe(cluster) as observer:
            wait_for(lambda: ready(observer)[0] == 200)

            def rows(query):
                return ask_json(f"{observer.url}/history?{query}")["rows"]

            wait_for(lambda: len(rows(f"level=node&metric={cpu}")) >= 3)
            made = rows(f"level=node&metric={cpu}")
            assert [row["timestamp"] for row in made] == sorted(row["timestamp"] for row in made)
            assert {row["node"] for row in made} == {"node-000"} and {row["metric"] for row in made} == {cpu}
            for of, level in (("containers", "container"), ("pods", "container"), ("nodes", "container"),
                              ("series", "pod"), ("rate", "node"), ("increase", "pod"), ("delta", "node")):  # fmt: skip
                metric = "&metric=container_memory_usage_bytes" if of == "delta" else ""
                assert rows(f"of={of}&level={level}{metric}"), of
            page = ask_json(f"{observer.url}/history?of=containers&newest=2")
            assert len(page["rows"]) == 2 and page["truncated"]
            assert rows("since=2030-01-01") == [] and rows("until=2020-01-01") == []


@pytest.mark.parametrize(
    "more,said",
    [
        (["--listen=0.0.0.0:0"], "a token is needed"),
        (["--listen=nowhere"], "write it as 127.0.0.1:8080"),
        (["--interval=0s"], "no duration above 0"),
        (["--history-bytes=lots"], "no size above 0"),
        (["--token-file=/nonexistent"], "the token cannot be read"),
        (["--pins=PINS", "--kubelet-tls=pin"], "this is no file of pins"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, more, said):
    pins = tmp_path / "pins"
    pins.write_text('{"a": "no digest"}')
    with cl.simulate(nodes=1, pods=1) as cluster:
        done = subprocess.run(
            [sys.executable, "-m", "computelocator", "observe", f"--kubeconfig={cluster.kubeconfig}",
             "--probe-listen=127.0.0.1:0", *(each.replace("PINS", str(pins)) for each in more)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr


def test_a_token_in_the_open_is_refused(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with cl.simulate(nodes=1, pods=1) as cluster:
        done = subprocess.run(
            [sys.executable, "-m", "computelocator", "observe", f"--kubeconfig={cluster.kubeconfig}",
             "--listen=0.0.0.0:0", f"--token-file={token}"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2 and "plain HTTP" in done.stderr and TOKEN not in done.stderr


def test_it_ends_at_once_in_the_middle_of_a_sweep():
    with cl.simulate(nodes=2, pods=2, faults={0: "silent"}) as cluster:
        observer = observe(cluster, "--timeout=1h")
        wait_for(lambda: ask(observer.urls["observe probes"] + "/healthz")[0] == 200)
        assert observer.close() == 0


def test_replicas_are_found_by_name(monkeypatch):
    import socket

    from computelocator.observe import _peers

    answers = {"observer": ["10.0.0.2", "10.0.0.1", "10.0.0.2"]}

    def resolve(name, port, **_):
        if name not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in answers[name]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    peers = _peers.Peers(["observer"], "10.0.0.3")
    assert peers.look() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"] and peers.failure == ""
    del answers["observer"]
    assert peers.look() == ["10.0.0.1", "10.0.0.2", "10.0.0.3"] and "Name or service" in peers.failure
    answers["observer"] = ["10.0.0.1"]
    assert peers.look() == ["10.0.0.1", "10.0.0.3"] and peers.failure == ""
