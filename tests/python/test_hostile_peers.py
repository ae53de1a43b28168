# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""One sweep over a hundred hostile nodes and some good ones, and what became of each.

The letters are those of the classes of faults: H for HTTP, T for TLS. Tested elsewhere, and not again here:

=========  =====================================================================================
H2         tests/cpp/scrape_test.cpp, fault ``unreachable``: a port that swallows SYN
H8 to H15  tests/cpp/http_response_test.cpp: each spelling of lengths, encodings, chunks, trailers
           and fields, in pieces of 1, 7 and all bytes; here those that are not there, and one of
           each class over a socket
H20        tests/cpp/inflate_test.cpp: every cut, every flipped bit; here what a header may claim
H25        needs a kernel with tc and nftables; here a peer that lets each byte wait (H4 to H6)
T21        also tests/cpp/scrape_test.cpp: keys held over failures and processes
=========  =====================================================================================
"""

import gzip
import json
import re
import resource
import ssl
import subprocess
import sys
import threading
import time
import warnings
import zlib
from contextlib import suppress

import computelocator as cl
import pytest
from evil_kubelet import (
    DROP,
    HEAR,
    HOLD,
    PAGE,
    RESET,
    Authority,
    Cluster,
    Peers,
    answer,
    drip,
    endless,
    in_turn,
    says,
)

TOKEN = b"canary-token"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
LIMIT = 4 << 20  # max_page_bytes of the sweep
TIMEOUT = 3.0
GOOD = 8


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def gzipped(data, name=b"", extra=b""):
    flags = (8 if name else 0) | (4 if extra else 0)
    pack = zlib.compressobj(wbits=-15)
    return (
        b"\x1f\x8b\x08" + bytes([flags]) + bytes(6)
        + (len(extra).to_bytes(2, "little") + extra if extra else b"") + (name + b"\0" if name else b"")
        + pack.compress(data) + pack.flush()
        + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    )  # fmt: skip


PACKED = gzipped(PAGE)
BOMB = gzip.compress(bytes(64 << 20))


def length(of, body=PAGE):
    return HEAD + b"Content-Length: " + of + b"\r\n\r\n" + body


def encoded(body, how="gzip"):
    return [answer(body, f"Content-Encoding: {how}")]


# name: (script, error); "" is a node that gives its page.
HTTP = {
    "h4-silent": (says(HOLD), "timed_out"),
    "h5-status-line-drips": (lambda n, request: drip(answer()), "timed_out"),
    "h6-body-drips": (lambda n, request: [HEAD + b"Content-Length: 99\r\n\r\n", *([b"a", 0.05] * 99)], "timed_out"),
    "h7-mid-header": (says(HEAD + b"Content-Le", DROP), "truncated"),
    "h7-mid-body": (says(answer()[:-5], DROP), "truncated"),
    "h7-mid-chunk": (says(CHUNKED + chunk(PAGE)[:-9], DROP), "truncated"),
    "h7-before-last-chunk": (says(CHUNKED + chunk(PAGE), DROP), "truncated"),
    "h7-reset-in-body": (says(answer()[:-5], 0.1, RESET), "truncated"),
    "h7-nothing": (says(DROP), "connection_lost"),
    "h8-list-of-lengths": (says(length(b"5,6")), "http_malformed"),
    "h8-no-length": (says(length(b"")), "http_malformed"),
    "h8-long": (says(length(b"99999"), DROP), "truncated"),
    "h9-both": (says(CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n" + chunk(PAGE)), "http_malformed"),
    "h9-blank-that-is-none": (says(CHUNKED.replace(b"chunked", b"\xa0chunked") + chunk(PAGE)), "http_malformed"),
    "h9-chunked-chunked": (says(CHUNKED.replace(b"chunked", b"chunked, chunked") + chunk(PAGE)), "http_malformed"),
    "h10-underscore": (says(CHUNKED + b"1_0\r\n" + PAGE), "http_malformed"),
    "h10-bare-line-feed": (says(CHUNKED + b"5\nhello\r\n0\r\n\r\n"), "http_malformed"),
    "h11-extension": (lambda n, request: endless(CHUNKED + b"1;", b"x" * 65536), "too_large"),
    "h11-extension-each": (lambda n, request: endless(CHUNKED, b"1;" + b"x" * 8000 + b"\r\na\r\n"), "too_large"),
    "h12-trailers": (lambda n, request: endless(CHUNKED + chunk(PAGE) + b"0\r\n", b"A: b\r\n" * 9999), "too_large"),
    "h12-trailer-of-framing": (
        says(CHUNKED + chunk(PAGE) + b"0\r\nContent-Length: 5\r\n\r\n"), "http_malformed"),
    "h12-trailer-of-credentials": (says(CHUNKED + chunk(PAGE) + b"0\r\nAuthorization: x\r\n\r\n"), ""),
    "h13-endless-chunks": (lambda n, request: endless(CHUNKED, chunk(b"# a line\n" * 7000)), "too_large"),
    "h13-endless": (lambda n, request: endless(HEAD + b"\r\n", b"# a line\n" * 7000), "http_malformed"),
    "h14-endless-field": (lambda n, request: endless(HEAD + b"A: ", b"x" * 65536), "too_large"),
    "h14-many-fields": (lambda n, request: endless(HEAD, b"A: b\r\n" * 9999), "too_large"),
    "h14-folded": (says(answer().replace(b"\r\n", b"\r\nA: b\r\n c\r\n", 1)), ""),
    "h14-return-in-value": (says(HEAD + b"A: b\rc\r\nContent-Length: 5\r\n\r\nhello"), "http_malformed"),
    "h15-continue": (says(b"HTTP/1.1 100 Continue\r\n\r\n", answer()), ""),
    "h15-flood": (lambda n, request: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), "http_malformed"),
    "h15-switching": (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", answer()), "http_malformed"),
    "h16-http-09": (says(PAGE, DROP), "http_malformed"),
    "h16-http-10-kept": (says(answer().replace(b"1.1", b"1.0").replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)), ""),
    "h16-http-2": (says(bytes.fromhex("000012040000000000000300000080000400010000000500ffffff"), DROP), "http_malformed"),
    "h17-no-content": (says(HEAD.replace(b"200", b"204") + b"\r\n" + PAGE), "http_status"),
    "h17-not-modified": (says(HEAD.replace(b"200", b"304") + b"\r\n" + PAGE), "redirect_refused"),
    "h17-two-answers": (says(answer() + answer()), ""),
    "h19-401": (says(answer(b"", status="401 Unauthorized")), "unauthorized"),
    "h19-403": (says(answer(b"", status="403 Forbidden")), "forbidden"),
    "h19-404": (says(answer(b"", status="404 Not Found")), "not_found"),
    "h19-429-then-well": (in_turn([answer(b"", "Retry-After: 1", status="429 Too Many Requests")], [answer()]), ""),
    "h19-429-for-ever": (says(answer(b"", "Retry-After: 1000000000", status="429 Too Many")), "too_many_requests"),
    "h19-429-of-the-past": (
        in_turn([answer(b"", "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", status="429 Too Many")], [answer()]), ""),
    "h19-500": (says(answer(b"", status="500 Internal Server Error")), "http_status"),
    "h19-503": (says(answer(b"", status="503 Service Unavailable")), "http_status"),
    "h20-bomb": (says(*encoded(BOMB)), "too_large"),
    "h20-members": (says(*encoded(gzipped(PAGE[:700]) + gzipped(PAGE[700:]))), ""),
    "h20-bad-sum": (says(*encoded(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:])), "bad_encoding"),
    "h20-bad-size": (says(*encoded(PACKED[:-4] + b"\0\0\0\0")), "bad_encoding"),
    "h20-junk": (says(*encoded(PACKED + b"junk behind it")), "bad_encoding"),
    "h20-cut": (says(*encoded(PACKED[:-20])), "truncated"),
    "h20-long-name": (says(*encoded(gzipped(PAGE, name=b"n" * (1 << 20)))), ""),
    "h20-long-extra": (says(*encoded(gzipped(PAGE, extra=b"e" * 65535))), ""),
    "h20-none": (says(*encoded(PAGE)), "bad_encoding"),
    "h20-deflate": (says(*encoded(zlib.compress(PAGE), "deflate")), "bad_encoding"),
    "h20-brotli": (says(*encoded(PAGE, "br")), "bad_encoding"),
    "h20-gzip-twice": (says(*encoded(gzipped(PACKED), "gzip, gzip")), "bad_encoding"),
    "h20-gzip-in-gzip": (says(*encoded(gzipped(PACKED))), "page_refused"),
    "h21-echo": (
        lambda n, request: [b"HTTP/1.1 500 No\r\nContent-Length: 16777216\r\n\r\n\x1b[2J" + request[-200:], bytes(16 << 20)],
        "http_status"),
    "h21-echo-as-status": (
        says(answer(json.dumps({"kind": "Status", "message": TOKEN.decode()}).encode(), status="403 Forbidden")), "forbidden"),
    "h21-echo-as-type": (says(answer(PAGE, kind="text/" + TOKEN.decode())), "bad_content_type"),
    "h21-echo-as-encoding": (says(*encoded(PAGE, TOKEN.decode())), "bad_encoding"),
    "h21-echo-as-location": (says(answer(b"", "Location: /" + TOKEN.decode(), status="302 Found")), "redirect_refused"),
    "t18-whole-without-goodbye": (says(answer(), DROP), ""),
    "t18-cut-without-goodbye": (says(HEAD + b"\r\n" + PAGE, DROP), "http_malformed"),
}  # fmt: skip

# name: address, arguments of Authority.server(), error. Each is shown to openssl s_client as well.
IP = "127.0.0.1"
CLIENT = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n"
NUL = "DER:301a8218676f6f642e74657374002e6576696c2e746573742e782e78"  # a DNS name "good.test\0.evil.test.x.x"
TLS = {
    "good": (IP, {}, ""),
    "good-by-name": ("good.test", {"san": "DNS:good.test"}, ""),
    "good-by-wildcard": ("a.good.test", {"san": "DNS:*.good.test"}, ""),
    "good-by-intermediate": (IP, {"issuer": "middle", "chain": ["middle"]}, ""),
    "t1-expired": (IP, {"days": (-30, -1)}, "tls_expired"),
    "t2-not-yet": (IP, {"days": (1, 30)}, "tls_expired"),
    "t3-self-signed": (IP, {"issuer": None}, "tls_untrusted"),
    "t4-wrong-authority": (IP, {"issuer": "stranger", "chain": ["stranger"]}, "tls_untrusted"),
    "t5-wrong-host": (IP, {"san": "IP:127.0.0.2"}, "tls_wrong_name"),
    "t6-common-name": (IP, {"san": None, "cn": IP}, "tls_wrong_name"),
    "t7-name-asked-by-address": (IP, {"san": "DNS:good.test"}, "tls_wrong_name"),
    "t8-address-as-name": (IP, {"san": f"DNS:{IP}"}, "tls_wrong_name"),
    "t9-wildcard-too-deep": ("a.b.good.test", {"san": "DNS:*.good.test"}, "tls_wrong_name"),
    "t9-wildcard-alone": ("good.test", {"san": "DNS:*"}, "tls_wrong_name"),
    "t10-nul": ("good.test", {"san": NUL}, "tls_wrong_name"),
    "t11-of-a-client": (IP, {"extensions": CLIENT}, "tls_untrusted"),
    "t12-no-authority": (IP, {"issuer": "no-authority", "chain": ["no-authority"]}, "tls_untrusted"),
    "t12-path-too-long": (IP, {"issuer": "below", "chain": ["below", "last"]}, "tls_untrusted"),
    "t12-name-forbidden": (IP, {"issuer": "elsewhere", "chain": ["elsewhere"]}, "tls_untrusted"),
    "t13-md5": (IP, {"digest": "md5", "issuer": "rsa", "chain": ["rsa"]}, "tls_untrusted"),
    "t13-sha1": (IP, {"digest": "sha1", "issuer": "rsa", "chain": ["rsa"]}, "tls_untrusted"),
    "t13-rsa-1024": (IP, {"kind": "1024"}, "tls_untrusted"),
    "t20-chain-of-100-kb": (IP, {"chain": ["root"] * 400}, "tls_protocol"),
}

# What a name stands for, told to the C library in place of the DNS.
RESOLVER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static struct addrinfo* one(const char* text, struct addrinfo* next) {
  struct addrinfo* made = calloc(1, sizeof *made);
  struct sockaddr_in* at = calloc(1, sizeof *at);
  at->sin_family = AF_INET;
  inet_pton(AF_INET, text, &at->sin_addr);
  made->ai_family = AF_INET;
  made->ai_socktype = SOCK_STREAM;
  made->ai_addrlen = sizeof *at;
  made->ai_addr = (struct sockaddr*)at;
  made->ai_next = next;
  return made;
}
int getaddrinfo(const char* name, const char* port, const struct addrinfo* hints, struct addrinfo** to) {
  if (strstr(name, "hang.test")) sleep(60);
  if (strstr(name, "none.test")) return EAI_NONAME;
  if (strstr(name, "metadata.test")) { *to = one("169.254.169.254", 0); return 0; }
  if (strstr(name, "many.test")) {
    *to = 0;
    for (int i = 0; i < 1000; ++i) *to = one("127.0.0.1", *to);
    return 0;
  }
  if (strstr(name, ".test")) { *to = one("127.0.0.1", 0); return 0; }
  return EAI_NONAME;
}
void freeaddrinfo(struct addrinfo* list) { (void)list; }
"""

SWEEP = r"""
import json, re, sys, time, warnings
import pandas
import computelocator as cl

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) << 10

warnings.simplefilter("ignore")
collector = cl.Collector(**json.loads(sys.argv[1]))
before = peak()
snap = collector.sweep()
grown = peak() - before
rows = snap.to_pandas()["node"].value_counts().to_dict()
print(json.dumps({"grown": grown, "took": time.process_time(), "rows": rows, "outcomes": snap.outcomes().to_dict("records")}, default=str))
"""


def swept(env=None, before=None, **options):
    """Sweep in a process of its own, so that its memory is its own."""
    options = {**options, "kubeconfig": str(options["kubeconfig"]), "route": "direct"}
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, json.dumps(options)],
        capture_output=True, text=True, env=env, timeout=120, preexec_fn=before,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    found["said"] = done.stdout + done.stderr
    found["outcomes"] = {each["node"]: each for each in found["outcomes"]}
    return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority(tmp_path_factory.mktemp("certificates"))
    made.issue("middle", made.ISSUER)
    made.issue("rsa", made.ISSUER, kind="2048")
    made.issue("stranger", made.ISSUER, issuer=None)
    made.issue("no-authority", made.SERVER)
    made.issue("last", made.ISSUER.replace("CA:TRUE", "CA:TRUE,pathlen:0"))
    made.issue("below", made.ISSUER, issuer="last")
    made.issue("elsewhere", made.ISSUER + "nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0\n")
    made.context_of_good = made.server("plain-good")
    return made


@pytest.fixture(scope="module")
def peers():
    with Peers() as running:
        yield running


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resolver")
    (folder / "names.c").write_text(RESOLVER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", folder / "names.so", folder / "names.c"], check=True)
    return {"LD_PRELOAD": str(folder / "names.so"), "PATH": "/usr/bin"}


@pytest.fixture(scope="module")
def world(tmp_path_factory, peers, authority, resolver):
    """The sweep over them all."""
    cluster = Cluster(tmp_path_factory.mktemp("world"), peers, authority)
    good = authority.context_of_good
    for i in range(GOOD):
        cluster.node(f"well-{i}", peers.add(says(answer()), good))
    for name, (script, _) in HTTP.items():
        cluster.node(name, peers.add(script, good))
    for name, (address, how, _) in TLS.items():
        context = authority.server(name, **how)
        cluster.node(name, peers.add(says(answer()), context), address, "InternalIP" if address == IP else "InternalDNS")
    old, null = authority.server("old"), authority.server("null")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    null.maximum_version = ssl.TLSVersion.TLSv1_2
    null.set_ciphers("eNULL:@SECLEVEL=0")
    cluster.node("t14-old", peers.add(says(answer()), old))
    cluster.node("t14-null", peers.add(says(answer()), null))
    cluster.node("t15-stall", peers.add(says(HOLD), early=True))
    cluster.node("t15-drips", peers.add(lambda n, request: drip(b"\x16\x03\x03\x00\x7a\x02" + bytes(121)), early=True))
    cluster.node("h3-reset", peers.add(says(RESET), early=True))
    cluster.node("h16-plain", peers.add(says(HEAR, answer(b"", status="400 Bad Request")), early=True))
    cluster.node("h16-plain-at-once", peers.add(says(answer()), early=True))
    refused = peers.add(says())
    cluster.node("h1-refused", refused)
    peers.stop(refused)
    for name in ("hang", "none", "metadata", "many"):
        context = authority.server(f"dns-{name}", san=f"DNS:{name}.test")
        cluster.node(f"h23-{name}", peers.add(says(answer()), context), f"{name}.test", "InternalDNS")
    cluster.thief = peers.add(says(answer()), good)
    cluster.plain_thief = peers.add(says(answer()))
    for name, place in REDIRECTS.items():
        cluster.node(name, peers.add(redirect(place, cluster), good))
    begun = time.monotonic()
    found = swept(kubeconfig=cluster.kubeconfig, timeout=TIMEOUT, concurrency=500, max_page_bytes=LIMIT, env=resolver)
    found["ended"] = time.monotonic()
    found["took"] = found["ended"] - begun
    found["cluster"] = cluster
    return found


OTHERS = {
    "h1-refused": "connect_refused",
    "h3-reset": "connect_failed or connection_lost",  # as it comes before or behind our handshake of TCP
    "h16-plain": "tls_protocol",
    "h16-plain-at-once": "tls_protocol",
    "h23-hang": "timed_out",
    "h23-none": "resolve_failed",
    "h23-metadata": "address_refused",
    "h23-many": "",
    "t14-old": "tls_protocol",
    "t14-null": "tls_protocol",
    "t15-stall": "timed_out",
    "t15-drips": "timed_out",
}
REDIRECTS = {
    "h18-same-host": "https://127.0.0.1:{own}/elsewhere",
    "h18-loop": "https://127.0.0.1:{own}/metrics/cadvisor",
    "h18-other-port": "https://127.0.0.1:{thief}/",
    "h18-plain": "http://127.0.0.1:{plain}/",
    "h18-other-host": "https://localhost:{thief}/",
    "h18-metadata": "http://169.254.169.254/latest/meta-data/",
    "h18-no-scheme": "//127.0.0.1:{thief}/",
}


def redirect(place, cluster):
    def script(n, request):
        own = re.search(rb"Host: [^:]+:(\d+)", request)[1].decode()
        where = place.format(own=own, thief=cluster.thief.port, plain=cluster.plain_thief.port)
        return [answer(b"", f"Location: {where}", status="302 Found")]

    return script


def told(world, name):
    """Give the error and the message of a node."""
    found = world["outcomes"][name]
    return found["error"], found["message"]


def test_good_nodes_lose_no_sample(world):
    rows = {world["rows"].get(f"well-{i}") for i in range(GOOD)}
    assert rows == {4}
    assert world["took"] < 10 * TIMEOUT  # a busy machine is slow, an endless peer has no end


def test_memory_is_bounded(world):
    # A dozen floods at 4 MiB each, two parsers, and what 120 handshakes leave in the heap.
    assert world["grown"] < 64 << 20, world["grown"]


def test_the_token_is_in_no_output(world):
    assert TOKEN.decode() not in world["said"]


@pytest.mark.parametrize("name", HTTP)
def test_http(world, name):
    _, error = HTTP[name]
    found, message = told(world, name)
    assert found == error, message
    assert world["rows"].get(name) == (4 if not error else None)
    if error:
        assert message and len(message) < 1500 and message.isprintable()


@pytest.mark.parametrize("name", OTHERS)
def test_connections(world, name):
    found, message = told(world, name)
    assert found in OTHERS[name].split(" or "), message
    if found:
        assert world["rows"].get(name) is None
        peer = world["cluster"].nodes[name]
        assert b"GET " not in peer.heard and TOKEN not in peer.raw


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirects_are_not_followed(world, name):
    assert told(world, name)[0] == "redirect_refused"
    cluster = world["cluster"]
    assert len(cluster.nodes[name].requests) == 1
    assert cluster.thief.connections == cluster.plain_thief.connections == 0


@pytest.mark.parametrize("name", TLS)
def test_tls_is_judged_as_openssl_does(world, authority, name):
    address, _, error = TLS[name]
    peer = world["cluster"].nodes[name]
    found, message = told(world, name)
    assert found == error, message
    if error:
        assert bytes(peer.heard) == b"" and peer.handshakes == 0
    whom = ["-verify_ip", IP] if address == IP else ["-verify_hostname", address, "-servername", address]
    oracle = subprocess.run(
        ["openssl", "s_client", "-connect", f"{IP}:{peer.port}", "-CAfile", authority.root[0], "-verify_return_error", *whom],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (oracle.returncode == 0) == (error == ""), oracle.stdout + oracle.stderr


SLOW = ("h4-silent", "h5-status-line-drips", "h6-body-drips", "t15-stall", "t15-drips")


@pytest.mark.parametrize("name", SLOW)
def test_deadlines_cover_all_of_a_target(world, name):
    peer = world["cluster"].nodes[name]
    assert peer.connections == 1
    assert TIMEOUT - 1 < peer.left[0] - peer.came[0] < 10 * TIMEOUT


FLOODS = [name for name, (_, error) in HTTP.items() if error == "too_large" and name != "h20-bomb"]


@pytest.mark.parametrize("name", [*FLOODS, "h13-endless", "h15-flood", "h21-echo"])
def test_floods_are_left_and_not_drained(world, name):
    peer = world["cluster"].nodes[name]
    assert peer.connections == len(peer.left) == 1
    assert peer.sent < LIMIT + (8 << 20)  # what was under way in buffers
    assert peer.left[0] < world["ended"]


@pytest.fixture
def cluster(tmp_path, peers, authority):
    return Cluster(tmp_path, peers, authority)


def collector(cluster, kubeconfig=None, **options):
    return cl.Collector(kubeconfig=kubeconfig or cluster.kubeconfig, route="direct", timeout=5, **options)


def errors(snapshot):
    frame = snapshot.outcomes()
    return dict(zip(frame["node"], frame["error"], strict=True))


@pytest.mark.parametrize("said", ["http://", ""])
def test_h16_tls_where_plain_http_was_said(cluster, peers, said):
    alert = peers.add(says(HEAR, bytes.fromhex("15030100020246")), early=True)
    config = cluster.config(user="{}", server=f"{said}127.0.0.1:{alert.port}")
    with pytest.raises(cl.ComputeLocatorError, match="the peer speaks TLS on this port; say https://"):
        collector(cluster, config).sweep()


def test_h17_h22_what_becomes_of_kept_connections(cluster, peers, authority):
    good = authority.context_of_good
    scripts = {
        "kept": [[answer()]],
        "closed-between": [[answer(), DROP], [answer()]],
        "surplus": [[answer() + b"junk"], [answer()]],
        "no-content": [[answer(b"", status="204 No Content") + PAGE], [answer()]],
        "said-close": [[answer(PAGE, "Connection: close")], [answer()]],
        "closed-early": [[answer()], [DROP], [answer()]],
        "closed-half-way": [[answer()], [answer()[:99], DROP], [answer()[:99], DROP]],
    }
    for name, script in scripts.items():
        cluster.node(name, peers.add(in_turn(*script), good))
    twice = collector(cluster)
    twice.sweep()
    time.sleep(0.2)  # so that the peers' ends are there
    found = errors(twice.sweep())
    assert found == {**dict.fromkeys(scripts, ""), "closed-half-way": "truncated"}
    connections = {name: peer.connections for name, peer in cluster.nodes.items()}
    assert connections == {**dict.fromkeys(scripts, 2), "kept": 1}
    assert len(cluster.nodes["closed-early"].requests) == 3
    # Half an answer is not gone on with: the page is asked for anew, once, and whole.
    assert len(cluster.nodes["closed-half-way"].requests) == 3


def test_h18_an_api_server_that_sends_elsewhere(cluster, peers):
    thief = peers.add(says(answer()), cluster.authority.context_of_good)
    cluster.api.script = says(answer(b"", f"Location: https://127.0.0.1:{thief.port}/", status="307 Temporary Redirect"))
    with pytest.raises(cl.ComputeLocatorError) as caught:
        collector(cluster).sweep()
    assert caught.value.code == "redirect_refused" and thief.connections == 0


@pytest.mark.parametrize("token", ["secret", "t"])
def test_h21_a_token_that_stands_in_what_takes_its_place(cluster, peers, token):
    cluster.node("echo", peers.add(says(answer(b"a secret t", status="500 No")), cluster.authority.context_of_good))
    found = collector(cluster, cluster.config(user=f"{{token: {token}}}")).sweep().outcomes()["message"][0]
    assert found.endswith({"secret": ": a [secret] t", "t": ": a secret t"}[token])


def test_h21_an_api_server_that_says_the_password_back(cluster):
    cluster.api.script = lambda n, request: [answer(request[-120:] + b"canary-password", status="500 No")]
    config = cluster.config(user="{username: me, password: canary-password}")
    with pytest.raises(cl.ComputeLocatorError, match=r"Authorization: Basic \[secret\].*\[secret\]") as caught:
        collector(cluster, config).sweep()
    assert b"Authorization: Basic bWU6" in cluster.api.requests[0] and "bWU6" not in str(caught.value)


def test_h19_a_token_is_read_again_once(cluster, peers, tmp_path):
    token = tmp_path / "token"
    token.write_text("old-token")

    def script(n, request):
        token.write_text("new-token")
        known = b"Bearer new-token" in request
        return [answer() if known else answer(b"", status="401 Unauthorized")]

    good = cluster.authority.context_of_good
    cluster.node("renewed", peers.add(script, good))
    cluster.node("never-known", peers.add(says(answer(b"", status="401 Unauthorized")), good))
    config = cluster.config(user=f"{{tokenFile: {token}}}")
    assert errors(collector(cluster, config).sweep()) == {"renewed": "", "never-known": "unauthorized"}
    assert [len(peer.requests) for peer in cluster.nodes.values()] == [2, 2]


def test_h24_few_descriptors(cluster, peers):
    peer = peers.add(says(0.05, answer()), cluster.authority.context_of_good)
    for i in range(150):
        cluster.node(f"n-{i}", peer)

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    found = swept(kubeconfig=cluster.kubeconfig, concurrency=150, timeout=20, before=limit)
    assert {each["error"] for each in found["outcomes"].values()} == {""}
    assert found["took"] < 10  # CPU: waiting is not asking again and again


def test_t16_a_certificate_that_is_changed(cluster, peers, authority):
    good, bad = authority.context_of_good, authority.server("t16-bad", issuer="stranger")
    peer = cluster.node("changes", peers.add(in_turn([answer()], [answer()], [answer(), DROP], [answer()]), good))
    held = collector(cluster)
    assert errors(held.sweep()) == {"changes": ""}
    peer.context = authority.server("t16-next")
    assert errors(held.sweep()) == {"changes": ""} and peer.connections == 1
    assert errors(held.sweep()) == {"changes": ""}
    time.sleep(0.2)
    assert errors(held.sweep()) == {"changes": ""} and peer.connections == 2
    peer.context = bad
    assert errors(held.sweep()) == {"changes": ""} and peer.connections == 2  # it was verified when it was made
    before = len(peer.requests)
    assert errors(collector(cluster).sweep()) == {"changes": "tls_untrusted"} and len(peer.requests) == before


@pytest.mark.parametrize("version,letter", [("-tls1_3", b"K\n"), ("-tls1_2", b"R\n")])
def test_t17_new_keys_without_end(cluster, peers, authority, version, letter):
    """The commands of `openssl s_server`: K sends KeyUpdate, R asks to negotiate anew."""
    port = peers.add(says())
    peers.stop(port)
    certificate = authority.folder / "plain-good"
    server = subprocess.Popen(
        ["openssl", "s_server", version, "-accept", f"{IP}:{port.port}", "-cert", f"{certificate}.crt", "-key", f"{certificate}.key"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    over = threading.Event()

    def flood():
        while not over.wait(0.002):
            try:
                server.stdin.write(letter)
                server.stdin.flush()
            except OSError:
                return

    threads = [threading.Thread(target=flood), threading.Thread(target=server.stdout.read)]
    try:
        assert b"ACCEPT" in server.stdout.readline() + server.stdout.readline()
        for thread in threads:
            thread.start()
        cluster.node("floods", port)
        cluster.node("well", peers.add(says(answer()), authority.context_of_good))
        found = errors(cl.Collector(kubeconfig=cluster.kubeconfig, route="direct", timeout=1).sweep())
    finally:
        over.set()
        server.kill()
        server.wait()
        for thread in threads:
            thread.join()
        server.stdout.close()
        with suppress(BrokenPipeError):
            server.stdin.close()
    assert found["well"] == ""
    # OpenSSL's server ends as soon as its wish to negotiate anew is refused; a second attempt may find nobody.
    assert found["floods"] in (["timed_out"] if letter == b"K\n" else ["connection_lost", "connect_refused", "connect_failed"])


def test_t19_client_certificates(cluster, peers, authority, tmp_path):
    asks = authority.server("t19")
    asks.verify_mode = ssl.CERT_REQUIRED
    asks.load_verify_locations(authority.root[0])
    peer = cluster.node("asks", peers.add(says(answer()), asks))
    certificate, key = authority.issue("client", CLIENT)
    expired = authority.issue("client-expired", CLIENT, days=(-30, -1))
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", key, "-out", locked],
                   check=True, capture_output=True)  # fmt: skip

    def sweep(certificate, key):
        user = f"{{client-certificate: {certificate}, client-key: {key}}}" if certificate else "{token: canary-token}"
        return errors(collector(cluster, cluster.config(user=user, name="client")).sweep())

    assert sweep(certificate, key) == {"asks": ""}
    requests = len(peer.requests)
    assert sweep(None, None) == {"asks": "tls_client_certificate"}
    assert sweep(*expired) == {"asks": "tls_client_certificate"}
    for other in (expired[1], locked):
        with pytest.raises(cl.ConfigurationError, match="cannot be used with the client certificate"):
            sweep(certificate, other)
    assert len(peer.requests) == requests and TOKEN not in peer.heard


def test_t21_a_pinned_key_that_changes(cluster, peers, authority):
    peer = cluster.node("pinned", peers.add(in_turn([answer(PAGE, "Connection: close")]), authority.server("t21", issuer=None)))
    held = collector(cluster, kubelet_tls="pin")
    assert errors(held.sweep()) == {"pinned": ""}
    peer.context, peer.heard = authority.server("t21-other", issuer=None), bytearray()
    assert errors(held.sweep()) == {"pinned": "tls_pin_mismatch"}
    assert bytes(peer.heard) == b""
