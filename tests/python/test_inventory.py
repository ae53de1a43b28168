# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What the API server says of pods, and pods of the simulated cluster that stand for processes."""

import os
import time

import computelocator as cl
import pytest


def spend(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_the_inventory_has_a_row_a_pod():
    with cl.simulate(nodes=2, pods=5) as cluster:
        snap = cl.scrape(kubeconfig=cluster.kubeconfig)
    inventory, pods = snap.inventory(), snap.pods()
    keys = ["namespace", "pod", "node"]
    ours = inventory[keys].astype(str).sort_values(keys).values.tolist()
    assert ours == pods[keys].astype(str).sort_values(keys).values.tolist()
    assert inventory["uid"].is_unique and (inventory["phase"] == "Running").all()
    for labels, name in zip(inventory["labels"], inventory["pod"], strict=True):
        pairs = dict(each.split("=") for each in labels.split(","))
        assert name.startswith(pairs["app.kubernetes.io/name"])
    one = inventory["namespace"].iloc[0]
    assert set(snap.inventory(namespaces=one)["namespace"]) == {one}


def test_without_leave_to_list_pods_there_is_none():
    with cl.simulate(nodes=1, pods=2, deny=["pods"]) as cluster:
        assert len(cl.scrape(kubeconfig=cluster.kubeconfig).inventory()) == 0


def test_a_pod_can_stand_for_a_process_of_this_machine():
    what = f"--process=default/me-0={os.getpid()}@127.0.0.1,app=me,size=small"
    with cl.simulate(nodes=2, pods=4, run=True, options=["--step=1", "--now", what]) as cluster:
        collector = cl.Collector(kubeconfig=cluster.kubeconfig)

        def seen():
            snap = collector.sweep()
            row = snap.containers().query("pod == 'me-0'").iloc[0]
            return snap, row["timestamp"].value, row["container_cpu_usage_seconds_total"]

        before = time.process_time()
        snap, at, first = seen()
        inventory = snap.inventory().query("pod == 'me-0'").iloc[0]
        assert inventory[["namespace", "node", "address", "labels"]].tolist() == [
            "default", "node-000", "127.0.0.1", "app=me,size=small",
        ]  # fmt: skip
        assert first == pytest.approx(before, abs=0.5)
        spend(0.5)
        for _ in range(100):
            _, later, second = seen()
            if later > at + 10**9:
                break
            time.sleep(0.1)
        assert second - first >= 0.49
        assert abs(later / 1e9 - time.time()) < 60


def test_a_process_that_is_not_well_named_is_refused():
    for wrong in ("x", "a/b=0@1", "a/b=x@1", "a/b=1", "a/b=1@1,label", 'a/"=1@1'):
        with pytest.raises(cl.ComputeLocatorError, match="NAMESPACE/POD=PID@ADDRESS"):
            cl.simulate(options=[f"--process={wrong}"])
