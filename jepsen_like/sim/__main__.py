"""`jepsen-like` in an interpreter that simulates: the same commands, with the backend `sim`."""

from __future__ import annotations

from jepsen_like.kernel import replace_kernel
from jepsen_like.sim.kernel import SimulatedKernel

if __name__ == "__main__":
    replace_kernel(SimulatedKernel())
    from jepsen_like.__main__ import main  # now: what it imports must find the other clocks

    main()
