# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The command line ``computelocator``.

Exit status: 0 where all went well, 1 where a line, page or target failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from computelocator import _core, _doctor, _simulate, _top, _write
from computelocator._errors import ComputeLocatorError, ScrapeInterrupted
from computelocator._history import History
from computelocator._snapshot import TABLES, Snapshot
from computelocator._targets import TargetCollector
from computelocator._verbs import KUBELET_PATHS, Collector, parse
from computelocator.aggregate import _command as aggregate
from computelocator.observe import _command as observe
from computelocator.serve._units import seconds
from computelocator.workload import _command as workload

FORMATS = ("table", "csv", "jsonl", "parquet", "arrow")
KEYS = {"samples": 0, "containers": 4, "pods": 3, "nodes": 1, "outcomes": 1, "meta": 1}
# The rest of these tables (requests, limits, owners) is there in the other formats.
METRIC_TABLES = ("containers", "pods", "nodes")
CONTAINERS_PATH = KUBELET_PATHS[0]


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    print(_write.printable(message), file=sys.stderr)


@contextlib.contextmanager
def opened(path: str | None, binary: bool) -> Iterator[IO[str] | IO[bytes]]:
    """Give the output: a file, or standard output."""
    if path is None or path == "-":
        if binary:
            if sys.stdout.isatty():
                raise ValueError("this format is no text: name a file with --output, or use a pipe")
            yield sys.stdout.buffer
        else:
            yield sys.stdout
        sys.stdout.flush()
    elif binary:
        with open(path, "wb") as file:
            yield file
    else:
        with open(path, "w", encoding="utf-8", newline="") as text:
            yield text


def write(snapshot: Snapshot, options: argparse.Namespace, *, of: str, with_node: bool) -> None:
    """Write one table of the snapshot in the format asked for."""
    table: _core.Table = snapshot.table(of)
    with opened(options.output, options.format in _write.BINARY) as out:
        if options.format in _write.BINARY:
            _write.BINARY[options.format](table, out)  # type: ignore[arg-type]
        elif options.format == "csv":
            _write.write_csv(table, out)  # type: ignore[arg-type]
        elif options.format == "jsonl":
            objects = (
                _write.samples_as_objects(table, with_node=with_node)
                if of == "samples"
                else _write.rows_as_objects(table)
            )
            _write.write_jsonl(objects, out)  # type: ignore[arg-type]
        else:
            terminal = options.output is None and sys.stdout.isatty()
            width = shutil.get_terminal_size().columns if terminal else None
            rows = options.rows if options.rows is not None else (20 if terminal else None)
            keys = KEYS.get(of, 1)
            shown = None
            if of in METRIC_TABLES:
                metrics = [name for name in table.names if name.startswith("container_")]
                shown = [*table.names[:keys], *metrics]
            _write.write_table(
                table,
                out,  # type: ignore[arg-type]
                rows=rows,
                width=width,
                keys=keys,
                names=shown,
            )


def say_rejects(snapshot: Snapshot) -> int:
    """Name each rejected line; give how many there were."""
    table = snapshot.table("rejects")
    columns = [_write.cells(table, n) for n in (snapshot.named, "line", "column", "what", "advice")]
    for node, line, column, what, advice in zip(*columns, strict=True):
        complain(f"{node}:{line}:{column}: {what}; {advice}")
    return table.rows


def say_failures(snapshot: Snapshot) -> int:
    """Name each target that failed; give how many there were."""
    if snapshot.pods_unknown_because:
        complain(
            "warning: pods are not known, so owners, requests and limits are missing: "
            + snapshot.pods_unknown_because
        )
    table = snapshot.table("outcomes")
    names = ("ok", snapshot.named, "url", "message", "advice")
    columns = [_write.cells(table, name) for name in names]
    for ok, node, url, message, advice in zip(*columns, strict=True):
        if not ok:
            where = f"{node} ({url})" if url else str(node)
            complain(f"{where}: {message}" + (f"; {advice}" if advice else ""))
    return snapshot.failed


def name_and_value(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def labels_of(given: Sequence[tuple[str, str]] | None) -> dict[str, list[str]]:
    """Gather the values of each label."""
    gathered: dict[str, list[str]] = {}
    for name, value in given or ():
        gathered.setdefault(name, []).append(value)
    return gathered


def run_parse(options: argparse.Namespace) -> int:
    """``computelocator parse``."""
    try:
        if options.file == "-":
            source: Any = io.BytesIO(sys.stdin.buffer.read())
            source.name = "-"
        else:
            source = Path(options.file)
        snapshot = parse(
            source,
            dialect=options.dialect,
            policy=options.policy,
            metrics=options.metric,
            labels=labels_of(options.label),
            exclude_metrics=options.exclude_metric,
            exclude_labels=labels_of(options.exclude_label),
            namespaces=options.namespace,
        )
    except ComputeLocatorError as error:
        complain(str(error))
        return 1
    write(snapshot, options, of="samples", with_node=False)
    return 1 if say_rejects(snapshot) else 0


class Progress:
    """A bar on standard error, where that is a terminal."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.shown = False

    def __call__(self, done: int, failed: int, total: int) -> None:
        """Draw it."""
        filled = 30 * done // max(1, total)
        bar = "#" * filled + "." * (30 - filled)
        ending = f", {failed} failed" if failed else ""
        sys.stderr.write(f"\r[{bar}] {done} of {total} {self.what}{ending} ")
        sys.stderr.flush()
        self.shown = True

    def over(self) -> None:
        """Take it away again."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            self.shown = False


def totals(snapshot: Snapshot) -> str:
    """Give the line of totals."""
    outcomes = snapshot.table("outcomes")
    wire = sum(int(cell or 0) for cell in _write.cells(outcomes, "wire_bytes"))
    text = sum(int(cell or 0) for cell in _write.cells(outcomes, "page_bytes"))

    def several(count: int, what: str) -> str:
        return f"{count} {what}" if count == 1 else f"{count} {what}s"

    who = several(snapshot.targets, "node" if snapshot.named == "node" else "target")
    if snapshot.named == "node":
        for of in ("pod", "container"):
            who += ", " + several(snapshot.table(of + "s").rows, of)
    return (
        f"{who}, {several(len(snapshot), 'sample')}, "
        f"{wire / 1e6:.1f} MB received ({text / 1e6:.1f} MB of text), {snapshot.seconds:.2f} s, "
        f"{snapshot.failed} failed"
    )


def of_targets(options: argparse.Namespace) -> bool:
    """Tell whether other targets than the nodes of a cluster are asked for."""
    given = (getattr(options, name, None) for name in ("target", "target_file", "annotated_pods"))
    return any(given)


def collector_of(options: argparse.Namespace, kubeconfig: str | None) -> Collector:
    """Make the collector that the options describe."""
    common: dict[str, Any] = {
        "kubeconfig": kubeconfig,
        "context": getattr(options, "context", None),
        "exec_plugins": options.exec_plugins,
        "metrics": "all" if options.all_metrics else options.metric,
        "labels": labels_of(options.label),
        "exclude_metrics": options.exclude_metric,
        "exclude_labels": labels_of(options.exclude_label),
        "namespaces": options.namespace,
        "route": options.route,
        "allowed_ranges": options.allow_range,
        "timeout": options.timeout,
        "concurrency": options.concurrency,
        "policy": options.policy,
        "keep_pages": bool(getattr(options, "raw", None)),
    }
    if of_targets(options):
        return TargetCollector(
            options.target,
            files=options.target_file,
            annotated_pods=options.annotated_pods,
            add_labels=dict(options.add_label or ()),
            token_file=options.target_token_file,
            username=options.target_user,
            password_file=options.target_password_file,
            ca=options.target_ca,
            server_name=options.target_server_name,
            certificate=options.target_certificate,
            key=options.target_key,
            tls="insecure" if options.target_insecure else "verify",
            **common,
        )
    return Collector(
        node_selector=options.node_selector,
        path=options.path,
        stats_summary=options.stats_summary,
        kubelet_tls=options.kubelet_tls,
        kubelet_ca=options.kubelet_ca,
        **common,
    )


def open_collector(options: argparse.Namespace, kubeconfig: str | None) -> Collector:
    """Make it, and say what it warns of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        collector = collector_of(options, kubeconfig)
    for each in said:
        complain(f"warning: {each.message}")
    return collector


def sweep(options: argparse.Namespace, kubeconfig: str | None) -> tuple[Snapshot, bool]:
    """Scrape once as the options say; True where it was interrupted."""
    collector = open_collector(options, kubeconfig)
    what = "targets" if of_targets(options) else "nodes"
    progress = Progress(what) if sys.stderr.isatty() else None
    try:
        return collector.sweep(progress=progress), False
    except ScrapeInterrupted as stopped:
        if stopped.snapshot is None:
            raise KeyboardInterrupt from None
        return stopped.snapshot, True
    finally:
        if progress is not None:
            progress.over()


def keep_raw(snapshot: Snapshot, folder: str) -> None:
    """Write each page as it came."""
    os.makedirs(folder, exist_ok=True)
    for node in _write.cells(snapshot.table("outcomes"), snapshot.named):
        page = snapshot.page(str(node))
        if page is not None:
            # A name is the peer's own word: it is not to leave the folder.
            name = re.sub(r"[^A-Za-z0-9._-]", "_", str(node)).lstrip(".") or "_"
            with open(os.path.join(folder, name + ".prom"), "wb") as file:
                file.write(page)


def run_scrape(options: argparse.Namespace) -> int:
    """``computelocator scrape``."""
    snapshot, interrupted = sweep(options, options.kubeconfig)
    if options.raw:
        keep_raw(snapshot, options.raw)
    containers = options.path == CONTAINERS_PATH and not of_targets(options)
    of = options.of or ("containers" if options.format == "table" and containers else "samples")
    write(snapshot, options, of=of, with_node=snapshot.named == "node")
    for each in snapshot.warnings:
        complain(f"warning: {each}")
    rejected = say_rejects(snapshot)
    failed = say_failures(snapshot)
    print(totals(snapshot), file=sys.stderr)
    if interrupted:
        return 130
    return 1 if rejected or failed else 0


def run_doctor(options: argparse.Namespace) -> int:
    """``computelocator doctor``."""
    status = 0
    try:
        snapshot, interrupted = sweep(options, options.kubeconfig)
        findings: Iterable[_doctor.Finding] = _doctor.of_snapshot(snapshot)
        status = 130 if interrupted else 0
    except ComputeLocatorError as error:
        findings = [_doctor.of_error(error)]
    for each in findings:
        print(f"{each.state:<8} {each.subject:<14} {_write.printable(each.what)}")
        if each.advice:
            print(f"{'':<8} {'':<14} -> {_write.printable(each.advice)}")
        if each.state == _doctor.WRONG:
            status = status or 1
    return status


def run_top(options: argparse.Namespace) -> int:
    """``computelocator top``."""
    history = History(max_bytes=64 << 20, max_age="5m")
    left = 1 if options.once else options.count
    terminal = sys.stdout.isatty() and not options.once
    begun = time.monotonic()
    try:
        with open_collector(options, options.kubeconfig).watch(options.interval) as watcher:
            for snapshot in watcher:
                history.add(snapshot)
                found = _top.rows(history, snapshot, options.by)
                rates_known = any(row.cpu is not None for row in found)
                if options.once and not rates_known and time.monotonic() - begun < 60:
                    continue  # a kubelet counts CPU anew every 10 to 20 s
                head = _top.heading(snapshot, watcher.missed)
                most = options.rows
                if terminal and most is None:
                    most = shutil.get_terminal_size().lines - len(head) - 3
                shown = [*head, *_top.lines(found, options.by, options.sort, most)]
                if terminal:
                    width = shutil.get_terminal_size().columns
                    text = "".join(f"{line[:width]}\x1b[K\n" for line in shown)
                    sys.stdout.write(f"\x1b[H{text}\x1b[J")
                else:
                    sys.stdout.write("\n".join(shown) + "\n\n")
                sys.stdout.flush()
                if left is not None and (left := left - 1) == 0:
                    break
    except KeyboardInterrupt:
        pass  # the way to leave it
    return 0


def run_demo(options: argparse.Namespace) -> int:
    """``computelocator demo``."""
    print(f"Simulating {options.nodes} nodes of {options.pods} pods on loopback addresses ...")
    with _simulate.simulate(nodes=options.nodes, pods=options.pods) as cluster:
        print(f"  {cluster.about}, over TLS and gzip\n")
        sys.stdout.flush()
        snapshot, interrupted = sweep(options, cluster.kubeconfig)
    options.format, options.output = "table", None
    if options.rows is None:
        options.rows = 20
    write(snapshot, options, of="pods", with_node=True)
    failed = say_failures(snapshot)
    print(f"\n{totals(snapshot)}")
    if interrupted:
        return 130
    return 1 if failed or say_rejects(snapshot) else 0


def positive(text: str) -> int:
    """Read a number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def add_output(to: argparse.ArgumentParser) -> None:
    """Add the options of what is written."""
    to.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    to.add_argument("--output", metavar="FILE", help="write there, not to standard output")
    to.add_argument("--rows", type=positive, metavar="N", help="rows of a table (20 on a terminal)")


def add_reading(to: argparse.ArgumentParser) -> None:
    """Add the options of how a page is read."""
    to.add_argument(
        "--policy",
        choices=("lenient", "prometheus", "strict"),
        default="lenient",
        help="lenient keeps the good lines of a page; the others stop at the first bad one",
    )
    to.add_argument("--metric", action="append", metavar="NAME", help="this one; may be repeated")
    to.add_argument(
        "--label",
        action="append",
        type=name_and_value,
        metavar="NAME=VALUE",
        help="rows with it alone; repeated: with one of the values of each name",
    )
    to.add_argument(
        "--exclude-metric", action="append", metavar="NAME", help="not this one; may be repeated"
    )
    to.add_argument(
        "--exclude-label",
        action="append",
        type=name_and_value,
        metavar="NAME=VALUE",
        help="no rows with it; may be repeated",
    )
    to.add_argument(
        "--namespace", action="append", metavar="NAME", help="rows of it alone; may be repeated"
    )


def run_pins(options: argparse.Namespace) -> int:
    """List the pinned keys of a file, or forget some of them."""
    from computelocator.observe._pins import read_pins, write_pins

    pins = read_pins(options.file)
    if not os.path.exists(options.file):
        complain(f"{options.file}: there is no such file")
        return 1
    if unknown := [uid for uid in options.forget if uid not in pins]:
        complain(f"{options.file}: no key is pinned for {', '.join(map(repr, unknown))}")
        return 1
    for uid in options.forget:
        del pins[uid]
    if options.forget:
        write_pins(options.file, pins)
    for uid, key in sorted(pins.items()):
        print(uid, key)
    return 0


def add_scraping(to: argparse.ArgumentParser) -> None:
    """Add the options of how a cluster is asked."""
    add_reading(to)
    to.add_argument("--all-metrics", action="store_true", help="every metric, not the 16")
    to.add_argument("--node-selector", metavar="LABELS", help="as kubectl get nodes -l")
    to.add_argument(
        "--path", choices=KUBELET_PATHS, default=CONTAINERS_PATH, help="the page of the kubelets"
    )
    to.add_argument(
        "--stats-summary",
        action="store_true",
        help="also ask for /stats/summary: disk usage of containers that containerd runs",
    )
    to.add_argument(
        "--route",
        choices=("auto", "direct", "api_server"),
        default="auto",
        help="the way to the kubelets; auto: direct in a pod, else through the API server",
    )
    to.add_argument(
        "--exec-plugins",
        choices=("auto", "allow", "deny"),
        default="auto",
        help="whether a kubeconfig may name a program to be run; auto: not in a pod",
    )
    to.add_argument("--kubelet-tls", choices=("verify", "pin", "insecure"), default="verify")
    to.add_argument("--kubelet-ca", metavar="FILE", help="PEM certificates that sign kubelets")
    to.add_argument(
        "--allow-range", action="append", metavar="CIDR", help="node addresses to allow"
    )
    to.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="a node's (10)")
    to.add_argument("--concurrency", type=positive, default=64, metavar="N", help="nodes at once")


def add_targets(to: argparse.ArgumentParser) -> None:
    """Add the options of targets that are no kubelets."""
    group = to.add_argument_group("other targets", "scraped in place of the nodes of a cluster")
    group.add_argument(
        "--target", action="append", metavar="URL", help="http://HOST:9100/metrics or HOST:9100"
    )
    group.add_argument(
        "--target-file", action="append", metavar="FILE", help="JSON or YAML of Prometheus' file_sd"
    )
    group.add_argument(
        "--annotated-pods", action="store_true", help="the cluster's pods with prometheus.io/scrape"
    )
    group.add_argument(
        "--add-label",
        action="append",
        type=name_and_value,
        metavar="NAME=VALUE",
        help="a column for each target that has none of that name",
    )
    group.add_argument("--target-token-file", metavar="FILE", help="bearer token")
    group.add_argument("--target-user", metavar="NAME", help="of basic authentication")
    group.add_argument("--target-password-file", metavar="FILE")
    group.add_argument("--target-ca", metavar="FILE", help="PEM certificates that sign targets")
    group.add_argument("--target-server-name", metavar="NAME", help="checked in place of the host")
    group.add_argument("--target-certificate", metavar="FILE", help="client certificate")
    group.add_argument("--target-key", metavar="FILE", help="its key")
    group.add_argument(
        "--target-insecure", action="store_true", help="check nothing, send no token or password"
    )


def parser() -> argparse.ArgumentParser:
    """Make the reader of arguments."""
    made = argparse.ArgumentParser(
        prog="computelocator",
        description="Container metrics of a whole Kubernetes cluster, in columns.",
    )
    made.add_argument("--version", action="version", version=f"computelocator {_core.__version__}")
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")

    demo = verbs.add_parser("demo", help="simulate a cluster, scrape it, show a table")
    demo.add_argument("--nodes", type=positive, default=20)
    demo.add_argument("--pods", type=positive, default=110)
    demo.add_argument("--rows", type=positive, metavar="N", help="rows of the table (20)")
    add_scraping(demo)
    # Its pages are made and compressed when asked for, which takes a busy machine a while.
    demo.set_defaults(run=run_demo, timeout=60.0)

    scrape = verbs.add_parser(
        "scrape", help="get the metrics of every node of a cluster, or of any exporter"
    )
    scrape.add_argument("--kubeconfig", metavar="FILE", help="default: as kubectl finds it")
    scrape.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    add_scraping(scrape)
    add_targets(scrape)
    add_output(scrape)
    scrape.add_argument(
        "--of", choices=TABLES, help="which table; default: containers as a table, else samples"
    )
    scrape.add_argument("--raw", metavar="DIR", help="keep the pages there as they came")
    scrape.set_defaults(run=run_scrape)

    doctor = verbs.add_parser("doctor", help="say what is in the way of a cluster's metrics")
    doctor.add_argument("--kubeconfig", metavar="FILE", help="default: as kubectl finds it")
    doctor.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    add_scraping(doctor)
    doctor.set_defaults(run=run_doctor)

    top = verbs.add_parser("top", help="show who uses CPU and memory, again and again")
    top.add_argument("--kubeconfig", metavar="FILE", help="default: as kubectl finds it")
    top.add_argument("--context", metavar="NAME", help="a context of the kubeconfig")
    top.add_argument("--interval", type=seconds, default=5.0, metavar="TIME", help="(5s)")
    top.add_argument("--by", choices=_top.BY, default="pod")
    top.add_argument("--sort", choices=("cpu", "memory"), default="cpu")
    top.add_argument("--rows", type=positive, metavar="N", help="default: what a terminal shows")
    top.add_argument("--count", type=positive, metavar="N", help="end after so many tables")
    top.add_argument("--once", action="store_true", help="one table, as soon as CPU use is known")
    add_scraping(top)
    top.set_defaults(run=run_top)

    one = verbs.add_parser("parse", help="read a page from a file or from standard input")
    one.add_argument("file", metavar="FILE|-", help="text or gzip")
    one.add_argument(
        "--dialect",
        choices=("auto", "prometheus", "openmetrics"),
        default="auto",
        help="auto: openmetrics where the last line is # EOF",
    )
    add_reading(one)
    add_output(one)
    one.set_defaults(run=run_parse)

    for name, room, help in (
        ("observe", observe, "sweep at an interval, keep a history, serve both"),
        ("aggregate", aggregate, "join collectors and test APIs in one API and page"),
        ("workload", workload, "serve the test API: functions whose cost is observed"),
    ):
        service = verbs.add_parser(name, help=help)
        room.add_arguments(service)
        service.set_defaults(run=room.run)

    pins = verbs.add_parser("pins", help="list or forget the keys that observe --pins has pinned")
    pins.add_argument("file", metavar="FILE")
    pins.add_argument(
        "--forget", action="append", default=[], metavar="UID", help="of a node; may be repeated"
    )
    pins.set_defaults(run=run_pins)

    verbs.add_parser("simulate", help="run a simulated cluster (--help says more)", add_help=False)
    return made


def allow_connections() -> None:
    """Raise the limit of file descriptors as far as this user may: each node takes one."""
    wanted = 65_536
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    allow_connections()
    if given[:1] == ["simulate"]:
        program = _simulate.program()
        os.execv(program, [program, *given[1:]])
    options = parser().parse_args(given)
    try:
        return int(options.run(options))
    except ComputeLocatorError as error:
        complain(f"computelocator: {error}")
        return 2 if error.code in ("no_configuration", "invalid_argument") else 1
    except ImportError as error:
        complain(f"computelocator: {error}")
        return 2
    except ValueError as error:
        complain(f"computelocator: {error}")
        return 2
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        complain(f"computelocator: {name}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        complain("computelocator: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
