# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""A real Prometheus server on the same simulated cluster: the same series, the same values."""

import json
import math

import computelocator as cl
import pytest
from servers import Prometheus, built

pytestmark = pytest.mark.skipif(
    not built("prometheus"), reason="the Prometheus server is not built; `make peers` builds it"
)

NODES, PODS = 3, 40


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    with cl.simulate(nodes=NODES, pods=PODS) as cluster:
        # As kube-prometheus has it: the samples' own times are past and differ within a page.
        server = Prometheus(
            tmp_path_factory.mktemp("prometheus"), cluster.kubeconfig, interval="5s", honor_timestamps=False
        )
        try:
            server.wait_for(lambda: len(server.query('up{job="cadvisor"} == 1')) == NODES)
            yield server, cl.scrape(kubeconfig=cluster.kubeconfig, route="direct", metrics="all")
        finally:
            server.close()


def test_the_same_series_and_the_same_values(both):
    server, snapshot = both
    theirs = {}
    for each in server.query('{job="cadvisor", __name__!~"up|scrape_.*"}'):
        labels = {k: v for k, v in each["metric"].items() if k not in ("instance", "job")}
        theirs[json.dumps(labels, sort_keys=True)] = float(each["value"][1])
    columns = snapshot.to_numpy()
    names = [n for n in columns if n not in ("timestamp", "scrape_timestamp", "value", "metric")]
    ours = {}
    for row in range(len(columns["value"])):
        labels = {n: columns[n][row] for n in names if columns[n][row] is not None}
        labels["__name__"] = columns["metric"][row]
        ours[json.dumps(labels, sort_keys=True)] = float(columns["value"][row])
    assert len(ours) == len(snapshot) > 10_000
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == theirs[key] for key in ours)


def compare(frame, column, keys, results):
    """Each value that the rule gives stands in the table, and none that it does not give."""
    theirs = {tuple(r["metric"].get(k, "") for k in keys): float(r["value"][1]) for r in results}
    ours = {
        tuple(str(row[k]) for k in keys): row[column]
        for _, row in frame.iterrows()
        if not math.isnan(row[column])
    }
    assert theirs
    # Where the rule has no row the table may know a zero: nothing used, nothing read so far.
    missing = {key: value for key, value in ours.items() if key not in theirs}
    assert all(value == 0 for value in missing.values()), missing
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=1e-12), (column, key)


# The selections of kube-prometheus' recording rules and dashboards. They sum rates, and the rate of
# an instance that is gone is 0; on totals the newest instance has to be chosen.
NEWEST = "and on (id) topk by (namespace, pod, container) (1, container_start_time_seconds{container!=''})"
BY_CONTAINER = ("namespace", "pod", "container")


@pytest.mark.parametrize(
    "column,rule",
    [
        ("container_cpu_usage_seconds_total",
         f"sum by (namespace, pod, container) (container_cpu_usage_seconds_total{{image!='', container!=''}} {NEWEST})"),
        ("container_memory_working_set_bytes",
         f"sum by (namespace, pod, container) (container_memory_working_set_bytes{{image!='', container!=''}} {NEWEST})"),
        ("container_memory_usage_bytes",
         f"sum by (namespace, pod, container) (container_memory_usage_bytes{{image!='', container!=''}} {NEWEST})"),
        ("container_cpu_cfs_throttled_periods_total",
         f"sum by (namespace, pod, container) (container_cpu_cfs_throttled_periods_total{{container!=''}} {NEWEST})"),
        ("container_cpu_cfs_periods_total",
         f"sum by (namespace, pod, container) (container_cpu_cfs_periods_total{{container!=''}} {NEWEST})"),
        ("container_fs_writes_bytes_total",
         "sum by (namespace, pod, container) (container_fs_writes_bytes_total{container!='', "
         f"device=~'(/dev/)?(mmcblk.p.+|nvme.+|rbd.+|sd.+|vd.+|xvd.+|dm-.+|md.+|dasd.+)'}} {NEWEST})"),
    ],
    ids=lambda value: value if value.startswith("container_") else "",
)  # fmt: skip
def test_containers_equal_the_rules_of_kube_prometheus(both, column, rule):
    server, snapshot = both
    compare(snapshot.containers(), column, BY_CONTAINER, server.query(rule))


@pytest.mark.parametrize("direction", ["receive", "transmit"])
@pytest.mark.parametrize("what", ["bytes", "errors"])
def test_pod_networks_equal_the_rules_of_kube_prometheus(both, direction, what):
    server, snapshot = both
    name = f"container_network_{direction}_{what}_total"
    pods = snapshot.pods()
    results = server.query(f"sum by (namespace, pod) ({name}{{pod!=''}})")
    # The rule counts the node's whole traffic for each pod on the host's network; the table says
    # that it does not know.
    own = pods[pods[name].notna()]
    on_host = {(n, p) for n, p in zip(pods["namespace"], pods["pod"], strict=True)} - {
        (n, p) for n, p in zip(own["namespace"], own["pod"], strict=True)
    }
    assert len(on_host) == 6 * NODES
    kept = [r for r in results if (r["metric"]["namespace"], r["metric"]["pod"]) not in on_host]
    assert len(kept) == (PODS - 6) * NODES
    compare(own, name, ("namespace", "pod"), kept)


def test_pod_totals_equal_the_pods_own_cgroups(both):
    server, snapshot = both
    for name in ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes"):
        compare(snapshot.pods(), name, ("namespace", "pod"),
                server.query(f"sum by (namespace, pod) ({name}{{pod!='', container='', image=''}})"))  # fmt: skip
