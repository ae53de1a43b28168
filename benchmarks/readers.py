# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Many readers of the aggregation API while a simulated cluster is collected; prints Markdown.

    python benchmarks/readers.py --nodes 100 --pods 30 --interval 5 --readers 50 --seconds 900
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import computelocator as cl

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
from services import ask, ask_json, command  # noqa: E402

# As the image has it: few arenas, so that what threads freed is used again.
os.environ.setdefault("MALLOC_ARENA_MAX", "2")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

PATHS = (
    "/containers?limit=100",
    "/containers?limit=1000&format=arrow",
    "/pods?limit=200",
    "/nodes",
    "/nodes?format=csv",
    "/top?level=container",
    "/top?level=node",
    "/outcomes",
    "/history?of=rate&since=1m&newest=500",
)


def resident(pid: int) -> float:
    """Give the memory of a process in MB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def cpu(pid: int) -> float:
    """Give the CPU seconds that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def figures(url: str) -> dict[str, float]:
    """Give a service's own figures that have no labels."""
    lines = ask(f"{url}/metrics")[2].decode().splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line[0] != "#" and "{" not in line}


class Reader(threading.Thread):
    """One reader that asks one thing after another on a connection of its own."""

    def __init__(self, url: str, number: int, until: float, pause: float) -> None:
        super().__init__(daemon=True)
        self.parts = urllib.parse.urlsplit(url)
        self.number, self.until, self.pause = number, until, pause
        self.took: dict[str, list[float]] = {path: [] for path in PATHS}
        self.wrong: list[str] = []
        self.bytes = 0

    def run(self) -> None:
        """Ask until the time is over."""
        connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=60)
        at = self.number
        while time.monotonic() < self.until:
            path = PATHS[at % len(PATHS)]
            at += 1
            begun = time.monotonic()
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    self.wrong.append(f"{path}: {answer.status} {body[:200]!r}")
                self.bytes += len(body)
            except OSError as error:
                self.wrong.append(f"{path}: {error}")
                connection.close()
            self.took[path].append(time.monotonic() - begun)
            time.sleep(self.pause)
        connection.close()


def main() -> int:
    """Run it."""
    to = argparse.ArgumentParser(description=__doc__)
    to.add_argument("--nodes", type=int, default=100)
    to.add_argument("--pods", type=int, default=30)
    to.add_argument("--interval", type=float, default=5.0)
    to.add_argument("--readers", type=int, default=50)
    to.add_argument("--seconds", type=float, default=900.0)
    to.add_argument("--history-bytes", default="8Mi", help="small, so that it is full before the end")
    to.add_argument("--pause", type=float, default=1.0, help="of a reader between two requests")
    given = to.parse_args()
    options = ["--step=10", "--now"]
    with (
        cl.simulate(nodes=given.nodes, pods=given.pods, run=True, options=options) as cluster,
        command(
            "observe", "--kubeconfig", cluster.kubeconfig, "--route=direct", "--allow-range=127.0.0.0/8",
            f"--interval={given.interval}s", f"--history-bytes={given.history_bytes}", "--listen=127.0.0.1:0",
            "--probe-listen=127.0.0.1:0",
        ) as observer,
        command(
            "aggregate", f"--collectors={observer.url}", "--listen=127.0.0.1:0",
            "--probe-listen=127.0.0.1:0",
        ) as aggregate,
    ):  # fmt: skip
        while ask(f"{aggregate.url}/nodes")[0] != 200:
            time.sleep(0.5)
        parts = {"observe": observer.process.pid, "aggregate": aggregate.process.pid}
        rows = ask_json(f"{aggregate.url}/containers?limit=1")["total"]
        before = figures(observer.url)
        begun, used = time.monotonic(), {name: cpu(pid) for name, pid in parts.items()}
        until = begun + given.seconds
        readers = [Reader(aggregate.url, i, until, given.pause) for i in range(given.readers)]
        for reader in readers:
            reader.start()
        memory: list[tuple[float, dict[str, float]]] = []
        while time.monotonic() < until:
            time.sleep(min(10.0, max(0.1, until - time.monotonic())))
            memory.append((time.monotonic() - begun, {n: resident(p) for n, p in parts.items()}))
        for reader in readers:
            reader.join()
        took = time.monotonic() - begun
        used = {name: cpu(pid) - used[name] for name, pid in parts.items()}
        after = figures(observer.url)
    wrong = [each for reader in readers for each in reader.wrong]
    print(f"{given.nodes} nodes of {given.pods} pods ({rows} containers) collected every {given.interval:g} s, "
          f"{given.readers} readers for {took:.0f} s, {len(wrong)} errors\n")  # fmt: skip
    print("| request | answers | median | p99 | most |\n|---|---|---|---|---|")
    for path in (*PATHS, "all"):
        all_times = sorted(
            t for reader in readers for p, times in reader.took.items() if path in (p, "all") for t in times
        )
        if all_times:
            p99 = all_times[min(len(all_times) - 1, int(len(all_times) * 0.99))]
            print(f"| `{path}` | {len(all_times)} | {1e3 * statistics.median(all_times):.0f} ms | "
                  f"{1e3 * p99:.0f} ms | {1e3 * all_times[-1]:.0f} ms |")  # fmt: skip
    shown = memory[:: max(1, len(memory) // 6)]
    print("\n| process | CPU | memory after " + " | ".join(f"{at:.0f} s" for at, _ in shown) + " | second half |")
    print("|---" * (3 + len(shown)) + "|")
    for name in parts:
        cells = " | ".join(f"{held[name]:.0f} MB" for _, held in shown)
        late = [held[name] for _, held in memory[len(memory) // 2 :]]
        print(f"| {name} | {100 * used[name] / took:.0f} % | {cells} | {min(late):.0f} to {max(late):.0f} MB |")
    sweeps = after["computelocator_history_sweeps_total"] - before["computelocator_history_sweeps_total"]
    received = "computelocator_received_bytes_total"
    asked = max(1.0, sweeps * given.nodes)
    print(
        f"\n{sweeps:.0f} sweeps; of the collector {1e3 * used['observe'] / asked:.1f} ms of CPU and "
        f"{(after[received] - before[received]) / asked / 1e3:.1f} kB received a node and sweep; history "
        f"{after['computelocator_history_bytes'] / 1e6:.1f} MB"
    )
    for each in wrong[:5]:
        print(each)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
