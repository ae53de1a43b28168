# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Meta metrics per target as a Prometheus server has them, and a collector's metrics of itself."""

import warnings

import computelocator as cl
import pytest
from evil_kubelet import Peers, answer
from prometheus_client.parser import text_string_to_metric_families
from servers import Server, built
from services import ask_json, free_port

# Of the second page one series is new and one is gone.
PAGES = [
    b'# TYPE a gauge\na{x="1"} 1\na{x="2"} 2\na 3\nb{x="1"} 4\nc 5\n',
    b'# TYPE a gauge\na{x="1"} 1\na{x="2"} 2\na 3\nb{x="1"} 4\nc 5\n',
    b'# TYPE a gauge\na{x="1"} 1\na{x="3"} 2\na 3\nb{x="1"} 4\nc 5\n# and more bytes\n',
]
NAMES = ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added",
         "scrape_body_size_bytes", "scrape_timeout_seconds", "scrape_sample_limit")  # fmt: skip


@pytest.fixture
def peers():
    with Peers() as running:
        yield running


def in_order(pages):
    return lambda n, request: [answer(pages[min(n, len(pages) - 1)])]


def sweeps(collector, count):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [collector.sweep() for _ in range(count)]


def values(snapshot, *names):
    (row,) = snapshot.meta().to_dict("records")
    return [row[name] for name in names or NAMES]


def test_what_a_target_had_and_what_of_it_was_wanted(peers):
    peer = peers.add(in_order(PAGES))
    collector = cl.TargetCollector(f"127.0.0.1:{peer.port}", exclude_metrics="b", timeout=7, add_labels={"env": "x"})
    found = sweeps(collector, 4)
    assert [values(each) for each in found] == [
        [1, 5, 4, 4, len(PAGES[0]), 7.0, 1_000_000],
        [1, 5, 4, 0, len(PAGES[1]), 7.0, 1_000_000],
        [1, 5, 4, 1, len(PAGES[2]), 7.0, 1_000_000],
        [1, 5, 4, 0, len(PAGES[2]), 7.0, 1_000_000],
    ]
    meta = found[0].meta()
    assert (meta["instance"][0], meta["env"][0]) == (f"127.0.0.1:{peer.port}", "x")
    assert 0 < meta["scrape_duration_seconds"][0] < found[0].seconds + 0.01
    assert str(meta["timestamp"].dt.tz) == "UTC"


def test_of_a_target_that_failed(peers):
    down = peers.add(lambda n, request: [answer(PAGES[n]) if n != 1 else answer(b"no", status="500 No")])
    large = peers.add(lambda n, request: [answer(b"a 1\n" * 100)])
    collector = cl.TargetCollector([f"127.0.0.1:{each.port}" for each in (down, large)], max_page_bytes=200)
    found = [each.meta().set_index("instance") for each in sweeps(collector, 3)]
    counts = ["up", "scrape_samples_scraped", "scrape_series_added", "scrape_body_size_bytes"]
    of_down = [each.loc[f"127.0.0.1:{down.port}", counts].tolist() for each in found]
    # What it had is remembered over a failure.
    assert of_down == [[1, 5, 5, len(PAGES[0])], [0, 0, 0, 0], [1, 5, 1, len(PAGES[2])]]
    assert found[0].loc[f"127.0.0.1:{large.port}", counts].tolist() == [0, 0, 0, -1]


@pytest.mark.skipif(not built("prometheus"), reason="the Prometheus server is not built; `make peers` builds it")
def test_the_same_as_a_prometheus_server_has(peers, tmp_path):
    def server_of(pages):
        """Five of each, so that the server sees each of them."""
        return peers.add(in_order([page for page in pages for _ in range(5)]))

    theirs, dead = server_of(PAGES), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        "scrape_configs:\n- job_name: pages\n  sample_limit: 1000000\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{theirs.port}', '127.0.0.1:{dead}']}}]\n"
        "  metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    server = Server(
        tmp_path, "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}", "--enable-feature=extra-scrape-metrics",
    )  # fmt: skip
    stored = {}
    try:
        server.wait_for(lambda: len(theirs.requests) >= 18)
        for name in NAMES:
            answered = ask_json(f"http://{address}/api/v1/query?query={name}%5B1h%5D")["data"]["result"]
            for each in answered:
                stored[name, each["metric"]["instance"]] = [float(value) for _, value in each["values"]]
    finally:
        server.close()
    ours = server_of(PAGES)
    collector = cl.TargetCollector([f"127.0.0.1:{ours.port}", f"127.0.0.1:{dead}"], exclude_metrics="b", timeout=0.2)
    found = [each.meta().set_index("instance") for each in sweeps(collector, 15)]
    for name in NAMES:
        mine = [float(each.loc[f"127.0.0.1:{ours.port}", name]) for each in found]
        assert mine == stored[name, f"127.0.0.1:{theirs.port}"][:15], name
        assert float(found[0].loc[f"127.0.0.1:{dead}", name]) == stored[name, f"127.0.0.1:{dead}"][0], name


def samples(text):
    cl.parse(text.encode(), dialect="prometheus", policy="strict")
    families = list(text_string_to_metric_families(text))
    assert len({each.name for each in families}) == len(families)
    return {(s.name, *s.labels.values()): s.value for each in families for s in each.samples}


def test_what_a_collector_says_of_itself(peers):
    peer = peers.add(in_order(PAGES))
    collector = cl.TargetCollector([f"127.0.0.1:{peer.port}", f"127.0.0.1:{free_port()}"], exclude_metrics="b")
    before = samples(collector.metrics())
    assert before["computelocator_sweeps_total", "partial"] == before["computelocator_targets_total", "ok"] == 0
    found = sweeps(collector, 3)
    said = samples(collector.metrics())
    expected = {
        ("computelocator_sweeps_total", "complete"): 0,
        ("computelocator_sweeps_total", "partial"): 3,
        ("computelocator_targets_total", "ok"): 3,
        ("computelocator_targets_total", "connect_refused"): 3,
        ("computelocator_retries_total",): 0,
        ("computelocator_received_bytes_total",): sum(map(len, PAGES)),
        ("computelocator_page_bytes_total",): sum(map(len, PAGES)),
        ("computelocator_scraped_samples_total",): 15,
        ("computelocator_kept_samples_total",): 12,
        ("computelocator_rejected_lines_total",): 0,
        ("computelocator_label_caches",): 1,
        ("computelocator_kept_connections",): 1,
    }
    assert {key: said[key] for key in expected} == expected
    assert said["computelocator_label_cache_bytes",] > 0
    assert 0 < said["computelocator_sweep_seconds_total",] < 60
    parsing = sum(each.outcomes()["parse_time"].sum().total_seconds() for each in found)
    assert said["computelocator_stage_seconds_total", "parse"] == pytest.approx(parsing)
    assert said["computelocator_stage_seconds_total", "tls"] == 0


def test_a_sweep_without_an_api_server_counts_as_failed(tmp_path):
    config = tmp_path / "kubeconfig"
    config.write_text(
        "current-context: c\n"
        f"clusters: [{{name: k, cluster: {{server: 'http://127.0.0.1:{free_port()}'}}}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    )
    config.chmod(0o600)
    collector = cl.Collector(kubeconfig=config)
    with pytest.raises(cl.ComputeLocatorError):
        collector.sweep()
    assert samples(collector.metrics())["computelocator_sweeps_total", "failed"] == 1
