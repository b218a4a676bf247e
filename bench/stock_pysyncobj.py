"""A node of pysyncobj as its authors ship it, with the SQL work of ours behind it.

    python -m bench.stock_pysyncobj ADDRESS PEER PEER CLIENT_PORT DIRECTORY

Tuned for what it does best here: batches, a period of 2 ms, the log in memory, nothing ever
waits for a disk. Clients talk msgpack over TCP; their connections are polled in the same loop
as pysyncobj's, so that no answer crosses threads. Each command is applied to SQLite, and what a
turn applied is one transaction, answered after its COMMIT.
"""

from __future__ import annotations

import socket
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.poller import POLL_EVENT_TYPE

from nodes.frames import FrameDecoder, encode_frame

PERIOD_S = 0.002


class Database(SyncObj):  # type: ignore[misc]
    """The replicated object: runs SQL."""

    def __init__(self, address: str, peers: list[str], file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        for sql in (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = NORMAL",
            "CREATE TABLE kv (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT, WITHOUT ROWID",
        ):
            self._connection.execute(sql).fetchall()
        super().__init__(
            address,
            peers,
            SyncObjConf(
                autoTick=False,
                appendEntriesUseBatch=True,
                appendEntriesPeriod=PERIOD_S,
                logCompactionMinEntries=10**9,
                logCompactionMinTime=10**9,
                connectionRetryTime=0.1,
            ),
        )

    @replicated  # type: ignore[untyped-decorator]
    def run(self, sql: str, parameters: tuple[object, ...]) -> int:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection.execute(sql, parameters).rowcount

    @property
    def poller(self) -> Any:
        """Of its own connections, once per turn."""
        return self._poller

    @property
    def leads(self) -> bool:
        return bool(self._isLeader() and self.isReady())

    def commit(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")


class Client:
    """One client's connection."""

    def __init__(self, database: Database, connection: socket.socket) -> None:
        self._database = database
        self._socket = connection
        self._frames = FrameDecoder()
        self._decode = msgspec.msgpack.Decoder(tuple[int, str, list[Any]]).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._answers: list[bytes] = []
        database.poller.subscribe(connection.fileno(), self._on_event, POLL_EVENT_TYPE.READ)

    def _on_event(self, descriptor: int, event: int) -> None:
        data = self._socket.recv(2**18)
        if not data:
            self._database.poller.unsubscribe(descriptor)
            self._socket.close()
            return
        for frame in self._frames.feed(data):
            number, sql, parameters = self._decode(frame)
            self._database.run(sql, tuple(parameters), callback=partial(self._done, number))

    def _done(self, number: int, _result: object, error: int) -> None:
        self._answers.append(encode_frame(self._encode((number, error))))

    def flush(self) -> None:
        if self._answers and self._socket.fileno() >= 0:
            answers, self._answers = self._answers, []
            self._socket.sendall(b"".join(answers))


def main(address: str, peers: list[str], client_port: int, directory: Path) -> None:
    directory.mkdir(parents=True)
    database = Database(address, peers, directory / "data.db")
    listener = socket.create_server(("127.0.0.1", client_port))
    clients: list[Client] = []

    def accept(_descriptor: int, _event: int) -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(Client(database, connection))

    def end_of_turn() -> None:
        database.commit()
        for client in clients:
            client.flush()

    database.addOnTickCallback(end_of_turn)
    database.poller.subscribe(listener.fileno(), accept, POLL_EVENT_TYPE.READ)
    was_leader = False
    while True:
        database.doTick(PERIOD_S)
        if database.leads and not was_leader:
            was_leader = True
            print("leads", flush=True)


if __name__ == "__main__":
    own, first, second, port, where = sys.argv[1:]
    main(own, [first, second], int(port), Path(where))
