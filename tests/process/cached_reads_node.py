"""A node whose leaders answer point reads from a cache that nobody told of writes: a mutant.

What was read is answered again for a tenth of a second, whatever was written since. Unlike the
leader of `stale_reads_node`, which is right as long as it leads, this one is wrong while nothing is
cut: what an operation class may not be that promises consistency over latency. Started in the place
of `python -m nodes`, with the same options.
"""

from __future__ import annotations

import time
from typing import Final

from nodes.__main__ import main
from nodes.machine import Machine
from nodes.protocol import Read, ResponseBody

CACHED_S: Final = 0.1


def break_the_machine() -> None:
    read_now = Machine.read
    cached: dict[str, tuple[float, ResponseBody]] = {}

    def read(self: Machine, read: Read) -> ResponseBody:
        if read.consistency != "linearizable":
            return read_now(self, read)
        key, now = repr(read), time.monotonic()
        found = cached.get(key)
        if found is None or now - found[0] > CACHED_S:
            found = cached[key] = now, read_now(self, read)
        return found[1]

    Machine.read = read  # type: ignore[method-assign]


if __name__ == "__main__":
    break_the_machine()
    main()
