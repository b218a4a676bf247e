"""The register server as a database under test: three hosts, the first one leads."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepsen_like.adapters.database import DatabaseError
from jepsen_like.backends.backend import Backend, Endpoint
from jepsen_like.clients import Answer, ClientError
from jepsen_like.load import Call
from jepsen_like.workloads.register import INITIAL
from jepsen_like.workloads.workload import Workload
from nodes.local_cluster import ManagedProcess, ProcessFailed, free_ports

GROUP = "registers"
LEADER = "n1"


@dataclass(frozen=True)
class RegisterDb:
    """`stale` answers reads from a local copy; `broken_start` names an option it has not."""

    stale: bool = False
    options: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ("n1", "n2", "n3")

    def describe(self) -> dict[str, Any]:
        return {"database": "registers", "hosts": list(self.hosts), "stale": self.stale}

    def versions(self) -> dict[str, str]:
        return {"registers": "1"}

    async def start(
        self, backend: Backend, directory: Path, say: Callable[[str], None]
    ) -> RunningRegisters:
        ports = dict(zip(self.hosts, free_ports(len(self.hosts)), strict=True))
        dial = {
            host: await backend.expose(host, "registers", (backend.address(host), port))
            for host, port in ports.items()
        }
        processes = {}
        for host, port in ports.items():
            argv = [sys.executable, "-m", "tests.jepsen_like.register_server"]
            argv += [
                f"{backend.address(host)}:{port}",
                str(directory / f"{host}.jsonl"),
                *self.options,
            ]
            if host == LEADER:
                for other in self.hosts[1:]:
                    argv += ["--follower", "{}:{}".format(*dial[other][LEADER])]
            else:
                argv += ["--leader", "{}:{}".format(*dial[LEADER][host])]
            if self.stale:
                argv.append("--stale")
            processes[host] = ManagedProcess(
                host, backend.command(host, argv), log_path=directory / f"{host}.log"
            )
        reached = {
            host: await backend.reach(host, (backend.address(host), port))
            for host, port in ports.items()
        }
        running = RunningRegisters(processes, reached)
        try:
            for process in processes.values():
                await process.start()
            for process in processes.values():
                await process.wait_ready()
        except ProcessFailed as exc:
            await running.stop()
            raise DatabaseError(f"a register server did not start: {exc}") from exc
        return running


class RunningRegisters:
    def __init__(
        self, processes: Mapping[str, ManagedProcess], reached: Mapping[str, Endpoint]
    ) -> None:
        self.processes = processes
        self._reached = reached

    async def prepare(self, workload: Workload, keys: Sequence[int]) -> None:
        client = await self.connect(LEADER, [workload], 10.0)
        for key in keys:
            answer = await client.invoke(Call("write", key, INITIAL, workload=workload.name))
            assert answer.outcome == "ok", answer
        client.abort()

    async def connect(
        self, host: str, workloads: Sequence[Workload], deadline_s: float
    ) -> RegisterClient:
        try:
            reader, writer = await asyncio.open_connection(*self._reached[host])
        except OSError as exc:
            raise ClientError(str(exc)) from exc
        return RegisterClient(reader, writer, deadline_s)

    async def leaders(self) -> Mapping[str, str]:
        return {GROUP: LEADER}

    async def groups_of(self, workload: Workload, keys: Collection[int]) -> Mapping[int, str]:
        return dict.fromkeys(keys, GROUP)

    def pid(self, host: str) -> int:
        return self.processes[host].pid

    async def answering_pid(self, host: str) -> int | None:
        try:
            reader, writer = await asyncio.open_connection(*self._reached[host])
        except OSError:
            return None
        try:
            async with asyncio.timeout(1.0):
                writer.write(b'{"f": "pid"}\n')
                answer = json.loads(await reader.readline())
                return int(answer["output"])
        except (OSError, TimeoutError, ValueError):
            return None
        finally:
            writer.close()

    async def restart(self, host: str) -> None:
        try:
            await self.processes[host].wait()
            await self.processes[host].start()
            await self.processes[host].wait_ready()
        except ProcessFailed as exc:
            raise DatabaseError(str(exc)) from exc

    async def stop(self) -> None:
        await asyncio.gather(*(process.terminate() for process in self.processes.values()))


class RegisterClient:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deadline_s: float
    ) -> None:
        self._reader, self._writer, self._deadline_s = reader, writer, deadline_s

    @property
    def is_usable(self) -> bool:
        return not (self._writer.is_closing() or self._reader.at_eof())

    async def invoke(self, call: Call) -> Answer:
        try:
            async with asyncio.timeout(self._deadline_s):
                request = {"f": call.f, "key": f"{call.workload}/{call.key}", "value": call.value}
                self._writer.write(json.dumps(request).encode() + b"\n")
                line = await self._reader.readline()
            if line:
                return Answer("ok", json.loads(line)["output"])
            error = "the connection was closed"
        except TimeoutError:
            error = "no answer"
        except OSError as exc:
            error = str(exc)
        self.abort()
        return Answer("fail" if call.f == "read" else "info", error=error)

    def abort(self) -> None:
        self._writer.transport.abort()
