# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""Runs the services as a user does, on free ports of loopback, and ends them."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request


def free_port(host="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds=180):
    """Poll until it holds. The bound is there to end a broken run, not to time a good one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError("it does not come to hold")


class Service:
    """A process that says on standard error where it serves."""

    def __init__(self, arguments, sites):
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        self.said = []
        self.urls = {}
        for _ in range(1000):
            line = self.process.stderr.readline()
            if not line:
                break
            self.said.append(line)
            found = re.fullmatch(r"(.*): (https?://\S+)\n", line)
            if found:
                self.urls[found[1]] = found[2]
            if all(site in self.urls for site in sites):
                break
        else:
            raise AssertionError(self.said)
        assert all(site in self.urls for site in sites), "".join(self.said)
        # What it says later must not fill the pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.urls[sites[0]]

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line)

    def close(self):
        """End it as Kubernetes does; give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=10)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def command(verb, *arguments, sites=None):
    every = {
        "workload": ["test API", "test API metrics"],
        "observe": ["observe", "observe probes"],
        "aggregate": ["aggregate", "aggregate probes"],
    }
    return Service(
        [sys.executable, "-m", "computelocator", verb, *map(str, arguments)], sites or every[verb]
    )


def workload(*arguments, host="127.0.0.1", port=0):
    return command("workload", f"--listen={host}:{port}", "--metrics-listen=127.0.0.1:0", *arguments)


def ask(url, *, method=None, body=None, headers=None, context=None, timeout=60):
    """Give status, headers and body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def ask_json(url, **more):
    status, _, body = ask(url, **more)
    assert status == 200, body
    return json.loads(body)
