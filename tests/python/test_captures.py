# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Real pages, sample by sample, against the parser of prometheus_client."""

import gzip
import math

import computelocator as cl
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

FIXED = {"timestamp", "scrape_timestamp", "metric", "value", "node"}


def own_name(column):
    """Give a label column the name that it has on the page."""
    stripped = column.removeprefix("label_")
    return stripped if stripped in FIXED else column


def rows_of(snapshot):
    """One (name, labels, value, timestamp in ms) a sample, in the order of the page."""
    columns = snapshot.to_numpy()
    labels = [name for name in columns if name not in FIXED]
    for row in range(len(columns["value"])):
        at = columns["timestamp"][row]
        yield (
            columns["metric"][row],
            {
                own_name(name): columns[name][row]
                for name in labels
                if columns[name][row] is not None
            },
            float(columns["value"][row]),
            None if str(at) == "NaT" else int(at.astype("int64")),
        )


# Pages that prometheus_client's OpenMetrics parser refuses, and policy strict with it: what each says,
# and the line of OpenMetrics 1.0 that decides. Prometheus, and our other policies, read them. The text
# parser of prometheus_client reads them too, once the exemplars, which it does not know, are gone.
REFUSED = {
    "prometheus__prometheus__alltypes.5mfs.om.txt.gz": (
        "Counter-like samples",
        "below zero or NaN",
        "Semantically, Sum, and buckets values are counters so MUST NOT be NaN or negative.",
    ),
    "prometheus__prometheus__alltypes.237mfs.prom.txt.gz": (
        "Clashing name",
        "a sample name that the type of its metric family does not have",
        "The MetricPoint's Total Value Sample MetricName MUST have the suffix `_total`.",
    ),
}


def expected_rows(text, openmetrics, refused):
    if refused:
        with pytest.raises(ValueError, match=refused[0]):
            list(read_openmetrics(text))
        text = "".join(line.split(" # {")[0].rstrip("\n") + "\n" for line in text.splitlines())
        openmetrics = False
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
        theirs = sorted(map(key, expected_rows(text, openmetrics, REFUSED.get(path.name))))
        assert len(ours) == len(theirs), path.name
        assert ours == theirs, path.name
        assert len(snapshot.rejects()) == 0, path.name


def test_strict_refuses_what_prometheus_client_refuses(shared):
    for path in sorted((shared / "data" / "captures").glob("*.gz")):
        if path.name in REFUSED:
            with pytest.raises(cl.ParseError, match=REFUSED[path.name][1]):
                cl.parse(path, policy="strict")
        else:
            assert len(cl.parse(path, policy="strict")) > 20, path.name


@pytest.mark.parametrize("wanted", ["container_memory_usage_bytes", "container_memory_limit_bytes"])
def test_selection_keeps_the_rows_of_a_metric(shared, wanted):
    path = next((shared / "data" / "captures").glob("*1_34_kubelet*"))
    served = wanted.replace("_memory_limit_", "_spec_memory_limit_")
    whole = cl.parse(path).to_pandas()
    some = cl.parse(path, metrics=wanted).to_pandas()
    assert set(some["metric"]) == {served}
    assert some["value"].sum() == whole.loc[whole["metric"] == served, "value"].sum()
