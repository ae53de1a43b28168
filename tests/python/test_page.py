# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The page of the cluster, in a real browser."""

import json
import os
import urllib.request
from pathlib import Path

import computelocator as cl
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
import browser  # noqa: E402
from services import ask, ask_json, command, free_port, wait_for, workload  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (browser.CHROMIUM and browser.DRIVER),
    reason="Chromium is not there; `make page` installs it",
)


@pytest.fixture(scope="module")
def site():
    """Six nodes, one collector, one test API that executed something, and the aggregation API."""
    port = free_port("127.5.0.1")
    with workload(host="127.5.0.1", port=port) as api:
        process = f"--process=default/target-api-small-0={api.process.pid}@127.5.0.1,app=target-api,size=small"
        # The simulated day goes ten times as fast, so that lines have points soon.
        options = ["--pace=1000", "--now", process]
        with cl.simulate(nodes=6, pods=12, run=True, options=options) as cluster:
            with command(
                "observe", "--kubeconfig", cluster.kubeconfig, "--interval=500ms", "--listen=127.0.0.1:0",
                "--probe-listen=127.0.0.1:0",
            ) as observer, command(
                "aggregate", f"--collectors={observer.url}", f"--target-port={port}", "--allow-range=127.0.0.0/8",
                "--listen=127.0.0.1:0", "--probe-listen=127.0.0.1:0",
            ) as aggregate:  # fmt: skip
                ask_json(f"{api.url}/ml", body={"input": 40})
                wait_for(lambda: (ask(f"{aggregate.url}/executions")[0] == 200
                                  and any(row.get("coverage") == 1 for row in
                                          ask_json(f"{aggregate.url}/executions")["rows"])))  # fmt: skip
                yield aggregate


@pytest.fixture(params=["light", "dark"])
def page(request, site):
    flags = ["--window-size=1280,1500"] + (["--force-dark-mode"] if request.param == "dark" else [])
    opened = browser.Browser(*flags)
    try:
        opened.scheme = request.param
        opened.open(site.url + "/")
        opened.wait("document.body.dataset.ready === 'yes'")
        opened.wait("document.querySelectorAll('#nodes svg path').length === 6")
        yield opened
    finally:
        opened.close()


def texts(page, selector):
    return page.run(f"return [...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")


def test_it_shows_nodes_containers_and_executions(page, site, tmp_path):
    assert sorted(texts(page, "#nodes tbody td:first-child")) == [f"node-00{i}" for i in range(6)]
    assert len(texts(page, "#containers tbody tr")) == 20
    assert "ml" in texts(page, "#executions tbody td:first-child")
    assert page.run("return document.querySelectorAll('#nodes svg path').length") == 6
    assert texts(page, "#missing") == [""]
    assert texts(page, "#state")[0].startswith("as of ")
    assert page.run("return matchMedia('(prefers-color-scheme: dark)').matches") == (page.scheme == "dark")
    back = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) < 384) == (page.scheme == "dark")
    # What it shows is what the API says, the largest first.
    page.click("#by-memory")
    page.wait("document.querySelector('#by-memory').getAttribute('aria-pressed') === 'true'")
    rows = ask_json(f"{site.url}/top?level=container&by=memory&first=1")["rows"]
    page.wait(f"document.querySelector('#containers tbody td').textContent === {json.dumps(rows[0]['container'])}")
    folder = Path(os.environ.get("COMPUTELOCATOR_SCREENSHOTS", tmp_path))
    page.screenshot(folder / f"page-{page.scheme}.png")
    assert (folder / f"page-{page.scheme}.png").stat().st_size > 10_000
    assert page.logs() == []


def test_it_loads_nothing_from_elsewhere(page, site):
    names = page.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert names and all(name.startswith(site.url) for name in names)
    with urllib.request.urlopen(site.url + "/") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    # What somebody smuggles in does not run.
    page.run("const e = document.createElement('script'); e.textContent = 'window.smuggled = 1'; document.body.append(e)")
    assert page.run("return window.smuggled") is None
    assert any("Content Security Policy" in line for line in page.logs())


def test_the_reference_page_opens(page, site):
    page.open(site.url + "/docs")
    assert "GET /executions" in texts(page, "h2")
    assert page.logs() == []
