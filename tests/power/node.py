"""A node as the power soak wants it; started in the place of `python -m nodes`:

    python node.py KEEP full|off --cluster ... --name ... --data DIR/data ...

KEEP entries stay in a log behind the applied index, so that compaction and snapshots happen every
second or so. With `off` the log store does not wait for the disk: the positive control, and no
switch of a node.
"""

from __future__ import annotations

import sqlite3
import sys


def keep_little(entries: int) -> None:
    from nodes import snapshot_transfer

    for name, value in (("KEEP_ENTRIES", entries), ("CUT_ENTRIES", entries // 3)):
        assert hasattr(snapshot_transfer, name)
        setattr(snapshot_transfer, name, value)


def wait_for_no_disk() -> None:
    from nodes import log_file

    configure = log_file._configure

    def configure_and_hope(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = OFF")

    log_file._configure = configure_and_hope


if __name__ == "__main__":
    keep, synchronous = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    keep_little(keep)
    if synchronous == "off":
        wait_for_no_disk()
    from nodes.__main__ import main

    main()
