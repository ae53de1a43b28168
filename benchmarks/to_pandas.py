# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Pages to pandas against prometheus_client, and whole sweeps; every answer is checked first.

Both tables are Markdown. Ratios are of medians of one run on one machine.
"""

import math
import statistics
import time
from importlib.metadata import version

import computelocator as cl
import pages
import pandas as pd
from prometheus_client.parser import text_string_to_metric_families


def client_version():
    return version("prometheus_client")


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


def pages_table():
    yield "| page | bytes | samples | computelocator to pandas | prometheus_client to pandas | ratio |"
    yield "|---|---|---|---|---|---|"
    wanted = {"node-110": pages.node(110)} | {name: text for name, text in pages.captures() if "cadvisor" in name}
    for name, text in wanted.items():
        samples = check(text)
        # In turns, so that a machine that drifts hits both alike.
        turns = [(median(lambda text=text: ours(text), 15), median(lambda text=text: theirs(text), 1)) for _ in range(5)]
        fast, slow = (statistics.median(times) for times in zip(*turns, strict=True))
        ratio = statistics.median(theirs_took / ours_took for ours_took, theirs_took in turns)
        yield f"| {name} | {len(text):,} | {samples:,} | {fast * 1e3:.2f} ms | {slow * 1e3:.0f} ms | {ratio:.0f} |"
    yield ""


def sweeps_table():
    yield "| sweep of 100 nodes of 110 pods, TLS and gzip | first | second | samples | received | text |"
    yield "|---|---|---|---|---|---|"
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
            yield (
                f"| {name} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {len(snap):,} | "
                f"{outcomes['wire_bytes'].sum() / 1e6:.0f} MB | {outcomes['page_bytes'].sum() / 1e6:.0f} MB |"
            )
    yield ""
