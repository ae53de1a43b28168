# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Everything in docs/performance.md in one run: ``make bench``.

Rounds take turns: kernel by kernel, page by page, contender by contender, again and again, so that a
machine that drifts hits all alike. Ratios are of figures of the same round of the same process; what is
printed are medians over the rounds.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pages
import to_pandas

ROOT = pages.ROOT
BUILD = ROOT / "build" / "bench"
PROGRAM = BUILD / "benchmarks" / "computelocator_bench"
GO_PARSERS = ROOT / "build" / "peers" / "go_parsers.so"
BEGIN, END = "<!-- begin: written by make bench -->\n", "<!-- end: written by make bench -->\n"

# What the tables say of kernels other than the best.
OF_EACH_KERNEL = "/(memcpy|newline_scan|tokens|filter|victoriametrics)/caches"
IN_MEMORY = ("node-110", "cadvisor-1.34")
# Read in each of the first rounds by prometheus_client, which takes a second of a 13 MB page.
PYTHON_ROUNDS = 3
PYTHON_PAGES = ("node-110", *pages.CAPTURES)


def kernels():
    said = subprocess.run([PROGRAM, "--kernels"], check=True, capture_output=True, text=True)
    return said.stdout.split()


def run(folder, kernel, seconds, extra=()):
    """Run the program on one kernel; give {(page, contender, where): row} and the context."""
    out = BUILD / "out.json"
    go = [f"--go={GO_PARSERS}"] if GO_PARSERS.exists() else []
    done = subprocess.run(
        [PROGRAM, f"--pages={folder}", *go, f"--benchmark_min_time={seconds}",
         f"--benchmark_out={out}", "--benchmark_out_format=json", *extra],
        env={**os.environ, "COMPUTELOCATOR_FORCE_KERNEL": kernel}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        rows = json.loads(out.read_text())["benchmarks"] if out.exists() and out.stat().st_size else []
        for row in rows:
            if row.get("error_occurred"):
                print(f"{kernel}: {row['name']}: {row['error_message']}", file=sys.stderr)
        sys.exit(f"{kernel}: the benchmarks failed\n{done.stderr if not rows else ''}")
    said = json.loads(out.read_text())
    made = {}
    for row in said["benchmarks"]:
        page, contender, where = row["name"].split("/")[:3]
        made[page, contender, where] = {"gbs": row["bytes"] / row["cpu_time"] / 1e3, **row}
    return made, said["context"]


class Figures:
    """What was measured, by kernel and round."""

    def __init__(self):
        self.rounds = defaultdict(list)
        self.context = {}

    def add(self, kernel, measured, context):
        self.rounds[kernel].append(measured)
        self.context = context

    def median(self, kernel, page, contender, what="gbs", where="caches"):
        got = [r[page, contender, where][what] for r in self.rounds[kernel] if (page, contender, where) in r]
        return statistics.median(got) if got else None

    def ratio(self, kernel, page, contender, other, where="caches"):
        """How many times as fast as `other`: the median of the rounds' own ratios."""
        got = [
            r[page, contender, where]["gbs"] / r[page, other, where]["gbs"]
            for r in self.rounds[kernel]
            if (page, contender, where) in r and (page, other, where) in r
        ]
        return statistics.median(got) if got else None

    def nanoseconds(self, kernel, page, contender, where="caches"):
        gbs = self.median(kernel, page, contender, where=where)
        return gbs and self.of_page(page, "bytes") / gbs / self.of_page(page, "samples")

    def of_page(self, page, what):
        return self.median(self.best, page, "memcpy", what)

    @property
    def best(self):
        return next(iter(self.rounds))

    @property
    def pages(self):
        found = {page for page, _, _ in self.rounds[self.best][0]}
        order = ["node-110", "node-250", *pages.CAPTURES, *pages.SHAPES]
        return sorted(found, key=lambda page: (order.index(page) if page in order else -1, page))


def shown(value, form="{:.2f}"):
    return "–" if value is None else form.format(value)


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def parser_tables(figures, python):
    kernels, best = list(figures.rounds), figures.best
    yield "### Reading every sample, GB/s\n"
    others = {
        "memchr_parser": "unvalidated memchr parser",
        "victoriametrics": "VictoriaMetrics",
        "prometheus_series": "Prometheus, series",
        "prometheus_labels": "Prometheus, labels",
    }
    yield from table(
        ["page", "MB", "samples", *kernels, f"{best}, labels too", *others.values(), "prometheus_client"],
        [
            [
                page,
                f"{figures.of_page(page, 'bytes') / 1e6:.2f}",
                f"{figures.of_page(page, 'samples'):,.0f}",
                *(shown(figures.median(kernel, page, "tokens")) for kernel in kernels),
                shown(figures.median(best, page, "labels")),
                *(shown(figures.median(best, page, other)) for other in others),
                shown(python.get(page), "{:.4f}"),
            ]
            for page in figures.pages
        ],
    )
    yield "### The same as ratios\n"
    rivals = {"victoriametrics": "VictoriaMetrics", "memchr_parser": "the memchr parser", "newline_scan": "a newline scan"}
    columns = [
        (kernel, rival)
        for kernel in kernels
        for rival in rivals
        if any(figures.ratio(kernel, page, "tokens", rival) for page in figures.pages)
    ]
    yield from table(
        ["page", *(f"{kernel} to {rivals[rival]}" for kernel, rival in columns),
         f"{best}, labels too, to VictoriaMetrics", f"{best}, ns a sample", "VictoriaMetrics, ns a sample"],
        [
            [
                page,
                *(shown(figures.ratio(kernel, page, "tokens", rival)) for kernel, rival in columns),
                shown(figures.ratio(best, page, "labels", "victoriametrics")),
                shown(figures.nanoseconds(best, page, "tokens"), "{:.0f}"),
                shown(figures.nanoseconds(best, page, "victoriametrics"), "{:.0f}"),
            ]
            for page in figures.pages
        ],
    )  # fmt: skip

    places = [("caches", "caches"), ("memory", "memory")]
    with_16 = [page for page in figures.pages if figures.median(best, page, "filter")]
    yield "### The 16 metrics alone\n"
    yield from table(
        ["page, read from", *(f"{k}, GB/s" for k in kernels), *(f"{k} to a newline scan" for k in kernels),
         "newline scan, GB/s", "columns cold, GB/s", "columns warm, GB/s"],
        [
            [
                f"{page}, {place}",
                *(shown(figures.median(kernel, page, "filter", where=where)) for kernel in kernels),
                *(shown(figures.ratio(kernel, page, "filter", "newline_scan", where)) for kernel in kernels),
                shown(figures.median(best, page, "newline_scan", where=where)),
                shown(figures.median(best, page, "columns_16_cold", where=where)),
                shown(figures.median(best, page, "columns_16_warm", where=where)),
            ]
            for page in with_16
            for where, place in places
            if figures.median(best, page, "filter", where=where)
        ],
    )  # fmt: skip
    yield f"### Columns of every metric, {best}\n"
    yield from table(
        ["page, read from", "cold, GB/s", "warm, GB/s", "2 % of pods replaced, GB/s", "memcpy, GB/s", "cold to memcpy",
         "warm to memcpy", "replaced to warm", "cold, ns a sample", "warm, ns a sample", "label cache, MB"],
        [
            [
                f"{page}, {place}",
                *(shown(figures.median(best, page, who, where=where))
                  for who in ("columns_cold", "columns_warm", "columns_churn", "memcpy")),
                shown(figures.ratio(best, page, "columns_cold", "memcpy", where)),
                shown(figures.ratio(best, page, "columns_warm", "memcpy", where)),
                shown(figures.ratio(best, page, "columns_churn", "columns_warm", where)),
                shown(figures.nanoseconds(best, page, "columns_cold", where), "{:.0f}"),
                shown(figures.nanoseconds(best, page, "columns_warm", where), "{:.0f}"),
                shown(figures.median(best, page, "columns_warm", "cache_bytes", where) / 1e6),
            ]
            for page in figures.pages
            for where, place in places
            if figures.median(best, page, "columns_warm", where=where)
        ],
    )  # fmt: skip
    yield "### Allocations a page\n"
    counted = {
        "tokens": "samples", "labels": "samples and labels", "filter": "the 16", "columns_cold": "columns cold",
        "columns_warm": "columns warm", "victoriametrics": "VictoriaMetrics", "prometheus_series": "Prometheus, series",
        "prometheus_labels": "Prometheus, labels",
    }  # fmt: skip
    yield from table(
        ["page", *counted.values()],
        [
            [page, *(shown(figures.median(best, page, who, "allocations"), "{:,.0f}") for who in counted)]
            for page in figures.pages
        ],
    )


def machine(context):
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", info, re.MULTILINE))
    caches = ", ".join(
        f"L{c['level']}{'i' if c['type'] == 'Instruction' else ''} {c['size'] / 1024:,.0f} KiB" for c in context["caches"]
    )
    model = found.get("model name", platform.machine())
    if "cpu family" in found:
        model += f" (family {found['cpu family']}, model {found.get('model')})"
    yield f"- {context['num_cpus']} CPUs, {model}; {caches}; {platform.system()} {platform.release().split('-')[0]}"
    yield f"- {context['compiler']}, -O3, no -march; {context.get('go', 'no Go parsers')}"
    yield f"- Python {platform.python_version()}, pandas {to_pandas.pd.__version__}, prometheus_client {to_pandas.client_version()}"
    yield ""


def measure(rounds, seconds):
    folder = BUILD / "pages"
    python = {page: [took] for page, took in pages.write_pages(folder).items()}
    figures = Figures()
    names = kernels()
    for i in range(rounds):
        for kernel in names:
            extra = [f"--dram={','.join(IN_MEMORY)}"] if kernel == names[0] else [f"--benchmark_filter={OF_EACH_KERNEL}"]
            figures.add(kernel, *run(folder, kernel, seconds, extra))
        if 0 < i < PYTHON_ROUNDS:
            for page in PYTHON_PAGES:
                if page in python:
                    text = (folder / f"{page}.prom").read_text()
                    begun = time.process_time()
                    pages.prometheus_client(text)
                    python[page].append(time.process_time() - begun)
        print(f"round {i + 1} of {rounds}", file=sys.stderr)
    sizes = {page: (folder / f"{page}.prom").stat().st_size for page in python}
    return figures, {page: sizes[page] / statistics.median(took) / 1e9 for page, took in python.items()}


def check():
    """Run everything for a moment on small pages: it is the comparison of answers that counts."""
    folder = BUILD / "pages-small"
    pages.write_pages(folder, small=True)
    for kernel in kernels():
        extra = ["--dram=node-3"] if kernel == kernels()[0] else []
        measured, context = run(folder, kernel, 0.001, extra)
        figures = Figures()
        figures.add(kernel, measured, context)
        assert "".join(parser_tables(figures, {})) and "".join(machine(context))
        print(f"{kernel}: {len(measured)} benchmarks ran, each with the answer of the reference")
    if not GO_PARSERS.exists():
        print("without the parsers of Prometheus and VictoriaMetrics: their library is not built (tools/peers)")


def everything(given):
    figures, python = measure(given.rounds, given.seconds)
    yield from machine(figures.context)
    yield from parser_tables(figures, python)
    if not given.parsers_only:
        yield "### Pages to pandas\n"
        yield from to_pandas.pages_table()
        yield "### Sweeps\n"
        yield from to_pandas.sweeps_table()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="small pages, a moment each, no tables")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=0.03, help="a contender, a page and a round")
    arguments.add_argument("--parsers-only", action="store_true", help="neither pandas nor sweeps")
    arguments.add_argument("--write", type=Path, help="the page whose tables are replaced")
    given = arguments.parse_args()
    if given.check:
        return check()

    begun = time.time()
    lines = []
    for line in everything(given):
        print(line, flush=True)
        lines.append(line)
    lines.append(f"{given.rounds} rounds, {time.time() - begun:.0f} s in all.\n")
    print(lines[-1])
    if given.write:
        pages.replace_tables(given.write, BEGIN, END, lines)
    return None


if __name__ == "__main__":
    main()
