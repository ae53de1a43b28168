# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The pages that parsers are timed on, and what prometheus_client makes of each.

``NAME.prom`` is a page, ``NAME.expected`` the reference that every contender's answer is compared with:
number of samples, sum of the finite values, sum of the timestamps in milliseconds, number of labels, of
all samples and of the 16 container metrics.
"""

import gzip
import math
import os
import time
from pathlib import Path

import computelocator as cl
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[1]
CAPTURES = {
    "cadvisor-1.34": "newrelic__nri-kubernetes__1_34_kubelet_metrics_cadvisor",
    "apiserver-1.34": "newrelic__nri-kubernetes__1_34_api-server_metrics",
    "node_exporter": "prometheus__node_exporter__e2e-output",
    "kube-state-metrics-1.35": "newrelic__nri-kubernetes__1_35_ksm_metrics",
    "alltypes-237": "prometheus__prometheus__alltypes.237mfs.prom",
}
# Generated: shapes that hurt one parser or another.
SHAPES = ("long-names", "metadata", "escapes", "utf-8", "decimals", "short-lines")


def replace_tables(page, begin, end, lines):
    """Put `lines` between the marks of a Markdown page, in place of what was there."""
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + "\n".join(lines) + end + rest.split(end)[1])


def captures():
    root = Path(os.environ.get("COMPUTELOCATOR_SHARED", ROOT.parent / "shared")) / "data" / "captures"
    for name, file in CAPTURES.items():
        path = root / f"{file}.txt.gz"
        path = path if path.exists() else root / f"{file}.gz"
        if path.exists():
            yield name, gzip.decompress(path.read_bytes())


def node(pods):
    with cl.simulate(nodes=1, pods=pods) as cluster:
        snapshot = cl.scrape(kubeconfig=cluster.kubeconfig, metrics="all", keep_pages=True)
        return snapshot.page("node-000")


def shape(name, lines):
    """Give a page of about so many sample lines; the same one every time."""
    made = []
    for i in range(lines):
        hashed = i * 2654435761 % 2**32
        if name == "long-names":
            made.append(
                f'envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name_of_the_upstream="service_{i % 40}",'
                f'topology_kubernetes_io_zone="zone-{i % 3}",app_kubernetes_io_managed_by_whom="helm",'
                f'kubernetes_namespace_of_the_workload="ns{i % 17}",le="{i % 20 * 5}"}} {hashed % 5000}\n'
            )
        elif name == "metadata":
            made.append(f"# HELP process_{i}_seconds Time that component number {i} spent waiting, in seconds.\n")
            made.append(f"# TYPE process_{i}_seconds gauge\nprocess_{i}_seconds {hashed / 2**20:.6f}\n")
        elif name == "escapes":
            made.append(
                f'disk_usage_bytes{{device="C:\\\\volumes\\\\{i % 90}\\\\",note="said \\"{hashed:x}\\"\\nand left",'
                f'path="\\\\\\\\server{i % 7}\\\\share"}} {hashed} 1790000000{i % 1000:03}\n'
            )
        elif name == "utf-8":
            made.append(
                f'queue_length{{city="東京都{i % 23}区",house="Gebäude Süd {i % 9}",'
                f'street="улица Ленина, {hashed % 100}"}} {hashed % 1000}\n'
            )
        elif name == "decimals":
            made.append(f'latency_seconds{{route="/v1/{i % 50}"}} {hashed / 2**32 * 10 ** (i % 13 - 6)!r}\n')
        else:
            made.append(f"m{i % 100} {hashed % 10}\n")
    return "".join(made).encode()


def all_pages(small):
    """Give name and bytes of each page; `small` ones are for a look whether all works."""
    if small:
        yield "node-3", node(3)
        yield from ((name, shape(name, 100)) for name in SHAPES)
        return
    yield "node-110", node(110)
    yield "node-250", node(250)
    yield from captures()
    yield from ((name, shape(name, 20_000)) for name in SHAPES)


def prometheus_client(text, wanted=None):
    """Read `text` with prometheus_client: samples, sum of finite values, of timestamps, labels."""
    samples, total, times, labels = 0, 0.0, 0, 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # It renames counters to end in _total, as OpenMetrics would have them.
            if wanted is not None and sample.name.removesuffix("_total") not in wanted:
                continue
            samples += 1
            labels += len(sample.labels)
            if math.isfinite(sample.value):
                total += sample.value
            if sample.timestamp is not None:
                times += round(sample.timestamp * 1000)
    return samples, float(total), times, labels


def write_pages(folder, small=False):
    """Write pages and references to `folder`; gives the seconds that prometheus_client took of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    wanted = {name.removesuffix("_total") for name in cl.container_metrics()}
    took = {}
    for name, page in all_pages(small):
        text = page.decode()
        begun = time.process_time()
        everything = prometheus_client(text)
        took[name] = time.process_time() - begun
        selected = prometheus_client(text, wanted) if "container_" in text else (0, 0.0, 0, 0)
        (folder / f"{name}.prom").write_bytes(page)
        (folder / f"{name}.expected").write_text("".join(" ".join(map(repr, each)) + "\n" for each in (everything, selected)))
    return took
