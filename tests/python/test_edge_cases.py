# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Our verdict on each known edge case, and the reason wherever it is not Prometheus' own."""

import base64
import csv
import json
import re
from pathlib import Path

import computelocator as cl
import pytest

VERDICTS = Path(__file__).parents[1] / "fixtures" / "edge_verdicts.tsv"
COLUMNS = [
    (dialect, policy)
    for dialect in ("prometheus", "openmetrics")
    for policy in ("strict", "prometheus", "lenient")
]


def verdict(page, dialect, policy):
    """Samples, behind a minus the rejected lines; "no" for a page that is refused."""
    try:
        snapshot = cl.parse(page, dialect=dialect, policy=policy)
    except cl.ParseError:
        return "no"
    rejected = len(snapshot.rejects())
    return f"{len(snapshot)}-{rejected}" if rejected else f"{len(snapshot)}"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def cases(shared):
    lines = (shared / "data" / "edge" / "cases.jsonl").read_text().splitlines()
    return {case["id"]: base64.b64decode(case["b64"]) for case in map(json.loads, lines)}


def test_every_case_has_a_verdict_under_every_dialect_and_policy(cases):
    rows = rows_of(VERDICTS)
    assert [row["case"] for row in rows] == list(cases)
    for row in rows:
        for dialect, policy in COLUMNS:
            said = verdict(cases[row["case"]], dialect, policy)
            assert said == row[f"{dialect} {policy}"], (row["case"], dialect, policy)


def test_each_difference_from_prometheus_has_its_reason(cases, shared):
    theirs = {row["id"]: row for row in rows_of(shared / "data" / "edge" / "table.tsv")}
    differing = 0
    for row in rows_of(VERDICTS):
        said = theirs[row["case"]]
        same = True
        for column, dialect in (("prom_text", "prometheus"), ("prom_om", "openmetrics")):
            samples = len(re.findall(r"\{__name__=", said[column]))
            same &= row[f"{dialect} prometheus"] == ("no" if "ERR(" in said[column] else str(samples))
        differing += not same
        assert bool(row["why not as Prometheus"]) == (not same), row["case"]
    assert differing == 4
