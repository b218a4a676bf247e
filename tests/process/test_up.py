"""`shardrouter up` and the other verbs, as a new user types them, with real clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from nodes.config import parse_cluster
from tests.process.conftest import (
    Up,
    alive,
    children,
    shardrouter,
    start_up,
    wait_until,
)

pytestmark = pytest.mark.slow

needs_psql = pytest.mark.skipif(
    shutil.which("psql") is None, reason="psql is missing: apt-get install postgresql-client"
)


def psql(up: Up, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["psql", "-X", "-A", "-t", up.dsn], input=script, capture_output=True, text=True, timeout=60
    )


@needs_psql
def test_psql_creates_inserts_selects_updates_deletes_and_sees_errors(up: Up) -> None:
    done = psql(
        up,
        """
        CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, ok boolean, x float8);
        INSERT INTO people (id, name, ok, x) VALUES (1, 'Ada', true, 1.5);
        INSERT INTO people (id, name) VALUES (2, 'Bob''s');
        SELECT * FROM people WHERE id = 1;
        SELECT id, name FROM people ORDER BY id DESC;
        UPDATE people SET x = x + 1 WHERE id = 1;
        SELECT x FROM people WHERE id = 1;
        DELETE FROM people WHERE id = 2;
        SELECT count(*) FROM people;
        DROP TABLE people;
        """,
    )
    assert done.stdout.splitlines() == [
        "CREATE TABLE",
        "INSERT 0 1",
        "INSERT 0 1",
        "1|Ada|t|1.5",
        "2|Bob's",
        "1|Ada",
        "UPDATE 1",
        "2.5",
        "DELETE 1",
        "1",
        "DROP TABLE",
    ]
    wrong = psql(
        up,
        """
        SELECT * FROM nowhere;
        SELEC 1;
        GRANT ALL ON t TO u;
        CREATE TABLE d (id integer PRIMARY KEY);
        INSERT INTO d VALUES (1);
        INSERT INTO d VALUES (1);
        INSERT INTO d VALUES (2147483648);
        SELECT count(*) FROM d;
        DROP TABLE d;
        """,
    )
    assert 'relation "nowhere" does not exist' in wrong.stderr
    assert 'syntax error at or near "SELEC"' in wrong.stderr
    assert "HINT:" in wrong.stderr
    assert 'duplicate key value violates unique constraint "d_pkey"' in wrong.stderr
    assert "integer out of range" in wrong.stderr
    assert wrong.stdout.splitlines() == ["CREATE TABLE", "INSERT 0 1", "1", "DROP TABLE"]


@needs_psql
def test_a_psql_session_goes_on_after_kill_9_of_the_leaders_node(up: Up) -> None:
    session = subprocess.Popen(
        ["psql", "-X", "-A", "-t", up.dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )

    def ask(statement: str) -> str:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(statement + ";\n")
        session.stdin.flush()
        return session.stdout.readline().strip()

    assert ask("CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL)") == (
        "CREATE TABLE"
    )
    assert ask("INSERT INTO counter VALUES (7, 0)") == "INSERT 0 1"
    place = json.loads(up.run("where", "counter", "7", "--json").stdout)
    victim = node_pids(up)[place["leader"]]
    os.kill(victim, signal.SIGKILL)
    for expected in range(1, 6):
        assert ask("UPDATE counter SET n = n + 1 WHERE id = 7") == "UPDATE 1"
        assert ask("SELECT n FROM counter WHERE id = 7") == str(expected)
    assert not alive(victim)
    wait_until(
        lambda: up.run("status").returncode == 0 and place["leader"] in node_pids(up),
        30,
        "the killed node is started again and every group has a leader",
    )
    assert ask("DROP TABLE counter") == "DROP TABLE"
    session.communicate("\\q\n", timeout=10)
    assert session.returncode == 0


def node_pids(up: Up) -> dict[str, int]:
    """Running node processes by name, as `up` started them."""
    pids = {}
    for pid in children(up.process.pid):
        argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "--name" in argv:
            pids[argv[argv.index("--name") + 1]] = pid
    return pids


def test_status_shows_groups_leaders_and_replicas(up: Up) -> None:
    shown = up.run("status")
    assert shown.returncode == 0, shown.stderr
    for word in ("meta", "shard-1", "shard-2", "shard-3", "leader", "n1", "n2", "n3"):
        assert word in shown.stdout
    groups = json.loads(up.run("status", "--json").stdout)["groups"]
    assert set(groups) == {"meta", "shard-1", "shard-2", "shard-3"}
    for group in groups.values():
        assert group["leader"] is not None
        assert len(group["replicas"]) == 3
        assert {"role", "term", "commit", "applied"} <= set(group["replicas"][0])


def test_another_up_on_the_same_directory_or_port_is_refused(up: Up, tmp_path: Path) -> None:
    again = up.run("up", str(up.directory))
    assert again.returncode == 1
    assert f"in use by another `shardrouter up` (pid {up.process.pid})" in again.stderr
    other = up.run("up", str(tmp_path / "other"), "--port", str(up.port))
    assert other.returncode == 1
    assert f"port {up.port} is in use" in other.stderr
    assert "--port" in other.stderr
    assert "Traceback" not in other.stderr
    assert not (tmp_path / "other" / "cluster.toml").exists()


def test_up_stops_cleanly_and_finds_its_data_again(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    shape = ("--nodes", "1", "--replicas", "1", "--shards", "2", "--engine", "local")
    first = start_up(directory, *shape)
    assert first.run("sql", "-c", "CREATE TABLE kept (id integer PRIMARY KEY)").returncode == 0
    for key in range(5):
        assert first.run("sql", "-c", f"INSERT INTO kept VALUES ({key})").returncode == 0
    assert stat.S_IMODE((directory / "cluster.secret").stat().st_mode) == 0o600
    (directory / "cluster.secret").rename(directory / "away")
    stranger = first.run("sql", "-c", "SELECT 1")  # through the router, which has it
    assert stranger.returncode == 0, stranger.stderr
    assert "does not answer" in first.run("status").stdout  # the nodes themselves
    (directory / "away").rename(directory / "cluster.secret")
    pids = children(first.process.pid)
    assert pids
    assert first.stop() == 0
    assert not any(alive(pid) for pid in pids)

    refused = first.run("up", str(directory), "--shards", "5")
    assert refused.returncode == 1
    assert "has 2" not in refused.stderr
    assert "--shards 2, you asked for 5" in refused.stderr
    refused = first.run("up", str(directory), "--engine", "core")
    assert "--engine local, you asked for core" in refused.stderr

    second = start_up(directory)
    try:
        counted = second.run("sql", "-c", "SELECT count(*) FROM kept")
        assert "5" in counted.stdout.split()
        assert second.end_by(signal.SIGINT) == 0  # Ctrl-C, as the terminal sends it
    finally:
        if second.process.poll() is None:
            second.stop()


def test_up_goes_on_with_a_new_release(tmp_path: Path) -> None:
    """A copy of the code with one more line in a module that decides what statements do."""
    code = tmp_path / "code"
    for package in ("nodes", "shardrouter"):
        source = Path(__file__).parents[2] / package
        shutil.copytree(source, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    deciding = code / "nodes" / "values.py"
    deciding.write_text(deciding.read_text() + "# another release\n")
    shape = ("--nodes", "3", "--shards", "2")
    first = start_up(tmp_path / "data", *shape)
    made = first.run("sql", "-c", "CREATE TABLE kept (id integer PRIMARY KEY)")
    assert made.returncode == 0, made.stderr
    assert first.run("sql", "-c", "INSERT INTO kept VALUES (1)").returncode == 0
    assert first.stop() == 0
    assert "new release" not in first.progress.read_text()

    second = start_up(tmp_path / "data", code=code)
    try:
        written = second.run("sql", "-c", "INSERT INTO kept VALUES (2)")
        assert written.returncode == 0, written.stderr
        (line,) = (t for t in second.progress.read_text().splitlines() if "new release:" in t)
        assert "meta, shard-1, shard-2 execute with sqlite-" in line
        shown = second.run("status")
        assert shown.returncode == 0, shown.stdout
    finally:
        assert second.stop() == 0


def test_a_data_directory_of_another_cluster_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    one = start_up(directory, "--nodes", "1", "--replicas", "1", "--shards", "1")
    assert one.stop() == 0
    path = directory / "cluster.toml"
    text = path.read_text()
    path.write_text(text.replace(parse_cluster(text).cluster_id, "another"))
    refused = one.run("up", str(directory))
    assert refused.returncode == 1
    assert "another" in refused.stderr
    assert "Traceback" not in refused.stderr
    path.write_text(text)
    again = start_up(directory)
    assert again.stop() == 0


def test_usage_errors_say_what_to_do(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shardrouter(*arguments), capture_output=True, text=True, timeout=30, cwd=tmp_path
        )

    unknown = run("up", "--shard", "3")
    assert unknown.returncode == 2
    assert "--shards" in unknown.stderr
    few = run("up", "--replicas", "5")
    assert few.returncode == 1
    assert "--nodes 5 or more" in few.stderr
    nowhere = run("status")
    assert nowhere.returncode == 1
    assert "shardrouter up" in nowhere.stderr
    assert not (tmp_path / "shardrouter-data" / "cluster.toml").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    full = run("up", "full")
    assert full.returncode == 1
    assert "not empty" in full.stderr
    for verb in ("up", "init", "node", "serve", "status", "where", "sql"):
        shown = run(verb, "--help")
        assert shown.returncode == 0
        assert shown.stdout
