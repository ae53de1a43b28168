# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Many targets, some of them hostile, and the C++ program that sweeps them and tells of each sweep in JSON."""

import gzip
import json
import re
import ssl
import subprocess
import urllib.parse
import urllib.request
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

from evil_kubelet import HOLD, RESET, Cluster, answer, drip, endless, says

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "build" / "tests" / "benchmarks" / "computelocator_sweeps"

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINES = b"# a line\n" * 7000
BOMB = gzip.compress(bytes(64 << 20))
LIAR = BOMB[:-4] + (1000).to_bytes(4, "little")
PACKED = "Content-Encoding: gzip"


def chunk(data):
    """Frame a chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


# name: script. None of them gives a page.
HOSTILE = {
    "silent": says(HOLD),
    "drips": lambda n, request: drip(answer()),
    "body-drips": lambda n, request: [HEAD + b"Content-Length: 9999\r\n\r\n", *([b"a", 0.05] * 9999)],
    "endless-chunks": lambda n, request: endless(CHUNKED, chunk(LINES)),
    "bomb": says(answer(BOMB, PACKED)),
    "reset": says(answer()[:-5], 0.1, RESET),
    "endless-length": lambda n, request: endless(HEAD + b"Content-Length: 99999999\r\n\r\n", LINES),
    "endless-extension": lambda n, request: endless(CHUNKED + b"1;", b"x" * 65536),
    "endless-field": lambda n, request: endless(HEAD + b"A: ", b"x" * 65536),
    "bomb-that-lies": says(answer(LIAR, PACKED)),
}
# Those that fill memory.
FILLING = ("endless-chunks", "bomb", "endless-length", "endless-extension", "endless-field", "bomb-that-lies")


@dataclass
class Kubelet:
    """A simulated one, as a node of a Cluster."""

    port: int


class Simulated:
    """What the kubeconfig of a simulated cluster says, and where its kubelets are."""

    def __init__(self, simulation):
        text = Path(simulation.kubeconfig).read_text()
        self.server = re.search(r"server: (\S+)", text)[1]
        self.token = re.search(r"token: (\S+)", text)[1]
        self.ca = b64decode(re.search(r"certificate-authority-data: (\S+)", text)[1]).decode()
        self.context = ssl.create_default_context(cadata=self.ca)
        self.nodes = []  # name, address, port
        after = ""
        while after is not None:
            said = json.loads(self.get(f"{self.server}/api/v1/nodes?limit=500{after}"))
            for each in said["items"]:
                status = each["status"]
                address = next(a["address"] for a in status["addresses"] if a["type"] == "InternalIP")
                port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
                self.nodes.append((each["metadata"]["name"], address, port))
            after = said["metadata"].get("continue")
            after = after and f"&continue={after}"

    def get(self, url):
        """Ask as the user of the kubeconfig."""
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, context=self.context, timeout=600) as said:
            return said.read()

    def page(self, node, metrics=()):
        """Give the page of a node: all of it, or these metrics alone where the kubelet does so."""
        _, address, port = self.nodes[node]
        query = urllib.parse.urlencode([("name[]", each) for each in metrics])
        return self.get(f"https://{address}:{port}/metrics/cadvisor?{query}")


class Crowd(Cluster):
    """An API server that names simulated kubelets and hostile ones."""

    def __init__(self, folder, peers, authority, simulated):
        super().__init__(folder, peers, authority)
        self.kubeconfig = self.config(user=f"{{token: {simulated.token}}}", ca=authority.ca + simulated.ca)
        for name, address, port in simulated.nodes:
            self.node(name, Kubelet(port), address)
        self.peers, self.context = peers, authority.server("hostile")

    def add_hostile(self, count, kinds=tuple(HOSTILE)):
        """Name so many hostile nodes between the good ones, one kind after another."""
        made = {f"{kind}-{i}": self.peers.add(HOSTILE[kind], self.context) for i, kind in zip(range(count), kinds * count, strict=False)}
        good = list(self.nodes.items())
        every = max(1, len(good) // max(1, count))
        self.nodes = {}
        hostile = iter(made.items())
        for i, (name, peer) in enumerate(good):
            if i % every == 0 and (bad := next(hostile, None)):
                self.node(*bad)
            self.nodes[name] = peer
        for bad in hostile:
            self.node(*bad)

    def drop_hostile(self):
        """Name the good nodes alone."""
        self.nodes = {name: peer for name, peer in self.nodes.items() if isinstance(peer, Kubelet)}


class Sweeps:
    """The program, which sweeps when it is told."""

    def __init__(self, kubeconfig, *arguments, program=PROGRAM):
        self.process = subprocess.Popen(
            [program, kubeconfig, "--step", "--sweeps=1000000", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def sweep(self):
        """Sweep once; give what was told of it."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = self.process.stdout.readline()
        if not told:
            raise RuntimeError(self.process.communicate()[1])
        return json.loads(told)

    def close(self):
        """End it."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
