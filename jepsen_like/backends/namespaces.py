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
from typing import Final, TypeAlias

from jepsen_like.backends import holder
from jepsen_like.backends.backend import BackendError
from jepsen_like.backends.leftovers import marked

__all__ = ["Namespaces", "PROGRAMS"]

Socket: TypeAlias = socket.socket
"""By a name that is not also a method here."""

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

SHAPER: Final = (sys.executable, "-m", "jepsen_like.backends.shaper")

START_TIMEOUT_S: Final = 10.0


class Namespaces:
    """`addresses` maps each host to its address in one /24; `shaped`: what hosts send passes a
    process that can hold it up (see `shaper`).

    Raises BackendError, with nothing left, if they cannot be made here.
    """

    def __init__(self, addresses: Mapping[str, str], *, shaped: bool = False) -> None:
        self.addresses = dict(addresses)
        self._is_shaped = shaped
        self._shaper: Socket | None = None
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._parents: dict[str, Socket] = {}
        self._stack = ExitStack()
        self._is_root = os.geteuid() == 0

    async def open(self) -> None:
        """Takes about a tenth of a second per host."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
            verb = "is" if len(missing) == 1 else "are"
            raise BackendError(f"{', '.join(missing)} {verb} missing: apt-get install {packages}")
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

    def socket(self, host: str, kind: int) -> Socket:
        """A new TCP or UDP socket of that host."""
        what = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        return Socket(fileno=self._made(host, what))

    def _made(self, host: str, what: str) -> int:
        """The handle of something that is made on that host."""
        parent = self._parents[host]
        try:
            parent.sendall(what.encode())
            said, handles, _, _ = socket.recv_fds(parent, holder.MESSAGE_BYTES_MAX, 1)
        except OSError as exc:
            raise BackendError(f"the namespace of {host} is gone: {exc}.") from exc
        if not said:
            raise BackendError(f"the namespace of {host} is gone.")
        why = said.decode(errors="replace")
        if not handles and why == holder.MADE:
            raise BackendError(
                "this process has no room for another open file: raise the limit (`ulimit -n`)."
            )
        if not handles:
            raise BackendError(f"links cannot be shaped here ({why}): run as root.")
        return handles[0]

    def shape(self, command: str) -> None:
        """One command of the shaper; it holds when this returns."""
        if self._shaper is None:
            raise BackendError("the links of this network cannot be shaped: it was made without.")
        try:
            self._shaper.sendall(command.encode() + b"\n")
            answer = self._shaper.recv(64)
        except OSError as exc:
            raise BackendError(f"the process that shapes links is gone: {exc}.") from exc
        if answer != b"done\n":
            raise BackendError("the process that shapes links is gone.")

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
            port, eth0 = f"port{number}", f"eth0 netns {self._holders[host].pid}"
            if self._is_shaped:  # the host's wire ends here, and another one leads to the port
                near, far = _wires(number)
                switch += [
                    f"link add {near} type veth peer {eth0}",
                    f"link add {port} type veth peer {far}",
                    *(f"link set {end} addrgenmode none up" for end in (near, far)),
                ]
            else:
                switch.append(f"link add {port} type veth peer {eth0}")
            switch.append(f"link set {port} master switch up")
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
        if self._is_shaped:
            self._shaper = self._start_shaper()

    def _hold(self, host: str, argv: Sequence[str]) -> None:
        process, parent = self._start(argv, socket.SOCK_SEQPACKET)
        self._holders[host] = process
        self._parents[host] = parent

    def _start_shaper(self) -> Socket:
        handles: list[int] = []
        try:
            for number, host in enumerate(self.addresses):
                os.close(self._made(host, "whole eth0"))
                handles += [self._made(SWITCH, f"frames {end}") for end in _wires(number)]
            _, parent = self._start(SHAPER, socket.SOCK_STREAM, handles)
        finally:
            for handle in handles:
                os.close(handle)
        return parent

    def _start(
        self, argv: Sequence[str], kind: int, handles: Sequence[int] = ()
    ) -> tuple[subprocess.Popen[bytes], Socket]:
        """A process that lasts until its socket is closed, and says when it is ready."""
        parent, child = socket.socketpair(socket.AF_UNIX, kind)
        self._stack.callback(parent.close)
        parent.settimeout(START_TIMEOUT_S)
        with child:
            inherited = (child.fileno(), *handles)
            process = subprocess.Popen(
                marked((*argv, *map(str, inherited))),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=inherited,
                start_new_session=True,
            )
        self._stack.callback(_end, process, parent)
        try:
            is_ready = parent.recv(holder.MESSAGE_BYTES_MAX).startswith(b"ready")
        except TimeoutError:
            is_ready = False
        if not is_ready:
            process.kill()
            assert process.stderr is not None
            raise BackendError(_refused(process.stderr.read().decode(errors="replace")))
        return process, parent

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


def _wires(number: int) -> tuple[str, str]:
    """The ends of the wires of a shaped host: towards the host, and towards the switch."""
    return f"near{number}", f"far{number}"


def _end(process: subprocess.Popen[bytes], parent: Socket) -> None:
    parent.close()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def _refused(said: str) -> str:
    last = (said.strip().splitlines() or ["no reason given"])[-1]
    return f"network namespaces cannot be made here ({last}): run as root, or allow user namespaces"
