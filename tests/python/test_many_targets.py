# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""No target hurts another: samples, memory, connections and time of many, some of them hostile.

The C++ program of benchmarks/sweeps.cpp sweeps, so that its memory is the library's own.
"""

import computelocator as cl
import pandas as pd
import pytest
from crowds import FILLING, HOSTILE, PROGRAM, Crowd, Simulated, Sweeps
from evil_kubelet import Authority, Cluster, Peer, Peers, answer, says

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="the program that sweeps is not built; `make test` builds it first"
)

MIB = 1 << 20
GOOD = 150


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.context_of_good = made.server()
    return made


@pytest.fixture(scope="module")
def peers():
    with Peers() as running:
        yield running


def test_hostile_targets_cost_the_good_ones_no_sample(tmp_path, peers, authority):
    with cl.simulate(nodes=GOOD, pods=6) as simulation:
        crowd = Crowd(tmp_path, peers, authority, Simulated(simulation))
        with Sweeps(crowd.kubeconfig, "--timeout=3000") as program:
            before = program.sweep()
            crowd.add_hostile(len(HOSTILE))
            during = [program.sweep(), program.sweep()]
            crowd.drop_hostile()
            after = program.sweep()
    assert before["good"] == before["targets"] == GOOD and before["samples"] > 50_000
    for each in during:
        assert each["targets"] == GOOD + len(HOSTILE)
        assert sum(each["errors"].values()) == len(HOSTILE)
    for each in (*during, after):
        assert [each[of] for of in ("good", "samples", "sum")] == [before[of] for of in ("good", "samples", "sum")]


def test_floods_stay_within_the_budget_and_leave_nothing(tmp_path, peers, authority):
    hostile = 256
    with cl.simulate(nodes=16, pods=110, options=["--ignore-name", "--distinct=2"]) as simulation:
        crowd = Crowd(tmp_path, peers, authority, Simulated(simulation))
        with Sweeps(crowd.kubeconfig, f"--bytes-in-flight={48 * MIB}", "--timeout=5000") as program:
            before = [program.sweep(), program.sweep()][1]
            crowd.add_hostile(hostile, FILLING)
            during = [program.sweep(), program.sweep()]
            crowd.drop_hostile()
            after = [program.sweep(), program.sweep()][1]
    for each in during:
        assert each["peak"] < 128 * MIB, each
        assert each["good"] == 16 and sum(each["errors"].values()) == hostile
        assert set(each["errors"]) <= {"too_large", "timed_out"}
    for each in (*during, after):
        assert (each["samples"], each["sum"]) == (before["samples"], before["sum"])
    assert after["rss"] < before["rss"] + 24 * MIB


def test_a_budget_smaller_than_all_pages_costs_none(tmp_path):
    """Pages that do not fit are put off, and those that are larger than the budget come one by one."""
    with cl.simulate(nodes=24, pods=110, options=["--ignore-name", "--distinct=2"]) as simulation:
        told = []
        for budget in (512 * MIB, 24 * MIB, 1):
            with Sweeps(simulation.kubeconfig, f"--bytes-in-flight={budget}", "--timeout=120000") as program:
                told += [program.sweep(), program.sweep()]
    assert {(each["good"], each["samples"], each["sum"]) for each in told} == {(24, told[0]["samples"], told[0]["sum"])}
    assert told[3]["peak"] < told[1]["peak"]  # of the second sweeps, which know how large the pages are


def test_a_sweep_begins_with_few_connections(tmp_path, peers, authority):
    """While none of the first has ended, another follows every ten milliseconds."""
    cluster = Cluster(tmp_path, peers, authority)
    for i in range(68):
        cluster.node(f"n-{i}", peers.add(says(3, answer()), authority.context_of_good))
    found = cl.Collector(kubeconfig=cluster.kubeconfig, route="direct", timeout=60, concurrency=100).sweep()
    started = sorted(found.outcomes()["started"])
    assert found.failed == 0
    assert started[-1] - started[0] >= pd.Timedelta(milliseconds=590)


def test_a_connection_that_was_closed_is_made_again_without_certificates(tmp_path, peers, authority):
    """The peer's session stands for them, as long as the peer is the same."""
    cluster = Cluster(tmp_path, peers, authority)
    resumed = []
    peer = cluster.node("closes", peers.add(says(answer(b"a 1\n", "Connection: close")), authority.context_of_good))
    peer.on_handshake = lambda tls: resumed.append(tls.session_reused)
    collector = cl.Collector(kubeconfig=cluster.kubeconfig, route="direct", timeout=30)
    for _ in range(3):
        assert collector.sweep().failed == 0
    peer.context = authority.server("other")
    assert collector.sweep().failed == 0
    peer.context = authority.server("stranger", issuer=None)
    assert list(collector.sweep().outcomes()["error"]) == ["tls_untrusted"]
    assert resumed == [False, True, True, False]


class Forgetful(Peer):
    """Ends its second connection when it has seen what it is offered."""

    async def _serve(self, wire):
        if self.connections == 2:
            await wire.read()
        else:
            await super()._serve(wire)


def test_a_peer_that_does_not_like_its_own_session_is_asked_without(tmp_path, peers, authority):
    cluster = Cluster(tmp_path, peers, authority)
    script = says(answer(b"a 1\n", "Connection: close"))
    peer = cluster.node("forgets", peers.start(Forgetful(script, authority.context_of_good)))
    collector = cl.Collector(kubeconfig=cluster.kubeconfig, route="direct", timeout=30)
    for connections in (1, 3):
        outcomes = collector.sweep().outcomes()
        assert list(outcomes["error"]) == [""] and list(outcomes["attempts"]) == [1]
        assert peer.connections == connections
