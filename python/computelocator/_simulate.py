# Copyright ComputeLocator contributors. SPDX-License-Identifier: Apache-2.0
"""The simulated cluster, as a program beside the package."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from computelocator._errors import ComputeLocatorError


def program() -> str:
    """Give the path of the simulator."""
    path = Path(__file__).with_name("programs") / "computelocator-simulate"
    if not path.exists():
        raise FileNotFoundError(f"the simulator is not installed: {path}")
    return str(path)


class Simulation:
    """A simulated cluster that runs until it is closed; use it in a ``with`` statement."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="computelocator-")
        self.kubeconfig = os.path.join(self._folder.name, "kubeconfig")
        self._process = subprocess.Popen(
            [program(), *arguments, "--kubeconfig", self.kubeconfig, "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal is meant for the scrape.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.about = self._process.stdout.readline().strip()
        if not self.about:
            _, said = self._process.communicate()
            self._folder.cleanup()
            raise ComputeLocatorError("unsupported", "simulate", said.strip().split("\n")[0])
        self._process.stdout.readline()

    def tell(self, command: str) -> dict[str, int]:
        """Have something happen to it, such as "replace-pods 0 3".

        Parameters
        ----------
        command : str
            A line of those that ``computelocator simulate --help`` names under ``--until-eof``.

        Returns
        -------
        dict of str to int
            What the command "counts" gives; of others empty.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().split()
        if said[:1] != ["done"]:
            raise ComputeLocatorError("unsupported", "simulate", " ".join(said[1:]))
        pairs = (each.partition("=") for each in said[1:])
        return {name: int(value) for name, _, value in pairs}

    def new_key(self, node: int) -> None:
        """Start the kubelet of a node again with another key and certificate."""
        self.tell(f"new-key {node}")

    def close(self) -> None:
        """Stop it; all its sockets close."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def simulate(
    *,
    nodes: int = 20,
    pods: int = 110,
    seed: int = 1,
    runtime: str = "containerd",
    run: bool = False,
    self_signed: bool = False,
    faults: Mapping[int, str] | None = None,
    deny: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Simulation:
    """Start a simulated cluster on loopback addresses: an API server and its kubelets.

    Parameters
    ----------
    nodes, pods : int
        Nodes, and pods on each.
    seed : int
        Another cluster of the same shape.
    runtime : {"containerd", "crio", "docker"}
        The container runtime whose pages are served.
    run : bool
        Pages go on with time; else they stand still.
    self_signed : bool
        Kubelets with certificates of their own, as kubeadm makes them.
    faults : mapping of int to str, optional
        By index of the node: "slow", "dead", "silent", "cut-off", "wrong-certificate",
        "forbidden", "bad-line" or "bad-page".
    deny : sequence of str
        What the user of the kubeconfig may not read: "nodes", "pods", "watch", "nodes/proxy" or
        "nodes/metrics".
    options : sequence of str
        Further options of ``computelocator simulate``.

    Returns
    -------
    Simulation
        ``kubeconfig`` is the path of a file for `scrape` and ``kubectl``.

    Examples
    --------
    >>> import computelocator as cl
    >>> with cl.simulate(nodes=3, pods=5) as cluster:
    ...     print(cl.scrape(kubeconfig=cluster.kubeconfig).targets)
    3
    """
    arguments = [f"--nodes={nodes}", f"--pods={pods}", f"--seed={seed}", f"--runtime={runtime}"]
    if run:
        arguments.append("--run")
    if self_signed:
        arguments.append("--self-signed")
    arguments += [f"--fault={node}={kind}" for node, kind in (faults or {}).items()]
    arguments += [f"--deny={resource}" for resource in deny]
    return Simulation([*arguments, *options])
