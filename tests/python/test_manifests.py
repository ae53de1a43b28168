# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The manifests: Kubernetes takes each of them, and none asks for more than it needs."""

import argparse
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from servers import PEERS, built

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; `make setup` installs it")
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kubernetes"
API = FOLDER / "service_registry" / "custom_aggregation_api"
# `kubectl apply -f DIR` takes these of the folder itself.
APPLIED = (".yaml", ".yml", ".json")


def files():
    return [path for path in sorted(FOLDER.rglob("*")) if path.suffix in APPLIED and path.name != "secret.yaml"]


def objects():
    return [(path, each) for path in files() for each in yaml.safe_load_all(path.read_text())]


def pods():
    for path, each in objects():
        if each["kind"] == "Deployment":
            yield path, each["metadata"]["name"], each["spec"]["template"]["spec"]


def named(kind, name):
    (found,) = [each for _, each in objects() if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def test_the_folders_hold_what_the_commands_name():
    assert {path.relative_to(FOLDER).as_posix() for path in files()} == {
        "containers.yaml", "observer.yaml", "observer-owners.yaml", "service_registry/prometheus-server.yaml",
        "target_apis/small.yaml", "target_apis/medium.yaml", "target_apis/large.yaml",
    }  # fmt: skip
    assert (API / "Dockerfile").is_file()
    assert named("Deployment", "prometheus-server")


def test_every_file_is_a_manifest_in_the_default_namespace():
    for path, each in objects():
        assert each["apiVersion"] and each["kind"] and each["metadata"]["name"], path
        assert each["metadata"].get("namespace", "default") == "default", path
        if not each["kind"].startswith("ClusterRole"):
            assert each["metadata"]["namespace"] == "default", path
    assert not [path for path in API.iterdir() if path.suffix in APPLIED]


@pytest.mark.parametrize("version", ["1.28", "1.32", "1.34"])
def test_kubernetes_takes_them(version):
    """Against the schemas of Kubernetes' own releases, unknown fields refused."""
    validate = pytest.importorskip("kubernetes_validate", reason="the schemas are not installed; `make setup` installs them")
    for _, each in objects():
        validate.validate(each, version, strict=True)


def test_kubernetes_would_refuse_a_field_that_it_does_not_know():
    validate = pytest.importorskip("kubernetes_validate", reason="the schemas are not installed; `make setup` installs them")
    wrong = named("Deployment", "observer")
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Never"
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, "1.34", strict=True)


def rules(name):
    return {
        (group, resource, verb)
        for rule in named("ClusterRole", name)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_least_privilege():
    reading = {("", resource, verb) for resource in ("nodes", "pods") for verb in ("get", "list", "watch")}
    needed = reading | {("", "nodes/metrics", "get")}
    assert rules("computelocator-observer") == needed
    assert rules("computelocator-prometheus-server") == needed
    assert rules("computelocator-observer-owners") == {
        *(("apps", "replicasets", verb) for verb in ("get", "list", "watch")),
        *(("batch", "jobs", verb) for verb in ("get", "list", "watch")),
        ("", "nodes/stats", "get"),
    }
    roles = [each for _, each in objects() if each["kind"] in ("Role", "ClusterRole")]
    assert len(roles) == 3 and all("nonResourceURLs" not in rule for role in roles for rule in role["rules"])
    bindings = [each for _, each in objects() if each["kind"].endswith("Binding")]
    assert {(each["roleRef"]["name"], *(s["name"] for s in each["subjects"])) for each in bindings} == {
        ("computelocator-observer", "observer"),
        ("computelocator-observer-owners", "observer"),
        ("computelocator-prometheus-server", "prometheus-server"),
    }


def test_only_who_asks_the_api_server_has_a_token():
    for path, name, spec in pods():
        reaches = name in ("observer", "prometheus-server")
        assert spec["automountServiceAccountToken"] is reaches, path
        assert ("serviceAccountName" in spec) is reaches, path


def test_pod_security_restricted():
    """As the profile of that name defines it."""
    for path, name, spec in pods():
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec), path
        whole = spec["securityContext"]
        assert whole["runAsNonRoot"] is True and whole["runAsUser"] > 0, path
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}, path
        for volume in spec.get("volumes", ()):
            assert set(volume) - {"name"} <= {"configMap", "emptyDir", "secret", "projected"}, path
        for each in spec["containers"]:
            own = each["securityContext"]
            assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True, name
            assert own["capabilities"] == {"drop": ["ALL"]} and "privileged" not in own, name
            assert not any("hostPort" in port for port in each.get("ports", ())), name
            assert {"cpu", "memory"} == set(each["resources"]["limits"]) == set(each["resources"]["requests"])


def test_one_image_that_is_never_pulled():
    for _, _name, spec in pods():
        for each in spec["containers"]:
            if each["image"] == "cluster_api":
                assert each["imagePullPolicy"] == "Never"
            else:
                assert re.fullmatch(r"prom/prometheus:v\d+\.\d+\.\d+", each["image"])


def test_sizes_of_the_test_api():
    for size, cpu, memory in (("small", "100m", "1Gi"), ("medium", "250m", "2Gi"), ("large", "500m", "4Gi")):
        made = named("Deployment", f"target-api-{size}")
        template = made["spec"]["template"]
        assert template["metadata"]["labels"] == {"app": "target-api", "size": size}
        assert template["metadata"]["annotations"]["prometheus.io/port"] == "9000"
        (only,) = template["spec"]["containers"]
        assert only["resources"]["limits"] == {"cpu": cpu, "memory": memory}


def test_arguments_are_ones_that_the_command_line_takes():
    from computelocator.cli import parser

    seen = set()
    for path, name, spec in pods():
        for each in spec["containers"]:
            verb = (each.get("command") or [""])[0]
            if verb == "computelocator":
                try:
                    options = parser().parse_args([*each["command"][1:], *each["args"]])
                except (SystemExit, argparse.ArgumentError):
                    pytest.fail(f"{path}: {name}: {each['args']}")
                assert options.verb == each["command"][1]
                seen.add(options.verb)
                ports = {port["containerPort"] for port in each["ports"]}
                assert options.verb == "workload" or options.probe_listen[1] in ports
            elif verb == "python3":
                compile(each["args"][0], name, "exec")
    assert seen == {"observe", "aggregate", "workload"}


def test_what_listens_beyond_loopback_wants_a_token_over_tls():
    from computelocator.cli import parser

    (observer,) = named("Deployment", "observer")["spec"]["template"]["spec"]["containers"]
    options = parser().parse_args([*observer["command"][1:], *observer["args"]])
    assert options.listen[0] == "0.0.0.0" and options.token_file and options.tls_certificate
    assert options.kubelet_tls == "pin" and "--kubelet-tls=verify" in (FOLDER / "observer.yaml").read_text()
    registry = named("Deployment", "prometheus-server")["spec"]["template"]["spec"]["containers"]
    prometheus, aggregate = registry
    options = parser().parse_args([*aggregate["command"][1:], *aggregate["args"]])
    assert options.listen == ("127.0.0.1", 8080)
    assert "--web.listen-address=127.0.0.1:9090" in prometheus["args"]


def test_the_configuration_of_the_prometheus_server_is_read(tmp_path):
    text = named("ConfigMap", "prometheus-server")["data"]["prometheus.yml"]
    made = yaml.safe_load(text)
    assert [job["job_name"] for job in made["scrape_configs"]] == ["cadvisor", "pods", "observer"]
    if not built("promtool"):
        pytest.skip("promtool is not built; `make peers` builds it")
    path = tmp_path / "prometheus.yml"
    path.write_text(text)
    done = subprocess.run([PEERS / "promtool", "check", "config", "--syntax-only", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_prometheus_server_is_the_one_that_tests_run():
    prometheus, _ = named("Deployment", "prometheus-server")["spec"]["template"]["spec"]["containers"]
    module = (ROOT / "tests" / "peers" / "prometheus" / "go.mod").read_text()
    # The server's v3.16.0 is its Go module's v0.316.0.
    major, minor, patch = re.search(r"prometheus/prometheus v0\.(\d)(\d\d)\.(\d+)", module).groups()
    assert prometheus["image"] == f"prom/prometheus:v{major}.{int(minor)}.{patch}"


def checkout(folder):
    """Copy the files that git knows into a repository of their own; nothing that was made is among them."""
    if not shutil.which("openssl") or not (ROOT / ".git").exists():
        pytest.skip("this needs openssl (apt install openssl) and a checkout by git, not an unpacked archive")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def test_the_context_of_the_image_is_made(tmp_path):
    """`make image-context` in a copy: sources alone, a Secret of its own, and the same Secret again."""
    copy = checkout(tmp_path / "copy")
    subprocess.run(["tools/image-context"], cwd=copy, check=True, capture_output=True)
    folder = copy / API.relative_to(ROOT) / "dist"
    (made,) = folder.iterdir()
    with tarfile.open(made) as sources:
        names = sources.getnames()
    assert any(name.endswith("/pyproject.toml") for name in names)
    assert any(name.endswith("/src/CMakeLists.txt") for name in names)
    secret = copy / "kubernetes" / "service_registry" / "secret.yaml"
    assert os.stat(secret).st_mode & 0o77 == 0
    first = secret.read_text()
    data = yaml.safe_load(first)
    assert data["kind"] == "Secret" and set(data["data"]) == {"token", "tls.crt", "tls.key"}
    subprocess.run(["tools/image-context"], cwd=copy, check=True, capture_output=True)
    assert secret.read_text() == first
    ignored = subprocess.run(["git", "status", "--porcelain", "--ignored"], cwd=copy, capture_output=True, text=True)
    assert "!! kubernetes/service_registry/secret.yaml" in ignored.stdout
