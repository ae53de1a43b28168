# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What is in the way of a cluster's metrics, from the configuration down to the values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from computelocator._errors import ComputeLocatorError
from computelocator._snapshot import Snapshot
from computelocator._write import cells

OK, WARNING, WRONG = "ok", "warning", "wrong"
CLOCK_SECONDS = 120.0  # cAdvisor's own interval is at most a minute
MISSING = ("runtime_reports_none", "cgroup_v2_constant_zero", "zero_on_whole_node", "not_on_page")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    state : {"ok", "warning", "wrong"}
    subject : str
        A word: configuration, network, TLS, token, permissions, nodes, pods, kubelets, runtime,
        clocks, lines or values.
    what, advice : str
        What was found, and how to mend it, with the command where there is one.
    """

    state: str
    subject: str
    what: str
    advice: str = ""


def subject_of(code: str) -> str:
    """Tell what an error is about."""
    if code.startswith("tls_"):
        return "TLS"
    return {
        "no_configuration": "configuration",
        "bad_configuration": "configuration",
        "invalid_argument": "configuration",
        "unsupported": "configuration",
        "file_failed": "configuration",
        "unauthorized": "token",
        "forbidden": "permissions",
        "resolve_failed": "network",
        "connect_refused": "network",
        "connect_failed": "network",
        "connection_lost": "network",
        "timed_out": "network",
        "address_refused": "network",
    }.get(code, "answers")


def of_error(error: ComputeLocatorError) -> Finding:
    """Give what kept the cluster from being asked at all."""
    where = f"{error.where}: " if error.where else ""
    advice = with_command(error.what, error.advice)
    return Finding(WRONG, subject_of(error.code), where + error.what, advice)


def granting(message: str) -> str:
    """Give the commands that allow what a server forbids; empty where its words do not tell."""
    said = re.search(r'User "([^"]+)" cannot \w+ resource "([a-z/]+)"', message) or re.search(
        r"user=([^,]+), verb=\w+, resource=(nodes), subresource", message
    )
    if said is None:
        return ""
    who, what = said.groups()
    if "subresource" in said[0]:  # a kubelet's words; of those that it would take this is the least
        what = "nodes/metrics"
    verbs = "get" if "/" in what else "get,list,watch"
    name = "computelocator-" + what.replace("/", "-")
    account = who.removeprefix("system:serviceaccount:")
    to = f"--serviceaccount={account}" if account != who else f"--user={who}"
    return (
        f"kubectl create clusterrole {name} --verb={verbs} --resource={what} && "
        f"kubectl create clusterrolebinding {name} --clusterrole={name} {shlex.quote(to)}"
    )


def with_command(message: str, advice: str) -> str:
    """Add the command to the advice, where there is one."""
    return "; ".join(part for part in (advice, granting(message)) if part)


def several(names: list[str]) -> str:
    """Name the first and count the others."""
    more = len(names) - 1
    return names[0] if not more else f"{names[0]} and {more} more"


def rows_of(snapshot: Snapshot, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a table as tuples of the named columns."""
    made = snapshot.table(table)
    return zip(*(cells(made, name) for name in names), strict=True)


def of_kubelets(snapshot: Snapshot) -> Iterator[Finding]:
    """Give a finding for each kind of failure, the most frequent first."""
    good = snapshot.targets - snapshot.failed
    if good:
        yield Finding(OK, "kubelets", f"{good} of {snapshot.targets} gave a page")
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    names = ("ok", "node", "error", "message", "advice")
    for fine, node, error, message, advice in rows_of(snapshot, "outcomes", *names):
        if not fine:
            kinds.setdefault((error, advice), []).append((str(node), message))
    for (error, advice), failed in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        node, message = failed[0]
        what = f"{several([name for name, _ in failed])}: {message}"
        advice = with_command(message, advice)
        if subject_of(error) == "network":
            advice += f"; kubectl describe node {shlex.quote(node)}"
        yield Finding(WRONG, subject_of(error), what, advice)


def of_lines(snapshot: Snapshot) -> Iterator[Finding]:
    """Give what of the pages could not be read."""
    rejected = snapshot.table("rejects")
    if rejected.rows:
        names = ("node", "line", "what", "advice")
        node, line, what, advice = next(rows_of(snapshot, "rejects", *names))
        first = f"of {rejected.rows} that cannot be read the first is line {line} of {node}: {what}"
        yield Finding(WARNING, "lines", first, advice)


def of_containers(snapshot: Snapshot) -> Iterator[Finding]:
    """Give what the runtime keeps from cAdvisor, or cAdvisor from us."""
    if snapshot.failed == snapshot.targets:
        return
    with_rows = {node for (node,) in rows_of(snapshot, "containers", "node")}
    names = rows_of(snapshot, "outcomes", "ok", "node")
    without = [str(node) for fine, node in names if fine and node not in with_rows]
    if without:
        yield Finding(
            WARNING,
            "runtime",
            f"{several(without)}: the page has no container",
            "does a pod run there? else cAdvisor cannot ask the container runtime: "
            "see the kubelet's log (journalctl -u kubelet) for its socket",
        )
    else:
        yield Finding(OK, "runtime", f"{snapshot.table('containers').rows} containers")
    missing: dict[str, set[str]] = {}
    words: dict[str, str] = {}
    for metric, reason, explanation in rows_of(
        snapshot, "reasons", "metric", "reason", "explanation"
    ):
        if reason in MISSING:
            missing.setdefault(reason, set()).add(str(metric))
            words[reason] = explanation
    for reason, metrics in missing.items():
        yield Finding(WARNING, "values", f"{', '.join(sorted(metrics))}: {words[reason]}")


def seconds_of(snapshot: Snapshot, table: str, name: str) -> list[float | None]:
    """Give a column of times in seconds since 1970; None where missing."""
    kind, values, valid, _, _ = snapshot.table(table).column(name)
    unit = 1e9 if kind == "timestamp_ns" else 1e3
    there = memoryview(valid).tolist() if valid is not None else [True] * len(values)
    moments = zip(memoryview(values).tolist(), there, strict=True)
    return [moment / unit if known else None for moment, known in moments]


def of_clocks(snapshot: Snapshot) -> Iterator[Finding]:
    """Give the nodes whose newest sample is of another time than ours."""
    nodes = (str(node) for (node,) in rows_of(snapshot, "samples", "node"))
    newest: dict[str, float] = {}
    for node, moment in zip(nodes, seconds_of(snapshot, "samples", "timestamp"), strict=True):
        if moment is not None:
            newest[node] = max(newest.get(node, moment), moment)
    nodes = (str(node) for (node,) in rows_of(snapshot, "outcomes", "node"))
    apart = {
        node: newest[node] - started
        for node, started in zip(nodes, seconds_of(snapshot, "outcomes", "started"), strict=True)
        if node in newest and started is not None
    }
    far = sorted(node for node, seconds in apart.items() if abs(seconds) > CLOCK_SECONDS)
    if far:
        seconds = apart[far[0]]
        yield Finding(
            WARNING,
            "clocks",
            f"{several(far)}: the newest sample is {abs(seconds):.0f} s "
            f"{'ahead of' if seconds > 0 else 'behind'} this machine's clock",
            "compare `date -u` here and there, and let both follow a time server (timedatectl)",
        )
    elif newest:
        yield Finding(OK, "clocks", "samples are of the present")


def of_snapshot(snapshot: Snapshot) -> Iterator[Finding]:
    """Look through one sweep, from the cluster down to the values."""
    yield Finding(OK, "configuration", snapshot.source)
    if snapshot.targets == 0:
        yield Finding(
            WRONG,
            "nodes",
            "the API server lists none",
            "see kubectl get nodes, and --node-selector",
        )
        return
    yield Finding(OK, "nodes", f"{snapshot.targets} listed")
    if snapshot.pods_unknown_because:
        yield Finding(
            WARNING,
            "permissions",
            "pods are not known, so owners, requests and limits are missing: "
            + snapshot.pods_unknown_because,
            granting(snapshot.pods_unknown_because),
        )
    else:
        yield Finding(OK, "pods", f"{snapshot.table('inventory').rows} listed")
    yield from of_kubelets(snapshot)
    yield from of_lines(snapshot)
    yield from of_containers(snapshot)
    yield from of_clocks(snapshot)
    yield from (Finding(WARNING, "answers", each) for each in snapshot.warnings)
