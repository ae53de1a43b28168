# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Watch a simulated cluster whose nodes and pods come and go: what it holds, minute by minute, as Markdown.

``make bench-watch`` runs it for an hour at 1 s; MINUTES=20 for less. Fails where memory, descriptors or
threads grow.
"""

import argparse
import gc
import os
import re
import sys
import time
from pathlib import Path

import computelocator as cl

NODES, PODS = 12, 30
# How each tenth minute begins for the API server, once the cluster has settled.
TROUBLE = ("end-watches in-order", "end-watches in-half", "end-watches garbled", "end-watches forgotten", "pause-api")


def held():
    """Descriptors, threads and MiB of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    threads, resident = (int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("Threads", "VmRSS"))
    return len(os.listdir("/proc/self/fd")), threads, resident / 1024


def main():
    to = argparse.ArgumentParser(description=__doc__)
    to.add_argument("--minutes", type=float, default=60)
    to.add_argument("--interval", default="1s")
    options = to.parse_args()

    history = cl.History(max_bytes=8 << 20, max_age="2m")
    print(f"{NODES} nodes of {PODS} pods, 30 pods a second and a node every 3 s replaced, every {options.interval}\n")
    print("| minute | sweeps | left out | samples | failed | warned | MiB | descriptors | threads | history MiB |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    figures = []
    sweeps = failed = stale = minute = samples = 0
    with cl.simulate(nodes=NODES, pods=PODS, run=True, self_signed=True, options=["--pace=5000", "--now"]) as cluster:
        how = {"kubeconfig": cluster.kubeconfig, "route": "direct", "kubelet_tls": "pin"}
        with cl.watch(options.interval, **how) as snapshots:
            begun = time.monotonic()
            for number, snap in enumerate(snapshots):
                history.add(snap)
                sweeps += 1
                samples += len(snap)
                failed += snap.failed
                stale += bool(snap.warnings)
                cluster.tell(f"replace-pods {number % NODES} {PODS}")
                if number % 3 == 0:
                    cluster.tell(f"replace-node {number // 3 % NODES}")
                if time.monotonic() - begun < 60 * (minute + 1):
                    continue
                minute += 1
                descriptors, threads, resident = held()
                figures.append((descriptors, threads, resident))
                print(
                    f"| {minute} | {sweeps} | {snapshots.missed} | {samples} | {failed} | {stale} | {resident:.1f} "
                    f"| {descriptors} | {threads} | {history.bytes / 2**20:.1f} |",
                    flush=True,
                )
                cluster.tell("resume-api")
                cluster.tell(TROUBLE[minute % len(TROUBLE)])
                if minute >= options.minutes:
                    break
            counts = cluster.tell("counts")
    print(f"\nAsked of the API server: {counts['node_lists']} lists of nodes, {counts['pod_lists']} of pods, {counts['watches']} watches")
    settled = figures[min(5, len(figures) // 4) :]
    spread = [max(each) - min(each) for each in zip(*settled, strict=True)]
    print(f"After the first minutes: {spread[2]:.1f} MiB, {spread[0]} descriptors and {spread[1]} threads between least and most")
    return 1 if spread[2] > 8 or spread[0] > NODES + 4 or spread[1] > 2 else 0


if __name__ == "__main__":
    sys.exit(main())
