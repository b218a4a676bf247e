"""Breaks what this database has of PostgreSQL, one thing at a time, and says whether the test that
is there for it notices.

    python -m tests.suites.mutants [NAME ...]

Works on a copy of the tree. Exit code 1 if one was not noticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

__all__ = ["MUTANTS", "Mutant"]

ROOT: Final = Path(__file__).parent.parent.parent
COPIED: Final = ("nodes", "shardrouter", "jepsen_like", "tests", "bench", "pyproject.toml")

HANGS_S: Final = 90.0
"""A test that waits for what does not come has noticed it."""

TESTS: Final = "tests/shardrouter/"
PORT: Final = TESTS + "pgserver/"


@dataclass(frozen=True)
class Mutant:
    """In `file` the text `old`, which is there once, becomes `new`; `test` has to fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTANTS: Final = (
    Mutant(
        "row limit of a portal",
        "shardrouter/pgserver/rows_out.py",
        "        self._limit = max(0, limit)\n",
        "        self._limit = 0\n",
        PORT + "test_statements.py::test_a_portal_gives_its_rows_in_parts",
    ),
    Mutant(
        "a suspended portal",
        "shardrouter/pgserver/rows_out.py",
        "        return 0 < self._limit <= self.count\n",
        "        return 0 < self._limit < self.count\n",
        PORT + "test_statements.py::test_a_portal_gives_its_rows_in_parts",
    ),
    Mutant(
        "ROLLBACK TO on the shard",
        "nodes/transaction_unit.py",
        '"ROLLBACK TO mark{}"',
        '"RELEASE mark{}"',
        "tests/nodes/test_speculation.py::test_savepoints_and_failures_are_steps",
    ),
    Mutant(
        "ROLLBACK TO in the session",
        "shardrouter/block.py",
        '        self._mark_all("rollback", place + 1)\n',
        "",
        TESTS + "test_transactions.py::test_savepoints",
    ),
    Mutant(
        "25P02",
        "shardrouter/transactions.py",
        (
            "            if block.failed:\n"
            "                raise in_failed_block()\n"
            "            if isinstance(plan, TransactionControl)"
        ),
        "            if isinstance(plan, TransactionControl)",
        TESTS + "test_transactions.py::test_after_a_failure_only_its_end_helps",
    ),
    Mutant(
        "NOTICE",
        "shardrouter/pgserver/dialogue.py",
        "            if self._session.wants(n.severity):\n",
        "            if n is None:\n",
        PORT + "test_blocks.py::test_warnings_and_rows_of_a_block",
    ),
    Mutant(
        "client_min_messages",
        "shardrouter/settings.py",
        '        return level == "info" or _MESSAGE',
        "        return level == level or _MESSAGE",
        PORT + "test_connections.py::test_notices_that_nobody_wants_are_not_sent",
    ),
    Mutant(
        "CancelRequest",
        "shardrouter/pgserver/client.py",
        "                self._host.cancel(event.pid, event.key)\n",
        "                pass\n",
        PORT + "test_connections.py::test_who_has_the_key_may_cancel",
    ),
    Mutant(
        "the key of a CancelRequest",
        "shardrouter/pgserver/server.py",
        "        if hmac.compare_digest(known, key) and client is not None:\n",
        "        if client is not None:\n",
        PORT + "test_connections.py::test_who_has_the_key_may_cancel",
    ),
    Mutant(
        "cancel at the node",
        "nodes/server.py",
        "                    self._works[number].give_up()\n",
        "                    pass\n",
        TESTS + "test_cancelled_work.py::test_a_read_in_a_transaction",
    ),
    Mutant(
        "a lost connection at the node",
        "nodes/server.py",
        "            work.give_up()\n",
        "            pass\n",
        TESTS + "test_cancelled_work.py::test_what_a_router_leaves_behind_when_it_goes",
    ),
    Mutant(
        "cancel of a COMMIT with schema changes",
        "shardrouter/schema_commits.py",
        "            except asyncio.CancelledError:\n                continue\n",
        "            except asyncio.CancelledError:\n                raise\n",
        TESTS + "test_schema_commits.py::test_one_that_is_cancelled_says_what_became_of_it",
    ),
    Mutant(
        "statement_timeout",
        "shardrouter/settings.py",
        '        self.statement_timeout_s = self._timeout_s("statement_timeout") or ',
        '        self.statement_timeout_s = 0 * self._timeout_s("statement_timeout") or ',
        TESTS + "test_session.py::test_the_timeout_of_the_call_or_the_setting_is_the_deadline",
    ),
    Mutant(
        "time of a schema change",
        "shardrouter/units.py",
        "        if execution.lasts:\n",
        "        if not plan:\n",
        TESTS + "test_patience.py::test_a_change_outlasts_the_timeout_that_nobody_has_set",
    ),
    Mutant(
        "a schema change without a leader",
        "shardrouter/patience.py",
        "                unserved = late[0]\n",
        '                unserved = ""\n',
        TESTS
        + "test_patience.py::test_work_for_a_group_without_a_leader_ends_with_what_became_of_it",
    ),
    Mutant(
        "lock_timeout",
        "nodes/speculations.py",
        "            until = now + lock.timeout_ms / 1000 if lock.timeout_ms else deadline\n",
        "            until = deadline\n",
        TESTS + "test_transactions.py::test_waits_for_locks_end",
    ),
    Mutant(
        "idle timeouts",
        "shardrouter/pgserver/client.py",
        "                self._watch_idleness(seconds)\n",
        "                pass\n",
        PORT + "test_connections.py::test_who_is_silent_in_a_session_for_too_long_goes",
    ),
    Mutant(
        "FOR UPDATE at the leader",
        "nodes/row_locks.py",
        "            if now - self._seen[other] < LAPSE_S:\n",
        "            if now < 0:\n",
        TESTS + "test_transactions.py::test_for_update_waits_for_the_one_before",
    ),
    Mutant(
        "FOR UPDATE in the router",
        "shardrouter/transactions.py",
        "        if not plan.locking:\n            return None\n",
        "        if plan:\n            return None\n",
        TESTS + "test_transactions.py::test_for_update_waits_for_the_one_before",
    ),
    Mutant(
        "all of a COPY or nothing",
        "nodes/applied_state.py",
        "            execute(ROLLBACK_TO)\n            execute(RELEASE)\n            raise\n",
        "            execute(RELEASE)\n            raise\n",
        TESTS + "test_copy_in.py::test_what_insert_would_refuse_is_refused_with_its_line",
    ),
    Mutant(
        "READ ONLY outside of a block",
        "shardrouter/session.py",
        "                raise read_only_error(plan)\n",
        "                pass\n",
        TESTS + "test_transactions.py::test_modes_and_settings",
    ),
    Mutant(
        "READ ONLY in a block",
        "shardrouter/transactions.py",
        (
            "        if plan.is_write and host.settings.read_only:\n"
            "            raise read_only_error(plan)\n"
        ),
        "",
        TESTS + "test_transactions.py::test_modes_and_settings",
    ),
    Mutant(
        "READ ONLY and COPY",
        "shardrouter/session_copies.py",
        "            raise read_only_error(plan)\n",
        "            pass\n",
        TESTS + "test_copy_in.py::test_a_session_that_only_reads_copies_nothing",
    ),
    Mutant(
        "a proof of SCRAM",
        "shardrouter/pgwire/scram.py",
        '            raise SaslError("28P01", "password authentication failed")\n',
        "            pass\n",
        TESTS + "pgwire/test_scram.py::test_who_knows_the_password_gets_in_and_nobody_else",
    ),
    Mutant(
        "the nonce of SCRAM",
        "shardrouter/pgwire/scram.py",
        '        if len(attributes) < 2 or _attribute(attributes[1], b"r") != self._nonce:\n',
        "        if len(attributes) < 2:\n",
        TESTS + "pgwire/test_scram.py::test_a_final_message_that_proves_nothing_is_refused",
    ),
    Mutant(
        "the channel of SCRAM",
        "shardrouter/pgwire/scram.py",
        "        if not hmac.compare_digest(binding, expected):\n",
        "        if not binding:\n",
        TESTS + "pgwire/test_scram.py::test_a_proof_is_bound_to_the_certificate",
    ),
    Mutant(
        "the unit of a pipeline",
        "shardrouter/pgserver/unit.py",
        "            count = next(controls, len(waiting) if self.writes else 1)\n",
        "            count = 1\n",
        PORT + "test_statements.py::test_a_unit_that_fails_has_not_happened",
    ),
    Mutant(
        "a statement in one go amid a message that is skipped",
        "shardrouter/pgserver/client.py",
        "            and not connection.to_discard\n",
        "",
        PORT + "test_round_trips.py::test_what_is_skipped_is_none",
    ),
    Mutant(
        "a statement in one go that another has replaced",
        "shardrouter/pgserver/round_trips.py",
        "        if self._statements.get(name) is statement and (\n",
        "        if statement and (\n",
        PORT + "test_round_trips.py::test_another_of_the_same_name_is_another",
    ),
    Mutant(
        "Describe without Execute",
        "shardrouter/pgserver/dialogue.py",
        (
            "            self._reply(portal.statement.row_description(portal.formats))\n"
            "            return\n"
        ),
        (
            "            self._reply(portal.statement.row_description(portal.formats))\n"
            "            self._run(PortalRun(portal, 0))\n"
            "            return\n"
        ),
        PORT + "test_statements.py::test_parse_bind_execute",
    ),
    Mutant(
        "transaction_bytes_max of several stages",
        "nodes/service.py",
        "    return staged_bytes(write) > bytes_max\n",
        "    return staged_bytes(write) < 0\n",
        (
            "tests/nodes/test_service.py::"
            "test_a_write_is_refused_when_its_stages_are_too_much_together"
        ),
    ),
    Mutant(
        "time of a large read",
        "nodes/bounds.py",
        "min(self._ends + apply_s(size, rows), self._deadline)",
        "self._ends",
        (
            "tests/nodes/test_speculation.py::"
            "test_a_large_read_behind_a_write_has_the_time_that_its_rows_take"
        ),
    ),
    Mutant(
        "frames of a version",
        "nodes/protocol/requests.py",
        "    at_follower: bool = False\n",
        "    at_follower: bool = False\n    more: int = 0\n",
        (
            "tests/nodes/test_protocol.py::"
            "test_messages_change_with_the_number_of_the_protocol_and_not_without_it"
        ),
    ),
)


def is_noticed(mutant: Mutant, tree: Path) -> bool:
    """Whether the test fails in the copy `tree`, broken like this."""
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        words = ["-q", "-x", "-p", "no:cacheprovider", "-m", "", mutant.test]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=tree,
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANGS_S,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(text)
    if done.returncode not in (0, 1):  # 1: a test has failed
        raise click.ClickException(f"{mutant.name}: {mutant.test} did not run:\n{done.stdout}")
    return done.returncode == 1


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Break what has one of the NAMES in its own, or everything."""
    chosen = [each for each in MUTANTS if not names or any(name in each.name for name in names)]
    escaped = 0
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / name)
        for mutant in chosen:
            noticed = is_noticed(mutant, tree)
            escaped += not noticed
            word = "noticed by" if noticed else "NOT NOTICED by"
            print(f"  {mutant.name}: {word} {mutant.test}", flush=True)
    print(f"mutants: {len(chosen)} broken on purpose, {escaped} not noticed")
    sys.exit(1 if escaped else 0)


if __name__ == "__main__":
    main()
