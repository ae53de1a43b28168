# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Real pages, sample by sample, against the parser of prometheus_client."""

import gzip
import math

import computelocator as cl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text


def rows_of(snapshot):
    """One (name, labels, value, timestamp in ms) a sample, in the order of the page."""
    columns = snapshot.to_numpy()
    fixed = {"timestamp", "scrape_timestamp", "metric", "value", "node"}
    labels = [name for name in columns if name not in fixed]
    for row in range(len(columns["value"])):
        at = columns["timestamp"][row]
        yield (
            columns["metric"][row],
            {
                name.removeprefix("label_"): columns[name][row]
                for name in labels
                if columns[name][row] is not None
            },
            float(columns["value"][row]),
            None if str(at) == "NaT" else int(at.astype("int64")),
        )


def expected_rows(text, openmetrics):
    families = (read_openmetrics if openmetrics else read_text)(text)
    on_page = {line.split("{")[0].split(" ")[0] for line in text.splitlines()}
    for family in families:
        for sample in family.samples:
            at = sample.timestamp
            name = sample.name
            if not openmetrics and name not in on_page:
                # prometheus_client's text parser renames the samples of a counter to end in
                # _total, as OpenMetrics would have it; the page, and Prometheus, do not.
                name = name.removesuffix("_total")
            yield (
                name,
                {name: value for name, value in sample.labels.items() if value != ""},
                float(sample.value),
                None if at is None else round(float(at) * 1000),
            )


def key(row):
    name, labels, value, at = row
    return (name, sorted(labels.items()), "nan" if math.isnan(value) else value.hex(), at or 0)


def test_every_capture_equals_prometheus_client(shared):
    pages = sorted((shared / "data" / "captures").glob("*.gz"))
    assert len(pages) >= 10
    for path in pages:
        text = gzip.decompress(path.read_bytes()).decode()
        openmetrics = text.rstrip().endswith("# EOF")
        snapshot = cl.parse(path)
        # prometheus_client gathers the samples of a family; the page's own order is ours.
        ours = sorted(map(key, rows_of(snapshot)))
        theirs = sorted(map(key, expected_rows(text, openmetrics)))
        assert len(ours) == len(theirs), path.name
        assert ours == theirs, path.name
        assert len(snapshot.rejects()) == 0, path.name


@pytest.mark.parametrize("wanted", ["container_memory_usage_bytes", "container_memory_limit_bytes"])
def test_selection_keeps_the_rows_of_a_metric(shared, wanted):
    path = next((shared / "data" / "captures").glob("*1_34_kubelet*"))
    served = wanted.replace("_memory_limit_", "_spec_memory_limit_")
    whole = cl.parse(path).to_pandas()
    some = cl.parse(path, metrics=wanted).to_pandas()
    assert set(some["metric"]) == {served}
    assert some["value"].sum() == whole.loc[whole["metric"] == served, "value"].sum()
