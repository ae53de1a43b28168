# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""A real kubelet with containerd, joined to a real API server: its pod, seen by the collector's account."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import computelocator as cl
import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import PEERS, Kubernetes, Server, built
from services import free_port, wait_for

CONTAINERD = PEERS / "containerd-root" / "usr"
CGROUPS = Path("/sys/fs/cgroup")
pytestmark = pytest.mark.skipif(
    not (built("etcd", "kube-apiserver", "kubectl", "kubelet") and CONTAINERD.exists() and os.geteuid() == 0
         and (CGROUPS / "cpuacct").exists()),
    reason="`make kubelet` builds the kubelet and unpacks containerd; root and version 1 of cgroups are needed",
)  # fmt: skip
IMAGE = "docker.io/local/busybox:1"
NODE = "127.0.0.1"  # a name that is an address is the node's address
OBSERVER = Path(__file__).parents[2] / "kubernetes" / "observer.yaml"


def image():
    """An image of busybox alone, as `docker save` writes them."""
    layer, saved = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(PEERS / "containerd-root" / "bin" / "busybox", "bin/busybox")
    diff = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff]},
              "config": {"Cmd": ["/bin/busybox", "sleep", "1000000"]}}  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    parts = {"layer.tar": layer.getvalue(), "config.json": json.dumps(config).encode(),
             "manifest.json": json.dumps(manifest).encode()}  # fmt: skip
    with tarfile.open(fileobj=saved, mode="w") as tar:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return saved.getvalue()


class Containerd(Server):
    def __init__(self, folder):
        self.socket = folder / "c.sock"
        self.environment = {**os.environ, "PATH": f"{CONTAINERD}/bin:{CONTAINERD}/sbin:{os.environ['PATH']}"}
        config = folder / "containerd.toml"
        config.write_text(f"""
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
disable_tcp_service = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
""")
        super().__init__(folder, CONTAINERD / "bin" / "containerd", f"--config={config}", env=self.environment)
        self.wait_for(self.socket.exists)
        self.wait_for(lambda: self.ctr("images", "import", "-", given=image()) is not None)

    def ctr(self, *arguments, given=None):
        done = subprocess.run(
            ["ctr", f"--address={self.socket}", "--namespace=k8s.io", *arguments],
            input=given, capture_output=True, env=self.environment, timeout=60,
        )  # fmt: skip
        return done.stdout.decode() if done.returncode == 0 else None

    def close(self):
        for task in (self.ctr("tasks", "list", "-q") or "").split():
            self.ctr("tasks", "delete", "--force", task)
        for container in (self.ctr("containers", "list", "-q") or "").split():
            self.ctr("containers", "delete", container)
        super().close()
        mounted = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
        for place in sorted(place for place in mounted if place.startswith(f"{self.log.parent}/")):
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubernetes")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=clients",
         "-keyout", folder / "clients.key", "-out", folder / "clients.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = Kubernetes(folder, client_ca=(folder / "clients.crt").read_text())
    try:
        server.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        server.run(f"kubectl apply -f {OBSERVER}")
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def cgroups():
    """The groups of pods go with the test, where there were none before it."""
    roots = [each / "kubepods" for each in CGROUPS.iterdir()]
    roots = [each for each in roots if not each.exists()]
    yield
    for root in roots:
        for folder, _, _ in os.walk(root, topdown=False):
            os.rmdir(folder)


@pytest.fixture(scope="module")
def kubelet(api, cgroups, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubelet")
    (folder / "pods").mkdir()
    containerd = Containerd(folder)
    config = folder / "kubelet.yaml"
    config.write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": "127.0.0.1", "port": free_port(), "healthzPort": 0, "readOnlyPort": 0,
        "containerRuntimeEndpoint": f"unix://{containerd.socket}", "cgroupDriver": "cgroupfs",
        "failSwapOn": False, "failCgroupV1": False, "enforceNodeAllocatable": [], "podLogsDir": f"{folder}/logs",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"}, "evictionHard": {"memory.available": "1Mi"},
    }))  # fmt: skip
    server = Server(
        folder, "kubelet", f"--config={config}", f"--kubeconfig={api.kubeconfig('kubelet', api.administrator)}",
        f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/certificates", f"--hostname-override={NODE}",
        f"--containerd={containerd.socket}",
    )  # fmt: skip
    try:
        server.wait_for(lambda: api.ask("GET", f"/api/v1/nodes/{NODE}")[0] == 200)
        yield server
    finally:
        server.close()
        containerd.close()


@pytest.fixture(scope="module")
def pod(api, kubelet):
    """A pod that always wants more CPU than it may have."""
    made = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker", "namespace": "default"},
        "spec": {
            "nodeName": NODE, "hostNetwork": True, "automountServiceAccountToken": False,
            "containers": [{
                "name": "busy", "image": IMAGE, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "sh", "-c", "while :; do :; done"],
                "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
            }],
        },
    }  # fmt: skip
    status, said = api.ask("POST", "/api/v1/namespaces/default/pods", made)
    assert status == 201, said
    path = "/api/v1/namespaces/default/pods/worker"
    kubelet.wait_for(lambda: api.ask("GET", path)[1]["status"].get("phase") == "Running")
    return api.ask("GET", path)[1]


def observer(api):
    return api.kubeconfig("observer", {"token": api.run("kubectl create token observer")[0].strip()})


def test_the_collector_reads_what_the_cgroup_of_the_container_says(api, pod):
    collector = cl.Collector(kubeconfig=observer(api), route="direct", kubelet_tls="pin", metrics="all", keep_pages=True)

    def seen():
        rows = collector.sweep().containers()
        return len(rows) == 1 and rows["container_cpu_cfs_throttled_periods_total"].iloc[0] > 20

    wait_for(seen)
    snapshot = collector.sweep()
    assert len(collector.pins()) == 1
    row = snapshot.containers().iloc[0]
    assert (row["namespace"], row["pod"], row["container"], row["image"]) == ("default", "worker", "busy", IMAGE)
    assert row["limit_cpu_cores"] == 0.1 and row["container_spec_memory_limit_bytes"] == 64 * 2**20
    group = row["id"].lstrip("/")
    used = int((CGROUPS / "cpuacct" / group / "cpuacct.usage").read_text()) / 1e9
    assert used * 0.3 < row["container_cpu_usage_seconds_total"] <= used
    stat = dict(line.split() for line in (CGROUPS / "cpu" / group / "cpu.stat").read_text().splitlines())
    assert 20 < row["container_cpu_cfs_throttled_periods_total"] <= int(stat["nr_throttled"])
    assert 0 < row["container_cpu_cfs_throttled_seconds_total"] <= int(stat["throttled_time"]) / 1e9
    assert 0 < row["container_memory_working_set_bytes"] < 64 * 2**20
    # And all of its page is read as prometheus_client reads it.
    page = snapshot.page(NODE).decode()
    theirs = sum(len(family.samples) for family in text_string_to_metric_families(page))
    assert len(cl.parse(page.encode()).to_pandas()) == theirs > 300

