# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The rules of OpenMetrics, as Python and the command line meet them."""

import subprocess
import sys

import computelocator as cl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

GOOD = """# TYPE requests_seconds counter
# UNIT requests_seconds seconds
# HELP requests_seconds Seconds spent.
requests_seconds_total 1.5
# TYPE latency histogram
latency_bucket{le="0.1"} 1 # {trace="x"} 0.05
latency_bucket{le="+Inf"} 2
latency_count 2
latency_sum 1.5
# TYPE build info
build_info{version="1"} 1
# EOF
"""


def strictly(page, **more):
    return cl.parse(page, dialect="openmetrics", policy="strict", **more)


def test_a_good_page_is_read_under_strict():
    assert len(strictly(GOOD)) == 6
    assert len(strictly(GOOD, metrics="latency_count")) == 1


def test_a_rule_is_told_with_its_place_and_what_to_do():
    bad = GOOD.replace("latency_count 2", "latency_count 3")
    for more in ({}, {"metrics": "build_info"}):  # a page is judged whole, whatever is wanted of it
        with pytest.raises(cl.ParseError, match=r"<text>:8:15: a count that is not that of") as caught:
            strictly(bad, **more)
        assert "policy prometheus" in str(caught.value)
    for policy in ("prometheus", "lenient"):
        snapshot = cl.parse(bad, policy=policy)
        assert len(snapshot) == 6 and len(snapshot.rejects()) == 0


def test_the_rules_are_those_of_openmetrics_alone():
    page = "a 1\nb 1\na 1\n"
    assert len(cl.parse(page, policy="strict", dialect="prometheus")) == 3
    with pytest.raises(cl.ParseError, match="stands on this page already"):
        strictly(page + "# EOF\n")


def test_the_conformance_suite(shared):
    cases = sorted((shared / "data" / "openmetrics-1.0").glob("*.txt"))
    right = 0
    for path in cases:
        try:
            strictly(path)
            accepted = True
        except cl.ParseError as error:
            assert str(error).startswith(f"{path}:{error.line}:{error.column}: ")
            accepted = False
        assert accepted == path.name.startswith("good."), path.name
        right += 1
    assert right == 211


def test_the_command_line_judges_the_same(shared):
    cases = sorted((shared / "data" / "openmetrics-1.0").glob("*.txt"))
    script = (
        "import sys; from computelocator.cli import main\n"
        "for path in sys.argv[1:]:\n"
        "    code = main(['parse', path, '--dialect', 'openmetrics', '--policy', 'strict',"
        " '--output', '/dev/null'])\n"
        "    print(code, path, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, cases)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 211
    for line in lines:
        code, path = line.split(" ", 1)
        assert (code == "0") == ("/good." in path), line
    assert len(done.stderr.splitlines()) == 167


def test_prometheus_client_agrees_on_our_own_pages():
    assert [family.name for family in text_string_to_metric_families(GOOD)]
    with pytest.raises(ValueError, match="Count does not match"):
        list(text_string_to_metric_families(GOOD.replace("latency_count 2", "latency_count 3")))
