"""From plans and arguments to commands: which shard, under which guards."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from msgspec import structs

from nodes.protocol import Guard, Statement, StatementResult, Value
from nodes.values import SLOTS, ValueFormatError, canonical_key, slot_of, value_reader
from shardrouter import types
from shardrouter.catalog import Catalog, Column, Table
from shardrouter.errors import RouterError
from shardrouter.execution import (
    Command,
    Execution,
    Prepared,
    SeveralShards,
    command_of,
    is_current,
    outcome_of,
    scatter_commands,
)
from shardrouter.plan import make_plan, parameter_oids, result_columns
from shardrouter.planned import OneShard, Scatter

TABLE = Table(
    "t",
    7,
    (Column("id", "bigint", not_null=True), Column("ok", "boolean")),
    primary_key=("id",),
    shard_key="id",
)
CATALOG = Catalog(
    version=9,
    tables={"t": TABLE},
    shards=("a", "b"),
    slots=[slot % 2 for slot in range(SLOTS)],
    slot_versions=[slot % 5 + 1 for slot in range(SLOTS)],
)


def execution(sql: str, *arguments: Value, oids: tuple[int, ...] = ()) -> Execution:
    plan = make_plan(sql, CATALOG, oids)
    return Execution(Prepared(sql, plan, parameter_oids(plan), result_columns(plan)), arguments)


def slot(key: int) -> int:
    return slot_of(canonical_key(key, "bigint"))


EVEN, ODD = ([k for k in range(50) if slot(k) % 2 == parity][:2] for parity in (0, 1))


def one_shard(sql: str, *arguments: Value) -> tuple[str, Statement, tuple[Guard, ...]]:
    bound = execution(sql, *arguments)
    plan = bound.prepared.plan
    assert isinstance(plan, OneShard)
    command = command_of(plan, bound, CATALOG)
    return command.shard, command.statement, command.guards


@pytest.mark.parametrize("key", [EVEN[0], ODD[0]])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE id = $1",
        "INSERT INTO t (id) VALUES ($1)",
        "UPDATE t SET ok = true WHERE id = $1",
        "DELETE FROM t WHERE id = $1",
    ],
)
def test_a_command_goes_to_the_owner_of_its_slot_guarded_by_table_and_slot(
    sql: str, key: int
) -> None:
    shard, statement, guards = one_shard(sql, key)
    assert shard == ("a" if key == EVEN[0] else "b")
    assert statement.parameters == (key,)
    assert guards == (
        Guard("table:t", 7),
        Guard(f"slot:{slot(key)}", CATALOG.slot_versions[slot(key)]),
    )


def test_every_slot_of_a_command_is_guarded() -> None:
    _, _, guards = one_shard("INSERT INTO t (id) VALUES ($1), ($2)", *EVEN)
    assert {guard.object for guard in guards} == {"table:t", *(f"slot:{slot(k)}" for k in EVEN)}


def test_a_write_whose_keys_are_on_several_shards_goes_on_elsewhere() -> None:
    with pytest.raises(SeveralShards):
        one_shard("INSERT INTO t (id) VALUES ($1), ($2)", EVEN[0], ODD[0])


def test_a_scatter_asks_every_shard_under_the_guard_of_its_table() -> None:
    bound = execution("SELECT * FROM t")
    plan = bound.prepared.plan
    assert isinstance(plan, Scatter)
    _, [commands] = scatter_commands(plan, bound, CATALOG)
    assert [c.shard for c in commands] == ["a", "b"]
    assert {c.guards for c in commands} == {(Guard("table:t", 7),)}


def test_a_scatter_with_keys_asks_their_shards_under_the_guards_of_their_slots() -> None:
    keys = (*EVEN, ODD[0])
    bound = execution("SELECT * FROM t WHERE id IN ($1, $2, $3)", *keys)
    plan = bound.prepared.plan
    assert isinstance(plan, Scatter)
    arguments, [commands] = scatter_commands(plan, bound, CATALOG)
    assert arguments == keys
    guarded = {c.shard: {g.object for g in c.guards} for c in commands}
    assert guarded == {
        "a": {"table:t", *(f"slot:{slot(k)}" for k in EVEN)},
        "b": {"table:t", f"slot:{slot(ODD[0])}"},
    }


STATEMENTS = {
    "SELECT * FROM t WHERE id = $1": (20,),
    "UPDATE t SET ok = $2 WHERE id = $1": (20, 16),
    "INSERT INTO t (id, ok) VALUES ($1, $2)": (20, 16),
    "SELECT ok FROM t WHERE id = $2 AND ok = $1": (16, 20),
}


@pytest.mark.parametrize("sql", STATEMENTS)
@pytest.mark.parametrize("formats", [None, (True, False)])
@pytest.mark.parametrize("key", [*EVEN, *ODD, -(1 << 63), None, 1 << 63, "1"])
def test_the_short_way_to_a_command_leads_where_the_long_one_does(
    sql: str, formats: tuple[bool, ...] | None, key: Value
) -> None:
    """A key that is an argument as it comes is found without asking for all slots."""
    oids = STATEMENTS[sql]
    arguments = tuple([key if oid == 20 else True for oid in oids])

    def made(*, short: bool) -> Command | str:
        bound = execution(sql, *arguments, oids=oids)
        bound = structs.replace(bound, formats=formats and formats[: len(bound.prepared.columns)])
        plan = bound.prepared.plan
        assert isinstance(plan, OneShard)
        assert plan.pin is not None
        if not short:
            plan.__dict__["pin"] = None
        try:
            return command_of(plan, bound, CATALOG)
        except RouterError as exc:
            return f"{exc.sqlstate} {exc}"

    assert made(short=True) == made(short=False)


OF_ALL_TYPES: tuple[Value, ...] = (
    *(None, True, 0, -1, 1 << 15, 1 << 31, 1 << 63, 10**400, 1.5, math.nan, math.inf),
    *("", "a", "é", "a\0", "\ud800", "1e5", b"", b"x"),
)


ALL_OIDS = {kind.oid for kind in (*types.TYPES.values(), *types.SYSTEM_TYPES.values())}


@pytest.mark.parametrize("oid", sorted(ALL_OIDS))
def test_arguments_are_checked_at_once_as_one_by_one(oid: int) -> None:
    for value in OF_ALL_TYPES:
        at_once = _told(partial(types.check_arguments, (oid,), (value,)))
        assert at_once == _told(partial(_checked_by_itself, oid, value)), value


WRITTEN: tuple[bytes, ...] = (
    *(b"", b"0", b"-1", b"32768", b"2147483648", b"9223372036854775808", b" 7 ", b"a", b"a\0"),
    *("é\N{GRINNING FACE}".encode(), b"\xff", b"x" * 100, bytes(2), bytes(4), bytes(8)),
    *(b"\xff" * size for size in (2, 4, 8)),
    *(b"\x80" + bytes(size - 1) for size in (2, 4, 8)),
    b"\x7f" + b"\xff" * 7,
)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("oid", sorted(ALL_OIDS))
def test_what_is_read_whole_needs_no_other_check(oid: int, binary: bool) -> None:
    if not types.are_read_whole((oid,)):
        return
    read = value_reader(oid, binary=binary)
    found = 0
    for data in WRITTEN:
        with suppress(ValueFormatError):
            value = read(data)
            assert types.check_arguments((oid,), (value,)) == (value,)
            found += 1
    assert found >= 3


def test_integers_and_texts_are_read_whole_and_what_may_be_refused_is_not() -> None:
    whole = {types.by_oid(oid).short for oid in ALL_OIDS if types.are_read_whole((oid,))}
    assert whole == {"int2", "int4", "int8", "text", "varchar", "bpchar"}
    assert types.are_read_whole(())
    assert not types.are_read_whole((types.BIGINT.oid, types.DOUBLE.oid))


def test_arguments_read_as_of_other_types_are_checked() -> None:
    """A statement may have been planned again since: its column has another type now."""
    bound = execution("SELECT ok FROM t WHERE id = $1", 1)
    plan = bound.prepared.plan
    assert isinstance(plan, OneShard)
    read = structs.replace(bound, read_as=plan.parameter_oids)
    assert command_of(plan, read, CATALOG) == command_of(plan, bound, CATALOG)
    for read_as in (None, (), (types.TEXT.oid,)):
        other = structs.replace(bound, arguments=("1",), read_as=read_as)
        with pytest.raises(RouterError) as caught:
            command_of(plan, other, CATALOG)
        assert caught.value.sqlstate == "42804"


def _checked_by_itself(oid: int, value: Value) -> tuple[Value, ...]:
    return (types.check_value(value, types.by_oid(oid), 1),)


def _told(check: Callable[[], tuple[Value, ...]]) -> str:
    try:
        return repr(check())
    except RouterError as exc:
        return f"{exc.sqlstate} {exc}"


def test_a_plan_is_current_while_its_table_has_the_version_it_was_made_for() -> None:
    plan = execution("SELECT * FROM t").prepared.plan
    assert is_current(plan, CATALOG)
    newer = Table("t", 8, TABLE.columns, TABLE.primary_key, TABLE.shard_key)
    for tables in ({"t": newer}, {}):
        other = Catalog(10, tables, CATALOG.shards, CATALOG.slots, CATALOG.slot_versions)
        assert not is_current(plan, other)
        assert is_current(execution("SELECT 1").prepared.plan, other)


def test_values_have_the_types_that_were_announced() -> None:
    bound = execution("SELECT ok, id FROM t WHERE id = 1")
    plan = bound.prepared.plan
    assert isinstance(plan, OneShard)
    outcome = outcome_of(plan, bound, StatementResult(2, b"", ((1, 1), (None, 0))))
    assert outcome.values == ((True, 1), (None, 0))
    assert [type(v) for v in outcome.values[0]] == [bool, int]
