# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The image cluster_api as `make image` built it: its three commands, run in its root as its user."""

import os
import shutil
import time
from pathlib import Path

import computelocator as cl
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
from services import Service, ask, ask_json, free_port, wait_for  # noqa: E402

ROOT = os.environ.get("COMPUTELOCATOR_IMAGE_ROOT")
pytestmark = pytest.mark.skipif(not ROOT, reason="the image is not built; `make image` builds and tests it")
USER = 65532


def run(verb, *arguments, sites):
    path = "PATH=/opt/computelocator/bin:/usr/bin:/bin"
    return Service(
        ["chroot", f"--userspec={USER}:{USER}", ROOT, "/usr/bin/env", "-i", path, "OPENBLAS_NUM_THREADS=1",
         "computelocator", verb, *arguments], sites,
    )  # fmt: skip


def test_the_three_commands_work_together():
    port = free_port("127.6.0.1")
    with run("workload", f"--listen=127.6.0.1:{port}", "--metrics-listen=127.0.0.1:0",
             sites=["test API", "test API metrics"]) as api:  # fmt: skip
        assert os.stat(f"/proc/{api.process.pid}").st_uid == USER
        process = f"--process=default/target-api-small-0={api.process.pid}@127.6.0.1,app=target-api,size=small"
        with cl.simulate(nodes=2, pods=4, run=True, options=["--step=1", "--now", process]) as cluster:
            kubeconfig = Path(ROOT) / "tmp" / "kubeconfig"
            shutil.copy(cluster.kubeconfig, kubeconfig)
            os.chown(kubeconfig, USER, USER)
            with run("observe", "--kubeconfig=/tmp/kubeconfig", "--interval=500ms", "--listen=127.0.0.1:0",
                     "--probe-listen=127.0.0.1:0", sites=["observe", "observe probes"]) as observer, run(
                     "aggregate", f"--collectors={observer.url}", f"--target-port={port}", "--allow-range=127.0.0.0/8", "--listen=127.0.0.1:0",
                     "--probe-listen=127.0.0.1:0", sites=["aggregate", "aggregate probes"]) as aggregate:  # fmt: skip
                began = time.time_ns()
                assert ask_json(f"{api.url}/ml", body={"input": 15})["status"] == 200
                assert ask_json(f"{api.url}/pi", body={"input": 2})["status"] == 200
                wait_for(lambda: ask(f"{aggregate.url}/nodes")[0] == 200)

                def covered():
                    rows = ask_json(f"{aggregate.url}/executions?since={began}")["rows"]
                    return len(rows) == 2 and all(row["coverage"] == 1 for row in rows)

                wait_for(covered)
                assert b"<title>Cluster</title>" in ask(aggregate.url + "/")[2]
                assert observer.close() == aggregate.close() == 0
        assert api.close() == 0


def test_it_holds_no_compiler_and_nothing_of_the_build():
    root = Path(ROOT)
    for name in ("g++", "gcc", "cmake", "make"):
        assert not (root / "usr" / "bin" / name).exists()
    assert not (root / "dist").exists()
    assert not list((root / "var" / "lib" / "apt" / "lists").glob("*Packages*"))
