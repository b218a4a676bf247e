"""Run alone inside a namespace, and kept small so that it starts fast: makes sockets there.

A socket belongs to the network namespace of the process that made it, wherever it is used
later. For every byte that arrives on the inherited Unix socket this process makes a TCP socket
and passes it back. It ends when the other end is closed, which the kernel does when the harness
ends, however it ends; with the last process in it the namespace is gone, and its links too.
"""

import array
import socket
import sys


def main(handle: int) -> None:
    with socket.socket(fileno=handle) as parent:
        parent.sendall(b"r")  # ready: inside the namespace
        while parent.recv(1):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                handles = array.array("i", [made.fileno()])
                parent.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
