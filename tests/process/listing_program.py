"""A program of this project that leaves, when it ends, the names of the modules it has loaded.

python listing_program.py DIRECTORY MODULE [the module's own options]
"""

from __future__ import annotations

import atexit
import os
import runpy
import sys
from pathlib import Path


def leave_names(directory: Path, module: str) -> None:
    names = "\n".join(sorted(sys.modules))
    (directory / f"{module}-{os.getpid()}").write_text(names)


if __name__ == "__main__":
    directory, module = Path(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    atexit.register(leave_names, directory, module)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
