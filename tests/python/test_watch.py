# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Sweeps again and again: cl.watch(), the collector's loop, `computelocator top`; what it holds stays the same."""

import gc
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import computelocator as cl
import pytest
from computelocator import _top
from computelocator.cli import main


def held():
    """Descriptors, threads and MiB of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    threads, resident = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("Threads", "VmRSS"))
    return len(os.listdir("/proc/self/fd")), threads, resident / 1024


def test_snapshots_come_at_fixed_times_from_one_list():
    with cl.simulate(nodes=2, pods=4) as cluster:
        began = []
        with cl.watch("200ms", kubeconfig=cluster.kubeconfig, namespaces=["shop", "web"]) as snapshots:
            for snap in snapshots:
                assert (snap.targets, snap.failed, snap.warnings) == (2, 0, [])
                began.append(snap._core.started_ms)
                if len(began) == 6:
                    break
            assert snapshots.missed == 0
        counts = cluster.tell("counts")
        assert (counts["node_lists"], counts["pod_lists"], counts["watches"]) == (1, 1, 2)
        for number, at in enumerate(began):
            assert abs(at - began[0] - 200 * number) < 100
        assert list(snapshots) == []  # it is over


def test_who_is_slow_to_take_them_misses_some():
    with cl.simulate(nodes=1, pods=2) as cluster, cl.watch(0.1, kubeconfig=cluster.kubeconfig) as snapshots:
        next(snapshots)
        time.sleep(0.55)
        next(snapshots)
        assert snapshots.missed in (5, 6)


def test_pods_and_nodes_that_come_and_go_are_there():
    with cl.simulate(nodes=3, pods=6) as cluster, cl.watch(0.1, kubeconfig=cluster.kubeconfig) as snapshots:
        before = set(next(snapshots).inventory()["uid"])
        cluster.tell("replace-pods 0 2")
        cluster.tell("remove-node 2")
        for snap in snapshots:
            after = set(snap.inventory()["uid"])
            if snap.targets == 2 and len(before & after) == 10:
                break
        assert len(after) == 12 and len(snap.pods()) == 12
        assert cluster.tell("counts")["pod_lists"] == 1


def test_an_error_is_that_of_one_sweep():
    with cl.simulate(nodes=1, pods=2) as cluster:
        cluster.tell("pause-api")
        with cl.watch(0.1, kubeconfig=cluster.kubeconfig) as snapshots:
            for _ in range(2):
                with pytest.raises(cl.NodeUnreachable, match="API server"):
                    next(snapshots)
            cluster.tell("resume-api")
            assert next(snapshots).failed == 0
            assert snapshots.collector.pins() == {}


def test_while_the_api_server_is_away_the_last_known_nodes_are_scraped():
    with cl.simulate(nodes=2, pods=2) as cluster:
        how = {"kubeconfig": cluster.kubeconfig, "route": "direct"}
        with cl.watch(0.1, **how) as snapshots:
            next(snapshots)
            cluster.tell("pause-api")
            for snap in snapshots:
                assert snap.failed == 0 and len(snap) > 0
                if snap.inventory_age > 0.5 and len(snap.warnings) == 2:
                    break
            assert "nodes are the last known ones" in snap.warnings[0] and "refused" in snap.warnings[0]


def test_what_cannot_be():
    with cl.simulate(nodes=1, pods=1) as cluster:
        for interval in (0.05, "2d"):
            with pytest.raises(cl.ConfigurationError, match="interval"):
                cl.watch(interval, kubeconfig=cluster.kubeconfig)
        with pytest.raises(ValueError, match="duration"):
            cl.watch("soon", kubeconfig=cluster.kubeconfig)
        with pytest.raises(TypeError, match="progress"):
            cl.watch(kubeconfig=cluster.kubeconfig, progress=print)


def heeds_ctrl_c():
    """Of a child: whoever runs the tests in the background may have told all children to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_the_wait_at_once_and_closes_every_socket():
    script = textwrap.dedent(
        """
        import os, signal, threading, time
        import computelocator as cl
        def held():
            return len(os.listdir("/proc/self/fd"))
        with cl.simulate(nodes=2, pods=2) as cluster:
            descriptors = held()
            watcher = cl.watch("1h", kubeconfig=cluster.kubeconfig)
            next(watcher)
            assert held() > descriptors
            threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
            begun = time.monotonic()
            try:
                next(watcher)
            except cl.ScrapeInterrupted as stopped:
                assert stopped.snapshot is None
            assert time.monotonic() - begun < 60
            assert list(watcher) == []
            del watcher
            assert held() == descriptors
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, preexec_fn=heeds_ctrl_c)


def test_it_can_be_closed_from_another_thread():
    with cl.simulate(nodes=1, pods=1) as cluster:
        watcher = cl.watch("1h", kubeconfig=cluster.kubeconfig)
        timer = threading.Timer(0.5, watcher.close)
        timer.start()
        begun = time.monotonic()
        assert len(list(watcher)) == 1
        assert time.monotonic() - begun < 60  # an hour was left
        timer.join()


def test_memory_descriptors_and_threads_stay_the_same_while_pods_and_nodes_come_and_go():
    """The short form of `make bench-watch`: in 60 sweeps every node is replaced seven times over."""
    history = cl.History(max_bytes=1 << 20, max_age="5s")
    with cl.simulate(nodes=4, pods=12, self_signed=True) as cluster:
        how = {"kubeconfig": cluster.kubeconfig, "route": "direct", "kubelet_tls": "pin", "metrics": "all"}
        with cl.watch(0.1, **how) as snapshots:
            for number, snap in enumerate(snapshots):
                history.add(snap)
                # One that was replaced just now may be asked under the name that it had.
                assert snap.failed <= 1, snap.outcomes()["message"].tolist()
                cluster.tell(f"replace-pods {number % 4} 6")
                if number % 2:
                    cluster.tell(f"replace-node {number // 2 % 4}")
                if number == 25:
                    before = held()
                if number == 60:
                    break
            after = held()
            assert len(snapshots.collector.pins()) <= 5
        assert cluster.tell("counts")["node_lists"] == 1
    assert abs(after[0] - before[0]) <= 6, (before, after)  # a kept connection a node, or not
    assert after[1] == before[1]
    assert after[2] - before[2] < 8, (before, after)


def test_what_the_history_marks_of_a_watch():
    """A container that began anew, one that is gone: restarts and resets, stale."""
    history = cl.History(stale_after="400ms")
    with cl.simulate(nodes=1, pods=6, run=True, options=["--pace=200", "--now"]) as cluster:
        with cl.watch(0.2, kubeconfig=cluster.kubeconfig) as snapshots:
            history.add(next(snapshots))
            cluster.tell("replace-pods 0 1")
            for number, snap in enumerate(snapshots):
                history.add(snap)
                if number == 5:
                    break
        series = history.series("pod")
        now = set(snap.pods()["pod"])
        assert len(series) == 7 and len(now) == 6
        assert set(series.loc[~series["stale"], "pod"]) == now


# --- top


@pytest.fixture(scope="module")
def moving():
    with cl.simulate(nodes=2, pods=12, run=True, options=["--pace=100", "--now"]) as cluster:
        yield cluster


def top(cluster, *more):
    return main(["top", f"--kubeconfig={cluster.kubeconfig}", "--interval=200ms", *more])


@pytest.mark.parametrize("by,rows", [("container", 0), ("pod", 24), ("node", 2), ("namespace", 0)])
def test_top_once(capsys, moving, by, rows):
    assert top(moving, "--once", f"--by={by}") == 0
    head, title, *lines = capsys.readouterr().out.strip().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  2 nodes, 0 failed(, \d+ sweeps left out)?", head)
    names = [each.upper() for each in _top.KEYS[by]]
    assert title.split() == [*names, *"CPU OF LIMIT THROTTLED MEMORY LIMIT OF LIMIT".split()]
    assert rows in (0, len(lines)) and len(lines) > 1
    cpu = [float(line.split()[len(names)]) for line in lines if line.split()[len(names)] != "-"]
    assert len(cpu) > len(lines) / 2 and cpu == sorted(cpu, reverse=True) and cpu[0] > 0
    assert any("%" in line for line in lines) or by == "namespace"


def test_top_agrees_with_the_history(moving):
    history = cl.History()
    with cl.watch(0.2, kubeconfig=moving.kubeconfig) as snapshots:
        for number, snap in enumerate(snapshots):
            history.add(snap)
            if number == 5:
                break
    rates = history.rate("container_cpu_usage_seconds_total", "pod").groupby(["namespace", "pod", "node"])["value"].last()
    memory = snap.pods().set_index(["namespace", "pod", "node"])["container_memory_working_set_bytes"]
    for row in _top.rows(history, snap, "pod"):
        assert row.cpu == rates.get(row.names)
        assert row.memory == memory[row.names]
    by_namespace = {row.names[0]: row.cpu for row in _top.rows(history, snap, "namespace")}
    for name, cpu in rates.groupby("namespace").sum().items():
        assert by_namespace[name] == pytest.approx(cpu)


def test_top_sorts_counts_and_cuts(capsys, moving):
    assert top(moving, "--count=2", "--sort=memory", "--rows=3") == 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        lines = table.splitlines()
        assert lines[-1] == "... and 21 more" and len(lines) == 6


def test_top_says_what_is_missing(capsys):
    with cl.simulate(nodes=2, pods=2, deny=["watch"], faults={1: "dead"}) as cluster:
        assert top(cluster, "--count=3") == 0
        lines = capsys.readouterr().out.splitlines()
        assert "2 nodes, 1 failed" in lines[0]
        warnings = [each for each in lines if each.startswith("warning: ")]
        assert len(warnings) == 2 and all("may not be watched" in each for each in warnings)  # each once


def test_top_ends_with_ctrl_c_and_draws_on_a_terminal(moving):
    pty = pytest.importorskip("pty", reason="this system has no terminals of its own")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "computelocator", "top", f"--kubeconfig={moving.kubeconfig}", "--interval=200ms"]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, preexec_fn=heeds_ctrl_c)
    os.close(theirs)
    said = b""
    while said.count(b"\x1b[H") < 3:
        said += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while more := os.read(ours, 65536):
            said += more
    except OSError:
        pass  # the other end is closed
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    os.close(ours)
    assert b"NAMESPACE" in said and b"\x1b[K" in said


def test_top_is_quiet_when_its_reader_has_seen_enough(moving):
    command = [sys.executable, "-m", "computelocator", "top", f"--kubeconfig={moving.kubeconfig}", "--interval=100ms"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) in (0, 128 + signal.SIGPIPE)
    assert process.stderr.read() == b""
    process.stderr.close()
