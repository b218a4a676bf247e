"""Network namespaces that last as long as this process: one per host, and one for their switch.

Nothing is put into this machine's own network, and nothing has a name that could be left
behind: a namespace lives as long as a process that is in it, which here is its holder (see
`holder`), and the holder ends with the harness. The switch is a bridge in a namespace of its
own, joined to each host by a pair of veths that end with the namespaces.

As root, or as anybody where the kernel allows user namespaces: the switch's holder then makes
one, in which all others live. Only the sockets and the processes of a host enter; the harness
stays outside.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from jepsen_like.backends import holder
from jepsen_like.backends.backend import BackendError
from jepsen_like.backends.leftovers import marked

__all__ = ["Namespaces", "PROGRAMS"]

PROGRAMS: Final = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "nft": "nftables",
}
"""What is run, and the Debian package that has it."""

SWITCH: Final = ""
"""Stands for the switch where a host is asked for; no host has this name."""

HOLDER: Final = (sys.executable, "-I", "-S", holder.__file__)

START_TIMEOUT_S: Final = 10.0


class Namespaces:
    """`addresses` maps each host to its address in one /24.

    Raises BackendError, with nothing left, if they cannot be made here.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._parents: dict[str, socket.socket] = {}
        self._stack = ExitStack()
        self._is_root = os.geteuid() == 0

    async def open(self) -> None:
        """Takes about a tenth of a second per host."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
            raise BackendError(f"{', '.join(missing)} is missing: apt-get install {packages}")
        making = asyncio.ensure_future(asyncio.to_thread(self._make))
        try:
            await asyncio.shield(making)
        except BaseException:
            await asyncio.wait([making])
            self.close()
            raise

    def close(self) -> None:
        """The holders end, and with them the namespaces once no process is left in them."""
        self._stack.close()

    def command(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        """The command line that runs `argv` on that host; it keeps the process id."""
        user = () if self._is_root else ("--user", "--preserve-credentials")
        pid = str(self._holders[host].pid)
        return ("nsenter", "--target", pid, *user, "--net", "--", *argv)

    def socket(self, host: str) -> socket.socket:
        """A new TCP socket of that host."""
        parent = self._parents[host]
        try:
            parent.sendall(b"s")
            _, handles, _, _ = socket.recv_fds(parent, 1, 1)
        except OSError as exc:
            raise BackendError(f"the namespace of {host} is gone: {exc}.") from exc
        if not handles:
            raise BackendError(f"the namespace of {host} is gone.")
        return socket.socket(fileno=handles[0])

    def _as_the_switch_user(self, *argv: str) -> tuple[str, ...]:
        """Links are moved only between namespaces that one user namespace owns."""
        if self._is_root:
            return argv
        pid = str(self._holders[SWITCH].pid)
        return ("nsenter", "--target", pid, "--user", "--preserve-credentials", "--", *argv)

    # -------------------------------------------------------------------------- making them

    def _make(self) -> None:
        user = () if self._is_root else ("--user", "--map-root-user")
        self._hold(SWITCH, ("unshare", *user, "--net", *HOLDER))
        for host in self.addresses:
            self._hold(host, self._as_the_switch_user("unshare", "--net", *HOLDER))
        switch = ["link add switch type bridge", "link set switch up"]
        for number, host in enumerate(self.addresses):
            pid = self._holders[host].pid
            switch.append(f"link add port{number} type veth peer eth0 netns {pid}")
            switch.append(f"link set port{number} master switch up")
        self._ip(SWITCH, switch)
        for host, address in self.addresses.items():
            self._ip(
                host,
                [
                    "link set lo up",
                    "link set eth0 addrgenmode none",  # no IPv6, to which no rule would apply
                    f"address add {address}/24 dev eth0",
                    "link set eth0 up",
                ],
            )

    def _hold(self, host: str, argv: Sequence[str]) -> None:
        parent, child = socket.socketpair()
        self._stack.callback(parent.close)
        parent.settimeout(START_TIMEOUT_S)
        with child:
            process = subprocess.Popen(
                marked((*argv, str(child.fileno()))),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[child.fileno()],
                start_new_session=True,
            )
        self._stack.callback(_end, process, parent)
        try:
            is_ready = parent.recv(1) == b"r"
        except TimeoutError:
            is_ready = False
        if not is_ready:
            process.kill()
            assert process.stderr is not None
            raise BackendError(_refused(process.stderr.read().decode(errors="replace")))
        self._holders[host] = process
        self._parents[host] = parent

    def _ip(self, host: str, lines: Sequence[str]) -> None:
        self.run(host, ["ip", "-batch", "-"], "\n".join(lines))

    def run(self, host: str, argv: Sequence[str], text: str) -> str:
        """Run a program there to its end, `text` as its input; returns what it prints. Raises
        BackendError."""
        done = subprocess.run(
            self.command(host, argv),
            input=text,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            cwd=Path("/"),
            check=False,
        )
        if done.returncode:
            raise BackendError(_refused(done.stderr))
        return done.stdout


def _end(process: subprocess.Popen[bytes], parent: socket.socket) -> None:
    parent.close()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def _refused(said: str) -> str:
    last = (said.strip().splitlines() or ["no reason given"])[-1]
    return f"network namespaces cannot be made here ({last}): run as root, or allow user namespaces"
