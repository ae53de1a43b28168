# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Targets that are no kubelets: exporters, file_sd, annotated pods; and who gets which credential."""

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import warnings

import computelocator as cl
import pytest
from evil_kubelet import Authority, Cluster, Peers, answer, says
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.parser import text_string_to_metric_families

PAGE = b'# TYPE up gauge\nup{env="mine",instance="inside"} 1\ntemperature_celsius 21.5\n'
CLIENT = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n"


@pytest.fixture(scope="module")
def exporter():
    registry = CollectorRegistry()
    Counter("requests", "Requests", ["code"], registry=registry).labels("200").inc(3)
    Histogram("latency_seconds", "Latency", registry=registry).observe(0.2)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def peers():
    with Peers() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


def failures(snapshot):
    return dict(zip(snapshot.outcomes()["instance"], snapshot.outcomes()["error"], strict=True))


def credentials(peer):
    return [line for each in peer.requests for line in each.decode().split("\r\n") if "Authorization" in line]


def test_three_lines_give_a_frame_of_any_exporter(exporter):
    import computelocator as cl

    snap = cl.scrape_targets(f"http://{exporter}/metrics", keep_pages=True)
    frame = snap.to_pandas()
    assert set(frame["instance"]) == {exporter} and "node" not in frame
    text = snap.page(exporter).decode()
    assert text.endswith("# EOF\n")  # it was asked for OpenMetrics, and read as such
    theirs = [s.value for f in text_string_to_metric_families(text.replace("# EOF\n", "")) for s in f.samples]
    assert sorted(frame["value"]) == sorted(theirs)
    assert frame.attrs["metrics"]["latency_seconds_bucket"]["type"] == "histogram"
    outcome = snap.outcomes().iloc[0]
    assert (outcome["instance"], outcome["ok"], outcome["samples"]) == (exporter, True, len(frame))


def test_connections_are_kept_and_label_sets_remembered(peers):
    peer = peers.add(says(answer(PAGE)))
    collector = cl.TargetCollector(f"127.0.0.1:{peer.port}")
    assert [len(collector.sweep()) for _ in range(3)] == [2, 2, 2]
    assert peer.connections == 1
    assert b"Accept: application/openmetrics-text" in peer.requests[0]
    assert b"GET /metrics HTTP/1.1" in peer.requests[0]


def test_labels_of_targets_win_and_those_of_the_page_stay_as_exported(peers):
    peer = peers.add(says(answer(PAGE)))
    snap = cl.scrape_targets(f"127.0.0.1:{peer.port}", add_labels={"env": "test"}, metrics="up")
    (row,) = snap.to_pandas().to_dict("records")
    assert (row["env"], row["exported_env"]) == ("test", "mine")
    assert (row["instance"], row["exported_instance"]) == (f"127.0.0.1:{peer.port}", "inside")
    assert snap.outcomes()["env"].tolist() == ["test"]


def test_samples_by_name_and_label(peers):
    page = b'a{x="1"} 1\na{x="2"} 2\na 3\nb{x="1"} 4\nc 5\n'
    peer = peers.add(says(answer(page)))

    def values(**how):
        return cl.scrape_targets(f"127.0.0.1:{peer.port}", **how).to_pandas()["value"].tolist()

    assert values() == [1, 2, 3, 4, 5]
    assert values(metrics=["a", "b"], labels={"x": "1"}) == [1, 4]
    assert values(exclude_metrics="a") == [4, 5]
    assert values(exclude_labels={"x": ["1", "2"]}) == [3, 5]
    assert values(labels={"x": ["1", ""]}, exclude_metrics=["b", "c"]) == [1, 3]


@pytest.mark.parametrize("kind", ["json", "yml"])
def test_file_sd(kind, peers, tmp_path):
    peer = peers.add(says(answer(PAGE)))
    address = f"127.0.0.1:{peer.port}"
    path = tmp_path / f"targets.{kind}"
    if kind == "json":
        path.write_text(json.dumps([
            {"targets": [address], "labels": {"job": "a", "__metrics_path__": "/probe", "__param_target": "x y"}},
            {"targets": [address, "127.0.0.1:1", "no host"], "labels": {"job": "b"}},
        ]))  # fmt: skip
    else:
        path.write_text(
            f"- targets: ['{address}']\n  labels: {{job: a, __metrics_path__: /probe, __param_target: x y}}\n"
            f"- targets:\n  - {address}\n  - 127.0.0.1:1\n  - no host\n  labels:\n    job: b\n"
        )
    with pytest.warns(UserWarning, match="2 of 4 targets failed"):
        snap = cl.scrape_targets(files=path)
    outcomes = snap.outcomes()
    assert outcomes["error"].tolist() == ["", "", "connect_refused", "invalid_argument"]
    assert outcomes["job"].tolist() == ["a", "b", "b", ""]
    asked = sorted(each.split(b" HTTP")[0] for each in peer.requests)
    assert asked == [b"GET /metrics", b"GET /probe?target=x%20y"]
    assert sorted(snap.to_pandas()["job"]) == ["a", "a", "b", "b"]


def test_a_file_is_read_again_and_while_it_cannot_be_its_targets_stay(peers, tmp_path):
    peer, other = peers.add(says(answer(PAGE))), peers.add(says(answer(PAGE)))
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([{"targets": [f"127.0.0.1:{peer.port}"]}]))
    collector = cl.TargetCollector(files=path)
    assert collector.sweep().targets == 1
    path.write_text('[{"targets"')
    broken = collector.sweep()
    assert broken.targets == 1 and broken.failed == 0
    (said,) = broken.warnings
    assert str(path) in said and "those of before" in said
    path.write_text(json.dumps([{"targets": [f"127.0.0.1:{each.port}" for each in (peer, other)]}]))
    whole = collector.sweep()
    assert whole.targets == 2 and whole.warnings == []
    with pytest.raises(cl.ConfigurationError, match="is no list of groups"):
        path.write_text("{}")
        cl.scrape_targets(files=path)


@pytest.mark.parametrize(
    "how, says_what",
    [
        ({"targets": "ftp://h/"}, "scheme other than"),
        ({"targets": "http://me:canary@h/"}, "user or password"),
        ({"targets": "h", "token_file": "TOKEN"}, "plain HTTP"),
        ({"targets": "h", "token_file": "missing"}, "No such file"),
        ({"targets": "https://h", "username": "me"}, "user name or a password file alone"),
        ({"targets": "https://h", "username": "me", "password_file": "TOKEN", "token_file": "TOKEN"}, "token and a user"),
        ({"targets": "https://h", "key": "TOKEN"}, "client certificate or its key alone"),
        ({"files": "missing.json"}, "No such file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_asked(how, says_what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TOKEN").write_text("canary-token")
    with pytest.raises(cl.ComputeLocatorError, match=says_what) as caught:
        cl.scrape_targets(**how)
    assert "canary" not in str(caught.value)


def test_own_credentials_go_to_verified_targets_alone(peers, authority, tmp_path):
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("canary-token\n")
    password.write_text("canary-password\n")
    ca = authority.root[0]
    good, stranger = peers.add(says(answer(PAGE)), authority.server()), peers.add(
        says(answer(PAGE)), authority.server("self", issuer=None)
    )
    urls = [f"https://127.0.0.1:{each.port}/metrics" for each in (good, stranger)]
    with pytest.warns(UserWarning, match="1 of 2"):
        snap = cl.scrape_targets(urls, token_file=token, ca=ca)
    assert list(failures(snap).values()) == ["", "tls_untrusted"]
    assert credentials(good) == ["Authorization: Bearer canary-token"]
    assert b"canary" not in stranger.heard and b"canary" not in stranger.raw
    cl.scrape_targets(urls[0], username="me", password_file=password, ca=ca)
    basic = base64.b64encode(b"me:canary-password").decode()
    assert credentials(good)[1:] == [f"Authorization: Basic {basic}"]
    # Never over plain HTTP, and nothing is sent elsewhere by a redirect.
    plain = peers.add(says(answer(PAGE)))
    address = f"http://127.0.0.1:{plain.port}/"
    with pytest.raises(cl.ConfigurationError, match="plain HTTP"):
        cl.scrape_targets(address, token_file=token)
    moved = peers.add(says(answer(b"", f"Location: http://127.0.0.1:{plain.port}/", status="302 Found")), authority.server("moved"))
    with pytest.warns(UserWarning):
        snap = cl.scrape_targets(f"https://127.0.0.1:{moved.port}/", token_file=token, ca=ca)
    assert list(failures(snap).values()) == ["redirect_refused"]
    assert plain.connections == 0


def test_without_verification_no_token_can_be_given_and_none_is_sent(peers, authority, tmp_path):
    peer = peers.add(says(answer(PAGE)), authority.server("own", issuer=None))
    url = f"https://127.0.0.1:{peer.port}/metrics"
    with pytest.warns(UserWarning, match="not verified"):
        assert cl.scrape_targets(url, tls="insecure").failed == 0
    assert credentials(peer) == []
    (tmp_path / "token").write_text("canary-token")
    with pytest.warns(UserWarning), pytest.raises(cl.ComputeLocatorError, match="nothing is checked"):
        cl.scrape_targets(url, tls="insecure", token_file=tmp_path / "token")


def test_a_client_certificate(peers, authority):
    context = authority.server("asks")
    context.load_verify_locations(cadata=authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    peer = peers.add(says(answer(PAGE)), context)
    url = f"https://127.0.0.1:{peer.port}/metrics"
    certificate, key = authority.issue("target-client", CLIENT)
    assert cl.scrape_targets(url, ca=authority.root[0], certificate=certificate, key=key).failed == 0
    with pytest.warns(UserWarning):
        snap = cl.scrape_targets(url, ca=authority.root[0])
    assert list(failures(snap).values()) == ["tls_client_certificate"]


def annotated(name, port, ip="127.0.0.1", namespace="shop", **annotations):
    given = {"scrape": "true", "port": str(port), **annotations}
    return {
        "metadata": {
            "name": name, "namespace": namespace, "uid": f"uid-{name}",
            "annotations": {f"prometheus.io/{k}": v for k, v in given.items()} | {"other": "x" * 100},
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIP": ip},
    }  # fmt: skip


class Pods(Cluster):
    """A cluster of annotated pods, which its API server asks itself where it is told to."""

    pods = ()

    def _answer(self, n, request):
        path = request.split(b" ")[1].decode()
        if found := re.match(r"/api/v1/(?:namespaces/(\w+)/)?pods\?", path):
            items = [each for each in self.pods if found[1] in (None, each["metadata"]["namespace"])]
            body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
            return [answer(body, kind="application/json")]
        if "/proxy/" in path:
            return [answer(PAGE)]
        return [answer(b'{"message": "no"}', status="404 Not Found", kind="application/json")]


@pytest.fixture
def pods(tmp_path, peers, authority):
    return Pods(tmp_path, peers, authority)


def test_annotated_pods_never_get_a_credential_of_ours(pods, peers, authority, tmp_path):
    plain, secure = peers.add(says(answer(PAGE))), peers.add(says(answer(PAGE)), authority.server("pod"))
    (tmp_path / "token").write_text("canary-own")
    quiet = annotated("quiet", 1, scrape="false")
    pods.pods = [
        annotated("plain", plain.port, path="/stats", param_a="b c"),
        annotated("secure", secure.port, scheme="https"),
        annotated("nonsense", "http"),
        annotated("climbs", plain.port, path="/../../secrets"),
        annotated("elsewhere", plain.port, ip="169.254.169.254"),
        quiet,
    ]
    how = {"annotated_pods": True, "kubeconfig": pods.kubeconfig, "route": "direct"}
    with pytest.warns(UserWarning, match="5 of 5"):  # all of them are on loopback, or worse
        snap = cl.scrape_targets(**how)
    assert failures(snap) == {
        "shop/plain": "address_refused", "shop/secure": "address_refused", "shop/elsewhere": "address_refused",
        "shop/nonsense": "invalid_argument", "shop/climbs": "invalid_argument",
    }  # fmt: skip
    assert plain.connections == secure.connections == 0
    own = peers.add(says(answer(PAGE)), authority.server("own-target"))
    with pytest.warns(UserWarning, match="3 of 6"):
        snap = cl.scrape_targets(
            f"https://127.0.0.1:{own.port}/metrics", token_file=tmp_path / "token", ca=authority.root[0],
            allowed_ranges="127.0.0.0/8", **how,
        )  # fmt: skip
    rows = snap.to_pandas()
    assert set(rows["pod"].dropna()) == {"plain", "secure"} and set(rows["namespace"].dropna()) == {"shop"}
    assert plain.requests[0].startswith(b"GET /stats?a=b%20c HTTP/1.1")
    assert credentials(own) == ["Authorization: Bearer canary-own"]
    for peer in (plain, secure):
        assert b"canary" not in peer.heard and credentials(peer) == []


def test_annotated_pods_through_the_api_server(pods):
    pods.pods = [annotated("web", 8080, ip="10.0.0.7"), annotated("tls", 8443, scheme="https", namespace="mail"),
                 annotated("climbs", 80, path="/%2e%2e/x")]  # fmt: skip
    with pytest.warns(UserWarning, match="1 of 3"):
        snap = cl.scrape_targets(annotated_pods=True, kubeconfig=pods.kubeconfig, add_labels={"env": "x"})
    assert set(snap.to_pandas()["instance"]) == {"10.0.0.7:8080", "127.0.0.1:8443"}
    assert set(snap.to_pandas()["env"]) == {"x"}
    asked = {each.split(b" ")[1].decode() for each in pods.api.requests if b"/proxy/" in each}
    assert asked == {
        "/api/v1/namespaces/shop/pods/web:8080/proxy/metrics",
        "/api/v1/namespaces/mail/pods/https:tls:8443/proxy/metrics",
    }
    # Who may list the pods of one namespace alone is asked for no more.
    pods.api.requests.clear()
    snap = cl.scrape_targets(annotated_pods=True, kubeconfig=pods.kubeconfig, namespaces="mail")
    assert snap.targets == 1
    assert not any(each.startswith(b"GET /api/v1/pods?") for each in pods.api.requests)


def run(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "computelocator", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **env},
    )  # fmt: skip


def test_the_command_line(exporter, tmp_path):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([{"targets": ["127.0.0.1:1"]}]))
    done = run("scrape", "--target", f"http://{exporter}/metrics", "--add-label", "env=x", "--format", "jsonl",
               "--exclude-metric", "latency_seconds_bucket")  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["labels"]["instance"] for row in rows} == {exporter}
    assert {row["labels"]["env"] for row in rows} == {"x"}
    assert "requests_total" in {row["name"] for row in rows} and "latency_seconds_bucket" not in {row["name"] for row in rows}
    assert re.match(r"1 target, \d+ samples, ", done.stderr)
    done = run("scrape", "--target", exporter, "--target-file", path)
    assert done.returncode == 1
    assert "127.0.0.1:1 (http://127.0.0.1:1/metrics): the connection was refused" in done.stderr
    assert "requests_total" in done.stdout
    assert run("scrape", "--target", "ftp://h").returncode == 2


def test_nothing_to_scrape_is_said():
    with pytest.raises(ValueError, match="name targets"):
        cl.scrape_targets()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cl.TargetCollector("h")  # opens no socket
