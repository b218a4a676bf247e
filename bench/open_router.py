"""A router without passwords in a process of its own, for clients that send bytes made beforehand.

    python -m bench.open_router CLUSTER_TOML

Makes table `bench`, prints its port as JSON, and serves until standard input ends. `child` and
`said` are for who starts it, or another program that behaves like it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["ROWS", "child", "said"]

ROWS: Final = 2000
"""Of table `bench`."""


async def serve(path: Path) -> None:
    from shardrouter.admission import REFUSE_ABOVE
    from shardrouter.pgserver import PgServer
    from shardrouter.router import Router

    async with Router.open(path, name="open", refuse_above=REFUSE_ABOVE) as router:
        await router.execute("CREATE TABLE bench (id bigint PRIMARY KEY, val text)")
        values = ", ".join(f"({row}, 'v')" for row in range(ROWS))
        await router.execute(f"INSERT INTO bench (id, val) VALUES {values}")
        server = PgServer(router.new_session, host="127.0.0.1", port=0)
        address = await server.start()
        print(address.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await server.close(1.0)


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m ARGUMENTS`, a program that ends with its standard input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> Any:
    """The next line that it prints, which is JSON. Raises RuntimeError if it has ended."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark has ended")
    return json.loads(line)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    run(serve(Path(sys.argv[1])))
