"""A process of its own that shapes links packet by packet, without the kernel's help.

Between each host and its port of the switch are two wires (pairs of veths) whose ends meet here:
what the host sends is read from one, held as long as its link says (see `shape`), and written to
the other, where the switch's rules for cuts and its counters come next; what the switch has for the
host is passed on at once. Linux's own netem would do the same, where a kernel has it; this one has
a seed, and asks for no rights that a user does not have in a user namespace.

Started with packet sockets on these ends as inherited handles; commands come as lines of JSON on
another one, each answered by a line. It ends when that is closed, which the kernel does when the
harness ends.
"""

from __future__ import annotations

import gc
import heapq
import json
import os
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jepsen_like.backends.shape import PLAIN, Departures, Shape, link_rng

__all__ = ["Shaper", "main"]

FRAME_BYTES_MAX: Final = 2048

IPV4: Final = b"\x08\x00"
"""The type of an Ethernet frame, in its bytes 12 and 13."""

FRAMES_AT_A_TIME: Final = 64

HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""On all links together; then packets are dropped, as in a switch that is out of memory."""


class Shaper:
    """`ports` are (handle towards the host, handle towards the switch)."""

    def __init__(self, ports: Sequence[tuple[int, int]]) -> None:
        self._to_switch = dict(ports)
        self._to_host = {switch: host for host, switch in ports}
        self._links: dict[bytes, Departures] = {}  # by source and target, four bytes each
        self._held: list[tuple[float, int, int, bytes]] = []  # when, order, where to, what
        self._held_bytes = 0
        self._frames = 0
        self.handles = (*self._to_switch, *self._to_host)

    def command(self, text: str) -> None:
        """{"seed": 1, "shape": {...}, "links": [["10.78.0.1", "10.78.0.2"], ...]}"""
        asked: Mapping[str, Any] = json.loads(text)
        shape = Shape(**asked["shape"])
        for source, target in asked["links"]:
            link = socket.inet_aton(source) + socket.inet_aton(target)
            if shape == PLAIN:
                self._links.pop(link, None)
            else:
                self._links[link] = Departures(shape, link_rng(asked["seed"], source, target))

    def pass_on(self, handle: int) -> None:
        """Read what has come to a handle, and write or hold it."""
        to_switch = self._to_switch.get(handle)
        for _ in range(FRAMES_AT_A_TIME):
            try:
                frame = os.read(handle, FRAME_BYTES_MAX)
            except BlockingIOError:
                return
            if to_switch is None:
                _write(self._to_host[handle], frame)
                continue
            link = self._links.get(frame[26:34]) if frame[12:14] == IPV4 else None
            if link is None:
                _write(to_switch, frame)
            else:
                self._hold(link, to_switch, frame)

    def _hold(self, link: Departures, handle: int, frame: bytes) -> None:
        now_s = time.monotonic()
        if link.is_full(now_s) or self._held_bytes > HELD_BYTES_MAX:
            return
        for when_s in link.of(now_s, len(frame)):
            if when_s <= now_s:
                _write(handle, frame)
                continue
            self._frames += 1
            self._held_bytes += len(frame)
            heapq.heappush(self._held, (when_s, self._frames, handle, frame))

    def release(self) -> float | None:
        """Write what is due; returns how long until the next is, None if nothing is held."""
        held = self._held
        while held:
            wait_s = held[0][0] - time.monotonic()
            if wait_s > 0:
                return wait_s
            _, _, handle, frame = heapq.heappop(held)
            self._held_bytes -= len(frame)
            _write(handle, frame)
        return None


def _write(handle: int, frame: bytes) -> None:
    try:
        os.write(handle, frame)
    except OSError:
        return  # the device is down or full: a packet is lost, as on any network


def main(control: int, *handles: int) -> None:
    gc.disable()  # nothing here is cyclic, and a pause would be a delay nobody asked for
    shaper = Shaper(tuple(zip(handles[::2], handles[1::2], strict=True)))
    with socket.socket(fileno=control) as parent:
        parent.sendall(b"ready\n")
        unread = b""
        while True:
            readable, _, _ = select.select([control, *shaper.handles], [], [], shaper.release())
            for handle in readable:
                if handle != control:
                    shaper.pass_on(handle)
                    continue
                data = parent.recv(65536)
                if not data:
                    return
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    shaper.command(line.decode())
                    parent.sendall(b"done\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
