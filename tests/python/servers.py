# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Servers that we did not write, as tools/peers builds them, on free ports of loopback."""

import base64
import json
import os
import re
import secrets
import ssl
import subprocess
import urllib.parse
from pathlib import Path

from services import ask, ask_json, free_port, wait_for

PEERS = Path(__file__).parents[2] / "build" / "peers"


def built(*names):
    return all((PEERS / name).exists() for name in names)


class Server:
    """A program of build/peers, which writes what it says into a file of `folder`."""

    def __init__(self, folder, name, *arguments, env=None):
        self.log = folder / f"{Path(name).name}.log"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [PEERS / name, *map(str, arguments)], stdout=out, stderr=subprocess.STDOUT, cwd=folder, env=env
            )

    def wait_for(self, condition):
        def holds():
            if self.process.poll() is not None:
                raise RuntimeError(self.said())
            try:
                return condition()
            except (OSError, AssertionError):  # it listens before it answers
                return False

        try:
            wait_for(holds)
        except AssertionError:
            raise AssertionError(self.said()) from None

    def said(self):
        return self.log.read_text(errors="replace")[-4000:]

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class Prometheus(Server):
    """Scrapes each node of a kubeconfig with a token."""

    CONFIG = """
global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}
scrape_configs:
- job_name: cadvisor
  scheme: https
  metrics_path: /metrics/cadvisor
  honor_timestamps: {honor_timestamps}
  honor_labels: true
  kubernetes_sd_configs: [{{role: node, kubeconfig_file: {kubeconfig}}}]
  tls_config: {{ca_file: {folder}/ca.pem}}
  authorization: {{credentials: {token}}}
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_node_name], target_label: node}}
"""

    def __init__(self, folder, kubeconfig, *, interval, honor_timestamps):
        text = Path(kubeconfig).read_text()
        ca, token = (
            re.search(rf"{key}: (\S+)", text)[1] for key in ("certificate-authority-data", "token")
        )
        (folder / "ca.pem").write_bytes(base64.b64decode(ca))
        config = folder / "prometheus.yml"
        config.write_text(self.CONFIG.format(
            interval=interval, honor_timestamps=str(honor_timestamps).lower(), kubeconfig=kubeconfig,
            folder=folder, token=token,
        ))  # fmt: skip
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        super().__init__(
            folder, "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
        )  # fmt: skip

    def query(self, text):
        query = urllib.parse.urlencode({"query": text})
        return ask_json(f"{self.url}/api/v1/query?{query}")["data"]["result"]

    def stored(self, selector):
        """The samples that it keeps of a selector over the last hour: labels and {time in ms: value}."""
        return [
            (each["metric"], {round(at * 1000): float(value) for at, value in each["values"]})
            for each in self.query(f"{selector}[1h]")
        ]


class Kubernetes:
    """A real API server over an etcd of its own, and no controllers: nothing changes but by request."""

    AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""

    def __init__(self, folder, client_ca):
        """`client_ca` signs certificates of clients."""
        self.folder = folder
        self.parts = []
        try:
            self._start(client_ca)
        except BaseException:
            self.close()
            raise

    def _start(self, client_ca):
        folder = self.folder
        store, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.parts.append(Server(
            folder, "etcd", f"--data-dir={folder}/etcd", "--unsafe-no-fsync",
            f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ))  # fmt: skip
        key, tokens, policy = (folder / name for name in ("accounts.key", "tokens.csv", "audit.yaml"))
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        token = secrets.token_hex(16)
        tokens.write_text(f"{token},administrator,1,system:masters\n")
        policy.write_text(self.AUDIT)
        (folder / "clients.pem").write_text(client_ca)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.server = Server(
            folder, "kube-apiserver", f"--etcd-servers={store}", "--bind-address=127.0.0.1",
            f"--secure-port={port}", "--advertise-address=192.0.2.1", "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={folder}", f"--client-ca-file={folder}/clients.pem", f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            f"--audit-policy-file={policy}", f"--audit-log-path={folder}/audit.log",
        )  # fmt: skip
        self.parts.append(self.server)
        certificate = folder / "apiserver.crt"
        self.server.wait_for(certificate.exists)
        self.ca = certificate.read_text()
        self.context = ssl.create_default_context(cadata=self.ca)
        self.administrator = {"token": token}
        self.server.wait_for(lambda: self.ask("GET", "/readyz", plain=True)[0] == 200)

    def ask(self, method, path, body=None, *, user=None, plain=False):
        """Give status and answer of a request, as the administrator where no other user is named."""
        user = user or self.administrator
        status, _, said = ask(
            self.url + path, method=method, body=body, context=self.context,
            headers={"Authorization": f"Bearer {user['token']}"},
        )  # fmt: skip
        return status, said.decode() if plain else json.loads(said)

    def kubeconfig(self, name, user, more_ca=""):
        """Write one for a user: as the user of a kubeconfig stands there."""
        path = self.folder / name
        ca = base64.b64encode((self.ca + more_ca).encode()).decode()
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "user"}}],
        }))  # fmt: skip
        path.chmod(0o600)
        return path

    def run(self, command, folder=None, code=0):
        """Run a line of a shell with kubectl as the administrator; give what it said."""
        config = self.kubeconfig("administrator", self.administrator)
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300,
            env={**os.environ, "KUBECONFIG": str(config), "PATH": f"{PEERS}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def audited(self, user):
        """The requests of a user so far: verb, resource, URI and status."""
        lines = map(json.loads, (self.folder / "audit.log").read_text().splitlines())
        return [
            (each["verb"], each["objectRef"]["resource"], each["requestURI"], each["responseStatus"]["code"])
            for each in lines
            if each["user"]["username"] == user
        ]

    def close(self):
        for part in reversed(self.parts):
            part.close()
