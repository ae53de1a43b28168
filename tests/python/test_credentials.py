# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Credentials of a kubeconfig that change while we run: exec plugins, certificates on disk."""

import json
import ssl
import subprocess
import sys
import time

import computelocator as cl
import pytest
from evil_kubelet import Authority, Cluster, Peers, Proxy, SocksProxy, answer, says

VERSION = "client.authentication.k8s.io/v1"
CLIENT = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path, authority):
    with Peers() as peers:
        made = Cluster(tmp_path, peers, authority)
        made.known = lambda request: True
        served = made.api.script

        def script(n, request):
            return served(n, request) if made.known(request) else [answer(b"{}", status="401 Unauthorized")]

        made.api.script = script
        made.peers = peers
        made.node("node", peers.add(says(answer()), authority.server("node")))
        yield made


class Plugin:
    """A program that writes down how it was run, and says what `body` says."""

    def __init__(self, folder, body, *, args="[]", more=""):
        self.path, self.log = folder / "plugin", folder / "runs"
        self.path.write_text(
            f"#!{sys.executable}\nimport json, os, subprocess, sys, time\n"
            f"open({str(self.log)!r}, 'a').write(json.dumps([sys.argv[1:], os.environ['KUBERNETES_EXEC_INFO'], os.environ.get('GIVEN')]) + '\\n')\n"
            f"n = len(open({str(self.log)!r}).readlines())\n"
            "def give(**status):\n"
            f"    print(json.dumps(dict(apiVersion={VERSION!r}, kind='ExecCredential', status=status)), flush=True)\n"
            "def later(seconds):\n"
            "    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + seconds))\n" + body + "\n"
        )
        self.path.chmod(0o700)
        self.user = f"{{exec: {{apiVersion: {VERSION}, interactiveMode: Never, command: ./plugin, args: {args}{more}}}}}"

    def runs(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


def tokens(peer):
    return [line for each in peer.requests for line in each.decode().split("\r\n") if "Authorization" in line]


def test_the_token_of_a_plugin_goes_to_cluster_and_nodes(cluster, tmp_path):
    plugin = Plugin(tmp_path, "give(token='given-by-plugin')", args="[get, '--a b']",
                    more=", env: [{name: GIVEN, value: 'x y'}], provideClusterInfo: true")  # fmt: skip
    collector = cl.Collector(kubeconfig=cluster.config(user=plugin.user), route="direct")
    assert plugin.runs() == []  # nothing is run before it is needed
    for _ in range(3):
        assert collector.sweep().failed == 0
    ((args, info, given),) = plugin.runs()
    assert (args, given) == (["get", "--a b"], "x y")
    info = json.loads(info)
    assert info["kind"] == "ExecCredential" and info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == f"https://127.0.0.1:{cluster.api.port}"
    for peer in (cluster.api, cluster.nodes["node"]):
        assert set(tokens(peer)) == {"Authorization: Bearer given-by-plugin"}
        assert peer.connections <= 2  # and connections are kept


def test_a_plugin_is_asked_again_when_its_token_expires(cluster, tmp_path):
    plugin = Plugin(tmp_path, "give(token=f'token-{n}', expirationTimestamp=later(20 if n == 1 else 3600))")
    collector = cl.Collector(kubeconfig=cluster.config(user=plugin.user), route="direct")
    for _ in range(3):
        assert collector.sweep().failed == 0
    assert len(plugin.runs()) == 2
    assert [line[-1] for line in tokens(cluster.nodes["node"])] == ["1", "2", "2"]


def test_a_plugin_is_asked_again_once_when_its_token_is_refused(cluster, tmp_path):
    plugin = Plugin(tmp_path, "give(token=f'token-{n}', expirationTimestamp=later(3600))")
    collector = cl.Collector(kubeconfig=cluster.config(user=plugin.user), route="direct")
    assert collector.sweep().failed == 0
    cluster.known = lambda request: b"token-2" in request
    assert collector.sweep().failed == 0
    assert len(plugin.runs()) == 2
    cluster.known = lambda request: False
    with pytest.raises(cl.AuthError, match="401"):
        collector.sweep()
    assert len(plugin.runs()) == 3


def test_a_plugin_gives_a_certificate(cluster, authority, tmp_path):
    certificate, key = authority.issue("of-plugin", CLIENT)
    for peer in (cluster.api, cluster.nodes["node"]):
        peer.context.verify_mode = ssl.CERT_REQUIRED
        peer.context.load_verify_locations(authority.root[0])
    body = f"give(clientCertificateData=open({str(certificate)!r}).read(), clientKeyData=open({str(key)!r}).read())"
    plugin = Plugin(tmp_path, body)
    assert cl.scrape(kubeconfig=cluster.config(user=plugin.user), route="direct").failed == 0
    assert tokens(cluster.api) == []


JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImNhbmFyeSJ9.eyJpc3MiOiJjYW5hcnkifQ.canarycanary"
K17 = {
    "prints without end": ("while True: print('canary' * 1000)", "wrote more than 1048576 bytes"),
    "wrong JSON": ("print('{canary')", "printed what is no JSON object"),
    "expired": ("give(token='canary', expirationTimestamp='2020-01-01T00:00:00Z')", "expired at 2020-01-01T00:00:00Z"),
    "exits with 1": (
        f"print('please log in\\x1b[2J, not {JWT}, nor short-canary', file=sys.stderr); give(token='short-canary'); sys.exit(1)",
        r"ended with status 1: please log in\\x1b\[2J, not \[secret\], nor \[secret\]; log in as it asks for",
    ),
    "a long complaint": ("sys.stderr.write('no ' * 100000); sys.exit(9)", r"ended with status 9: no no .*\.\.\.;"),
    "killed": ("os.kill(os.getpid(), 9)", "ended with status 137"),
}  # fmt: skip


@pytest.mark.parametrize("name", K17)
def test_plugins_that_give_nothing(cluster, tmp_path, name):
    body, said = K17[name]
    plugin = Plugin(tmp_path, body)
    with pytest.raises(cl.ComputeLocatorError, match=said) as caught:
        cl.scrape(kubeconfig=cluster.config(user=plugin.user), route="direct")
    assert isinstance(caught.value, (cl.AuthError, cl.ConfigurationError)) or "1048576" in str(caught.value)
    assert str(plugin.path.name) in str(caught.value) and "canary" not in str(caught.value)
    assert len(str(caught.value)) < 1500 and str(caught.value).isprintable()
    assert cluster.api.connections == 0


def test_a_plugin_that_hangs_is_killed_with_its_children(cluster, tmp_path):
    children = tmp_path / "children"
    body = f"open({str(children)!r}, 'w').write(str(subprocess.Popen(['sleep', '300']).pid)); time.sleep(300)"
    plugin = Plugin(tmp_path, body)
    begun = time.monotonic()
    with pytest.raises(cl.ScrapeTimeout, match="did not end within 10000 ms and was killed"):
        cl.scrape(kubeconfig=cluster.config(user=plugin.user), route="direct")
    assert 9 < time.monotonic() - begun < 200  # it would have slept for 300 s
    state = subprocess.run(["ps", "-o", "stat=", "-p", children.read_text()], capture_output=True, text=True).stdout
    assert state.strip()[:1] in ("", "Z")


def test_a_plugin_whose_child_holds_the_pipe_is_not_waited_for(cluster, tmp_path):
    plugin = Plugin(tmp_path, "give(token='t'); subprocess.Popen(['sleep', '300'])")
    begun = time.monotonic()
    assert cl.scrape(kubeconfig=cluster.config(user=plugin.user), route="direct").failed == 0
    assert time.monotonic() - begun < 200  # the child sleeps for 300 s


def test_plugins_are_off_in_a_pod_unless_allowed(cluster, tmp_path, monkeypatch):
    plugin = Plugin(tmp_path, "give(token='t')")
    options = {"kubeconfig": cluster.config(user=plugin.user), "route": "direct"}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(cl.ConfigurationError, match="exec_plugins"):
        cl.scrape(**options)
    assert cl.scrape(**options, exec_plugins="allow").failed == 0
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(cl.ConfigurationError, match="exec_plugins"):
        cl.scrape(**options, exec_plugins="deny")
    with pytest.raises(ValueError, match="cannot be"):
        cl.scrape(**options, exec_plugins="yes")
    assert len(plugin.runs()) == 1


def test_a_client_certificate_that_is_rotated_on_disk(cluster, authority, tmp_path):
    """Certificate and key are two files: while only one of them is new, what was before is shown."""
    shown = []
    for peer in (cluster.api, cluster.nodes["node"]):
        peer.context.verify_mode = ssl.CERT_REQUIRED
        peer.context.load_verify_locations(authority.root[0])
        peer.on_handshake = lambda tls: shown.append(dict(tls.getpeercert()["subject"][0])["commonName"])
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    first, second = (authority.issue(name, CLIENT) for name in ("first", "second"))
    certificate.write_bytes(first[0].read_bytes())
    key.write_bytes(first[1].read_bytes())
    user = f"{{client-certificate: {certificate}, client-key: {key}}}"
    collector = cl.Collector(kubeconfig=cluster.config(user=user), route="direct")

    def sweep():
        for peer in (cluster.api, cluster.nodes["node"]):
            peer.hang_up()
        shown.clear()
        assert collector.sweep().failed == 0
        return set(shown)

    assert sweep() == {"first"}
    certificate.write_bytes(second[0].read_bytes())
    assert sweep() == {"first"}
    key.write_bytes(second[1].read_bytes())
    assert sweep() == {"second"}


def by(cluster, proxy, scheme="http"):
    return cluster.config(cluster=f", proxy-url: '{scheme}://127.0.0.1:{proxy.port}'", user="{token: canary-token}")


def test_a_proxy_carries_tls_to_the_api_server_alone(cluster):
    proxy = cluster.peers.start(Proxy())
    collector = cl.Collector(kubeconfig=by(cluster, proxy), route="direct")
    for _ in range(2):
        assert collector.sweep().failed == 0
    whom = f"127.0.0.1:{cluster.api.port}"
    assert {each.decode() for each in proxy.requests} == {
        f"CONNECT {whom} HTTP/1.1\r\nHost: {whom}\r\nUser-Agent: computelocator\r\n\r\n"
    }
    assert proxy.connections == cluster.api.connections <= 2  # kept between sweeps
    assert b"canary-token" not in proxy.raw and b"/api/v1" not in proxy.raw
    assert set(tokens(cluster.nodes["node"])) == {"Authorization: Bearer canary-token"}


def test_a_proxy_that_connects_elsewhere_gets_nothing(cluster, authority):
    """The certificate is the API server's to show: whoever stands at the end of the tunnel."""
    thief = cluster.peers.add(says(answer()), authority.server("thief", san="IP:127.0.0.9"))
    proxy = cluster.peers.start(Proxy())
    config = by(cluster, proxy)
    config.write_text(config.read_text().replace(f":{cluster.api.port}'", f":{thief.port}'"))
    with pytest.raises(cl.TLSError, match="not for 127.0.0.1"):
        cl.scrape(kubeconfig=config)
    assert bytes(thief.heard) == b"" and b"canary-token" not in proxy.raw


REFUSALS = {
    "forbidden": (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered CONNECT with 403 Forbidden; check proxy-url"),
    "login": (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "asks for a login, which is not supported"),
    "closes": (b"HTTP/1.1 200", "did not answer CONNECT"),
    "header without end": (b"A" * 40000, "did not answer CONNECT"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP/1.1"),
    "speaks on": (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", "sent more than an answer to CONNECT"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_proxies_that_refuse(cluster, name):
    refusal, said = REFUSALS[name]
    proxy = cluster.peers.start(Proxy(refusal))
    with pytest.raises(cl.ComputeLocatorError, match=f"the proxy 127.0.0.1:{proxy.port} {said}"):
        cl.scrape(kubeconfig=by(cluster, proxy))
    assert cluster.api.connections == 0 and b"canary-token" not in proxy.raw


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_away(cluster, scheme):
    proxy = cluster.peers.start(Proxy())
    cluster.peers.stop(proxy)
    with pytest.raises(cl.NodeUnreachable, match=f"the proxy 127.0.0.1:{proxy.port}: the connection was refused"):
        cl.scrape(kubeconfig=by(cluster, proxy, scheme))


# What a proxy may say of the address that it connects from: IPv4, IPv6, a name.
FROM = {"1": b"\1\x7f\0\0\1\0\1", "4": b"\4" + b"\0" * 15 + b"\1\0\1", "3": b"\3\x05proxy\0\1"}


@pytest.mark.parametrize("kind", FROM)
def test_a_socks_proxy_carries_tls_to_the_api_server_alone(cluster, kind):
    proxy = cluster.peers.start(SocksProxy(reply=b"\5\0\0" + FROM[kind]))
    collector = cl.Collector(kubeconfig=by(cluster, proxy, "socks5"), route="direct")
    for _ in range(2):
        assert collector.sweep().failed == 0
    port = cluster.api.port.to_bytes(2, "big")
    assert set(proxy.requests) == {b"\5\1\0", b"\5\1\0\1\x7f\0\0\1" + port}
    assert proxy.connections == cluster.api.connections <= 2  # kept between sweeps
    assert b"canary-token" not in proxy.raw and b"/api/v1" not in proxy.raw
    assert set(tokens(cluster.nodes["node"])) == {"Authorization: Bearer canary-token"}


def test_a_socks_proxy_resolves_names(cluster):
    proxy = cluster.peers.start(SocksProxy(names={"api.invalid": "127.0.0.1"}))
    config = by(cluster, proxy, "socks5")
    text = config.read_text().replace(f"https://127.0.0.1:{cluster.api.port}", f"https://api.invalid:{cluster.api.port}")
    config.write_text(text.replace(", proxy-url", ", tls-server-name: 127.0.0.1, proxy-url"))
    assert cl.scrape(kubeconfig=config, route="direct", allowed_ranges="127.0.0.0/8").failed == 0
    assert b"\5\1\0\3\x0bapi.invalid" + cluster.api.port.to_bytes(2, "big") in proxy.requests


SOCKS_REFUSALS = {
    "login": ({"greeting": b"\5\xff"}, "asks for a login, which is not supported"),
    "closes": ({"greeting": b"\5"}, "did not answer SOCKS"),
    "no SOCKS": ({"greeting": b"HT"}, "does not speak SOCKS 5"),
    "forbidden": ({"reply": b"\5\2\0\1\0\0\0\0\0\0"}, "does not allow this connection; check proxy-url"),
    "unreachable": ({"reply": b"\5\4\0\1\0\0\0\0\0\0"}, "found the host unreachable"),
    "a code of its own": ({"reply": b"\5\x63\0\1\0\0\0\0\0\0"}, "answered SOCKS with 99"),
    "closes later": ({"reply": b"\5\2"}, "did not answer SOCKS"),
    "SOCKS 4": ({"reply": b"\0\x5a\0\0\0\0\0\0"}, "does not speak SOCKS 5"),
    "no such address": ({"reply": b"\5\0\0\x09\0\0\0\0\0\0"}, "does not speak SOCKS 5"),
    "address cut off": ({"reply": b"\5\0\0\4\0\0"}, "did not answer SOCKS"),
}


@pytest.mark.parametrize("name", SOCKS_REFUSALS)
def test_socks_proxies_that_refuse(cluster, name):
    script, said = SOCKS_REFUSALS[name]
    proxy = cluster.peers.start(SocksProxy(**script, only_says=True))
    with pytest.raises(cl.ComputeLocatorError, match=f"the proxy 127.0.0.1:{proxy.port} {said}"):
        cl.scrape(kubeconfig=by(cluster, proxy, "socks5"))
    assert cluster.api.connections == 0 and b"canary-token" not in proxy.raw
