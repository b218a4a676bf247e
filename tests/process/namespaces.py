"""Hosts as network namespaces on one switch, without a trace on this machine.

Each host is a namespace with one address and a loopback of its own; the switch is a bridge in
a namespace of its own, so nothing appears in this machine's network. A namespace lives as long
as a process that is in it: its holder is a `cat` whose input this process holds open, which ends
with this process, however that ends, and takes the namespace and its links along.

    with Network({"a": "10.0.0.1", "b": "10.0.0.2"}) as network:
        subprocess.run(network.inside("a", "ping", "-c1", "10.0.0.2"))

Runs as root, or as anybody where user namespaces are allowed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

__all__ = ["Network", "require_namespaces"]

PROGRAMS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}


def require_namespaces() -> None:
    """Skip the test where there are none."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: apt-get install {package}")
    try:
        Network({}).__enter__().close()
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces are not allowed here: run as root")


class Network:
    """`hosts` maps names to addresses of one /24."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self.hosts = dict(hosts)
        self._stack = ExitStack()
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]

    def __enter__(self) -> Self:
        try:
            map_user = ["--user", "--map-root-user"] if self._user else []
            self._hold("", ["unshare", *map_user, "--net", "cat"])
            self._run("", "ip", "link", "set", "lo", "up")
            self._run("", "ip", "link", "add", "switch", "type", "bridge")
            self._run("", "ip", "link", "set", "switch", "up")
            for number, (name, address) in enumerate(self.hosts.items()):
                self._connect(name, address, f"port{number}")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    def inside(self, name: str, *command: str) -> list[str]:
        """The command that runs `command` on that host."""
        pid = str(self._holders[name].pid)
        return ["nsenter", "--target", pid, *self._user, "--net", "--", *command]

    def _connect(self, name: str, address: str, port: str) -> None:
        self._hold(name, self._at_switch("unshare", "--net", "cat"))
        pid = str(self._holders[name].pid)
        self._run("", "ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", pid)
        self._run("", "ip", "link", "set", port, "master", "switch", "up")
        self._run(name, "ip", "link", "set", "lo", "up")
        self._run(name, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        self._run(name, "ip", "link", "set", "eth0", "up")

    def _at_switch(self, *command: str) -> list[str]:
        """In the switch's user namespace: links are moved only between namespaces of one."""
        return [*self.inside("")[:-1], "--", *command] if self._user else list(command)

    def _hold(self, name: str, command: list[str]) -> None:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stack.callback(self._release, holder)
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"\n")  # which comes back once it is in its namespace
        holder.stdin.flush()
        if not holder.stdout.read(1):
            raise subprocess.CalledProcessError(holder.wait(), command)
        self._holders[name] = holder

    @staticmethod
    def _release(holder: subprocess.Popen[bytes]) -> None:
        holder.communicate()  # closes its input, which ends it
        holder.wait()

    def _run(self, name: str, *command: str) -> None:
        subprocess.run(self.inside(name, *command), check=True, capture_output=True, cwd=Path.cwd())
