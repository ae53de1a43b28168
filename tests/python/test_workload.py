# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The test API, run as its container runs it."""

import json
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytest.importorskip("fastapi", reason="the extra [serve] is not installed; `make setup` installs it")
from services import ask, ask_json, workload  # noqa: E402


@pytest.fixture(scope="module")
def api():
    with workload("--journal=5") as running:
        yield running


def test_functions_execute_and_are_journalled(api):
    before = time.time_ns()
    made = ask_json(f"{api.url}/ml", body={"input": 3})
    assert made["result"] == pytest.approx(3.0)
    assert before <= made["start"] < made["end"] <= time.time_ns()
    assert ask_json(f"{api.url}/pi", body={"input": 1})["result"] == pytest.approx(3.14159265, abs=1e-5)
    rows = ask_json(f"{api.url}/journal?since={before}")["executions"]
    assert [(row["function"], row["endpoint"], row["input"], row["status"]) for row in rows] == [
        ("ml", "/ml", 3, 200),
        ("pi", "/pi", 1, 200),
    ]
    assert rows[0]["start"] == made["start"] and rows[0]["end"] == made["end"]
    later = ask_json(f"{api.url}/journal?since={rows[0]['end'] + 1}")["executions"]
    assert [row["function"] for row in later] == ["pi"]


@pytest.mark.parametrize(
    "body,reason",
    [
        ({"input": 0}, "greater than or equal to 1"),
        ({"input": 1001}, "less than or equal to 1000"),
        ({"input": "15"}, "valid integer"),
        ({"input": 1.5}, "valid integer"),
        ({"input": True}, "valid integer"),
        ({}, "Field required"),
        ({"input": 1, "more": 2}, "Extra inputs"),
        ([], "valid dictionary"),
        (None, ""),
    ],
)
def test_wrong_input_gets_422_with_the_reason(api, body, reason):
    if body is None:
        status, _, answer = ask(f"{api.url}/ml")
        assert status == 405
        return
    status, _, answer = ask(f"{api.url}/ml", body=body)
    assert status == 422 and reason in answer.decode()


def test_the_journal_is_bounded_and_says_what_is_gone(api):
    for _ in range(6):
        ask_json(f"{api.url}/pi", body={"input": 1})
    journal = ask_json(f"{api.url}/journal")
    assert len(journal["executions"]) == 5 and journal["truncated"]
    numbers = [row["number"] for row in journal["executions"]]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert ask(f"{api.url}/journal?since=yesterday")[0] == 422
    assert ask(f"{api.url}/journal?limit=0")[0] == 422


def test_health_and_figures(api):
    assert ask_json(f"{api.url}/health") == {"status": "ok"}
    status, headers, text = ask(api.urls["test API metrics"] + "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, sample.labels.get("function")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    assert found[("executions_total", "ml")] == 1
    assert found[("execution_seconds_total", "ml")] > 0
    assert found[("process_cpu_seconds_total", None)] > 0


def test_it_describes_itself_without_loading_anything(api):
    schema = ask_json(f"{api.url}/openapi.json")
    assert {"/ml", "/pi", "/health", "/journal"} <= set(schema["paths"])
    status, headers, page = ask(f"{api.url}/docs")
    assert status == 200 and b"POST /ml" in page
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"http://" not in page and b"https://" not in page


def test_it_ends_cleanly_when_told_to():
    running = workload()
    assert json.loads(ask(f"{running.url}/health")[2])
    assert running.close() == 0
    assert "Traceback" not in "".join(running.said)


def test_it_does_not_wait_for_executions_when_told_to_end():
    import threading

    running = workload()

    def execute():
        try:
            ask(f"{running.url}/ml", body={"input": 1000})
        except OSError:
            pass

    asking = [threading.Thread(target=execute) for _ in range(4)]
    for each in asking:
        each.start()
    metrics = running.urls["test API metrics"] + "/metrics"
    while b"executions_waiting 4" not in ask(metrics)[2]:
        pass
    assert running.close() == 0
    for each in asking:
        each.join()
