"""A node that never cuts its logs, so that they can be replayed from their first entry.

Started in the place of `python -m nodes`, with the same options.
"""

from __future__ import annotations

from nodes import snapshot_transfer
from nodes.__main__ import main

NEVER = 1 << 60


def keep_everything() -> None:
    for name in ("KEEP_ENTRIES", "KEEP_BYTES"):
        assert isinstance(getattr(snapshot_transfer, name), int), f"there is no {name} to raise"
        setattr(snapshot_transfer, name, NEVER)


if __name__ == "__main__":
    keep_everything()
    main()
