"""Run alone inside a namespace, and kept small so that it starts fast: makes what belongs there.

A socket belongs to the network namespace of the process that made it, wherever it is used later.
For every message on the inherited Unix socket this process makes one and passes it back, or says
why it cannot: "tcp", "udp"; "frames NAME", which reads what arrives at an Ethernet device and
writes to it; or "whole NAME", by which the device stops to leave to its hardware what a wire does
not do. It ends when the other end is closed, which the kernel does when the harness ends, however
it ends; with the last process in it the namespace is gone, and its links too.
"""

import array
import fcntl
import socket
import struct
import sys

MESSAGE_BYTES_MAX = 64
MADE = "made"

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
RECEIVE_BYTES = 4 * 1024 * 1024
"""Frames that wait to be read while the reader does something else."""

SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def make(what: str, name: str) -> socket.socket:
    if what == "frames":
        return frames(name)
    if what == "whole":
        return whole(name)
    return socket.socket(
        socket.AF_INET, {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}[what]
    )


def frames(device: str) -> socket.socket:
    """All frames that arrive at the device, which has to be up."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing before it is bound
    try:
        found.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        found.setblocking(False)
        try:
            found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
        except PermissionError:  # older kernels ask for the rights of root outside
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        found.bind((device, ETH_P_ALL))
    except OSError:
        found.close()
        raise
    return found


def whole(device: str) -> socket.socket:
    """Packets leave the device with their checksums, and none is longer than a wire takes: without
    the one the kernel does not leave the other to hardware either."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", device.encode(), asked.buffer_info()[0])
    try:
        fcntl.ioctl(found, SIOCETHTOOL, request)
    except OSError:
        found.close()
        raise
    return found


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
            with made:
                socket.send_fds(parent, [MADE.encode()], [made.fileno()])


if __name__ == "__main__":
    main(int(sys.argv[1]))
