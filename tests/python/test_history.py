# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``cl.History``: what a user asks of snapshots over time."""

import threading
from datetime import datetime, timedelta, timezone

import computelocator as cl
import pandas as pd
import pytest

T0 = 1_700_000_000_000  # milliseconds
UID = "0" * 32


def page(at_ms, cpu, memory=1 << 20, instance="a" * 64, pod="p", container="c", namespace="n"):
    own = f'container="{container}",id="/kubepods/pod{UID}/{instance}",image="i",name="x",namespace="{namespace}",pod="{pod}"'
    whole = f'container="",id="/kubepods/pod{UID}",image="",name="",namespace="{namespace}",pod="{pod}"'
    return cl.parse(
        f'container_cpu_usage_seconds_total{{{own},cpu="total"}} {cpu} {at_ms}\n'
        f'container_cpu_usage_seconds_total{{{whole},cpu="total"}} {cpu} {at_ms}\n'
        f"container_memory_working_set_bytes{{{own}}} {memory} {at_ms}\n"
    )


@pytest.fixture
def history():
    made = cl.History()
    for i in range(7):
        made.add(page(T0 + i * 10_000, i * 2.5, (10 + i % 3) << 20))
    return made


@pytest.fixture(scope="module")
def running():
    """A cluster whose pages go on a step of 10 s every 50 ms, and its history over some steps."""
    made, seen = cl.History(), []
    with cl.simulate(nodes=2, pods=8, options=["--run", "--pace", "50"]) as cluster:
        collector = cl.Collector(kubeconfig=cluster.kubeconfig)
        while made.span is None or made.span[1] - made.span[0] < timedelta(seconds=200):
            snapshot = collector.sweep()
            assert snapshot.failed == 0
            made.add(snapshot)
            seen.append(snapshot)
    return made, seen


def test_what_it_says_of_itself(history):
    assert history.span == (
        datetime.fromtimestamp(T0 / 1000, timezone.utc),
        datetime.fromtimestamp(T0 / 1000 + 60, timezone.utc),
    )
    assert history.sweeps == 7 and history.dropped == 0
    assert 0 < history.bytes <= history.max_bytes
    assert (history.max_age, history.stale_after) == (3600, 300)
    assert repr(history).startswith("<History of 7 snapshots from 2023-11-14T22:13:20Z")
    assert cl.History().span is None and "0 snapshots" in repr(cl.History())


def test_samples_and_rows(history):
    samples = history.samples()
    assert list(samples.columns) == ["timestamp", "node", "namespace", "pod", "container", "metric", "value"]
    assert len(samples) == 14 and samples["timestamp"].is_monotonic_increasing
    assert str(samples["timestamp"].dt.tz) == "UTC"
    rows = history.containers()
    assert rows["container_cpu_usage_seconds_total"].tolist() == [i * 2.5 for i in range(7)]
    assert rows["container_memory_working_set_bytes"].iloc[-1] == 10 << 20
    assert rows.attrs["columns"]["container_cpu_usage_seconds_total"] == {"type": "counter", "unit": "seconds"}
    assert len(history.pods()) == 7 and "container" not in history.pods()
    assert len(history.nodes()) == 0
    assert history.containers(metrics="container_memory_working_set_bytes").columns[-1] == "container_memory_working_set_bytes"
    (series,) = history.series().to_dict("records")
    assert (series["samples"], series["restarts"], series["stale"]) == (7, 0, False)


@pytest.mark.parametrize(
    "since,until",
    [
        ((T0 + 20_000) * 1_000_000, (T0 + 40_000) * 1_000_000),
        ((T0 + 19_999) * 1_000_000 + 1, (T0 + 40_000) * 1_000_000 + 999_999),
        (pd.Timestamp(T0 + 20_000, unit="ms", tz="UTC"), pd.Timestamp(T0 + 40_000, unit="ms")),
        (datetime.fromtimestamp(T0 / 1000 + 20, timezone(timedelta(hours=2))), datetime.fromtimestamp(T0 / 1000 + 40, timezone.utc)),
        ("2023-11-14T22:13:40Z", "2023-11-14T23:14:00+01:00"),
        ("40s", "20s"),
    ],
)  # fmt: skip
def test_moments_as_users_write_them(history, since, until):
    assert history.containers(since=since, until=until)["container_cpu_usage_seconds_total"].tolist() == [5.0, 7.5, 10.0]


def test_filters_and_limits(history):
    history.add(page(T0 + 70_000, 1, pod="q", namespace="m", instance="b" * 64))
    assert len(history.samples(pods="q")) == 2 and len(history.samples(namespaces=["m", "n"])) == 16
    assert len(history.samples(pods=[])) == 16 and len(history.samples(containers="x")) == 0
    cut = history.containers(limit=2)
    assert cut["pod"].tolist() == ["p", "q"] and cut.attrs["truncated"] is True
    assert history.containers(limit=8).attrs["truncated"] is False
    for wrong in ({"metrics": "nonsense"}, {"level": "cluster"}, {"since": "yesterday"}, {"limit": -1}):
        with pytest.raises(ValueError, match=r"has no metric|cannot be|is no moment"):
            history.samples(**wrong)
    with pytest.raises(ValueError, match="is a gauge: ask for its delta"):
        history.rate("container_memory_working_set_bytes")
    with pytest.raises(ValueError, match="method='x' cannot be"):
        history.rate(method="x")
    with pytest.raises(ValueError, match="there is no table"):
        history.table("rates")
    with pytest.raises(TypeError, match="takes no nonsense"):
        history.table("samples", nonsense=1)


def test_rates_over_a_restart(history):
    history.add(page(T0 + 70_000, 16, instance="b" * 64))
    rate = history.rate("container_cpu_usage_seconds_total")
    assert rate["value"].tolist() == [0.25] * 6 + [1.6]
    assert rate["reset"].tolist() == [False] * 6 + [True] and set(rate["seconds"]) == {10.0}
    assert history.increase("container_cpu_usage_seconds_total")["value"].sum() == 15 + 16
    # The pod's own cgroup went on: 15 to 16.
    assert history.increase("container_cpu_usage_seconds_total", "pod")["value"].sum() == 16
    assert history.delta(since="10s")["value"].tolist() == [-2 << 20, -9 << 20]
    assert history.series()["restarts"].tolist() == [1]


EVENTS = [
    {"start": T0 * 10**6 + 2 * 10**9, "end": T0 * 10**6 + 6 * 10**9, "namespace": "n", "pod": "p", "container": "c"},
    {"start": T0 * 10**6 + 30 * 10**9, "end": T0 * 10**6 + 90 * 10**9, "namespace": None, "pod": "p"},
    {"start": T0 * 10**6, "end": T0 * 10**6 + 5, "namespace": "n", "pod": "nobody"},
]


def forms_of_events():
    import polars
    import pyarrow

    frame = pd.DataFrame(EVENTS)
    for name in ("start", "end"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    naive = frame.assign(start=frame["start"].dt.tz_localize(None))
    mappings = [{**row, "start": pd.Timestamp(row["start"], tz="UTC")} for row in EVENTS]
    return {
        "integers": EVENTS, "datetimes": frame, "a naive column": naive, "integers in a frame": pd.DataFrame(EVENTS),
        "mappings of datetimes": mappings, "a generator": (row for row in EVENTS), "arrow": pyarrow.Table.from_pandas(frame),
        "polars": polars.DataFrame(EVENTS),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["integers", "datetimes", "a naive column", "integers in a frame", "mappings of datetimes", "a generator", "arrow", "polars"])  # fmt: skip
def test_usage_of_events_in_any_form(history, form):
    used = history.usage(forms_of_events()[form])
    assert used["cpu_seconds"].iloc[:2].tolist() == pytest.approx([1.0, 7.5])
    assert used["coverage"].tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert used["reason"].astype(object).where(used["reason"].notna(), None).tolist() == [None, "partly_after", "unknown_pod"]
    assert used["memory_peak_working_set_bytes"].iloc[0] == pytest.approx((10 + 0.6) * (1 << 20))
    assert used["start"].astype("int64").tolist() == [row["start"] for row in EVENTS]
    assert str(used["start"].dtype) == "datetime64[ns, UTC]"
    assert pd.isna(used["cpu_seconds"].iloc[2]) and pd.isna(used["throttled_seconds"].iloc[0])


def test_usage_keeps_the_index_and_needs_no_pandas(history):
    frame = pd.DataFrame(EVENTS, index=["a", "b", "c"])
    joined = frame.join(history.usage(frame)[["cpu_seconds", "coverage"]])
    assert joined.loc["a", "cpu_seconds"] == pytest.approx(1.0)
    import pyarrow

    assert pyarrow.table(history.table("usage", events=EVENTS)).num_rows == 3
    assert pyarrow.table(history.table("rate", metrics="container_cpu_usage_seconds_total")).num_rows == 6
    assert len(history.usage([])) == 0


@pytest.mark.parametrize(
    "events,kind,match",
    [
        ([{"start": 1, "end": 2}], ValueError, "event 0 has no 'pod'"),
        ([{"start": 2, "end": 1, "pod": "p"}], ValueError, "event 0 ends before it starts"),
        ([{"start": 1.5, "end": 2, "pod": "p"}], TypeError, "event 0: start is a float"),
        ([{"start": "x", "end": 2, "pod": "p"}], ValueError, "is no moment"),
        (pd.DataFrame({"start": [1], "end": [2]}), ValueError, "have no column 'pod'; they have start, end"),
        (pd.DataFrame({"start": [pd.NaT], "end": [pd.NaT], "pod": ["p"]}), ValueError, "event 0 has no 'start'"),
        ("text", TypeError, "not a str"),
        ([1], TypeError, "event 0 is a int"),
        ([{"start": 1 << 63, "end": 1 << 63, "pod": "p"}], ValueError, "event 0"),
    ],
)  # fmt: skip
def test_events_that_cannot_be(history, events, kind, match):
    with pytest.raises(kind, match=match):
        history.usage(events)


@pytest.mark.parametrize("wrong", [{"max_bytes": 1000}, {"max_age": "soon"}, {"max_age": 0}, {"stale_after": "1x"}])
def test_options_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="cannot be|is no duration"):
        cl.History(**wrong)


def test_durations():
    assert cl.History(max_age="1h30m").max_age == 5400
    assert cl.History(max_age=timedelta(minutes=2), stale_after=1.5).max_age == 120


def test_a_running_cluster_is_what_its_snapshots_said(running):
    history, snapshots = running
    everything = pd.concat(
        [each.to_pandas().astype({"metric": str, "pod": str, "container": str, "namespace": str, "id": str, "node": str}) for each in snapshots]
    )
    # One of the counters, straight from the samples: every (id, time) once, rows of containers.
    name = "container_cpu_usage_seconds_total"
    rows = everything[(everything["metric"] == name) & (everything["container"] != "nan") & everything["container"].ne("")]
    keys = ["node", "namespace", "pod", "container"]
    ours = history.samples(metrics=name).astype(dict.fromkeys(keys, str))
    merged = ours.merge(rows[[*keys, "timestamp", "value"]].drop_duplicates(), on=[*keys, "timestamp", "value"])
    assert len(merged) > 50
    # Rows that are there are on a page; a zero that the page left out is the rest.
    assert (ours.loc[ours["value"] > 0].shape[0]) == len(merged[merged["value"] > 0])
    assert not ours.duplicated([*keys, "timestamp"]).any()
    # The newest of each pod, whichever page it was on.
    pages = pd.concat([each.pods() for each in snapshots]).astype({"pod": str})
    whole = everything[everything["metric"].eq("container_memory_working_set_bytes") & everything["id"].str.endswith(".slice")]
    newest = whole.sort_values("timestamp", kind="stable").groupby("pod").last()["value"]
    last = history.samples("pod", metrics="container_memory_working_set_bytes").astype({"pod": str}).groupby("pod").last()["value"]
    assert len(last) == pages["pod"].nunique() == 16
    pd.testing.assert_series_equal(last, newest.reindex(last.index), check_names=False)
    assert history.nodes()["node"].nunique() == 2


def test_usage_adds_up_to_the_counters(running):
    history, _ = running
    name = "container_cpu_usage_seconds_total"
    samples = history.samples("pod", metrics=name).astype({"pod": str, "namespace": str})
    first, last = samples.groupby(["namespace", "pod"]).first(), samples.groupby(["namespace", "pod"]).last()
    events = [
        {"namespace": key[0], "pod": key[1], "start": first.loc[key, "timestamp"], "end": last.loc[key, "timestamp"]}
        for key in first.index
    ]
    used = history.usage(events)
    grown = (last["value"] - first["value"]).to_numpy()
    assert used["cpu_seconds"].to_numpy() == pytest.approx(grown)
    assert (used["samples"] == samples.groupby(["namespace", "pod"]).size().to_numpy()).all()
    increase = history.increase(name, "pod").astype({"pod": str, "namespace": str}).groupby(["namespace", "pod"])["value"].sum()
    assert increase.to_numpy() == pytest.approx(grown)


def test_memory_is_bounded_and_the_newest_are_kept():
    history = cl.History(max_bytes=1 << 20)
    for i in range(300):
        history.add(page(T0 + i * 10_000, i, pod=f"p{i // 2}", instance=f"{i // 2:064d}"))
        assert history.bytes <= 1 << 20
    assert history.span[1] == datetime.fromtimestamp(T0 / 1000 + 2990, timezone.utc)


def test_many_readers_and_one_writer():
    history = cl.History(max_bytes=1 << 20)
    history.add(page(T0, 0))
    over = threading.Event()
    failed = []

    def ask():
        try:
            while not over.is_set():
                assert (history.increase("container_cpu_usage_seconds_total")["value"] == 1).all()
                history.usage(EVENTS)
        except BaseException as why:
            failed.append(why)

    readers = [threading.Thread(target=ask) for _ in range(4)]
    for each in readers:
        each.start()
    for i in range(1, 200):
        history.add(page(T0 + i * 10_000, i))
    over.set()
    for each in readers:
        each.join()
    assert not failed
