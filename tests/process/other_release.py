"""A program of a release after this one, in which a message between router and node has changed: it
speaks the next version of the node protocol. No switch of any program.

    other_release.py router VERB ...   in the place of `python -m shardrouter.cli`
    other_release.py node ...          in the place of `python -m nodes`; it is of this release as
                                       long as there is no file `next-release` beside its data
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from nodes import handshake

PATCHED: Final = "PROTOCOL_VERSION"
MARK: Final = "next-release"


def become_the_next_release() -> None:
    assert hasattr(handshake, PATCHED)
    setattr(handshake, PATCHED, handshake.PROTOCOL_VERSION + 1)


if __name__ == "__main__":
    if sys.argv.pop(1) == "router":
        become_the_next_release()
        from shardrouter.cli import main

        sys.exit(main())
    if Path(sys.argv[sys.argv.index("--data") + 1]).with_name(MARK).exists():
        become_the_next_release()
    from nodes.__main__ import main as node_main

    node_main()
