"""What each kind of network can do to its links, known before any is made."""

from collections.abc import Mapping
from typing import Final

__all__ = [
    "AUTO",
    "BACKENDS",
    "CAN",
    "CUT",
    "DELAY",
    "DUPLICATION",
    "HALF_OPEN",
    "INSTANT",
    "JITTER",
    "LOSS",
    "NETNS",
    "PACKETS",
    "POWER",
    "PROXY",
    "RATE",
    "REAL",
    "REORDERING",
    "RESET",
    "ROUTERS_APART",
    "SHAPING",
    "SIM",
]

AUTO: Final = "auto"
"""The strongest that works here and can do what the test's faults need."""

SIM: Final = "sim"
"""Everything in one process on virtual time; never taken unless it is named."""

NETNS: Final = "netns"
PROXY: Final = "proxy"
INSTANT: Final = "proxy-instant"
"""The proxy without TCP's pauses after a heal: quicker than any network is."""

CUT: Final = "cuts"
DELAY: Final = "delay"
JITTER: Final = "jitter"
RATE: Final = "a rate"
LOSS: Final = "loss"
DUPLICATION: Final = "duplication"
REORDERING: Final = "reordering"
RESET: Final = "resets"
HALF_OPEN: Final = "half-open connections"
REAL: Final = "what only real processes have"
"""Disks that fail, limits, a share of a core."""

POWER: Final = "power cuts"
"""Disks that lose what was not synced."""

ROUTERS_APART: Final = "links between a router, its clients and the nodes"

PACKETS: Final = frozenset({LOSS, DUPLICATION, REORDERING})
"""TCP hides them from whoever is not the network: a proxy sees bytes, in order, once."""

SHAPING: Final = frozenset({DELAY, JITTER, RATE}) | PACKETS

CAN: Final[Mapping[str, frozenset[str]]] = {
    NETNS: SHAPING | {CUT, RESET, HALF_OPEN, ROUTERS_APART, REAL, POWER},
    PROXY: (SHAPING - PACKETS) | {CUT, RESET, ROUTERS_APART, REAL, POWER},
    INSTANT: (SHAPING - PACKETS) | {CUT, RESET, ROUTERS_APART, REAL, POWER},
    SIM: frozenset({CUT, DELAY, JITTER, RESET, ROUTERS_APART, POWER}),
}
"""What can be done to the links of each, the strongest first: the nearest to a real network."""

BACKENDS: Final = (AUTO, *CAN)
"""What `--backend` and `Test.backend` may say."""
