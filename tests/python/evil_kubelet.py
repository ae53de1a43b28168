# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Hostile peers on loopback: each answers by a script of bytes and pauses, and notes what it was sent."""

import asyncio
import base64
import ipaddress
import json
import re
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

PAGE = (Path(__file__).parents[1] / "fixtures" / "node.prom").read_bytes()


class Word:
    """What a script may say beside bytes and pauses in seconds."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


RESET = Word("RESET")  # end the connection with a reset
DROP = Word("DROP")  # end it without TLS' close_notify
HEAR = Word("HEAR")  # wait until the peer has said something
HOLD = Word("HOLD")  # say nothing more until the peer leaves


def answer(body=PAGE, *fields, status="200 OK", kind="text/plain; version=0.0.4"):
    """Make a whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def drip(data, pause=0.03):
    """Give one byte at a time, for ever at its end."""
    for i in range(len(data)):
        yield data[i : i + 1]
        yield pause
    yield HOLD


def endless(start, piece):
    """Give `piece` again and again."""
    yield start
    while True:
        yield piece


class Wire:
    """One connection, TLS or plain; notes bytes as they came and as they were meant."""

    def __init__(self, peer, reader, writer):
        self.peer, self.reader, self.writer = peer, reader, writer
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None

    async def shake(self, context):
        """Serve the TLS handshake; false where the peer left it."""
        self.tls = context.wrap_bio(self.inside, self.outside, server_side=True)
        try:
            await self._do(self.tls.do_handshake)
        except (ssl.SSLError, EOFError) as error:
            self.peer.refused.append(str(error))
            await self._flush()
            return False
        self.peer.handshakes += 1
        self.peer.on_handshake(self.tls)
        return True

    async def _do(self, step):
        while True:
            try:
                done = step()
                await self._flush()
                return done
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.reader.read(1 << 16)
                self.peer.raw += data
                if not data:
                    raise EOFError("the peer left") from None
                self.inside.write(data)

    async def _flush(self):
        self.writer.write(self.outside.read())
        await self.writer.drain()

    async def read(self):
        """Give what the peer says; nothing where it left."""
        if not self.tls:
            data = await self.reader.read(1 << 16)
            self.peer.raw += data
        else:
            try:
                data = await self._do(lambda: self.tls.read(1 << 16))
            except (ssl.SSLError, EOFError):
                data = b""
        self.peer.heard += data
        return data

    async def request(self):
        """Give one request; nothing where the peer left."""
        said = b""
        while b"\r\n\r\n" not in said:
            data = await self.read()
            if not data:
                return b""
            said += data
        self.peer.requests.append(said)
        return said

    async def exactly(self, count):
        """Give so many bytes of a connection without TLS."""
        data = await self.reader.readexactly(count)
        self.peer.raw += data
        return data

    async def send(self, data):
        if not self.tls:
            self.writer.write(data)
            await self.writer.drain()
        else:
            await self._do(lambda: self.tls.write(data))
        self.peer.sent += len(data)


class Peer:
    """A server: `script(n, request)` gives what it says to its n-th request, `context` is its TLS.

    Where `early` is true the script runs in place of the handshake and of reading a request.
    """

    def __init__(self, script, context=None, early=False):
        self.script, self.context, self.early = script, context, early
        self.handshakes = self.sent = 0
        self.raw, self.heard = bytearray(), bytearray()  # what came, and what came of it behind TLS
        self.requests, self.refused = [], []
        self.came, self.left = [], []  # when
        self.port, self.loop, self.open = 0, None, set()
        self.on_handshake = lambda tls: None

    @property
    def connections(self):
        return len(self.came)

    async def serve(self, reader, writer):
        self.came.append(time.monotonic())
        wire = Wire(self, reader, writer)
        self.open.add(writer)
        with suppress(OSError, ssl.SSLError, EOFError):
            try:
                await self._serve(wire)
            finally:
                self.left.append(time.monotonic())
                writer.transport.abort()
                self.open.discard(writer)

    def hang_up(self):
        """Reset the connections that are open."""

        async def abort():
            for writer in list(self.open):
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(abort(), self.loop).result(10)

    async def _serve(self, wire):
        if not self.early and self.context and not await wire.shake(self.context):
            return
        while True:
            request = b"" if self.early else await wire.request()
            if not request and not self.early:
                return
            for step in self.script(len(self.requests) - 1, request):
                if isinstance(step, bytes):
                    await wire.send(step)
                elif step is RESET:
                    linger = struct.pack("ii", 1, 0)
                    wire.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
                    return
                elif step is HEAR:
                    await wire.read()
                elif step is HOLD:
                    while await wire.read():
                        pass
                    return
                elif step is DROP:
                    await wire.writer.drain()
                    wire.writer.close()
                    await wire.writer.wait_closed()
                    return
                else:
                    await asyncio.sleep(step)
            if self.early:
                return


class Proxy(Peer):
    """Connects to whom it is asked for, and notes what went through it."""

    def __init__(self, refusal=b""):
        super().__init__(None)
        self.refusal = refusal

    async def _asked_for(self, wire):
        """Give host and port, and what to answer once these are reached; None after a refusal."""
        request = await wire.request()
        if self.refusal or not request:
            await wire.send(self.refusal)
            return None
        host, port = re.match(rb"CONNECT ([^ ]+):(\d+) ", request).groups()
        return host.decode(), int(port), b"HTTP/1.1 200 Connection established\r\n\r\n"

    async def _serve(self, wire):
        asked = await self._asked_for(wire)
        if asked is None:
            return
        host, port, reached = asked
        back, out = await asyncio.open_connection(host, port)
        await wire.send(reached)

        async def carry(read, write):
            with suppress(OSError):
                while data := await read():
                    write(data)

        ways = [asyncio.ensure_future(carry(wire.read, out.write)),
                asyncio.ensure_future(carry(lambda: back.read(1 << 16), wire.writer.write))]  # fmt: skip
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            out.transport.abort()


class SocksProxy(Proxy):
    """The same by SOCKS 5, as RFC 1928 has it: says `greeting`, then `reply`; knows the
    addresses of `names`. Where `only_says` is true it connects nobody."""

    def __init__(self, greeting=b"\5\0", reply=b"\5\0\0\1\0\0\0\0\0\0", names=(), only_says=False):
        super().__init__()
        self.greeting, self.reply, self.names, self.only_says = greeting, reply, dict(names), only_says

    async def _asked_for(self, wire):
        self.requests.append(await wire.exactly(3))
        await wire.send(self.greeting)
        if self.greeting != b"\5\0":
            return None
        head = await wire.exactly(4)
        if head[3] == 3:
            size = await wire.exactly(1)
            address = await wire.exactly(size[0])
            host, head = self.names[address.decode()], head + size
        else:
            address = await wire.exactly(4 if head[3] == 1 else 16)
            host = str(ipaddress.ip_address(address))
        port = await wire.exactly(2)
        self.requests.append(head + address + port)
        if self.only_says:
            await wire.send(self.reply)
            return None
        return host, int.from_bytes(port, "big"), self.reply


def says(*steps):
    """Make a script that says the same to every request."""
    return lambda n, request: steps


def in_turn(*answers):
    """Make a script with an answer for the first request, the second, ...; the last one stays."""
    return lambda n, request: answers[min(n, len(answers) - 1)]


class Peers:
    """Runs peers on a thread of its own, each on a free port of loopback."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # peers that leave are what this is about
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers = {}

    def add(self, script, context=None, *, early=False):
        return self.start(Peer(script, context, early))

    def start(self, peer):
        peer.loop = self._loop
        start = asyncio.start_server(peer.serve, "127.0.0.1", 0, backlog=512)
        server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self._servers[peer] = server
        peer.port = server.sockets[0].getsockname()[1]
        return peer

    def stop(self, peer):
        """Let nobody listen on its port any more."""
        self._loop.call_soon_threadsafe(self._servers.pop(peer).close)

    async def _stop(self):
        for server in self._servers.values():
            server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Authority:
    """Certificates of every kind, made by the openssl command line in `folder`."""

    CONFIG = """
[ca]
default_ca = here
[here]
dir = {folder}
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = names
[names]
"""
    SERVER = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
    ISSUER = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"

    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "openssl.cnf"
        self.config.write_text(self.CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        self.root = self.issue("root", self.ISSUER, issuer=None)
        self.ca = self.root[0].read_text()

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def key(self, name, kind="EC"):
        path = self.folder / f"{name}.key"
        what = ("EC", "ec_paramgen_curve:P-256") if kind == "EC" else ("RSA", f"rsa_keygen_bits:{kind}")
        self._openssl("genpkey", "-algorithm", what[0], "-pkeyopt", what[1], "-out", path)
        return path

    def issue(self, name, extensions, *, issuer="root", cn=None, kind="EC", digest="sha256", days=(-1, 30)):
        """Make a certificate and its key, signed by `issuer` or, with None, by itself."""
        key, request = self.key(name, kind), self.folder / f"{name}.csr"
        certificate, more = self.folder / f"{name}.crt", self.folder / f"{name}.ext"
        more.write_text(extensions)
        self._openssl("req", "-new", "-config", self.config, "-key", key, "-subj", f"/CN={cn or name}", "-out", request)
        start, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * day)) for day in days)
        signer = (
            ("-selfsign", "-keyfile", key) if issuer is None
            else ("-cert", self.folder / f"{issuer}.crt", "-keyfile", self.folder / f"{issuer}.key")
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", self.config, "-md", digest, "-startdate", start, "-enddate", end,
            "-extfile", more, "-in", request, "-out", certificate, *signer,
        )  # fmt: skip
        return certificate, key

    def server(self, name="good", san="IP:127.0.0.1", *, extensions=None, chain=(), **more):
        """Make the TLS of a server; `chain` names the certificates that it sends behind its own."""
        text = self.SERVER if extensions is None else extensions
        if san:
            text += f"subjectAltName={san}\n"
        certificate, key = self.issue(name, text, **more)
        whole = self.folder / f"{name}.pem"
        whole.write_text("".join((self.folder / f"{each}.crt").read_text() for each in (name, *chain)))
        return self.context(whole, key)

    def context(self, certificate, key):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_ciphers("ALL:@SECLEVEL=0")  # what a careless server offers; the client is to refuse it
        made.load_cert_chain(certificate, key)
        return made


class Cluster:
    """An API server that names one node for each peer, and a kubeconfig for it."""

    def __init__(self, folder, peers, authority, user="{token: canary-token}"):
        self.nodes, self.addresses = {}, {}
        self.folder, self.authority = folder, authority
        self.api = peers.add(self._answer, authority.server(f"api-{id(self)}"))
        self.kubeconfig = self.config(user=user)

    def config(self, user="{token: canary-token}", cluster="", server=None, ca=None, name="kubeconfig"):
        path = self.folder / name
        data = base64.b64encode((ca or self.authority.ca).encode()).decode()
        server = server or f"https://127.0.0.1:{self.api.port}"
        trust = f", certificate-authority-data: {data}" if server.startswith("https") else ""
        path.write_text(
            "current-context: c\n"
            f"clusters: [{{name: k, cluster: {{server: '{server}'{trust}{cluster}}}}}]\n"
            f"users: [{{name: u, user: {user}}}]\n"
            "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        )
        path.chmod(0o600)
        return path

    def node(self, name, peer, address="127.0.0.1", kind="InternalIP"):
        self.nodes[name] = peer
        self.addresses[name] = (kind, address)
        return peer

    def _item(self, name, peer):
        kind, address = self.addresses[name]
        return {
            "metadata": {"name": name, "uid": f"uid-{name}"},
            "status": {
                "addresses": [{"type": kind, "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": peer.port}},
            },
        }

    def _answer(self, n, request):
        items = []
        if re.match(rb"GET /api/v1/nodes\?", request):
            items = [self._item(name, peer) for name, peer in self.nodes.items()]
        body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
        return [answer(body, kind="application/json")]
