"""Run alone inside a namespace, and kept small so that it starts fast: makes what belongs there.

A socket or a device belongs to the network namespace of the process that made it, wherever it
is used later. For every message on the inherited Unix socket ("tcp", "udp", or "tap NAME" for an
Ethernet device whose other end is a handle) this process makes one and passes it back, or says
why it cannot. It ends when the other end is closed, which the kernel does when the harness ends,
however it ends; with the last process in it the namespace is gone, and its links too.
"""

import fcntl
import os
import socket
import struct
import sys

MESSAGE_BYTES_MAX = 64

TUN_DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def make(what: str, name: str) -> int:
    """A handle that the caller closes."""
    if what == "tap":
        handle = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK)
        request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI)
        try:
            fcntl.ioctl(handle, TUNSETIFF, request)
        except OSError:
            os.close(handle)
            raise
        return handle
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    return socket.socket(socket.AF_INET, kinds[what]).detach()


def main(handle: int) -> None:
    with socket.socket(fileno=handle) as parent:
        parent.sendall(b"ready")  # inside the namespace
        while message := parent.recv(MESSAGE_BYTES_MAX):
            what, _, name = message.decode().partition(" ")
            try:
                made = make(what, name)
            except OSError as exc:
                parent.sendall(str(exc).encode())
                continue
            socket.send_fds(parent, [b"made"], [made])
            os.close(made)


if __name__ == "__main__":
    main(int(sys.argv[1]))
