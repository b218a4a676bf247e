"""A node as shipped on a machine whose clock runs wrong, and no switch of a node:

    python drifting_node.py n2=0.25,n3=1.1 --cluster ... --name n2 ...

The clocks of `n2` run at a quarter of the right speed from its start on. What it counts ticks and
leases by is all that is changed; how long the kernel lets it wait is not, so a clock may run at
most twice too fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from nodes.__main__ import main
from nodes.clocks import SystemClock


def run_at(rate: float) -> None:
    for name in ("monotonic", "lease_now"):
        setattr(SystemClock, name, _scaled(getattr(SystemClock, name), rate))


def _scaled(clock: Callable[[SystemClock], float], rate: float) -> Callable[[SystemClock], float]:
    begin = clock(SystemClock())

    def scaled(self: SystemClock) -> float:
        return begin + rate * (clock(self) - begin)

    return scaled


if __name__ == "__main__":
    rates = dict(part.split("=") for part in sys.argv.pop(1).split(","))
    run_at(float(rates.get(sys.argv[sys.argv.index("--name") + 1], 1)))
    main()
