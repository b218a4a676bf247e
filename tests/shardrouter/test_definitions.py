"""Statements that change the schema: what they make, and what PostgreSQL says against them."""

from __future__ import annotations

import pytest

from shardrouter.definition_changes import begin
from shardrouter.errors import NotSupported, StatementError
from shardrouter.plan import make_plan
from shardrouter.planned import Answer
from tests.shardrouter.catalogs import catalog_of, changed, definition_of, table_of

PARENT = "CREATE TABLE p (id int PRIMARY KEY, u int UNIQUE) WITH (home = true)"
CHILD = (
    "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE) WITH (home = true)"
)


def test_constraints_are_named_as_postgresql_names_them() -> None:
    table = table_of(
        "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE CHECK (b > 0), c int,"
        " CHECK (c > 0 OR b > 0), CHECK (a < 9), CONSTRAINT mine CHECK (b < 9), CHECK (b < 8),"
        " UNIQUE (b, c), FOREIGN KEY (c) REFERENCES t (a)) WITH (home = true)"
    )
    assert table.primary == "t_pkey"
    assert [key.name for key in table.keys] == ["t_b_key", "t_b_c_key"]
    names = {check.source: check.name for check in table.checks}
    assert names == {
        "b > 0": "t_b_check",
        "c > 0 OR b > 0": "t_check",
        "a < 9": "t_a_check",
        "b < 9": "mine",
        "b < 8": "t_b_check1",
    }
    assert [key.name for key in table.foreign_keys] == ["t_c_fkey"]


def test_long_names_are_cut_as_postgresql_cuts_them() -> None:
    table = table_of(f"CREATE TABLE {'t' * 50} ({'c' * 40} int UNIQUE)")
    assert table.keys[0].name == "t" * 29 + "_" + "c" * 29 + "_key"


def test_indexes_are_named_by_what_they_are_over() -> None:
    catalog = catalog_of("CREATE TABLE t (a int, b text)")
    for elements in ("a, b", "a, b", "(a + 1), (a + 2)"):
        catalog = changed(catalog, f"CREATE INDEX ON t ({elements})")
    names = [index.name for index in catalog.tables["t"].indexes]
    assert names == ["t_a_b_idx", "t_a_b_idx1", "t_expr_expr1_idx"]


@pytest.mark.parametrize(
    ("sql", "sqlstate", "message"),
    [
        ("CREATE TABLE t (a int REFERENCES nope)", "42P01", 'relation "nope" does not exist'),
        (
            "CREATE TABLE t (a text REFERENCES p)",
            "42804",
            'foreign key constraint "t_a_fkey" cannot be implemented',
        ),
        (
            "CREATE TABLE t (a int, b int, FOREIGN KEY (a, b) REFERENCES p (id))",
            "42830",
            "number of referencing and referenced columns for foreign key disagree",
        ),
        (
            "CREATE TABLE t (a int REFERENCES c (p))",
            "42830",
            'there is no unique constraint matching given keys for referenced table "c"',
        ),
        (
            "CREATE TABLE t (a int, CONSTRAINT x CHECK (a > 0), CONSTRAINT x CHECK (a > 1))",
            "42710",
            'constraint "x" for relation "t" already exists',
        ),
        (
            "CREATE TABLE t (a int, CONSTRAINT p UNIQUE (a))",
            "42P07",
            'relation "p" already exists',
        ),
        ("CREATE TABLE p_pkey (a int)", "42P07", 'relation "p_pkey" already exists'),
        (
            "CREATE TABLE t (a int CHECK (a + 1))",
            "42804",
            "argument of CHECK must be type boolean, not type integer",
        ),
        ("CREATE TABLE t (a int, b int DEFAULT a)", "0A000", "cannot use column reference"),
        ("CREATE TABLE t (a int CHECK (a > (SELECT 1)))", "0A000", "cannot use subquery in check"),
        ("CREATE TABLE t (a int DEFAULT (SELECT 1))", "0A000", "cannot use subquery in DEFAULT"),
        ("CREATE TABLE t (a int CHECK (sum(a) > 1))", "42803", "aggregate functions are not all"),
        ("CREATE INDEX i ON c (id) WHERE count(*) > 1", "42803", "aggregate functions are not"),
        ("CREATE INDEX p ON c (id)", "42P07", 'relation "p" already exists'),
        ("CREATE INDEX i ON c (nope)", "42703", 'column "nope" does not exist'),
        ("CREATE INDEX i ON nope (id)", "42P01", 'relation "nope" does not exist'),
        ("DROP INDEX nope", "42704", 'index "nope" does not exist'),
        ("DROP INDEX p", "42809", '"p" is not an index'),
        ("DROP INDEX p_u_key", "2BP01", "cannot drop index p_u_key because constraint"),
        ("DROP TABLE i_u", "42809", '"i_u" is not a table'),
        ("DROP TABLE p", "2BP01", "cannot drop table p because other objects depend on it"),
        ("TRUNCATE p", "0A000", "cannot truncate a table referenced in a foreign key constraint"),
        ("TRUNCATE nope", "42P01", 'relation "nope" does not exist'),
        ("ALTER TABLE p ADD PRIMARY KEY (u)", "42P16", 'multiple primary keys for table "p"'),
        ("CREATE SEQUENCE s INCREMENT 0", "22023", "INCREMENT must not be zero"),
        ("DROP SEQUENCE nope", "42P01", 'sequence "nope" does not exist'),
        ("DROP SEQUENCE o_id_seq", "2BP01", "cannot drop sequence o_id_seq because other"),
    ],
)
def test_what_postgresql_says_against_it(sql: str, sqlstate: str, message: str) -> None:
    catalog = catalog_of(PARENT, CHILD, "CREATE TABLE o (id serial)", "CREATE INDEX i_u ON c (id)")
    with pytest.raises(StatementError) as caught:
        begin(catalog, definition_of(sql, catalog))
    assert caught.value.sqlstate == sqlstate
    assert caught.value.message.startswith(message)


def test_a_dropped_parent_takes_the_foreign_key_of_its_child_along() -> None:
    catalog = catalog_of(PARENT, CHILD)
    begun = begin(catalog, definition_of("DROP TABLE p CASCADE", catalog))
    assert tuple(notice.message for notice in begun.notices) == (
        "drop cascades to constraint c_p_fkey on table c",
    )
    after = changed(catalog, "DROP TABLE p CASCADE").tables
    assert set(after) == {"c"}
    assert after["c"].foreign_keys == ()
    assert set(changed(catalog, "DROP TABLE c, p").tables) == set()
    assert changed(catalog, "DROP TABLE c").tables["p"].referenced_by == ()


def test_truncate_takes_those_that_refer_along_if_asked() -> None:
    catalog = catalog_of(PARENT, CHILD)
    for sql, notices in (
        ("TRUNCATE p, c", ()),
        ("TRUNCATE TABLE ONLY p CASCADE", ('truncate cascades to table "c"',)),
    ):
        begun = begin(catalog, definition_of(sql, catalog))
        assert begun.change is not None
        assert {moved.name for moved in begun.change.tables} == {"p", "c"}
        assert tuple(notice.message for notice in begun.notices) == notices


def test_a_parent_has_another_version_when_it_is_first_referred_to() -> None:
    """How much a change of one of its rows may do is another matter from then on."""
    catalog = catalog_of(PARENT)
    after = changed(catalog, CHILD)
    assert after.tables["p"].version > catalog.tables["p"].version
    assert after.tables["p"].referenced_by == ("c",)


@pytest.mark.parametrize(
    ("parent", "child", "key", "is_right"),
    [
        ("home = true", "home = true", "b", True),
        ("reference = true", "home = true", "b", True),
        ("reference = true", "shard_key = 'id'", "b", True),
        ("shard_key = 'id'", "shard_key = 'id'", "id", True),
        ("shard_key = 'id'", "shard_key = 'id'", "b", False),
        ("home = true", "shard_key = 'id'", "b", False),
        ("shard_key = 'id'", "home = true", "b", False),
        ("home = true", "reference = true", "b", False),
    ],
)
def test_a_foreign_key_stays_on_one_shard(
    parent: str, child: str, key: str, is_right: bool
) -> None:
    catalog = catalog_of(f"CREATE TABLE p (id int PRIMARY KEY) WITH ({parent})")
    sql = f"CREATE TABLE c (id int PRIMARY KEY, b int, FOREIGN KEY ({key}) REFERENCES p)"
    definition = definition_of(f"{sql} WITH ({child})", catalog)
    if is_right:
        assert begin(catalog, definition).change is not None
    else:
        with pytest.raises(NotSupported, match="another shard"):
            begin(catalog, definition)


def test_default_placement_places_tables_that_say_nothing() -> None:
    catalog = catalog_of()
    definition = definition_of("CREATE TABLE t (id int PRIMARY KEY)")
    for default in ("home", "sharded"):
        change = begin(catalog, definition, default).change
        assert change is not None
        (moved,) = change.tables
        assert moved.after is not None
        assert moved.after.placement == default


def test_placing_calls_of_citus_answer_for_tables_that_are_placed_so() -> None:
    catalog = catalog_of(
        "CREATE TABLE s (k int, id int, PRIMARY KEY (k, id))",
        "CREATE TABLE r (id int PRIMARY KEY) WITH (reference = true)",
    )
    for sql in (
        "SELECT create_distributed_table('s', 'k')",
        "SELECT create_distributed_table('public.s', 'k')",
        "SELECT create_reference_table('r')",
    ):
        plan = make_plan(sql, catalog)
        assert isinstance(plan, Answer)
        assert plan.rows == (("",),)
    with pytest.raises(NotSupported, match="this form of create_distributed_table"):
        make_plan("SELECT create_distributed_table('s')", catalog)


def test_a_table_goes_to_other_shards_if_it_could_have_been_made_there() -> None:
    catalog = catalog_of(
        "CREATE TABLE s (k int, id int, n numeric, PRIMARY KEY (k, id))",
        "CREATE UNIQUE INDEX by_k ON s (k, (id + 1))",
        "CREATE TABLE u (id int PRIMARY KEY, v int, UNIQUE (id, v)) WITH (home)",
        "CREATE UNIQUE INDEX only_v ON u (v)",
        "CREATE TABLE bare (a int)",
        "CREATE TABLE parent (id int PRIMARY KEY) WITH (home)",
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent) WITH (home)",
        "CREATE VIEW v AS SELECT * FROM u",
    )
    place = "SELECT create_distributed_table('{}', '{}')"
    for table, key, message in (
        ("s", "id", 'the unique index "by_k" does not include the column "id"'),
        ("s", "n", "a column of type numeric cannot be the shard key"),
        ("u", "v", r"PRIMARY KEY \(id\) does not include the column"),
        ("u", "id", 'the unique index "only_v"'),
        ("bare", "a", "has no primary key"),
        ("parent", "id", r'from "child" \(home\) to "parent" \(sharded\)'),
        ("child", "id", r'from "child" \(sharded\) to "parent" \(home\)'),
        ("v", "id", "is not a table"),
        ("s", "none", "does not exist"),
    ):
        with pytest.raises((NotSupported, StatementError), match=message) as caught:
            begin(catalog, definition_of(place.format(table, key), catalog))
        assert caught.value.hint or isinstance(caught.value, StatementError)
    for call, placement in (
        ("create_reference_table('parent')", "reference"),
        ("create_reference_table('bare')", "reference"),
        ("create_reference_table('s')", "reference"),
    ):
        change = begin(catalog, definition_of(f"SELECT {call}", catalog)).change
        assert change is not None
        (moved,) = change.tables
        assert moved.after is not None
        assert (moved.after.placement, moved.sqlite) == (placement, ())
        assert change.relocated == moved.name
