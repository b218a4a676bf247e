"""`shardrouter sql` as a user meets it: in a terminal, with -c, in scripts, beside psql."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.conftest import Up, shardrouter, start_up, wait_until
from tests.suites.postgres import APT, PostgresMissing, find_programs, running_postgres

pytestmark = pytest.mark.slow

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is missing: apt-get install tmux"
)
SHAPE = ("--nodes", "1", "--replicas", "1", "--shards", "1", "--engine", "local")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    cluster = start_up(tmp_path_factory.mktemp("shell") / "data", *SHAPE)
    yield cluster
    if cluster.process.poll() is None:
        cluster.stop()


class Terminal:
    """A program in a tmux of its own."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self._tmux = ["tmux", "-S", str(directory / "tmux.sock")]
        mine = {"XDG_STATE_HOME": str(directory), "PAGER": "cat", "EDITOR": "sed -i s/7/8/"}
        start = ["new-session", "-d", "-x", "100", "-y", "60", " ".join(command)]
        subprocess.run([*self._tmux, *start], env=os.environ | mine, check=True)

    def screen(self) -> str:
        shown = [*self._tmux, "capture-pane", "-p"]
        return subprocess.run(shown, capture_output=True, text=True, check=False).stdout

    def keys(self, *names: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *names], check=True)

    def type(self, text: str) -> None:
        # tmux takes a ; at the end of a word for its own
        self.keys("-l", f"{text[:-1]}\\;" if text.endswith(";") else text)

    def line(self, text: str, expect: str) -> None:
        """Type a line on a clean screen, and wait for what it makes appear."""
        self.clear()
        self.type(text)
        self.keys("Enter")
        self.wait(expect)

    def clear(self) -> None:
        self.keys("C-l")
        wait_until(lambda: len(self.screen().split("\n\n")[0].splitlines()) <= 1, 15, "a clean one")

    def wait(self, expect: str) -> None:
        wait_until(lambda: expect in self.screen(), 15, f"{expect!r} on the screen", self.screen)

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


@needs_tmux
@pytest.mark.long
@pytest.mark.processes
def test_the_shell_in_a_terminal(small: Up, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, shardrouter("sql", small.dsn))
    try:
        terminal.wait("shardrouter=>")
        terminal.line("CREATE TABLE words (id integer PRIMARY KEY, word text);", "CREATE TABLE\n")
        terminal.line("INSERT INTO words", "->")
        terminal.type("VALUES (1, 'hello'), (2, NULL);")
        terminal.keys("Enter")
        terminal.wait("INSERT 0 2")
        terminal.clear()
        terminal.type("SELECT word FROM wor")
        terminal.keys("Tab")
        terminal.wait("FROM words")
        terminal.type(" WHERE id = 1;")
        terminal.keys("Enter")
        terminal.wait(" word\n-------\n hello\n(1 row)")
        terminal.line("SELECT id, nothing FROM words;", "42703")
        caret = "LINE 1: SELECT id, nothing FROM words\n                   ^"
        terminal.wait(caret)
        terminal.line("\\d words", 'Table "public.words"')
        terminal.line("SELECT 7 AS n;", " 7\n(1 row)")
        terminal.clear()
        terminal.type("\\e")
        terminal.keys("Enter")
        terminal.wait("shardrouter=> SELECT 8 AS n;")
        terminal.keys("Enter")
        terminal.wait(" 8\n(1 row)")
        terminal.line("SELECT 9 \\watch 0.01", " 9\n(1 row)")
        terminal.keys("C-c")
        wait_until(lambda: terminal.screen().rstrip().endswith("shardrouter=>"), 15, "it stops")
        terminal.line("\\x", "Expanded display is on.")
        terminal.line("SELECT * FROM words WHERE id = 2;", "-[ RECORD 1 ]\nid   | 2\nword | NULL\n")
        terminal.line("\\x", "Expanded display is off.")
        terminal.line("\\timing", "Timing is on.")
        terminal.line("BEGIN;", "shardrouter=*>")
        terminal.line("SELECT 1/0;", "shardrouter=!>")
        terminal.line("ROLLBACK;", "Time: ")
        terminal.clear()
        terminal.type("SELECT pg_sleep(60);")
        terminal.keys("Enter")
        wait_until(lambda: "sleep(60);\n" in terminal.screen(), 15, "it runs", terminal.screen)
        terminal.keys("C-c")
        terminal.wait("ERROR:  57014")
        terminal.line("BEGIN;", "shardrouter=*>")
        assert small.end_by(signal.SIGINT) == 0
        terminal.line("SELECT 1;", "The open transaction is gone")
        terminal.wait("shardrouter=?>")
        again = start_up(small.directory)
        small.process, small.progress = again.process, again.progress
        terminal.line("SELECT word FROM words WHERE id = 1;", "hello")
        terminal.wait("shardrouter=>")
        terminal.line("ALTER ROLE shardrouter PASSWORD NULL", "->")
        terminal.keys("C-c")
        terminal.line("DROP TABLE words;", "DROP TABLE\n")
        terminal.type("\\q")
        terminal.keys("Enter")
        wait_until(lambda: not terminal.screen(), 15, "\\q leaves the shell", terminal.screen)
    finally:
        terminal.end()
    [history] = tmp_path.rglob("sql_history")
    assert history.stat().st_mode & 0o777 == 0o600
    assert "+INSERT INTO words\n+VALUES (1" in history.read_text()


def test_c_files_and_pipes_end_with_psqls_codes(small: Up, tmp_path: Path) -> None:
    made = small.run(
        *("sql", "-c", "CREATE TABLE s (id integer PRIMARY KEY, t text)"),
        *("-c", "INSERT INTO s VALUES (1, 'a;b'); SELECT * FROM s"),
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == (
        "CREATE TABLE\nINSERT 0 1\n id |  t  \n----+-----\n  1 | a;b\n(1 row)\n\n"
    )
    rows = small.run("sql", "--json", "-c", "SELECT id, t, NULL AS n FROM s")
    assert json.loads(rows.stdout) == [{"id": 1, "t": "a;b", "n": None}]
    script = tmp_path / "script.sql"
    script.write_text(
        "COPY s FROM STDIN;\n2\ttwo\n\\.\nSELECT 1/0;\nSELECT count(*) AS n FROM s -- unfinished\n"
    )
    on = small.run("sql", "-f", str(script))
    assert on.returncode == 0
    assert on.stdout == "COPY 1\n n \n---\n 2\n(1 row)\n\n"
    assert on.stderr == "ERROR:  22012: division by zero\n"
    piped = small.run("sql", "-v", "ON_ERROR_STOP=1", stdin="SELEC;\nDROP TABLE s;\n")
    assert (piped.returncode, piped.stdout) == (3, "")
    wrong = small.run("sql", "-c", "SELECT * FROM missing")
    assert wrong.returncode == 1
    assert 'relation "missing" does not exist' in wrong.stderr
    dead = small.run("sql", "postgresql://u:p@127.0.0.1:1/d", "-c", "SELECT 1")
    assert dead.returncode == 2
    assert "Traceback" not in dead.stderr
    assert "127.0.0.1:1" in dead.stderr


BESIDE = Path(__file__).parent.parent / "testdata" / "shell"


def test_what_is_printed_is_what_psql_prints(tmp_path: Path) -> None:
    """The same scripts, sent to the same PostgreSQL, by this shell and by psql."""
    try:
        programs = find_programs()
        with running_postgres() as postgres:
            for script in sorted(BESIDE.glob("*.sql")):
                ours = printed(shardrouter("sql", postgres.dsn), script, tmp_path)
                psql = [str(programs / "psql"), "-X", "-P", "null=NULL", postgres.dsn]
                assert ours == printed(psql, script, tmp_path), script.name
    except PostgresMissing:
        pytest.skip(APT)


def printed(command: list[str], script: Path, directory: Path) -> str:
    """What it writes, notices in their place."""
    with script.open() as stdin:
        done = subprocess.run(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            cwd=directory,
        )
    return done.stdout
