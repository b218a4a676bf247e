"""A node that executes statements with the release named in the file `release` beside its data, in
the place of what it has been built from; and no switch of a node. Another text is another release.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nodes import node
from nodes.__main__ import main

if __name__ == "__main__":
    data = Path(sys.argv[sys.argv.index("--data") + 1])
    release = data.with_name("release")
    name = release.read_text() if release.exists() else "release-1"
    patched = "own_fingerprint"
    assert hasattr(node, patched)
    setattr(node, patched, lambda: name)
    main()
