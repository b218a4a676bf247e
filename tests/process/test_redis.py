"""Redis under test: a real master, replicas and sentinels, one failover, writes that are lost."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from jepsen_like import checks, faults, leader_of, load, workloads
from jepsen_like.adapters.members import Refused
from jepsen_like.adapters.redis import Redis, RespConnection, RespError
from jepsen_like.load import Call
from jepsen_like.result import RunResult
from jepsen_like.runner import run
from jepsen_like.spec import Test
from tests.jepsen_like.networks import require_namespaces

pytestmark = pytest.mark.slow


async def connection_to(said: bytes) -> RespConnection:
    """To a server that says this whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    connection = await RespConnection.open(*server.sockets[0].getsockname()[:2])
    server.close()
    return connection


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"+OK\r\n", "OK"),
        (b":12\r\n", 12),
        (b"$-1\r\n", None),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"*3\r\n$6\r\nmaster\r\n:5\r\n*0\r\n", ["master", 5, []]),
    ],
)
async def test_answers_are_read(said: bytes, answer: object) -> None:
    connection = await connection_to(said)
    assert await connection.ask("PING") == answer
    connection.abort()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"-READONLY You can't write against a read only replica.\r\n", Refused),
        (b"-ERR something else\r\n", RespError),
        (b"HTTP/1.1 400 Bad Request\r\n", RespError),
        (b"$5\r\nabc", OSError),
        (b"", OSError),
    ],
)
async def test_only_what_surely_did_nothing_is_refused(said: bytes, error: type[Exception]) -> None:
    connection = await connection_to(said)
    with pytest.raises(error):
        await connection.perform(Call("write", 1, 2, "register"))
    connection.abort()


@pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="redis-server is missing: apt-get install redis-server",
)
@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("backend", ["netns", pytest.param("proxy", marks=pytest.mark.nightly)])
def test_a_failover_loses_what_only_the_old_master_had(tmp_path: Path, backend: str) -> None:
    if backend == "netns":
        require_namespaces()
    test = Test(
        name="redis",
        db=Redis(),
        workloads=[workloads.register(keys=6, calls_per_key=15)],
        load=load.open_loop(rate=90, deadline="500ms", clients=25),
        faults=[
            faults.healthy("500ms"),
            faults.partition(faults.isolate(leader_of("redis")), hold="6s", rest="16s"),
        ],
        checks=[checks.lost_writes(), checks.linearizable()],
        seed=5,
        backend=backend,
    )
    result: RunResult = run(test, out=tmp_path)
    (cut,) = result.faults
    assert cut.verified, cut.evidence
    assert (cut.role_before, cut.role_after) == ("leader of redis", "follower")
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["lost writes"].validity == "invalid", verdicts["lost writes"].reason
    assert "was acknowledged, and all that is left is" in verdicts["lost writes"].reason
    assert verdicts["linearizable"].validity == "invalid"
    assert verdicts["final reads"].validity == "valid"
    assert {o.outcome for o in result.operations if o.f == "cas"} >= {"ok"}
    assert {o.output for o in result.operations if o.f == "cas" and o.outcome == "ok"} == {
        True,
        False,
    }
