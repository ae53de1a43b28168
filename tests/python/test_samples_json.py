# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``cl.read_prometheus_json``: answers of a Prometheus server as a snapshot."""

import gzip
import io
import json
import math

import computelocator as cl
import pandas as pd
import pytest


def answer(result, kind="matrix", **more):
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


MATRIX = answer(
    [
        {"metric": {"__name__": "container_memory_usage_bytes", "node": "a", "pod": "p"}, "values": [[1435781430.781, "1"], [1435781445, "NaN"]]},
        {"metric": {"__name__": "container_memory_usage_bytes", "node": "b", "pod": "q"}, "values": [[1435781430.781, "+Inf"]]},
    ],
    warnings=["the query was cut"],
)  # fmt: skip


def test_a_matrix_is_a_tidy_frame():
    snap = cl.read_prometheus_json(MATRIX)
    frame = snap.to_pandas()
    assert frame["timestamp"].tolist() == [
        pd.Timestamp("2015-07-01T20:10:30.781Z"), pd.Timestamp("2015-07-01T20:10:45Z"), pd.Timestamp("2015-07-01T20:10:30.781Z"),
    ]  # fmt: skip
    assert frame["value"].iloc[0] == 1 and math.isnan(frame["value"].iloc[1]) and frame["value"].iloc[2] == math.inf
    assert frame["node"].tolist() == ["a", "a", "b"] and frame["pod"].tolist() == ["p", "p", "q"]
    assert frame["scrape_timestamp"].isna().all()
    assert snap.warnings == ["the query was cut"]
    assert len(snap) == 3 and snap.targets == 1 and repr(snap) == "<Snapshot of 3 samples from 1 target>"
    assert cl.parse("up 1\n").warnings == []


@pytest.mark.parametrize("form", ["text", "bytes", "gzip", "file", "path", "bytearray"])
def test_any_source(form, tmp_path):
    data = MATRIX.encode()
    (tmp_path / "answer.json").write_bytes(data)
    source = {
        "text": MATRIX, "bytes": data, "gzip": gzip.compress(data), "file": io.BytesIO(data),
        "path": tmp_path / "answer.json", "bytearray": bytearray(data),
    }[form]  # fmt: skip
    assert len(cl.read_prometheus_json(source)) == 3


def test_series_without_a_name_and_scalars():
    rates = answer([{"metric": {"pod": "p"}, "value": [1, "0.5"]}], "vector")
    assert cl.read_prometheus_json(rates).to_pandas()["metric"].isna().all()
    assert cl.read_prometheus_json(rates, metric="rate").to_pandas()["metric"].tolist() == ["rate"]
    scalar = cl.read_prometheus_json(answer([1435781451.781, "7"], "scalar"), metric="seven").to_pandas()
    assert scalar[["metric", "value"]].values.tolist() == [["seven", 7.0]]
    other = answer([{"metric": {"instance": "x", "node": "n"}, "value": [1, "2"]}], "vector")
    frame = cl.read_prometheus_json(other, node_label="instance").to_pandas()
    assert frame["node"].tolist() == ["x"] and frame["label_node"].tolist() == ["n"]


def test_a_history_takes_what_prometheus_stored():
    labels = {"__name__": "container_cpu_usage_seconds_total", "cpu": "total", "node": "a", "namespace": "n", "pod": "p", "container": "c", "id": "/kubepods/pod" + "0" * 32 + "/" + "a" * 64}  # fmt: skip
    history = cl.History()
    history.add(cl.read_prometheus_json(answer([{"metric": labels, "value": [1_700_000_000.5, "10"]}], "vector")))
    history.add(cl.read_prometheus_json(answer([{"metric": labels, "value": [1_700_000_010.5, "12"]}], "vector")))
    assert history.rate()["value"].tolist() == [0.2]


def test_a_history_of_a_range_is_that_of_the_pages():
    """What Prometheus stored of some pages, asked for as one range, gives what the pages give."""
    pages, series = cl.History(), {}
    with cl.simulate(nodes=1, pods=6, options=["--run", "--pace", "50"]) as cluster:
        collector = cl.Collector(kubeconfig=cluster.kubeconfig)
        for _ in range(40):
            snap = collector.sweep()
            pages.add(snap)
            frame = snap.to_pandas()
            frame = frame[frame["timestamp"].notna()]
            labels = [name for name in frame.columns if name not in ("timestamp", "scrape_timestamp", "value", "metric")]
            for row in frame.astype({name: object for name in labels}).to_dict("records"):
                known = {"__name__": row["metric"], **{name: row[name] for name in labels if isinstance(row[name], str)}}
                points = series.setdefault(json.dumps(known, sort_keys=True), {})
                points[row["timestamp"].value / 1e9] = repr(row["value"])
    body = answer([{"metric": json.loads(key), "values": sorted(points.items())} for key, points in series.items()])
    history = cl.History()
    history.add(cl.read_prometheus_json(body))
    keys = ["namespace", "pod", "container"]
    name = "container_fs_writes_bytes_total"
    ours, theirs = (
        each.samples(metrics=[name, "container_memory_working_set_bytes"]).astype({**dict.fromkeys(keys, str), "metric": str})
        for each in (history, pages)
    )
    # A page's samples that came with an older time than one before are not stored; a range is in order.
    both = theirs.merge(ours, on=["timestamp", "metric", *keys, "value"])
    assert len(both) == len(theirs[(theirs["metric"] != name) | (theirs["value"] > 0)]) > 100
    assert not ours.duplicated(["timestamp", "metric", *keys]).any()
    snapshot = cl.read_prometheus_json(body).containers().astype(dict.fromkeys(keys, str)).set_index(keys)
    newest = ours[ours["metric"] == name].groupby(keys).last()["value"]
    pd.testing.assert_series_equal(snapshot[name].dropna().sort_index(), newest.sort_index(), check_names=False)


def test_what_the_server_says_when_a_query_fails():
    body = '{"status":"error","errorType":"bad_data","error":"1:5: parse error"}'
    with pytest.raises(cl.ComputeLocatorError, match="the server says bad_data: 1:5: parse error") as raised:
        cl.read_prometheus_json(body)
    assert raised.value.code == "query_failed"


@pytest.mark.parametrize("body", [MATRIX[:-2], "{}", "{", b"", b"\x1f\x8b\x08", b"<html></html>", MATRIX + "{}", answer([{"metric": {}, "value": [1, "x"]}], "vector")])
def test_what_is_no_answer(body):
    with pytest.raises(cl.ParseError):
        cl.read_prometheus_json(body)


def test_place_and_limits():
    with pytest.raises(cl.ParseError, match=r"<text>:2:\d+: the value \"x\" is no number") as raised:
        cl.read_prometheus_json('{"status":"success","data":{"resultType":"vector","result":[\n{"metric":{},"value":[1,"x"]}]}}')
    assert raised.value.line == 2
    for limit in ({"max_bytes": 10}, {"max_samples": 2}):
        with pytest.raises(cl.ComputeLocatorError) as raised:
            cl.read_prometheus_json(MATRIX, **limit)
        assert raised.value.code == "too_large"
