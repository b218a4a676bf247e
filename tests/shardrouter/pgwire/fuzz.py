"""`make fuzz-wire`: bytes against the connection, led by what code they reach (atheris).

The first byte says how the driver behaves and how the rest is cut; a crash is written to a file
that reproduces it, given as an argument. Options are libFuzzer's: -max_total_time=SECONDS ...
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["shardrouter.pgwire"]):
    from tests.shardrouter.pgwire.driving import drive


def one_input(data: bytes) -> None:
    how, stream = data[:1] or b"\0", data[1:]
    size = (how[0] >> 3) * 4 + 1
    drive(
        [stream[at : at + size] for at in range(0, len(stream), size)],
        fails=lambda: bool(how[0] & 1),
        encrypts=bool(how[0] & 2),
        asks=bool(how[0] & 4),
    )


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
