# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The simulated API server as kubectl, a client that we did not write, sees it."""

import json
import os
import shutil
import subprocess

import computelocator as cl
import pytest

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed; it comes with kubernetes-client")


@pytest.fixture(scope="module")
def cluster():
    with cl.simulate(nodes=3, pods=8) as made:
        yield made


def kubectl(cluster, *words, code=0):
    done = subprocess.run(
        [KUBECTL, *words],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_nodes_and_pods_are_those_of_the_tables(cluster):
    snap = cl.scrape(kubeconfig=cluster.kubeconfig)
    listed = json.loads(kubectl(cluster, "get", "nodes,pods", "-A", "-o", "json"))["items"]
    nodes = {each["metadata"]["name"] for each in listed if each["kind"] == "Node"}
    pods = {
        (each["spec"]["nodeName"], each["metadata"]["namespace"], each["metadata"]["name"])
        for each in listed
        if each["kind"] == "Pod"
    }
    frame = snap.pods()
    assert nodes == set(snap.nodes()["node"])
    assert pods == set(zip(frame["node"], frame["namespace"], frame["pod"], strict=True))
    assert len(pods) == 24


def test_a_person_sees_a_table(cluster):
    lines = kubectl(cluster, "get", "nodes").splitlines()
    assert lines[0].startswith("NAME") and [line.split()[0] for line in lines[1:]] == ["node-000", "node-001", "node-002"]


def test_lists_come_in_pieces(cluster):
    whole = kubectl(cluster, "get", "pods", "-A", "-o", "name", "--chunk-size=0")
    assert kubectl(cluster, "get", "pods", "-A", "-o", "name", "--chunk-size=5") == whole


def test_a_watch_begins_with_what_is_there(cluster):
    said = kubectl(cluster, "get", "nodes", "--watch", "--request-timeout=2s", "-o", "name")
    assert set(said.split()) >= {"node/node-000", "node/node-001", "node/node-002"}


def test_the_node_proxy_gives_the_page(cluster):
    page = kubectl(cluster, "get", "--raw", "/api/v1/nodes/node-001/proxy/metrics/cadvisor")
    assert len(cl.parse(page.encode())) > 1000


def test_what_is_not_there_is_said(cluster):
    assert "NotFound" in kubectl(cluster, "get", "pod", "-n", "data", "nobody", code=1)
    refused = kubectl(cluster, "delete", "node", "node-000", code=1)
    assert "405" in refused or "method" in refused.lower()
