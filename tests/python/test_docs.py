# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""What README and docs say is what happens."""

import ast
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import computelocator as cl
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_python_of_the_readme_runs():
    three_lines, longer = blocks(README, "python")
    exec(longer, {})
    with cl.simulate(nodes=1, pods=2) as cluster:
        os.environ["KUBECONFIG"] = cluster.kubeconfig
        try:
            exec(three_lines, {})
        finally:
            del os.environ["KUBECONFIG"]


# What asks a service is run by test_system.py, which has one.
DOCS = [
    (page.name, code)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for code in blocks(page.read_text(), "python")
    if "localhost:8080" not in code
]


@pytest.mark.parametrize("page,code", DOCS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(DOCS)])
def test_python_of_the_docs_runs(page, code):
    exec(code, {})


def test_cpp_of_the_readme_compiles():
    (code,) = blocks(README, "cpp")
    done = subprocess.run(
        ["g++", "-std=c++20", "-fsyntax-only", "-I", str(ROOT / "include"), "-x", "c++", "-"],
        input=code, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_docstring_examples():

    for module in (cl, cl._verbs, cl._snapshot, cl._history, cl._simulate, cl._targets):
        assert doctest.testmod(module).failed == 0


def verdict(page, dialect, policy):
    try:
        snapshot = cl.parse(page, dialect=dialect, policy=policy)
    except cl.ParseError:
        return "no"
    rejected = len(snapshot.rejects())
    return f"{len(snapshot)}" + (f", {rejected} rejected" if rejected else "")


COLUMNS = [(d, p) for d in ("prometheus", "openmetrics") for p in ("strict", "prometheus", "lenient")]


def test_verdicts_of_the_grammar():
    text = (ROOT / "docs" / "grammar.md").read_text().split("## Verdicts")[1]
    rows = re.findall(r"^\| (.*?) \| `('.*')` \| (.*) \|$", text, re.MULTILINE)
    assert len(rows) == 128  # among them every row of the edge cases that we know of
    assert len({name for name, _, _ in rows}) == 128
    for name, literal, cells in rows:
        spelled = re.sub(r"\((\d+) (\w)\)", lambda times: int(times[1]) * times[2], literal)
        page = ast.literal_eval("b" + spelled)
        for (dialect, policy), said in zip(COLUMNS, cells.split(" | "), strict=True):
            whole = page
            if dialect == "openmetrics" and b"# EOF" not in page and "(no `# EOF`)" not in name:
                whole = page + b"# EOF\n"
            assert verdict(whole, dialect, policy) == said, f"{name}, {dialect}, {policy}"


def test_rules_of_openmetrics():
    text = (ROOT / "docs" / "grammar.md").read_text().split("## The rules of OpenMetrics")[1]
    rows = re.findall(r"^\| (.*?) \| `('.*')` \| (\d+):(\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 27
    for rule, literal, line, column in rows:
        page = ast.literal_eval("b" + literal) + b"# EOF\n"
        assert len(cl.parse(page, dialect="openmetrics", policy="prometheus")) >= 0, rule
        with pytest.raises(cl.ParseError) as caught:
            cl.parse(page, dialect="openmetrics", policy="strict")
        assert (caught.value.line, caught.value.column) == (int(line), int(column)), rule


def same(text):
    text = re.sub(r"(127\.\d+\.\d+\.\d+):\d+", r"\1:PORT", text)
    text = re.sub(r"\d+\.\d\d s", "TIME", text)
    return re.sub(r"\d+ bytes", "N bytes", text).strip()


MESSAGES = re.findall(
    r"^## (.*?)\n(.*?)```console\n\$ computelocator (.*?)\n(.*?)```\n\nExit status (\d+)",
    (ROOT / "docs" / "messages.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.parametrize("title,about,arguments,said,status", MESSAGES, ids=[m[0] for m in MESSAGES])
def test_messages(title, about, arguments, said, status, tmp_path):
    env = {**os.environ, "HOME": "/home/me", "KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""}
    for name, content in re.findall(r"<!-- file (\S+): (b.*?) -->", about):
        (tmp_path / name).write_bytes(ast.literal_eval(content))
    simulated = re.search(r"<!-- simulate: (.*?) -->", about)
    running = cl.simulate(nodes=1, pods=2, options=simulated[1].split()) if simulated else None
    try:
        if running:
            env["KUBECONFIG"] = running.kubeconfig
        done = subprocess.run(
            [sys.executable, "-m", "computelocator", *arguments.split()],
            capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60,
        )  # fmt: skip
    finally:
        if running:
            running.close()
    assert same(done.stderr) == same(said)
    assert done.returncode == int(status)


def test_commands_of_the_deployment_name_what_there_is():
    from computelocator.cli import parser

    text = (ROOT / "docs" / "cluster-deployment.md").read_text()
    commands = [line for block in blocks(text, "console") for line in block.splitlines()]
    in_readme = [line for block in blocks(README, "console") for line in block.splitlines()]
    assert len(commands) > 10
    for line in commands + in_readme:
        for path in re.findall(r"(?:\./)?(kubernetes/\S+)", line):
            assert (ROOT / path).exists(), line
        for target in re.findall(r"\bmake ([a-z-]+)", line):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), line
        if line.startswith("$ computelocator") and "simulate" not in line:
            parser().parse_args(line.split("#")[0].split()[2:])
    # The commands of the README are those of the page, in the same order.
    ours = [line.split("#")[0].strip() for line in in_readme if "kubectl" in line or "minikube" in line]
    theirs = [line.split("#")[0].strip() for line in commands]
    assert [line for line in theirs if line in ours][: len(ours)] == ours
