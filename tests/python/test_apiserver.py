# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes API server: what it makes of the manifests, of the rights that they ask for, and of
the library's requests."""

import base64
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import computelocator as cl
import pandas as pd
import pytest
from servers import PEERS, Kubernetes, built
from services import wait_for
from test_manifests import ROOT, checkout, named, objects, yaml

pytestmark = pytest.mark.skipif(
    not built("etcd", "kube-apiserver", "kubectl", "promtool"),
    reason="the API server is not built; `make apiserver` builds it",
)
NODES, PODS = 510, 2
COMMANDS = re.findall(
    r"^\$ (kubectl (?:apply|delete) .*?)(?:\s+#.*)?$",
    (ROOT / "docs" / "cluster-deployment.md").read_text(),
    re.MULTILINE,
)
AS_OBSERVER = "system:serviceaccount:default:observer"


@pytest.fixture(scope="module")
def simulated():
    """Kubelets on loopback. Their certificate authority is that of the real server's clients, too."""
    with cl.simulate(nodes=NODES, pods=PODS, options=["--client-certificate"]) as cluster:
        yield cluster


def field(kubeconfig, key):
    return base64.b64decode(re.search(rf"{key}: (\S+)", Path(kubeconfig).read_text())[1]).decode()


@pytest.fixture(scope="module")
def api(simulated, tmp_path_factory):
    ca = field(simulated.kubeconfig, "certificate-authority-data")
    server = Kubernetes(tmp_path_factory.mktemp("kubernetes"), client_ca=ca)
    try:
        # What a controller would make, were there one; and the strictest rules for the pods of the manifests.
        assert server.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})[0] == 201
        server.run("kubectl label namespace default pod-security.kubernetes.io/{enforce,warn}=restricted")
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def deployed(api, tmp_path_factory):
    """The commands of the docs in a fresh checkout, and what the server held before them."""
    copy = checkout(tmp_path_factory.mktemp("checkout"))
    subprocess.run(["tools/image-context"], cwd=copy, check=True, capture_output=True)
    before = everything(api)
    said = [api.run(command, copy) for command in COMMANDS if command.startswith("kubectl apply")]
    return copy, before, said


def everything(api):
    """Each object that there is, of whatever kind, but for what comes and goes by itself."""
    kinds = api.run("kubectl api-resources --verbs=list -o name")[0].split()
    ours = ",".join(kind for kind in kinds if not kind.startswith(("events", "leases", "componentstatuses")))
    items = json.loads(api.run(f"kubectl get {ours} -A -o json")[0])["items"]
    return {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in items}


def token(api, account):
    return {"token": api.run(f"kubectl create token {account}")[0].strip()}


def test_the_commands_of_the_docs_are_taken_without_a_warning(api, deployed):
    copy, before, said = deployed
    assert len(said) == 3
    for out, err in said:
        assert "created" in out and "arning" not in err, err
    made = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for path, each in objects() if path.name != "observer-owners.yaml"}  # fmt: skip
    made.add(("Secret", "default", "computelocator"))
    assert everything(api) - before >= made
    # A second time there is nothing to change: the server took every field as it was written.
    for command in COMMANDS:
        if command.startswith("kubectl apply"):
            out, err = api.run(command, copy)
            assert "unchanged" in out and "configured" not in out and "arning" not in err


def test_a_field_that_it_does_not_know_is_refused(api, deployed):
    text = (ROOT / "kubernetes" / "observer.yaml").read_text()
    wrong = deployed[0] / "wrong.yaml"
    wrong.write_text(text.replace("imagePullPolicy", "imagePullPolice"))
    assert 'unknown field "spec.template.spec.containers[0].imagePullPolice"' in api.run(
        f"kubectl apply -f {wrong}", code=1
    )[1]


def templates():
    for _, each in objects():
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            yield {
                "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                "metadata": {"namespace": "default", **template["metadata"], "name": each["metadata"]["name"] + "-0"},
            }  # fmt: skip


@pytest.fixture(scope="module")
def pods(api, deployed):
    """A pod of each Deployment, as its controller would make it; what kubectl said of them."""
    file = api.folder / "pods.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(templates())}))
    return api.run(f"kubectl apply -f {file}")


def test_pods_keep_to_the_restricted_profile(api, pods):
    out, err = pods
    assert out.count("created") == len(list(templates())) and err == ""
    wrong = next(templates())
    wrong["metadata"]["name"] = "wrong"
    wrong["spec"]["securityContext"]["seccompProfile"] = {"type": "Unconfined"}
    status, said = api.ask("POST", "/api/v1/namespaces/default/pods", wrong)
    assert status == 403 and "restricted" in said["message"]


def test_a_prometheus_server_discovers_the_test_apis_once_each(api, pods):
    """The shipped configuration with the rights of its service account, as promtool shows it."""
    for number, size in enumerate(("small", "medium", "large"), 1):
        ip = f"10.0.1.{number}" if number < 3 else "fd00::1"
        path = f"/api/v1/namespaces/default/pods/target-api-{size}-0"
        pod = api.ask("GET", path)[1]
        pod["status"] = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
        assert api.ask("PUT", f"{path}/status", pod)[0] == 200
    config = yaml.safe_load(named("ConfigMap", "prometheus-server")["data"]["prometheus.yml"])
    kubeconfig = api.kubeconfig("prometheus-server", token(api, "prometheus-server"))
    for job in config["scrape_configs"]:
        job.pop("authorization", None), job.pop("tls_config", None)
        for each in job.get("kubernetes_sd_configs", ()):
            each["kubeconfig_file"] = str(kubeconfig)
    path = api.folder / "shipped.yml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [PEERS / "promtool", "check", "service-discovery", "--timeout=10s", path, "pods"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [each["labels"] for each in json.loads(done.stdout) if each.get("labels")]
    assert len(found) == 6  # each has two ports
    assert {(each["__address__"], each["pod"], each["namespace"], each["size"]) for each in found} == {
        ("10.0.1.1:9000", "target-api-small-0", "default", "small"),
        ("10.0.1.2:9000", "target-api-medium-0", "default", "medium"),
        ("[fd00::1]:9000", "target-api-large-0", "default", "large"),
    }
    # Targets that have all labels in common are one.
    assert len({json.dumps(each, sort_keys=True) for each in found}) == 3


def rights(api, user):
    """All that the server says a user may do."""
    status, said = api.ask(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=user
    )
    assert status == 201 and not said["status"]["incomplete"]
    return {
        (group, resource, verb)
        for rule in said["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    } | {
        ("", path, verb)
        for rule in said["status"]["nonResourceRules"]
        for path in rule["nonResourceURLs"]
        for verb in rule["verbs"]
    }


READING = {("", kind, verb) for kind in ("nodes", "pods") for verb in ("get", "list", "watch")}


def test_each_account_may_do_what_it_needs_and_nothing_else(api, deployed):
    nothing = rights(api, token(api, "default"))
    for account in ("observer", "prometheus-server"):
        assert rights(api, token(api, account)) - nothing == READING | {("", "nodes/metrics", "get")}
    api.run("kubectl apply -f kubernetes/observer-owners.yaml", deployed[0])
    owners = {(group, kind, verb) for group, kind in (("apps", "replicasets"), ("batch", "jobs")) for verb in ("get", "list", "watch")}
    assert rights(api, token(api, "observer")) - nothing == READING | owners | {
        ("", "nodes/metrics", "get"),
        ("", "nodes/stats", "get"),
    }
    assert api.ask("GET", "/apis/apps/v1/replicasets", user=token(api, "observer"))[0] == 200
    api.run("kubectl delete -f kubernetes/observer-owners.yaml", deployed[0])


@pytest.mark.parametrize("path", [
    "/api/v1/nodes", "/api/v1/nodes/one", "/api/v1/nodes?watch=1&timeoutSeconds=1",
    "/api/v1/pods", "/api/v1/pods?watch=1&timeoutSeconds=1", "/api/v1/namespaces/default/pods/observer-0",
])  # fmt: skip
@pytest.mark.parametrize("account", ["observer", "prometheus-server"])
def test_what_is_asked_for_is_given(api, pods, account, path):
    api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "one"}})
    assert api.ask("GET", path, user=token(api, account), plain=True)[0] == 200


DENIED = [
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/namespaces/default/secrets/computelocator"),
    ("GET", "/api/v1/namespaces/default/configmaps/prometheus-server"),
    ("GET", "/api/v1/namespaces/default/services"),
    ("GET", "/apis/apps/v1/namespaces/default/deployments"),
    ("GET", "/apis/apps/v1/replicasets"),
    ("GET", "/apis/batch/v1/jobs"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("GET", "/api/v1/namespaces/default/pods/observer-0/log"),
    ("GET", "/api/v1/namespaces/default/pods/observer-0/exec?command=id"),
    ("POST", "/api/v1/namespaces/default/pods/observer-0/exec?command=id"),
    ("POST", "/api/v1/namespaces/default/pods/observer-0/portforward"),
    ("POST", "/api/v1/namespaces/default/pods/observer-0/eviction"),
    ("POST", "/api/v1/namespaces/default/pods"),
    ("DELETE", "/api/v1/namespaces/default/pods/observer-0"),
    ("PATCH", "/api/v1/namespaces/default/pods/observer-0"),
    ("POST", "/api/v1/nodes"),
    ("PATCH", "/api/v1/nodes/one"),
    ("PUT", "/api/v1/nodes/one/status"),
    ("DELETE", "/api/v1/nodes/one"),
    ("GET", "/api/v1/nodes/one/proxy/metrics/cadvisor"),
    ("POST", "/api/v1/nodes/one/proxy/run/default/observer-0/observer?cmd=id"),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/prometheus-server/token"),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
    ("GET", "/metrics"),
    ("GET", "/logs/"),
]


@pytest.mark.parametrize("account", ["observer", "prometheus-server"])
def test_anything_else_is_denied(api, pods, account):
    user = token(api, account)
    for method, path in DENIED:
        body = None if method == "GET" else {}
        status, said = api.ask(method, path, body, user=user)
        assert (status, said["reason"]) == (403, "Forbidden"), (method, path)
        assert f'User "{AS_OBSERVER.replace("observer", account)}" cannot' in said["message"]


def test_what_a_kubelet_asks_of_the_server_about_the_collector(api, deployed):
    """A kubelet sends these reviews before it answers: /metrics/cadvisor is nodes/metrics."""

    def allowed(subresource, verb="get"):
        resource = {"verb": verb, "resource": "nodes", "subresource": subresource, "name": "one"}
        made = {"spec": {"user": AS_OBSERVER, "groups": ["system:serviceaccounts", "system:authenticated"],
                         "resourceAttributes": resource}}  # fmt: skip
        status, said = api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", made)
        assert status == 201
        return said["status"]["allowed"]

    assert allowed("metrics")
    assert not allowed("metrics", "create")
    assert not any(map(allowed, ("proxy", "stats", "log", "pods", "configz", "healthz", "checkpoint")))
    review = {"spec": {"token": token(api, "observer")["token"]}}
    status, said = api.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert status == 201 and said["status"]["user"]["username"] == AS_OBSERVER


def test_the_commands_of_the_docs_leave_nothing_behind(api, deployed):
    copy, before, _ = deployed
    api.ask("DELETE", "/api/v1/nodes/one")
    api.run("kubectl apply -f kubernetes/observer-owners.yaml", copy)
    everything_else, rest = (command for command in COMMANDS if command.startswith("kubectl delete"))
    api.run(everything_else, copy)
    left = {kind for kind, *_ in everything(api) - before}
    assert left == {"ConfigMap", "Secret", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
    api.run(rest, copy)
    # The server makes its own service again, which `all` had among it.
    wait_for(lambda: everything(api) == before)


@pytest.fixture(scope="module")
def cluster(api, simulated):
    """The nodes and pods of the simulated cluster as objects of the real server, and a user with the
    collector's role: its certificate is one that both the server and the kubelets take."""
    api.run("kubectl apply -f kubernetes/observer.yaml", ROOT)
    api.run("kubectl create clusterrolebinding viewers --clusterrole=computelocator-observer --group=viewers")
    listed = subprocess.run(
        [PEERS / "kubectl", f"--kubeconfig={simulated.kubeconfig}", "get", "nodes,pods", "-A", "-o", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    items = json.loads(listed.stdout)["items"]
    for namespace in {each["metadata"].get("namespace") for each in items} - {None}:
        api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        account = {"metadata": {"name": "default"}}
        assert api.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", account)[0] == 201

    def create(each):
        kept = {key: each["metadata"][key] for key in ("name", "labels", "ownerReferences") if key in each["metadata"]}
        space = each["metadata"].get("namespace")
        path = f"/api/v1/namespaces/{space}/pods" if space else "/api/v1/nodes"
        status, made = api.ask("POST", path, {**each, "metadata": kept})
        assert status == 201, made
        if space:  # a node keeps the status that it is made with
            status, made = api.ask("PUT", f"{path}/{kept['name']}/status", {**made, "status": each["status"]})
            assert status == 200, made

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, items))
    user = {f"client-{part}-data": re.search(rf"client-{part}-data: (\S+)", Path(simulated.kubeconfig).read_text())[1]
            for part in ("certificate", "key")}  # fmt: skip
    return api.kubeconfig("collector", user, field(simulated.kubeconfig, "certificate-authority-data"))


def test_the_tables_over_the_real_server_are_those_over_the_simulated_one(api, simulated, cluster):
    before = api.audited("demo")
    real = cl.scrape(kubeconfig=cluster, route="direct")
    assert real.failed == 0 and real.targets == NODES
    theirs = cl.scrape(kubeconfig=simulated.kubeconfig, route="direct")
    for table in ("nodes", "pods", "containers"):
        ours, expected = (getattr(each, table)() for each in (real, theirs))
        keys = [key for key in ("node", "namespace", "pod", "container") if key in ours]
        ours, expected = (each.astype(dict.fromkeys(keys, str)).sort_values(keys, ignore_index=True) for each in (ours, expected))
        pd.testing.assert_frame_equal(ours, expected, check_categorical=False)
    assert len(real.pods()) == NODES * PODS
    # It lists in pieces of 500, and asks for nothing else.
    asked = api.audited("demo")[len(before):]
    assert {(verb, code) for verb, _, _, code in asked} == {("list", 200)}
    uris = {kind: [uri for _, resource, uri, _ in asked if resource == kind] for kind in ("nodes", "pods")}
    assert [len(each) for each in uris.values()] == [2, 3] and len(asked) == 5
    for kind, (first, *more) in uris.items():
        assert first == f"/api/v1/{kind}?limit=500"
        assert all(uri.startswith(f"{first}&continue=") for uri in more)


def test_namespaces_and_selectors_are_left_to_the_server(cluster):
    some = cl.scrape(kubeconfig=cluster, route="direct", node_selector="kubernetes.io/hostname in (node-003, node-509)")
    assert some.nodes()["node"].tolist() == ["node-003", "node-509"]
    with pytest.raises(cl.ComputeLocatorError, match="unable to parse requirement.*check the selectors"):
        cl.scrape(kubeconfig=cluster, node_selector="a in b")


def test_what_a_user_lacks_is_said(api, cluster):
    api.run("kubectl create serviceaccount half; kubectl create clusterrole half --verb=get,list --resource=nodes;"
            "kubectl create clusterrolebinding half --clusterrole=half --serviceaccount=default:half")  # fmt: skip
    one = {"node_selector": "kubernetes.io/hostname=node-000", "route": "direct"}
    half = api.kubeconfig("half", token(api, "half"))
    with pytest.warns(UserWarning, match="1 of 1 nodes failed"):
        snap = cl.scrape(kubeconfig=half, **one)
    assert re.search(
        r'User "system:serviceaccount:default:half" cannot list resource "pods".*allow `get` and `list` on pods',
        snap.pods_unknown_because,
    )
    nobody = api.kubeconfig("nobody", token(api, "default"))
    with pytest.raises(cl.AuthError, match='cannot list resource "nodes".*allow `get` and `list` on nodes'):
        cl.scrape(kubeconfig=nobody, **one)
    wrong = api.kubeconfig("wrong", {"token": "wrong"})
    with pytest.raises(cl.AuthError, match="401: Unauthorized.*renew the token"):
        cl.scrape(kubeconfig=wrong, **one)
