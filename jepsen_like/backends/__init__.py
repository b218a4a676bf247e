"""Networks between hosts that the harness can cut.

`netns` is the kernel's own network and needs Linux; `proxy` needs no rights and runs anywhere.
"""

from collections.abc import Mapping
from typing import Final

__all__ = [
    "AUTO",
    "BACKENDS",
    "CAN",
    "CUT",
    "DELAY",
    "NETNS",
    "PROXY",
]

AUTO: Final = "auto"
"""The strongest that works here and can do what the test's faults need."""

NETNS: Final = "netns"
PROXY: Final = "proxy"

CUT: Final = "cuts"
DELAY: Final = "delay"
CAN: Final[Mapping[str, frozenset[str]]] = {
    NETNS: frozenset({CUT}),
    PROXY: frozenset({CUT, DELAY}),
}
"""What can be done to the links of each, the strongest first: the nearest to a real network."""

BACKENDS: Final = (AUTO, *CAN)
"""What `--backend` and `Test.backend` may say."""
