"""The shape of the code, enforced: floors, imports, names (DESIGN section 3)."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jepsen_like.result import RunResult
from tests.conftest import allowed_skips, has_none, skip_is_allowed

ROOT = Path(__file__).parent.parent
PACKAGES = ("nodes", "shardrouter", "jepsen_like")

FLOORS: dict[str, int] = {
    # nodes
    "nodes": 0,
    "nodes.protocol": 0,
    "nodes.frames": 0,
    "nodes.values": 0,
    "nodes.pgtypes": 0,
    "nodes.functions": 0,
    "nodes.definition_step": 1,
    "nodes.foreign_keys": 1,
    "nodes.violations": 1,
    "nodes.engine": 0,
    "nodes.freshness": 0,
    "nodes.gates": 0,
    "nodes.gatekeeping": 0,
    "nodes.read_barriers": 0,
    "nodes.farewell": 1,
    "nodes.router_reports": 0,
    "nodes.metrics": 0,
    "nodes.metrics_page": 1,
    "nodes.scraping": 1,
    "nodes.node_metrics": 1,
    "nodes.process_metrics": 1,
    "nodes.config": 0,
    "nodes.handshake": 0,
    "nodes.whose_files": 0,
    "nodes.incarnations": 0,
    "nodes.belonging": 0,
    "nodes.acquaintances": 1,
    "nodes.description": 1,
    "nodes.cluster_file": 1,
    "nodes.raft": 0,
    "nodes.sessions": 0,
    "nodes.two_phase": 0,
    "nodes.prepared_work": 1,
    "nodes.resolution": 0,
    "nodes.leader_balance": 0,
    "nodes.merkle": 0,
    "nodes.neighbours": 0,
    "nodes.pace": 0,
    "nodes.clocks": 1,
    "nodes.checksums": 1,
    "nodes.bounds": 1,
    "nodes.dry_run": 1,
    "nodes.dry_runs": 1,
    "nodes.file_turn": 1,
    "nodes.lock_waits": 1,
    "nodes.instants": 1,
    "nodes.work": 0,
    "nodes.outcome_digest": 0,
    "nodes.row_insert": 1,
    "nodes.row_locks": 0,
    "nodes.speculation": 1,
    "nodes.spool": 1,
    "nodes.speculations": 1,
    "nodes.stage_content": 0,
    "nodes.staged_rows": 1,
    "nodes.stages": 1,
    "nodes.cursors": 1,
    "nodes.transaction_unit": 1,
    "nodes.write_unit": 1,
    "nodes.recovery": 1,
    "nodes.comparison": 1,
    "nodes.verifier": 1,
    "nodes.fingerprint": 1,
    "nodes.durability": 1,
    "nodes.shortage": 1,
    "nodes.log_file": 1,
    "nodes.log_store": 1,
    "nodes.replica_files": 1,
    "nodes.snapshot_files": 1,
    "nodes.snapshot_transfer": 1,
    "nodes.authorizer": 1,
    "nodes.data_file": 1,
    "nodes.long_reads": 1,
    "nodes.sql_connection": 1,
    "nodes.sql_errors": 1,
    "nodes.applied_state": 1,
    "nodes.entry_checks": 1,
    "nodes.machine": 1,
    "nodes.log_format": 1,
    "nodes.applier": 1,
    "nodes.consensus": 0,
    "nodes.local_engine": 1,
    "nodes.member_changes": 0,
    "nodes.hosting": 1,
    "nodes.resolver": 1,
    "nodes.pysyncobj_engine": 1,
    "nodes.pysyncobj_journal": 1,
    "nodes.pysyncobj_link": 1,
    "nodes.pysyncobj_messages": 0,
    "nodes.engines": 1,
    "nodes.office": 0,
    "nodes.raft_engine": 1,
    "nodes.service": 1,
    "nodes.peers": 1,
    "nodes.server": 1,
    "nodes.client": 1,
    "nodes.collector": 1,
    "nodes.local_cluster": 1,
    "nodes.node": 2,
    "nodes.__main__": 2,
    # shardrouter
    "shardrouter.errors": 0,
    "shardrouter.catalog": 0,
    "shardrouter.placement": 0,
    "shardrouter.statement": 0,
    "shardrouter.parsing": 0,
    "shardrouter.phrases": 0,
    "shardrouter.qualified": 0,
    "shardrouter.relations": 0,
    "shardrouter.alike": 0,
    "shardrouter.array_forms": 0,
    "shardrouter.typed": 0,
    "shardrouter.identity": 0,
    "shardrouter.statement_log": 1,
    "shardrouter.activity": 0,
    "shardrouter.meter": 0,
    "shardrouter.router_port": 0,
    "shardrouter.worker_link": 1,
    "shardrouter.slow_statements": 1,
    "shardrouter.router_metrics": 1,
    "shardrouter.outputs": 0,
    "shardrouter.sources": 0,
    "shardrouter.series": 0,
    "shardrouter.set_functions": 0,
    "shardrouter.placing": 0,
    "shardrouter.subqueries": 0,
    "shardrouter.in_lists": 0,
    "shardrouter.calls": 0,
    "shardrouter.functions": 0,
    "shardrouter.signatures": 0,
    "shardrouter.any_calls": 0,
    "shardrouter.common_types": 0,
    "shardrouter.lazy_constants": 0,
    "shardrouter.similar_names": 0,
    "shardrouter.row_functions": 0,
    "shardrouter.listed_rows": 0,
    "shardrouter.grouping_sets": 0,
    "shardrouter.ordered_aggregates": 0,
    "shardrouter.aggregates": 0,
    "shardrouter.windows": 0,
    "shardrouter.grouping": 0,
    "shardrouter.common_tables": 0,
    "shardrouter.bounds": 0,
    "shardrouter.broadcasting": 0,
    "shardrouter.conflicts": 0,
    "shardrouter.targets": 0,
    "shardrouter.types": 0,
    "shardrouter.casts": 0,
    "shardrouter.enumerations": 0,
    "shardrouter.kinds": 0,
    "shardrouter.type_changes": 0,
    "shardrouter.type_definitions": 0,
    "shardrouter.type_parser": 0,
    "shardrouter.catalogs": 0,
    "shardrouter.catalogs.asking": 1,
    "shardrouter.catalogs.database": 1,
    "shardrouter.operators": 0,
    "shardrouter.python_values": 0,
    "shardrouter.plan": 0,
    "shardrouter.postgresql_names": 0,
    "shardrouter.finishing": 1,
    "shardrouter.explain_statement": 0,
    "shardrouter.fetched": 0,
    "shardrouter.fragments": 0,
    "shardrouter.locality": 0,
    "shardrouter.partials": 0,
    "shardrouter.gathering": 1,
    "shardrouter.asking": 1,
    "shardrouter.merged_rows": 1,
    "shardrouter.memory_database": 1,
    "shardrouter.merge": 0,
    "shardrouter.sqlite_text": 0,
    "shardrouter.moves": 0,
    "shardrouter.health": 0,
    "shardrouter.draining": 0,
    "shardrouter.changes": 0,
    "shardrouter.conditions": 0,
    "shardrouter.ddl": 0,
    "shardrouter.copying": 0,
    "shardrouter.copy_in": 1,
    "shardrouter.cursor_statements": 0,
    "shardrouter.sql_cursors": 1,
    "shardrouter.statement_names": 0,
    "shardrouter.ddl_parser": 0,
    "shardrouter.deferring": 0,
    "shardrouter.definitions": 0,
    "shardrouter.alter_definitions": 0,
    "shardrouter.alter_parser": 0,
    "shardrouter.altering": 0,
    "shardrouter.column_drops": 0,
    "shardrouter.column_types": 0,
    "shardrouter.pinned": 0,
    "shardrouter.commenting": 0,
    "shardrouter.definition_cursor": 0,
    "shardrouter.definition_parts": 0,
    "shardrouter.part_parser": 0,
    "shardrouter.renaming": 0,
    "shardrouter.written": 0,
    "shardrouter.definition_changes": 0,
    "shardrouter.change_builder": 0,
    "shardrouter.query_parser": 0,
    "shardrouter.view_definitions": 0,
    "shardrouter.generated": 0,
    "shardrouter.temporary": 0,
    "shardrouter.temporary_schemas": 1,
    "shardrouter.views": 0,
    "shardrouter.dropping": 0,
    "shardrouter.namespaces": 0,
    "shardrouter.draft": 0,
    "shardrouter.constraint_names": 0,
    "shardrouter.references": 0,
    "shardrouter.serial": 0,
    "shardrouter.sequences": 0,
    "shardrouter.drawn": 0,
    "shardrouter.placement_calls": 0,
    "shardrouter.explained": 0,
    "shardrouter.sequence_calls": 0,
    "shardrouter.session_sequences": 1,
    "shardrouter.sequence_cache": 1,
    "shardrouter.sqlite_schema": 0,
    "shardrouter.tables": 0,
    "shardrouter.dialect": 0,
    "shardrouter.keywords": 0,
    "shardrouter.lexer": 0,
    "shardrouter.planned": 0,
    "shardrouter.query": 0,
    "shardrouter.labels": 0,
    "shardrouter.quick_dataclasses": 0,
    "shardrouter.quick_enums": 0,
    "shardrouter.ordering": 0,
    "shardrouter.ranking": 0,
    "shardrouter.routes": 0,
    "shardrouter.session_plans": 0,
    "shardrouter.returning": 0,
    "shardrouter.rows_planning": 0,
    "shardrouter.row_batches": 0,
    "shardrouter.rows_writing": 1,
    "shardrouter.select_plan": 0,
    "shardrouter.schema_change": 0,
    "shardrouter.syntax": 0,
    "shardrouter.translate": 0,
    "shardrouter.utility": 0,
    "shardrouter.statement_words": 0,
    "shardrouter.transaction_control": 0,
    "shardrouter.block": 0,
    "shardrouter.spreading": 0,
    "shardrouter.tied": 0,
    "shardrouter.branch": 0,
    "shardrouter.transactions": 1,
    "shardrouter.block_definitions": 1,
    "shardrouter.block_steps": 1,
    "shardrouter.block_callbacks": 1,
    "shardrouter.turn": 1,
    "shardrouter.transaction_host": 1,
    "shardrouter.transaction_answers": 1,
    "shardrouter.pgwire": 0,
    "shardrouter.settings": 0,
    "shardrouter.setting_table": 0,
    "shardrouter.roles": 0,
    "shardrouter.role_statements": 0,
    "shardrouter.role_store": 1,
    "shardrouter.access": 1,
    "shardrouter.dsn_file": 1,
    "shardrouter.execution": 0,
    "shardrouter.window": 0,
    "shardrouter.coordinator": 0,
    "shardrouter.large_writes": 1,
    "shardrouter.lifted": 0,
    "shardrouter.upload": 1,
    "shardrouter.row_stream": 1,
    "shardrouter.upgrades": 0,
    "shardrouter.upgrading": 1,
    "shardrouter.repair": 0,
    "shardrouter.rebuilding": 1,
    "shardrouter.verdicts": 0,
    "shardrouter.breaker": 0,
    "shardrouter.admission": 0,
    "shardrouter.admitting": 1,
    "shardrouter.fair_queue": 0,
    "shardrouter.work_limit": 0,
    "shardrouter.nearest": 0,
    "shardrouter.retry_budget": 0,
    "shardrouter.replica_choice": 0,
    "shardrouter.mover": 1,
    "shardrouter.any_replica": 1,
    "shardrouter.contacts": 1,
    "shardrouter.cluster_change": 1,
    "shardrouter.delivery": 1,
    "shardrouter.directory": 1,
    "shardrouter.departures": 0,
    "shardrouter.patience": 1,
    "shardrouter.tasks": 1,
    "shardrouter.levels": 0,
    "shardrouter.session_token": 0,
    "shardrouter.lanes": 1,
    "shardrouter.writing": 1,
    "shardrouter.rows_upload": 1,
    "shardrouter.coordination": 1,
    "shardrouter.shard_writes": 1,
    "shardrouter.instants": 1,
    "shardrouter.shards": 1,
    "shardrouter.made_keys": 0,
    "shardrouter.relocation": 0,
    "shardrouter.relocator": 1,
    "shardrouter.distributing": 0,
    "shardrouter.schema": 1,
    "shardrouter.schema_commits": 1,
    "shardrouter.schema_host": 1,
    "shardrouter.session": 1,
    "shardrouter.session_copies": 1,
    "shardrouter.session_state": 1,
    "shardrouter.session_statements": 1,
    "shardrouter.local_statements": 1,
    "shardrouter.units": 1,
    "shardrouter.pgserver": 1,
    "shardrouter.pgclient": 1,
    "shardrouter.pgclient.proof": 0,
    "shardrouter.pgclient.target": 0,
    "shardrouter.locate": 1,
    "shardrouter": 2,
    "shardrouter.router": 2,
    "shardrouter.connection": 2,
    "shardrouter.exceptions": 0,
    "shardrouter.record": 0,
    "shardrouter.plan_cache": 1,
    "shardrouter.local": 2,
    "shardrouter.blocking": 2,
    "shardrouter.pytest_plugin": 2,
    "shardrouter.cli": 2,
    "shardrouter.cli.shell.arguments": 0,
    "shardrouter.cli.shell.completion": 0,
    "shardrouter.cli.shell.layout": 0,
    "shardrouter.cli.shell.reports": 0,
    "shardrouter.cli.shell.settings": 0,
    "shardrouter.cli.shell.splitting": 0,
    "shardrouter.cli.shell.width": 0,
    # jepsen_like
    "jepsen_like.history": 0,
    "jepsen_like.result": 0,
    "jepsen_like.generators": 0,
    "jepsen_like.load": 0,
    "jepsen_like.models": 0,
    "jepsen_like.aside": 1,
    "jepsen_like.checks": 0,
    "jepsen_like.figures": 0,
    "jepsen_like.corner_stores": 0,
    "jepsen_like.clients": 1,
    "jepsen_like.dispatch": 1,
    "jepsen_like.doctor": 1,
    "jepsen_like.dummy": 1,
    "jepsen_like.dummy_faults": 1,
    "jepsen_like.dummy_program": 1,
    "jepsen_like.file_follow": 1,
    "jepsen_like.file_judge": 1,
    "jepsen_like.file_text": 1,
    "jepsen_like.http_json": 1,
    "jepsen_like.new_command": 1,
    "jepsen_like.skeleton": 1,
    "jepsen_like.skeleton.skeleton_test": 2,
    "jepsen_like.outcomes": 1,
    "jepsen_like.process_clock": 1,
    "jepsen_like.judge": 1,
    "jepsen_like.kernel": 1,
    "jepsen_like.sim": 1,
    "jepsen_like.sim.__main__": 2,
    "jepsen_like.sim.commands": 2,
    "jepsen_like.sim.one_seed": 2,
    "jepsen_like.pytest_plugin": 2,
    "jepsen_like.pytest_runs": 2,
    "jepsen_like.sim.shrink_command": 2,
    "jepsen_like.shrinking": 0,
    "jepsen_like.simpler": 1,
    "jepsen_like.preloading": 1,
    "jepsen_like.recording": 1,
    "jepsen_like.spec": 1,
    "jepsen_like.schedule": 1,
    "jepsen_like.spec_files": 1,
    "jepsen_like.adapters": 1,
    "jepsen_like.workloads": 1,
    "jepsen_like.faults": 1,
    "jepsen_like.backends": 1,
    "jepsen_like.interpose": 1,
    "jepsen_like.backends.abilities": 0,
    "jepsen_like.backends.backoff": 0,
    "jepsen_like.backends.shape": 0,
    "jepsen_like.backends.stations": 0,
    "jepsen_like.report": 1,
    "jepsen_like.report.clock": 0,
    "jepsen_like.report.judged_history": 0,
    "jepsen_like.report.timeline": 0,
    "jepsen_like.report.timeline_text": 0,
    "jepsen_like.report.words": 0,
    "jepsen_like.lab": 1,
    "jepsen_like.lab.figures": 0,
    "jepsen_like.lab.commands": 2,
    "jepsen_like.logs": 1,
    "jepsen_like.reigns": 1,
    "jepsen_like.runner": 1,
    "jepsen_like.store": 1,
    "jepsen_like.store.differences": 0,
    "jepsen_like.store.commands": 2,
    "jepsen_like": 2,
    "jepsen_like.demo": 2,
    "jepsen_like.pacelc": 2,
    "jepsen_like.file_commands": 2,
    "jepsen_like.file_options": 2,
    "jepsen_like.file_lint": 2,
    "jepsen_like.__main__": 2,
}

# What floor 0 may not touch: it decides, and takes time, chance, network and disk as arguments.
IMPURE = {
    "asyncio",
    "aiosqlite",
    "asyncpg",
    "multiprocessing",
    "os",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uvloop",
}

ROUTER_MAY_IMPORT = {
    "nodes.protocol",
    "nodes.values",
    "nodes.functions",
    "nodes.twophase",
    "nodes.config",
    "nodes.client",
    "nodes.cluster_file",
    "nodes.comparison",
    "nodes.sql_errors",
    "nodes.stage_content",
    "nodes.incarnations",
    "nodes.log_format",
    "nodes.frames",
    "nodes.metrics",
    "nodes.metrics_page",
    "nodes.scraping",
    "nodes.process_metrics",
    "nodes.outcome_digest",
    "nodes.collector",
    "nodes.local_cluster",
}

STANDARD_LIBRARY_ONLY = (
    "jepsen_like.history",
    "jepsen_like.models",
    "jepsen_like.load",
    "jepsen_like.checks",
    "jepsen_like.figures",
)

# What makes a checker faster where it is installed (the extra `fast`), imported inside a function
# of one module: verdicts are the same without it, and importing the checkers never needs it.
FASTER_WITH = {"jepsen_like.checks.fast": {"numpy"}}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {
    module_name(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@functools.cache
def tree_of(module: str) -> ast.Module:
    """Parsed when a test asks: every worker of a run imports this file, few run its tests."""
    return ast.parse(PATHS[module].read_text(encoding="utf-8"), str(PATHS[module]))


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of imported modules, `if TYPE_CHECKING` and function bodies included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are banned"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in PATHS else node.module


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    return frozenset(imports(tree_of(module)))


def floor(module: str) -> int | None:
    """The floor of a module, or of the nearest package above it that has one."""
    name = module
    while name:
        if name in FLOORS and (name == module or name not in PACKAGES):
            return FLOORS[name]
        name = name.rpartition(".")[0]
    return None


def offences_of_floors(module: str) -> Iterator[str]:
    own = floor(module)
    if own is None:
        yield f"{module} has no floor: give it one in tests/test_tidy.py"
        return
    package = module.split(".")[0]
    for name in imports_of(module):
        other = name.split(".")[0]
        if other not in PACKAGES:
            continue
        if other == package or (package, other) == ("shardrouter", "nodes"):
            if other != package and name not in ROUTER_MAY_IMPORT:
                yield f"{module} may not import {name}"
            if (floor(name) or 0) > own:
                yield f"{module} (floor {own}) imports {name} above it"
        elif not module.startswith("jepsen_like.adapters.shardrouter"):
            yield f"{module} may not import {name}: {package} stands without {other}"


def test_imports_go_down_only() -> None:
    offences = [offence for module in PATHS for offence in offences_of_floors(module)]
    assert not offences, "\n".join(offences)


def test_floor_zero_is_pure() -> None:
    impure = [
        f"{module} is on floor 0 and imports {name}"
        for module in PATHS
        if floor(module) == 0 and not module.startswith(STANDARD_LIBRARY_ONLY)
        for name in sorted(imports_of(module))
        if name.split(".")[0] in IMPURE
    ]
    assert not impure, "\n".join(impure)


def test_checkers_need_only_the_standard_library() -> None:
    checkers = [module for module in PATHS if module.startswith(STANDARD_LIBRARY_ONLY)]
    foreign = [
        f"{module} imports {name}"
        for module in checkers
        for name in sorted(imports_of(module))
        if name.split(".")[0] not in sys.stdlib_module_names
        and not name.startswith((*STANDARD_LIBRARY_ONLY, "jepsen_like.result"))
        and name not in FASTER_WITH.get(module, ())
    ]
    assert not foreign, "\n".join(foreign)
    for module, faster in FASTER_WITH.items():
        at_once = {
            name
            for node in tree_of(module).body
            for name in imports(node)
            if not isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert not at_once & faster, f"{module} must import these when asked"


def test_only_the_parser_imports_sqlglot() -> None:
    users = {module for module in PATHS if any(n.startswith("sqlglot") for n in imports_of(module))}
    assert {module for module in users if not module.startswith("shardrouter.parsing.")} == {
        "shardrouter.statement"
    }


def test_no_pickle_and_no_eval() -> None:
    for module in PATHS:
        assert "pickle" not in {n.split(".")[0] for n in imports_of(module)}, module
        calls = {
            n.func.id
            for n in ast.walk(tree_of(module))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not calls & {"eval", "exec", "__import__"}, module


def test_no_drawer_for_everything() -> None:
    for module in PATHS:
        assert not {"utils", "common", "helpers", "misc"} & set(module.split(".")), module


def test_the_lock_file_names_no_host_and_hashes_everything() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    requirements = [line for line in text.splitlines() if "==" in line]
    assert requirements
    assert text.count("--hash=sha256:") >= len(requirements)


def test_a_skip_under_ci_needs_its_id_and_its_reason() -> None:
    allowed = allowed_skips("# a comment\ntests/a.py::test_x*\tneeds a kernel with netem\n")
    assert skip_is_allowed("tests/a.py::test_x[1]", "Skipped: needs a kernel with netem", allowed)
    assert not skip_is_allowed("tests/a.py::test_x[1]", "Skipped: something else", allowed)
    assert not skip_is_allowed("tests/b.py::test_x", "Skipped: needs a kernel with netem", allowed)
    with pytest.raises(ValueError, match=r"allowed_skips\.txt:1"):
        allowed_skips("tests/a.py::test_x no tab")


@pytest.mark.parametrize(
    ("chosen", "path", "text", "expected"),
    [
        ("processes and not long", "tests/nodes/test_a.py", "@pytest.mark.slow", True),
        ("processes and not long", "tests/nodes/test_a.py", "@pytest.mark.processes", False),
        ("processes and not long", "tests/process/test_a.py", "", False),
        ("long and not nightly and alone", "tests/process/test_a.py", "", True),
        ("long and not nightly and alone", "tests/power/test_a.py", "m = pytest.mark.long", False),
        ("not long", "tests/nodes/test_a.py", "", False),
        ("slow and hypothesis", "tests/nodes/test_a.py", "", False),
        ("long or alone", "tests/nodes/test_a.py", "", False),
        ("", "tests/nodes/test_a.py", "", False),
    ],
)
def test_only_files_without_a_chosen_test_are_not_read(
    chosen: str, path: str, text: str, expected: bool
) -> None:
    assert has_none(chosen, path, text) is expected


def test_the_fields_of_results_json_are_documented() -> None:
    text = (ROOT / "docs" / "harness.md").read_text(encoding="utf-8")
    section = text[text.index("### results.json") :]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    documented = re.findall(r"`(\w+)`", " ".join(rows))
    assert len(documented) == len(set(documented))
    written = {"schema", "format", "validity", *(f.name for f in dataclasses.fields(RunResult))}
    written -= {"logs"}  # a directory beside it
    undocumented, gone = written - set(documented), set(documented) - written
    assert not undocumented, f"write into docs/harness.md, results.json: {undocumented}"
    assert not gone, f"docs/harness.md, results.json, has fields that are gone: {gone}"
