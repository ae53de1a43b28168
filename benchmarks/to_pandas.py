# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Pages to pandas against prometheus_client, and whole sweeps; every answer is checked first.

Prints Markdown. Ratios are of medians of one run on one machine.
"""

import gzip
import math
import platform
import statistics
import time
from pathlib import Path

import computelocator as cl
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
CAPTURES = ROOT.parent / "shared" / "data" / "captures"


def ours(text):
    return cl.parse(text).to_pandas()


def theirs(text):
    rows = []
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            rows.append({"timestamp": sample.timestamp, "metric": sample.name, "value": sample.value} | sample.labels)
    return pd.DataFrame(rows)


def check(text):
    a, b = ours(text), theirs(text)
    assert len(a) == len(b)
    # It renames counters to end in _total, as OpenMetrics would have them.
    names = [{n.removesuffix("_total") for n in frame["metric"]} for frame in (a, b)]
    assert names[0] == names[1]
    assert sorted(a["value"]) == sorted(b["value"])
    assert math.isclose(a["value"].sum(), b["value"].sum())
    return len(a)


def median(work, times):
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def page_of_110_pods():
    with cl.simulate(nodes=1, pods=110) as cluster:
        snap = cl.scrape(kubeconfig=cluster.kubeconfig, metrics="all", keep_pages=True)
        return snap.page("node-000")


def main():
    print(f"Python {platform.python_version()}, pandas {pd.__version__}, {platform.machine()}\n")
    print("| page | bytes | samples | computelocator to pandas | prometheus_client to pandas | ratio |")
    print("|---|---|---|---|---|---|")
    pages = {"generated node, 110 pods": page_of_110_pods()}
    for path in sorted(CAPTURES.glob("*1_34_kubelet*")):
        pages["kubelet 1.34 capture"] = gzip.decompress(path.read_bytes())
    for name, text in pages.items():
        samples = check(text)
        fast, slow = median(lambda text=text: ours(text), 41), median(lambda text=text: theirs(text), 5)
        print(f"| {name} | {len(text):,} | {samples:,} | {fast * 1e3:.2f} ms | {slow * 1e3:.0f} ms | {slow / fast:.0f} |")

    print("\n| sweep of 100 nodes of 110 pods, TLS and gzip | first | second | samples | received | text |")
    print("|---|---|---|---|---|---|")
    for name, options, metrics in (
        ("the 16 metrics, kubelets know `name[]`", [], None),
        ("the 16 metrics, kubelets ignore `name[]`", ["--ignore-name"], None),
        ("all metrics", [], "all"),
    ):
        with cl.simulate(nodes=100, pods=110, options=options) as cluster:
            # The pages are made and compressed once, by a sweep that is not counted.
            cl.scrape(kubeconfig=cluster.kubeconfig, metrics=metrics, timeout=600)
            collector = cl.Collector(kubeconfig=cluster.kubeconfig, metrics=metrics, timeout=60, route="direct")
            seconds, snap = [], None
            for _ in range(2):
                begun = time.perf_counter()
                snap = collector.sweep()
                seconds.append(time.perf_counter() - begun)
            assert snap.failed == 0 and len(snap.pods()) == 11_000
            outcomes = snap.outcomes()
            print(f"| {name} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {len(snap):,} | "
                  f"{outcomes['wire_bytes'].sum() / 1e6:.0f} MB | {outcomes['page_bytes'].sum() / 1e6:.0f} MB |")  # fmt: skip


if __name__ == "__main__":
    main()
