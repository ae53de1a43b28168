# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Sweeps of many nodes, against peers, and with hostile ones among them: ``make bench-sweeps``.

Prints Markdown. Every sweep's answer is checked: what prometheus_client makes of the simulated pages says how
many samples there are, and their sum. The simulator and the peers share the machine with what is measured.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import computelocator as cl
import pages
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(pages.ROOT / "tests" / "python"))
import peer_servers  # noqa: E402
from crowds import Crowd, Simulated, Sweeps  # noqa: E402
from evil_kubelet import Authority, Peers  # noqa: E402
from peer_servers import cpu_and_peak  # noqa: E402

PROGRAM = pages.ROOT / "build" / "bench" / "benchmarks" / "computelocator_sweeps"
BEGIN, END = "<!-- begin: written by make bench-sweeps -->\n", "<!-- end: written by make bench-sweeps -->\n"
DISTINCT = 16
WANTED = {name.removesuffix("_total") for name in cl.container_metrics()}
STAGES = ("resolve", "connect", "tls", "first_byte", "body", "inflate", "parse")

# name of the row: what the kubelets do, and what is asked for.
CASES = {
    "the 16 metrics, `name[]` honoured": ([], []),
    "the 16 metrics, whole pages": (["--ignore-name"], []),
    "the 16 metrics, whole pages, no gzip": (["--ignore-name", "--no-gzip"], []),
    "all metrics": ([], ["--all"]),
}


class Expected:
    """What the simulated pages hold, by prometheus_client."""

    known = {}  # by pods a node: the same options give the same pages

    def __init__(self, simulated, pods, distinct):
        self.pages = self.known.setdefault(pods, [])
        for node in range(len(self.pages), distinct):
            values = {True: [], False: []}
            for family in text_string_to_metric_families(simulated.page(node).decode()):
                for sample in family.samples:
                    values[True].append(sample.value)
                    if sample.name.removesuffix("_total") in WANTED:
                        values[False].append(sample.value)
            self.pages.append({
                every: (len(found), math.fsum(v for v in found if math.isfinite(v))) for every, found in values.items()
            })  # fmt: skip

    def of(self, nodes, every):
        """Give the number of samples of so many nodes, and the sum of their values."""
        found = [self.pages[node % min(nodes, DISTINCT)][every] for node in range(nodes)]
        return sum(samples for samples, _ in found), math.fsum(total for _, total in found)

    def check(self, told, nodes, every):
        """Hold a sweep to it."""
        samples, total = self.of(nodes, every)
        assert told["good"] == nodes, told["errors"]
        assert told["samples"] == samples and math.isclose(told["sum"], total, rel_tol=1e-9), (told, samples, total)
        return samples


@contextmanager
def cluster(nodes, pods, options=()):
    """Simulate nodes that share their pages; pods are not listed, as by a watcher that knows them."""
    distinct = min(nodes, DISTINCT)
    with cl.simulate(nodes=nodes, pods=pods, deny=["pods"], options=[f"--distinct={distinct}", *options]) as running:
        simulated = Simulated(running)
        for node in range(distinct):  # made and compressed before anybody counts
            simulated.page(node, cl.container_metrics())
            simulated.page(node)
        yield running, simulated


def scale_rows(sizes, pods, warm, program):
    """Give a row for each size and case."""
    for nodes in sizes:
        for name, (options, arguments) in CASES.items():
            if nodes > 1000 and "--no-gzip" in options:
                continue  # 63 GB a sweep
            with cluster(nodes, pods, options) as (running, simulated):
                expected = Expected(simulated, pods, min(nodes, DISTINCT))
                every = "--all" in arguments
                with Sweeps(running.kubeconfig, "--timeout=120000", *arguments, program=program) as sweeps:
                    first = sweeps.sweep()
                    before = cpu_and_peak(running._process.pid)[0]
                    told = [sweeps.sweep() for _ in range(warm)]
                    simulator = (cpu_and_peak(running._process.pid)[0] - before) / warm
                for each in (first, *told):
                    expected.check(each, nodes, every)
            yield nodes, name, first, told, simulator


def scale_table(sizes, pods, warm, program):
    """Tell of sweeps of many nodes."""
    yield (
        f"| nodes of {pods} pods | what | first, s | warm, s | CPU, s | inflating, ms a node | parsing, ms | all else, ms "
        "| simulator, CPU s | received, MB | text, MB | samples | peak, MB | beside columns, MB a node |"
    )
    yield "|---" * 14 + "|"
    for nodes, name, first, told, simulator in scale_rows(sizes, pods, warm, program):
        best = sorted(told, key=lambda each: each["wall"])[len(told) // 2]
        middle = {of: statistics.median(each[of] for each in told) for of in ("wall", "cpu", "cpu_inflate", "cpu_parse")}
        rest = middle["cpu"] - middle["cpu_inflate"] - middle["cpu_parse"]
        beside = (best["peak"] - best["columns"] + best["sets"]) / nodes
        yield (
            f"| {nodes:,} | {name} | {first['wall']:.2f} | {middle['wall']:.2f} | {middle['cpu']:.2f} "
            f"| {1e3 * middle['cpu_inflate'] / nodes:.2f} | {1e3 * middle['cpu_parse'] / nodes:.2f} | {1e3 * rest / nodes:.2f} "
            f"| {simulator:.2f} | {best['wire'] / 1e6:,.0f} | {best['text'] / 1e6:,.0f} | {best['samples']:,} "
            f"| {best['peak'] / 1e6:,.0f} | {beside / 1e6:.2f} |"
        )
    yield ""


def phases_table(nodes, pods, program):
    """Tell what the phases of a sweep take, one target after another and many at once."""
    yield f"| sweep of {nodes} nodes, ms a node | " + " | ".join(STAGES) + " |"
    yield "|---" * (1 + len(STAGES)) + "|"
    with cluster(nodes, pods, ["--ignore-name"]) as (running, _):
        for at_once in (1, 64):
            arguments = ["--timeout=120000", f"--concurrency={at_once}"]
            with Sweeps(running.kubeconfig, *arguments, program=program) as sweeps:
                for which in ("first", "warm"):
                    told = sweeps.sweep()
                    cells = " | ".join(f"{1e3 * told['stages'][stage] / nodes:.2f}" for stage in STAGES)
                    yield f"| {which}, {at_once} at once | {cells} |"
    yield ""


def peers_table(sizes, pods, program):
    """Tell of the same targets, scraped by others."""
    yield (
        f"| nodes of {pods} pods | what | who | samples a CPU second | ours to the better peer's | CPU, ms a node | peak, MB "
        "| scrape of a target, ms |"
    )
    yield "|---" * 8 + "|"
    for nodes in sizes:
        for what, options, every, by_name in (
            ("the 16, kubelets honour `name[]`", [], False, False),
            ("the same, peers told to ask so", [], False, True),
            ("the 16, whole pages", ["--ignore-name"], False, False),
            ("all", [], True, False),
        ):
            with cluster(nodes, pods, options) as (running, simulated), tempfile.TemporaryDirectory() as folder:
                expected = Expected(simulated, pods, min(nodes, DISTINCT))
                samples, _ = expected.of(nodes, every)
                arguments = ["--timeout=120000", *(["--all"] if every else [])]
                rows = {}
                names = None if every else cl.container_metrics()
                with Sweeps(running.kubeconfig, *arguments, program=program) as sweeps:
                    told = [sweeps.sweep() for _ in range(6)][1:]
                    for each in told:
                        expected.check(each, nodes, every)
                    used = statistics.median(each["cpu"] for each in told)
                    rows["computelocator"] = (used, max(each["peak"] for each in told), statistics.median(each["p50"] for each in told))
                for kind in (peer_servers.VmAgent, peer_servers.PrometheusServer):
                    if kind.built():
                        rows[kind.NAME] = kind.measured(Path(folder), simulated, names, samples, by_name)
                ours = rows["computelocator"][0]
                better = min((used for who, (used, *_) in rows.items() if who != "computelocator"), default=None)
                for who, (used, most, took) in rows.items():
                    ratio = f"{better / ours:.1f}" if better and who == "computelocator" else ""
                    yield (
                        f"| {nodes} | {what} | {who} | {samples / used:,.0f} | {ratio} | {1e3 * used / nodes:.2f} "
                        f"| {most / 1e6:,.0f} | {1e3 * took:.0f} |"
                    )
    yield ""


def isolation_table(good, hostile, pods, pairs, program):
    """Tell what hostile nodes cost the good ones, in pairs of sweeps with and without them."""
    timeout = 10_000
    with cluster(good, pods) as (running, simulated), Peers() as peers, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crowd = Crowd(folder, peers, Authority(folder), simulated)
        calm, among = {}, {}
        with Sweeps(crowd.kubeconfig, f"--timeout={timeout}", program=program) as sweeps:
            first = sweeps.sweep()
            assert first["good"] == good, first["errors"]
            for _ in range(pairs):
                for into, change in ((calm, crowd.drop_hostile), (among, lambda: crowd.add_hostile(hostile))):
                    change()
                    told = sweeps.sweep()
                    assert (told["good"], told["samples"], told["sum"]) == (good, first["samples"], first["sum"]), told
                    assert sum(told["errors"].values()) == (hostile if into is among else 0), told
                    for of in ("wall", "p50", "p99", "late", "peak"):
                        into.setdefault(of, []).append(told[of])
    yield f"| {pairs} pairs of sweeps | good nodes | samples | median of a good node | p99 | sweep | latest end past the deadline | peak |"
    yield "|---" * 8 + "|"
    for what, figures in ((f"without hostile nodes, {good} nodes", calm), (f"with {hostile} of {good + hostile} hostile", among)):
        middle = {of: statistics.median(all_of) for of, all_of in figures.items()}
        late = f"{1e3 * max(figures['late']):.0f} ms" if max(figures["late"]) > 0 else "–"
        yield (
            f"| {what} | {good} of {good} in each | {first['samples']:,} in each | {1e3 * middle['p50']:.0f} ms | {1e3 * middle['p99']:.0f} ms "
            f"| {middle['wall']:.2f} s | {late} | {middle['peak'] / 1e6:.0f} MB |"
        )
    ratios = [a / b for a, b in zip(among["p99"], calm["p99"], strict=True)]
    yield f"\np99 with hostile nodes to p99 without, pair by pair: {', '.join(f'{each:.2f}' for each in ratios)}; median {statistics.median(ratios):.2f}.\n"


def everything(given):
    """Give all tables."""
    program = given.program
    parts = given.only or ("scale", "phases", "peers", "isolation")
    if "scale" in parts:
        yield "### Sweeps of many nodes\n"
        yield from scale_table(given.nodes, given.pods, given.warm, program)
    if "phases" in parts:
        yield "### Where the time of a target goes\n"
        yield from phases_table(min(100, *given.nodes), given.pods, program)
    if "peers" in parts:
        yield "### Against vmagent and a Prometheus server\n"
        yield from peers_table(given.peer_nodes, given.pods, program)
    if "isolation" in parts:
        yield "### Hostile nodes among good ones\n"
        yield from isolation_table(given.good, max(1, round(given.good / 99)), given.pods, given.pairs, program)


def main():
    """Run it."""
    to = argparse.ArgumentParser(description=__doc__)
    numbers = {"type": lambda text: [int(each) for each in text.split(",")]}
    to.add_argument("--check", action="store_true", help="small clusters, once: it is the answers that count")
    to.add_argument("--nodes", default=[100, 1000, 5000], **numbers)
    to.add_argument("--pods", type=int, default=110)
    to.add_argument("--warm", type=int, default=3, help="sweeps beside the first")
    to.add_argument("--peer-nodes", default=[10, 30, 100], **numbers)
    to.add_argument("--good", type=int, default=990, help="good nodes, to which one of a hundred hostile ones come")
    to.add_argument("--pairs", type=int, default=5)
    to.add_argument("--only", action="append", choices=["scale", "phases", "peers", "isolation"])
    to.add_argument("--program", type=Path, default=PROGRAM)
    to.add_argument("--write", type=Path, help="the page whose tables are replaced")
    given = to.parse_args()
    if given.check:
        given.nodes, given.pods, given.warm, given.peer_nodes, given.good, given.pairs = [20], 8, 1, [3], 50, 1
    begun = time.time()
    lines = []
    for line in everything(given):
        print(line, flush=True)
        lines.append(line)
    lines.append(f"{time.time() - begun:.0f} s in all.\n")
    print(lines[-1])
    if given.write:
        pages.replace_tables(given.write, BEGIN, END, lines)


if __name__ == "__main__":
    main()
