# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""``computelocator doctor``: what is said of clusters with one thing wrong each."""

import computelocator as cl
import pytest
from computelocator import _doctor
from computelocator.cli import main


def told(capsys, *arguments):
    """Give the exit status, and each finding as (state, subject, text with its advice)."""
    status = main(["doctor", *arguments])
    findings = []
    for line in capsys.readouterr().out.splitlines():
        state, subject, text = line[:8].strip(), line[9:23].strip(), line[24:]
        if state:
            findings.append((state, subject, text))
        else:
            assert text.startswith("-> ")
            findings[-1] = (*findings[-1][:2], f"{findings[-1][2]} {text}")
    return status, findings


def texts(findings, state, subject):
    return [text for of, about, text in findings if (of, about) == (state, subject)]


def test_a_healthy_cluster(capsys):
    with cl.simulate(nodes=3, pods=6, options=["--now"]) as cluster:
        status, findings = told(capsys, "--kubeconfig", cluster.kubeconfig)
    assert status == 0
    assert [subject for state, subject, _ in findings if state == "ok"] == [
        "configuration", "nodes", "pods", "kubelets", "runtime", "clocks",
    ]  # fmt: skip
    assert {subject for state, subject, _ in findings if state != "ok"} == {"values"}
    (disk,) = [text for text in texts(findings, "warning", "values") if "fs_usage" in text]
    assert "/stats/summary" in disk


def test_failures_of_a_kind_are_one_finding(capsys):
    faults = ["--fault=1=dead", "--fault=2=dead", "--fault=3=forbidden", "--now"]
    with cl.simulate(nodes=5, pods=4, options=faults) as cluster:
        status, findings = told(capsys, "--kubeconfig", cluster.kubeconfig, "--route=direct")
    assert status == 1
    assert texts(findings, "ok", "kubelets") == ["2 of 5 gave a page"]
    (network,) = texts(findings, "wrong", "network")
    assert network.startswith("node-001 and 1 more: ") and network.endswith("kubectl describe node node-001")
    (permission,) = texts(findings, "wrong", "permissions")
    assert permission.startswith("node-003: ") and "nodes/metrics" in permission


@pytest.mark.parametrize(
    ("deny", "state", "verbs"),
    [("nodes", "wrong", "get,list,watch"), ("pods", "warning", "get,list,watch"), ("nodes/proxy", "wrong", "get")],
)
def test_what_an_account_may_not_do(capsys, deny, state, verbs):
    with cl.simulate(nodes=2, pods=4, options=[f"--deny={deny}", "--now"]) as cluster:
        status, findings = told(capsys, "--kubeconfig", cluster.kubeconfig)
    assert status == (1 if state == "wrong" else 0)
    (found,) = texts(findings, state, "permissions")
    name = "computelocator-" + deny.replace("/", "-")
    assert f"kubectl create clusterrole {name} --verb={verbs} --resource={deny} && " in found
    assert f"kubectl create clusterrolebinding {name} --clusterrole={name} --user=demo" in found


def test_a_service_account_and_a_name_for_the_shell():
    forbidden = 'User "{}" cannot get resource "nodes/metrics" in API group "" at the cluster scope'
    assert _doctor.granting(forbidden.format("system:serviceaccount:default:observer")).endswith(
        "--serviceaccount=default:observer"
    )
    assert _doctor.granting(forbidden.format("a; reboot")).endswith("'--user=a; reboot'")
    assert _doctor.granting("forbidden") == ""


def test_certificates_and_clocks_and_lines(capsys):
    with cl.simulate(nodes=2, pods=4, options=["--self-signed"]) as cluster:
        status, findings = told(capsys, "--kubeconfig", cluster.kubeconfig, "--route=direct")
        assert status == 1
        (certificate,) = texts(findings, "wrong", "TLS")
        assert certificate.startswith("node-000 and 1 more: ")
    with cl.simulate(nodes=2, pods=4, options=["--fault=1=bad-line"]) as cluster:
        status, findings = told(capsys, "--kubeconfig", cluster.kubeconfig)
    assert status == 0, "warnings alone"
    (clock,) = texts(findings, "warning", "clocks")
    assert clock.startswith("node-000 and 1 more: the newest sample is ") and "timedatectl" in clock
    (line,) = texts(findings, "warning", "lines")
    assert line.startswith("of 1 that cannot be read the first is line ")


def test_a_cluster_that_is_not_there(capsys, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "current-context: c\nclusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
    )
    status, findings = told(capsys, "--kubeconfig", str(config))
    assert status == 1 and [finding[:2] for finding in findings] == [("wrong", "network")]
    status, findings = told(capsys, "--kubeconfig", str(tmp_path / "nothing"))
    assert status == 1 and [finding[:2] for finding in findings] == [("wrong", "configuration")]
