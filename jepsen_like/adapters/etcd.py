"""etcd under test: a member on every host, registers as keys, asked over its HTTP/JSON gateway.

Its errors are all indefinite: "request timed out" is said of what may be committed yet.
"""

from __future__ import annotations

import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jepsen_like.adapters.database import Promise
from jepsen_like.adapters.members import MemberDatabase, MemberStatus, Place
from jepsen_like.backends.backend import Endpoint
from jepsen_like.http_json import JsonOverHttp
from jepsen_like.load import Call
from jepsen_like.workloads.levels import level_in

__all__ = ["Etcd"]


@dataclass(frozen=True)
class Etcd(MemberDatabase):
    """`reads`: the level of reads that name none; `options`: more of them for every member."""

    members: int = 3
    reads: str = "linearizable"
    options: tuple[str, ...] = ()

    group: ClassVar[str] = "etcd"
    program: ClassVar[str] = "etcd"
    package: ClassVar[str] = "etcd-server"
    levels: ClassVar[Mapping[str, str]] = {"linearizable": "PC/EC", "serializable": "PA/EL"}
    promises: ClassVar[Mapping[str, Promise]] = {}
    writes: ClassVar[str] = "PC/EC"

    def version(self) -> str:
        return subprocess.check_output([self.program, "--version"], text=True).split()[2]

    def argv(self, me: Place, peers: Mapping[str, Endpoint]) -> Sequence[str]:
        clients, cluster = _url(me.clients), [f"{host}={_url(at)}" for host, at in peers.items()]
        return [
            *("etcd", "--name", me.host, "--data-dir", str(me.directory), "--logger", "zap"),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", _url(me.peers)),
            *("--initial-advertise-peer-urls", _url(peers[me.host])),
            *("--initial-cluster", ",".join(cluster), *self.options),
        ]

    async def open(self, at: Endpoint) -> EtcdConnection:
        connection = await EtcdConnection.open(*at)
        connection.reads = self.reads
        return connection


class EtcdConnection(JsonOverHttp):
    reads: str

    async def perform(self, call: Call) -> Any:
        key = _bytes(f"{call.workload}/{call.key}")
        match call:
            case Call("write"):
                await self.post("/v3/kv/put", {"key": key, "value": _bytes(call.value)})
                return None
            case Call("cas", value=(expected, new)):
                same = {"key": key, "target": "VALUE", "value": _bytes(expected)}
                put = {"requestPut": {"key": key, "value": _bytes(new)}}
                found = await self.post("/v3/kv/txn", {"compare": [same], "success": [put]})
                return found.get("succeeded", False)  # JSON of etcd leaves out what is false
        is_local = (level_in(call) or self.reads) == "serializable"
        found = await self.post("/v3/kv/range", {"key": key, "serializable": is_local})
        return int(b64decode(found["kvs"][0]["value"])) if "kvs" in found else None

    async def status(self) -> MemberStatus:
        said = await self.post("/v3/maintenance/status", {})
        leads = said.get("leader") == said["header"]["member_id"]
        return MemberStatus(leads, int(said["raftTerm"]))


def _bytes(value: object) -> str:
    return b64encode(str(value).encode()).decode()


def _url(at: Endpoint) -> str:
    return f"http://{at[0]}:{at[1]}"
