"""etcd under test: real members and real cuts. The harness is not for one database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jepsen_like import faults, load, workloads
from jepsen_like.adapters.etcd import Etcd
from jepsen_like.backends.proxy import Mesh
from jepsen_like.faults import leader_of
from jepsen_like.load import Call
from jepsen_like.result import RunResult
from jepsen_like.runner import run
from jepsen_like.spec import Test
from jepsen_like.workloads.levels import levelled_register, read_at
from tests.jepsen_like.networks import require_namespaces

pytestmark = pytest.mark.slow

needs_etcd = pytest.mark.skipif(
    shutil.which("etcd") is None, reason="etcd is missing: apt-get install etcd-server"
)

ADAPTER = Path(__file__).parent.parent.parent / "jepsen_like" / "adapters" / "etcd.py"


@needs_etcd
async def test_calls_mean_what_they_say_and_a_member_comes_back(tmp_path: Path) -> None:
    workload = levelled_register(["serializable"])
    mesh = Mesh(Etcd().hosts)
    db = await Etcd().start(mesh, tmp_path, lambda _: None)
    try:
        await db.prepare(workload, [1, 2])
        (leader,) = (await db.leaders()).values()
        other = next(host for host in mesh.hosts if host != leader)
        client = await db.connect(other, [workload], 5.0)

        async def ask(f: str, value: object = None, key: int = 1) -> object:
            answer = await client.invoke(Call(f, key, value, workload.name))
            assert answer.outcome == "ok", answer
            return answer.output

        assert await ask("read") == workload.initial
        assert await ask("write", 7) is None
        assert await ask("cas", (7, 8)) is True
        assert await ask("cas", (7, 9)) is False
        assert await ask("read") == 8
        assert await ask("read", key=2) == workload.initial
        assert await ask("read", key=3) is None
        assert await ask(read_at("serializable")) in (7, 8, workload.initial)

        pid = db.pid(other)
        os.kill(pid, 9)
        answer = await client.invoke(Call("write", 1, 10, workload.name))
        assert (answer.outcome, client.is_usable) == ("info", False)
        assert await db.answering_pid(other) is None
        await db.restart(other)
        assert await db.answering_pid(other) == db.pid(other) != pid
        client = await db.connect(other, [workload], 5.0)
        assert await ask("read") in (8, 10)
        client.abort()
    finally:
        await db.stop()
        await mesh.close()


@needs_etcd
@pytest.mark.long
@pytest.mark.processes
@pytest.mark.parametrize("backend", [pytest.param("proxy", marks=pytest.mark.nightly), "netns"])
@pytest.mark.parametrize(
    ("reads", "validity"), [("linearizable", "valid"), ("serializable", "invalid")]
)
def test_a_cut_convicts_local_reads_and_no_others(
    tmp_path: Path, backend: str, reads: str, validity: str
) -> None:
    if backend == "netns":
        require_namespaces()
    test = Test(
        name="etcd",
        db=Etcd(reads=reads),
        workloads=[workloads.register(keys=6)],
        load=load.open_loop(rate=90, deadline="500ms", clients=30),
        faults=[
            faults.healthy("500ms"),
            faults.partition(faults.isolate(leader_of("etcd")), hold="5s", rest="2s"),
        ],
        seed=5,
        backend=backend,
    )
    result: RunResult = run(test, out=tmp_path)
    (cut,) = result.faults
    assert cut.verified, cut.evidence
    assert cut.role_before == "leader of etcd"
    verdicts = {verdict.check: verdict for verdict in result.verdicts}
    assert verdicts["linearizable"].validity == validity, verdicts["linearizable"].reason
    assert verdicts["final reads"].validity == "valid"
    if validity == "invalid":
        # After a write that had been acknowledged, or a read that had already returned its value
        assert verdicts["linearizable"].reason.endswith("before it was sent")
        assert verdicts["linearizable"].offending
    minority = [side for side in result.availability if side.side.startswith("minority")]
    writes = next(side for side in minority if side.f == "write")
    assert writes.ok == 0
    assert result.versions["etcd"]


def test_without_etcd_a_run_says_how_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jepsen_like", "pacelc", "--db", "etcd", "--out", "out"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(ADAPTER.parents[2])},
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1] == ("Error: etcd is missing: apt-get install etcd-server")
    assert not list((tmp_path / "out").glob("data-*"))


def test_the_adapter_is_short() -> None:
    """What a database needs of its own: about sixty lines of code."""
    lines = [line for line in ADAPTER.read_text().splitlines() if line.strip()]
    assert len(lines) <= 70
