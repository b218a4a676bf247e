"""Redis under test: a master, replicas and a sentinel beside each, registers as keys.

Replication is asynchronous: a write is acknowledged before a replica has it. Clients speak to the
master that the sentinel of their host names. A compare-and-set is a script, which Redis carries out
as a whole. `wait` asks for so many replicas after each write (WAIT); fewer make its outcome
unknown. `min_replicas`: a master with fewer takes no writes (min-replicas-to-write).

Errors in DEFINITE were said before anything was done; all others are indefinite.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self, TypeAlias

from jepsen_like.adapters.members import Known, MemberDatabase, MemberStatus, Place, Refused
from jepsen_like.backends.backend import Endpoint
from jepsen_like.load import Call

__all__ = ["Redis", "RespConnection", "RespError"]

MASTER: Final = "registers"
"""The sentinels' name for what they watch."""

DEFINITE: Final = ("READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF", "OOM", "NOSCRIPT")

CAS: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

WAIT_MS: Final = 300

ANSWER_BYTES_MAX: Final = 1024 * 1024

Reply: TypeAlias = "str | int | list[Reply] | None"


@dataclass(frozen=True)
class Redis(MemberDatabase):
    """`down_after_ms`: how long a sentinel waits for the master before it calls it down."""

    members: int = 3
    down_after_ms: int = 1500
    wait: int = 0
    min_replicas: int = 0

    group: ClassVar[str] = "redis"
    program: ClassVar[str] = "redis-server"
    package: ClassVar[str] = "redis-server"
    has_one_port: ClassVar[bool] = True
    has_companions: ClassVar[bool] = True

    def describe(self) -> dict[str, Any]:
        own = {"wait": self.wait, "min_replicas": self.min_replicas}
        return {**super().describe(), "down_after_ms": self.down_after_ms, **own}

    def version(self) -> str:
        said = subprocess.check_output([self.program, "--version"], text=True)
        return next(word[2:] for word in said.split() if word.startswith("v="))

    def files(self, me: Place, known: Known) -> Mapping[str, str]:
        first = known.peers[self.hosts[0]]
        common = ["set-proc-title no", "daemonize no", f"dir {me.directory}", "protected-mode no"]
        server = [
            *common,
            f"bind {me.clients[0]}",
            f"port {me.clients[1]}",
            f"replica-announce-ip {known.peers[me.host][0]}",
            f"replica-announce-port {known.peers[me.host][1]}",
            "appendonly yes",
            'save ""',
            "repl-diskless-sync-delay 0",
            "repl-timeout 5",
            f"min-replicas-to-write {self.min_replicas}",
            "min-replicas-max-lag 2",
        ]
        if me.host != self.hosts[0]:
            server.append(f"replicaof {first[0]} {first[1]}")
        majority = self.members // 2 + 1
        sentinel = [
            *common,
            f"bind {me.companion[0]}",
            f"port {me.companion[1]}",
            f"sentinel announce-ip {known.companions[me.host][0]}",
            f"sentinel announce-port {known.companions[me.host][1]}",
            f"sentinel monitor {MASTER} {first[0]} {first[1]} {majority}",
            f"sentinel down-after-milliseconds {MASTER} {self.down_after_ms}",
            f"sentinel failover-timeout {MASTER} {6 * self.down_after_ms}",
        ]
        return {
            "redis.conf": "\n".join(server) + "\n",
            "sentinel.conf": "\n".join(sentinel) + "\n",
        }

    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        return (self.program, str(me.directory / "redis.conf"))

    def companion_argv(self, me: Place) -> Sequence[str]:
        return (self.program, str(me.directory / "sentinel.conf"), "--sentinel")

    async def open(self, at: Endpoint) -> RespConnection:
        connection = await RespConnection.open(*at)
        connection.wait = self.wait
        return connection

    async def leader_by(self, companion: Endpoint) -> Endpoint | None:
        """Once the sentinel knows all replicas and all other sentinels."""
        connection = await RespConnection.open(*companion)
        try:
            state = _fields(await connection.ask("SENTINEL", "MASTER", MASTER))
        finally:
            connection.abort()
        known = int(state["num-slaves"]), int(state["num-other-sentinels"])
        if min(known) < self.members - 1:
            return None
        return state["ip"], int(state["port"])


class RespError(ValueError):
    """An error that Redis answers, or an answer that is none."""


class RespConnection:
    """RESP2, one question at a time. `await RespConnection.open(host, port)`; raises OSError."""

    wait: int = 0

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port))

    @property
    def is_usable(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    def abort(self) -> None:
        self._writer.transport.abort()

    async def perform(self, call: Call) -> Any:
        key = f"{call.workload}/{call.key}"
        match call:
            case Call("write"):
                await self._tell("SET", key, str(call.value))
                await self._until_copied()
                return None
            case Call("cas", value=(expected, new)):
                found = await self._tell("EVAL", CAS, "1", key, str(expected), str(new))
                await self._until_copied()
                return found == 1
        found = await self._tell("GET", key)
        return None if found is None else int(str(found))

    async def _until_copied(self) -> None:
        if self.wait:
            copies = await self.ask("WAIT", str(self.wait), str(WAIT_MS))
            if not isinstance(copies, int) or copies < self.wait:
                raise RespError(f"only {copies} of {self.wait} replicas have it")

    async def _tell(self, *words: str) -> Reply:
        try:
            return await self.ask(*words)
        except RespError as exc:
            if str(exc).startswith(DEFINITE):
                raise Refused(str(exc)) from exc
            raise

    async def status(self) -> MemberStatus:
        found = await self.ask("ROLE")
        if not isinstance(found, list):
            raise RespError(f"a role is a list, not {found!r}")
        return MemberStatus(leads=found[0] == "master")

    async def ask(self, *words: str) -> Reply:
        """Raises RespError, or OSError if the connection was lost; it is aborted then."""
        parts = [f"*{len(words)}\r\n".encode()]
        for word in words:
            coded = word.encode()
            parts.append(f"${len(coded)}\r\n".encode() + coded + b"\r\n")
        self._writer.write(b"".join(parts))
        try:
            found = await self._reply()
        except (EOFError, asyncio.LimitOverrunError) as exc:
            self.abort()
            raise ConnectionResetError("the connection was closed") from exc
        except BaseException:
            self.abort()
            raise
        if isinstance(found, RespError):
            raise found
        answer: Reply = found
        return answer

    async def _reply(self) -> Any:
        """An error is returned, for it may be inside of a list."""
        line = (await self._reader.readuntil(b"\r\n"))[:-2].decode()
        kind, rest = line[:1], line[1:]
        if kind == "+":
            return rest
        if kind == "-":
            return RespError(rest)
        if kind == ":":
            return int(rest)
        if kind not in ("$", "*") or int(rest) > ANSWER_BYTES_MAX:
            raise RespError(f"this is no answer of Redis: {line[:60]!r}")
        size = int(rest)
        if size < 0:
            return None
        if kind == "*":
            return [await self._reply() for _ in range(size)]
        return (await self._reader.readexactly(size + 2))[:-2].decode(errors="replace")


def _fields(found: Reply) -> dict[str, str]:
    """A list of names and values as a mapping."""
    if not isinstance(found, list) or len(found) % 2:
        raise RespError(f"names and values are a list, not {found!r}")
    return {str(name): str(value) for name, value in zip(found[::2], found[1::2], strict=True)}
