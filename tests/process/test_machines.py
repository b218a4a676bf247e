"""Machines of their own, as network namespaces: docs/deploy.md, command by command, and beyond."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jepsen_like.backends.namespaces import Namespaces
from nodes.cluster_file import load_cluster, new_secret
from tests.jepsen_like.networks import require_namespaces
from tests.process.conftest import shardrouter, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.processes]

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "deploy.md"
HOSTS = {f"10.0.0.{number}": f"10.0.0.{number}" for number in (1, 2, 3, 4, 9)}
CLIENTS = "10.0.0.9"
NODES = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "d": "10.0.0.4"}
START_TIMEOUT_S = 60

INSERT_AND_COUNT = """
import asyncio, asyncpg
async def main():
    db = await asyncpg.connect(open("dsn").read().strip())
    for number in range(100, 120):
        await db.execute("INSERT INTO accounts VALUES ($1, $2)", number, f"owner {number}")
    print(await db.fetchval("SELECT count(*) FROM accounts"))
    await db.close()
asyncio.run(main())
"""


def steps() -> list[tuple[str, list[str]]]:
    """(host, words) of every command that the document shows."""
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).splitlines():
        command, _, host = line.rpartition("# on ")
        found.append((host.strip(), shlex.split(command)))
    return found


class Machines:
    """Hosts with a directory each, and what runs there."""

    def __init__(self, network: Namespaces, directory: Path) -> None:
        self._network = network
        self._directory = directory
        self.running: dict[str, subprocess.Popen[str]] = {}
        for host in network.addresses:
            self.at(host).mkdir()

    def at(self, host: str) -> Path:
        return self._directory / host

    def log(self, what: str) -> Path:
        return self._directory / f"{what}.log"

    def run(self, host: str, *words: str) -> subprocess.CompletedProcess[str]:
        argv = list(words)
        if argv[0] == "shardrouter":
            argv = shardrouter(*argv[1:])
        return subprocess.run(
            self._network.command(host, argv),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.at(host),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    def start(self, host: str, *words: str) -> None:
        """Something that runs on, once it has said `ready`."""
        what = words[-1]
        with self.log(what).open("a") as log:
            process = subprocess.Popen(
                self._network.command(host, shardrouter(*words[1:])),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.at(host),
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        self.running[what] = process
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("ready "), self.log(what).read_text()

    def stop(self, what: str) -> None:
        process = self.running.pop(what)
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def close(self) -> None:
        for what in list(self.running):
            self.stop(what)

    def follow(self, host: str, words: list[str]) -> None:
        """Do what the document says."""
        if words[:2] == ["scp", "-p"]:
            *files, to = words[2:]
            for file in files:
                shutil.copy2(self.at(host) / file, self.at(to.removesuffix(":")) / file)
        elif words[:2] == ["shardrouter", "serve"] or (words[-1] in NODES and len(words) == 3):
            self.start(host, *words)
        else:
            done = self.run(host, *words)
            assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
            assert done.stdout

    def status(self) -> dict[str, object]:
        found = json.loads(self.run(CLIENTS, "shardrouter", "status", "--json").stdout)
        assert isinstance(found, dict)
        return found

    def revision(self, node: str) -> int:
        return load_cluster(self.at(NODES[node]) / "cluster.toml").revision

    def sql(self, statement: str) -> str:
        done = self.run(CLIENTS, "shardrouter", "sql", "-c", statement)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """What is there when everything in the document was done."""
    require_namespaces()
    network = Namespaces(HOSTS)
    asyncio.run(network.open())
    with closing(network):
        there = Machines(network, tmp_path_factory.mktemp("machines"))
        with closing(there):
            for host, words in steps():
                there.follow(host, words)
            yield there


def test_every_command_of_the_document_works_and_any_client_does(machines: Machines) -> None:
    assert "Ada" in machines.sql("SELECT owner FROM accounts WHERE id = 1")
    done = machines.run(CLIENTS, sys.executable, "-c", INSERT_AND_COUNT)
    assert done.stdout.strip() == "21", done.stderr
    groups = machines.status()["groups"]
    assert isinstance(groups, dict)
    assert {r["node"] for r in groups["shard-1"]["replicas"]} == {"a", "b", "d"}
    assert [machines.revision(node) for node in "abcd"] == [1, 1, 1, 1]


def test_a_wrong_secret_is_refused_and_logged_and_nothing_is_changed(machines: Machines) -> None:
    secret = machines.at(CLIENTS) / "cluster.secret"
    right = secret.read_text()
    began = time.monotonic()
    try:
        secret.write_text(new_secret().hex() + "\n")
        refused = machines.run(CLIENTS, "shardrouter", "status")
        assert refused.returncode == 1
        assert "node a does not answer: 10.0.0.1:6434 refused the connection" in refused.stdout
        assert "does not know the secret" in refused.stdout
        added = machines.run(CLIENTS, "shardrouter", "node", "add", "e=10.0.0.5:6434")
        assert added.returncode == 1
        assert "the cluster refuses this program" in added.stderr
        assert "does not know the secret" in added.stderr
        for verb in (["verify"], ["leader", "transfer", "meta", "b"], ["where", "t", "1"]):
            ended = machines.run(CLIENTS, "shardrouter", *verb)
            assert ended.returncode == 1
            assert "does not know the secret" in ended.stderr
        secret.chmod(0o644)
        readable = machines.run(CLIENTS, "shardrouter", "status")
        assert readable.returncode == 1
        assert "chmod 600" in readable.stderr
    finally:
        secret.write_text(right)
        secret.chmod(0o600)
    wait_until(
        lambda: "left without a proof" in machines.log("a").read_text(), 10, "the node logs it"
    )
    logged = machines.log("a").read_text().count("left without a proof")
    assert logged <= 1 + (time.monotonic() - began) // 30, "one line in half a minute"
    assert machines.revision("a") == 1
    assert machines.run(CLIENTS, "shardrouter", "status").returncode == 0


def test_a_node_with_a_wrong_secret_or_none_takes_no_part(machines: Machines) -> None:
    host = NODES["d"]
    secret = machines.at(host) / "cluster.secret"
    right = secret.read_text()
    machines.stop("d")
    secret.unlink()
    alone = machines.run(host, "shardrouter", "node", "d")
    assert alone.returncode == 1
    assert "node d will not listen on 10.0.0.4:6434 without a secret" in alone.stderr
    try:
        secret.write_text(new_secret().hex() + "\n")
        secret.chmod(0o600)
        machines.start(host, "shardrouter", "node", "d")
        wait_until(
            lambda: "does not know the secret" in machines.log("d").read_text(), 20, "d says why"
        )
        machines.stop("d")
    finally:
        secret.write_text(right)
    machines.start(host, "shardrouter", "node", "d")
    wait_until(
        lambda: machines.run(CLIENTS, "shardrouter", "status").returncode == 0, 30, "all is well"
    )


def test_a_node_that_was_down_learns_who_came(machines: Machines) -> None:
    machines.stop("b")
    before = machines.revision("b")
    added = machines.run(CLIENTS, "shardrouter", "node", "add", "e=10.0.0.5:6434")
    assert added.returncode == 0, added.stderr
    assert "not reached: b;" in added.stderr
    assert machines.revision("a") == before + 1
    assert machines.revision("b") == before
    machines.start(NODES["b"], "shardrouter", "node", "b")
    wait_until(lambda: machines.revision("b") == before + 1, 20, "b learns of e")
    removed = machines.run(CLIENTS, "shardrouter", "node", "remove", "e")
    assert removed.returncode == 0, removed.stderr
    wait_until(lambda: machines.revision("b") == before + 2, 20, "b learns that e is gone")


def test_a_node_that_is_needed_is_not_removed(machines: Machines) -> None:
    def refusal() -> str:
        done = machines.run(CLIENTS, "shardrouter", "node", "remove", "a")
        assert done.returncode == 1
        return done.stderr

    wait_until(lambda: "node a hosts a replica of" in refusal(), 30, "a sentence", refusal)
    assert "shardrouter node drain a" in refusal()
    again = machines.run(CLIENTS, "shardrouter", "node", "add", "a=10.0.0.7:6434")
    assert "there is a node a already, at 10.0.0.1:6434" in again.stderr


def test_a_node_that_lost_its_disk_is_refused_and_then_rebuilt(machines: Machines) -> None:
    machines.stop("d")
    shutil.rmtree(machines.at(NODES["d"]) / "d" / "data")
    machines.start(NODES["d"], "shardrouter", "node", "d")

    def missing() -> str:
        return str(machines.status()["missing"])

    wait_until(lambda: "does not listen to d: the files of node d" in missing(), 30, "it is told")
    assert "shardrouter replica rebuild --node d" in missing()
    one = machines.run(CLIENTS, "shardrouter", "replica", "rebuild", "shard-1", "d")
    assert one.returncode == 1
    assert "so all its replicas are lost" in one.stderr
    rebuilt = machines.run(CLIENTS, "shardrouter", "replica", "rebuild", "--node", "d")
    assert rebuilt.returncode == 0, rebuilt.stderr
    groups = machines.status()["groups"]
    assert isinstance(groups, dict)
    assert {r["node"]: r["voter"] for r in groups["shard-1"]["replicas"]}["d"]
    assert machines.status()["missing"] == []
    assert "Ada" in machines.sql("SELECT owner FROM accounts WHERE id = 1")


def test_nothing_of_it_is_on_this_machine(machines: Machines) -> None:
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    assert "switch" not in links.stdout
    assert "port0" not in links.stdout
