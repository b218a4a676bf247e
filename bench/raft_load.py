"""A closed-loop writer from its own process: so many commands in flight, to one leader.

    python -m bench.raft_load KIND HOST:PORT CLUSTER_ID IN_FLIGHT SECONDS [WARM_UP_SECONDS]

KIND is nodes (the protocol of our nodes, exactly once), etcd, stock, rqlite (a connection for
each command in flight, as its HTTP wants), or etcd-read (linearizable
reads of keys that it has put before). Prints `measuring` when the warm-up is over, `measured` when
the time is, then one JSON object. Commands are answered by callbacks, without a task or future
each, so that the client costs as little as it can.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import msgspec

from bench.etcd_client import EtcdCalls
from bench.machine import own_cpu_s
from nodes.client import NodeClient, Outcome
from nodes.config import Address
from nodes.frames import FrameDecoder, encode_frame
from nodes.protocol import (
    Done,
    Opened,
    OpenSession,
    SetVersion,
    SqlFailure,
    Statement,
    Write,
)

WARM_UP_S = 1.0
TIMEOUT_S = 10.0
KEYS = 100_000
READ_KEYS = 2_000
RQLITE_CONNECTIONS = 256
"""As many as there may be commands in flight."""
GROUP = "shard-1"
CREATE = "CREATE TABLE kv (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT, WITHOUT ROWID"
SQL = "INSERT OR REPLACE INTO kv VALUES (?1, ?2)"
VALUE = "v" * (150 - len(SQL) - 5)  # with the key: a command of 150 bytes

Submit = Callable[[int, Callable[[str], None]], None]
"""Send command number n, from 1; the callback gets why it failed, empty if it did not."""


async def to_nodes(address: Address, cluster_id: str) -> Submit:
    loop = asyncio.get_running_loop()
    client = NodeClient(address, cluster_id=cluster_id, name="bench")
    opened = await client.call(GROUP, OpenSession("bench"), TIMEOUT_S)
    assert isinstance(opened, Opened), opened
    session = opened.session
    create = Write(session, 1, 0, (Statement(CREATE),), sets=(SetVersion("table:kv", 1),))
    created = await client.call(GROUP, create, TIMEOUT_S)
    assert isinstance(created, Done | SqlFailure), created  # a failure: it is there already
    watermark = 1
    answered: set[int] = set()

    def submit(number: int, done: Callable[[str], None]) -> None:
        seq = number + 1

        def on_outcome(outcome: Outcome) -> None:
            nonlocal watermark
            answered.add(seq)
            while watermark + 1 in answered:
                watermark += 1
                answered.remove(watermark)
            done("" if isinstance(outcome, Done) else repr(outcome))

        statement = Statement(SQL, (number % KEYS, VALUE))
        body = Write(session, seq, watermark, (statement,), quick=True)
        client.request(GROUP, body, deadline=loop.time() + TIMEOUT_S, done=on_outcome)

    return submit


async def to_etcd(address: Address, _cluster_id: str) -> Submit:
    loop = asyncio.get_running_loop()
    _, calls = await loop.create_connection(EtcdCalls, address.host, address.port)
    value = (SQL + VALUE).encode()

    def submit(number: int, done: Callable[[str], None]) -> None:
        calls.put(
            b"%05d" % (number % KEYS), value, lambda is_put: done("" if is_put else "refused")
        )

    return submit


async def reads_of_etcd(address: Address, _cluster_id: str) -> Submit:
    loop = asyncio.get_running_loop()
    _, calls = await loop.create_connection(EtcdCalls, address.host, address.port)
    value = VALUE.encode()
    filled: asyncio.Future[None] = loop.create_future()
    left = READ_KEYS

    def is_there(_is_put: bool) -> None:
        nonlocal left
        left -= 1
        if not left:
            filled.set_result(None)

    for number in range(READ_KEYS):
        calls.put(b"%05d" % number, value, is_there)
    await filled

    def submit(number: int, done: Callable[[str], None]) -> None:
        calls.get(b"%05d" % (number % READ_KEYS), lambda is_read: done("" if is_read else "failed"))

    return submit


class _StockLink(asyncio.Protocol):
    """What bench.stock_pysyncobj speaks."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._decode = msgspec.msgpack.Decoder(tuple[int, int]).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._waiting: dict[int, Callable[[str], None]] = {}
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def submit(self, number: int, done: Callable[[str], None]) -> None:
        self._waiting[number] = done
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(encode_frame(self._encode((number, SQL, (number % KEYS, VALUE)))))

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            number, error = self._decode(frame)
            self._waiting.pop(number)(str(error or ""))


async def to_stock(address: Address, _cluster_id: str) -> Submit:
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(_StockLink, address.host, address.port)
    return link.submit


class _RqliteLink(asyncio.Protocol):
    """One request at a time, over one connection."""

    _transport: asyncio.Transport
    _done: Callable[[str], None]

    def __init__(self, idle: list[_RqliteLink]) -> None:
        self._idle = idle
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._idle.append(self)

    def ask(self, statement: list[object], done: Callable[[str], None]) -> None:
        self._done = done
        body = json.dumps([statement]).encode()
        head = b"POST /db/execute HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        self._transport.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        if not end:
            return
        [length] = (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        if len(body) < length:
            return
        self._heard = body[length:]
        self._idle.append(self)
        has_failed = b" 200 " not in head.split(b"\r\n")[0] or b'"error"' in body
        self._done(body.decode() if has_failed else "")


async def to_rqlite(address: Address, _cluster_id: str) -> Submit:
    loop = asyncio.get_running_loop()
    idle: list[_RqliteLink] = []
    for _ in range(RQLITE_CONNECTIONS):
        await loop.create_connection(lambda: _RqliteLink(idle), address.host, address.port)
    is_there: asyncio.Future[str] = loop.create_future()
    create = CREATE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")
    idle.pop().ask([create], is_there.set_result)
    if error := await is_there:
        raise RuntimeError(error)

    def submit(number: int, done: Callable[[str], None]) -> None:
        idle.pop().ask([SQL, number % KEYS, VALUE], done)

    return submit


async def measure(
    submit: Submit, in_flight: int, seconds: float, warm_up_s: float
) -> dict[str, Any]:
    """Commands answered within the measured time, whenever they were sent."""
    now = time.perf_counter
    latencies: list[float] = []
    failures: list[str] = []
    sent = 0
    running = True

    def one() -> None:
        nonlocal sent
        start = now()
        sent += 1

        def done(failure: str) -> None:
            latencies.append(now() - start)
            if failure:
                failures.append(failure)
            elif running:
                one()

        submit(sent, done)

    for _ in range(in_flight):
        one()
    await asyncio.sleep(warm_up_s)
    latencies.clear()
    print("measuring", flush=True)
    begin, cpu_before = now(), own_cpu_s()
    await asyncio.sleep(seconds)
    took, cpu_after = now() - begin, own_cpu_s()
    print("measured", flush=True)
    measured = sorted(latencies)
    running = False
    if failures:
        raise RuntimeError(f"{len(failures)} commands failed, the first with {failures[0]}")
    count = len(measured)
    return {
        "per_second": round(count / took),
        "p50_ms": round(measured[count // 2] * 1e3, 2),
        "p99_ms": round(measured[int(count * 0.99)] * 1e3, 2),
        "operations": count,
        "client_cpu_s": cpu_after[0] - cpu_before[0],
        "client_system_s": cpu_after[1] - cpu_before[1],
    }


async def main(
    kind: str,
    address: str,
    cluster_id: str,
    in_flight: int,
    seconds: float,
    warm_up_s: float = WARM_UP_S,
) -> dict[str, Any]:
    connect = KINDS[kind]
    submit = await connect(Address.parse(address, "the leader"), cluster_id)
    return await measure(submit, in_flight, seconds, warm_up_s)


KINDS = {
    "nodes": to_nodes,
    "etcd": to_etcd,
    "etcd-read": reads_of_etcd,
    "stock": to_stock,
    "rqlite": to_rqlite,
}


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run: Any = asyncio.run
    else:
        run = uvloop.run
    which, where, cluster, commands, *lengths = sys.argv[1:]
    print(json.dumps(run(main(which, where, cluster, int(commands), *map(float, lengths)))))
