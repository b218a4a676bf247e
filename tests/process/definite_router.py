"""A router that says of every write whose time is over that it was cancelled (57014), also of one
that it has sent and cannot learn the outcome of (08007): a control of the harness, and no switch of
a router. Started in the place of `python -m shardrouter.cli`, with the same arguments.
"""

from __future__ import annotations

import sys
from typing import Final

from shardrouter import verdicts

PATCHED: Final = "unknown"


if __name__ == "__main__":
    assert hasattr(verdicts, PATCHED)
    setattr(verdicts, PATCHED, verdicts.time_over)  # before others take the function from there
    from shardrouter.cli import main

    sys.exit(main())
