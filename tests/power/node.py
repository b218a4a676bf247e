"""A node as the power soak wants it; started in the place of `python -m nodes`:

    python node.py full|off --cluster ... --name ... --data DIR/data ...

With `off` the log store does not wait for the disk: the positive control, and no switch of a node.
"""

from __future__ import annotations

import sqlite3
import sys


def wait_for_no_disk() -> None:
    from nodes import log_file

    configure = log_file._configure

    def configure_and_hope(connection: sqlite3.Connection) -> None:
        configure(connection)
        connection.execute("PRAGMA synchronous = OFF")

    log_file._configure = configure_and_hope


if __name__ == "__main__":
    synchronous = sys.argv.pop(1)
    if synchronous == "off":
        wait_for_no_disk()
    from nodes.__main__ import main

    main()
