# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The other pages of kubelets, and /stats/summary for what containerd does not tell."""

import base64
import json
import re
import ssl
import urllib.request
from pathlib import Path

import computelocator as cl
import pytest
from prometheus_client.parser import text_string_to_metric_families

USAGE, LIMIT = "container_fs_usage_bytes", "container_fs_limit_bytes"


@pytest.fixture(scope="module")
def cluster():
    with cl.simulate(nodes=2, pods=12) as running:
        yield running


def summaries(cluster):
    """Each container's root file system and logs, as the nodes tell them."""
    text = Path(cluster.kubeconfig).read_text()
    server, ca, token = (
        re.search(rf"{key}: (\S+)", text)[1] for key in ("server", "certificate-authority-data", "token")
    )
    context = ssl.create_default_context(cadata=base64.b64decode(ca).decode())
    found = {}
    for node in ("node-000", "node-001"):
        request = urllib.request.Request(
            f"{server}/api/v1/nodes/{node}/proxy/stats/summary", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            for pod in json.load(answer)["pods"]:
                for each in pod["containers"]:
                    key = (pod["podRef"]["namespace"], pod["podRef"]["name"], each["name"])
                    found[key] = (each["rootfs"]["usedBytes"] + each["logs"]["usedBytes"], each["rootfs"]["capacityBytes"])
    return found


@pytest.mark.parametrize("route", ["direct", "api_server"])
@pytest.mark.parametrize("path, name", [
    ("/metrics/resource", "pod_memory_working_set_bytes"),
    ("/metrics/probes", "prober_probe_total"),
    ("/metrics", "kubelet_runtime_operations_duration_seconds_bucket"),
])  # fmt: skip
def test_other_pages_are_read_whole(cluster, path, name, route):
    snap = cl.scrape(kubeconfig=cluster.kubeconfig, path=path, route=route, keep_pages=True)
    frame = snap.to_pandas()
    assert snap.failed == 0 and len(snap.rejects()) == 0
    assert name in set(frame["metric"])
    for node, rows in frame.groupby("node", observed=True):
        theirs = [s.value for f in text_string_to_metric_families(snap.page(node).decode()) for s in f.samples]
        assert sorted(rows["value"]) == sorted(theirs)


def test_resource_and_cadvisor_tell_the_same(cluster):
    resource = cl.scrape(kubeconfig=cluster.kubeconfig, path="/metrics/resource", metrics="pod_cpu_usage_seconds_total").to_pandas()
    ours = {(n, p): v for n, p, v in zip(resource["namespace"], resource["pod"], resource["value"], strict=True)}
    pods = cl.scrape(kubeconfig=cluster.kubeconfig).pods()
    name = "container_cpu_usage_seconds_total"
    theirs = {(n, p): v for n, p, v in zip(pods["namespace"], pods["pod"], pods[name], strict=True)}
    assert len(theirs) == 24 and ours == theirs


def test_a_path_that_is_none_is_refused():
    with pytest.raises(ValueError, match="/metrics/probes"):
        cl.scrape(path="/configz")


def test_disk_usage_of_containers_comes_from_the_summary(cluster):
    without = cl.scrape(kubeconfig=cluster.kubeconfig).containers()
    assert without[USAGE].isna().all() and without[LIMIT].isna().all()
    snap = cl.scrape(kubeconfig=cluster.kubeconfig, stats_summary=True)
    frame = snap.containers()
    expected = summaries(cluster)
    ours = {
        (n, p, c): (usage, limit)
        for n, p, c, usage, limit in zip(
            frame["namespace"], frame["pod"], frame["container"], frame[USAGE], frame[LIMIT], strict=True
        )
    }
    assert len(ours) == len(expected) > 24 and ours == expected
    reasons = snap.reasons()
    of_summary = reasons[reasons["reason"] == "stats_summary"]
    assert len(of_summary) == 2 * len(expected)
    assert set(of_summary["metric"]) == {USAGE, LIMIT} and of_summary["value"].notna().all()
    # The samples are those of the page alone, and the history has the values of the tables.
    assert len(snap) == len(cl.scrape(kubeconfig=cluster.kubeconfig))
    history = cl.History()
    history.add(snap)
    kept = history.samples("container", metrics=USAGE)
    assert sorted(kept["value"]) == sorted(usage for usage, _ in expected.values())


@pytest.mark.parametrize("route, what", [("direct", "nodes/stats"), ("api_server", "nodes/proxy")])
def test_a_summary_that_is_denied_costs_nothing_else(route, what):
    with cl.simulate(nodes=2, pods=4, options=["--deny", "nodes/stats"]) as running:
        with pytest.warns(UserWarning, match=f"2 of 2 nodes gave no /stats/summary: node-000 .*{what}"):
            snap = cl.scrape(kubeconfig=running.kubeconfig, stats_summary=True, route=route)
    assert snap.failed == 0 and len(snap.warnings) == 1
    frame = snap.containers()
    assert len(frame) > 8 and frame[USAGE].isna().all()
    assert "runtime_reports_none" in set(snap.reasons()["reason"])
