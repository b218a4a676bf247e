"""From text to tokens, statements and syntax trees."""

from __future__ import annotations

import pytest

from shardrouter import syntax
from shardrouter.errors import NotSupported, StatementError
from shardrouter.lexer import Kind, tokenize
from shardrouter.statement import parse, split
from tests.shardrouter.planning import PlannedCluster


def texts(sql: str) -> list[str]:
    return [token.text for token in tokenize(sql)]


# --------------------------------------------------------------------------- splitting


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (" ; ;; -- nothing\n /* no; */ ", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT \";\"", ["SELECT ';'", 'SELECT ";"']),
        ("SELECT 'it''s;'; SELECT 2", ["SELECT 'it''s;'", "SELECT 2"]),
        (r"SELECT E'\';'; SELECT 2", [r"SELECT E'\';'", "SELECT 2"]),
        (r"SELECT '\'; SELECT 2", [r"SELECT '\'", "SELECT 2"]),
        ("SELECT $$;$$; SELECT $a$;$$;$a$", ["SELECT $$;$$", "SELECT $a$;$$;$a$"]),
        ("SELECT 1 -- ;\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT /* ; /* ; */ ; */ 1; SELECT 2", ["SELECT /* ; /* ; */ ; */ 1", "SELECT 2"]),
        ("SELECT $1;SELECT $2", ["SELECT $1", "SELECT $2"]),
        (" /*+ a */ SELECT 1;\n/*+ b */ SELECT 2;", ["/*+ a */ SELECT 1", "/*+ b */ SELECT 2"]),
        ("/*+ a */; -- /*+ b */\nSELECT 1 /*+ c */;/*+ d */", ["SELECT 1"]),
        (
            "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
            ["SELECT pg_advisory_unlock_all()", "CLOSE ALL", "UNLISTEN *", "RESET ALL"],
        ),
    ],
)
def test_a_query_is_split_where_postgresql_splits_it(sql: str, statements: list[str]) -> None:
    assert split(sql) == statements


# --------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ("a=-1", ["a", "=", "-", "1"]),
        ("a<>-1", ["a", "<>", "-", "1"]),
        ("5--3", ["5"]),
        ("5 %-3", ["5", "%-", "3"]),
        ("a*/**/b", ["a", "*", "b"]),
        ("a::int", ["a", "::", "int"]),
        ("$1::int", ["1", "::", "int"]),
        ("t.a", ["t", ".", "a"]),
        ("1.5.a", ["1.5", ".", "a"]),
        (".5 5. 1e3 1.5E-2", [".5", "5.", "1e3", "1.5E-2"]),
        ('SeLeCt "SeLeCt" ÄB', ["select", "SeLeCt", "Äb"]),
        ("'a'\n'b'", ["ab"]),
        ("'a' -- c\n  'b'", ["ab"]),
        ('"a""b"', ['a"b']),
        (r"E'a\nb\\\'\x41\101\u00e9\U0001F600\q'", ["a\nb\\'AAé😀q"]),
    ],
)
def test_tokens_are_postgresqls(sql: str, tokens: list[str]) -> None:
    assert texts(sql) == tokens


def test_a_token_knows_where_it_was() -> None:
    token = tokenize("  'it''s' x")[0]
    assert (token.kind, token.text, token.source, token.start) == (
        Kind.STRING,
        "it's",
        "'it''s'",
        2,
    )


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("'open", "42601"),
        ('"open', "42601"),
        ('""', "42601"),
        ("/* open", "42601"),
        ("$$open", "42601"),
        ("$a$open$$", "42601"),
        ("E'open\\'", "42601"),
        ("'a' 'b'", "42601"),
        ("1abc", "42601"),
        ("1_000", "42601"),
        ("0x1f", "42601"),
        ("$1x", "42601"),
        ("\\", "42601"),
        ("a\0b", "22021"),
        ("'\ud800'", "22021"),
        (r"E'\xff'", "22021"),
        (r"E'\0'", "22021"),
        (r"E'\ud800'", "42601"),
        (r"E'\u12'", "22025"),
        ("B'101'", "0A000"),
        ("U&'a'", "0A000"),
    ],
)
def test_what_is_no_token_is_an_error(sql: str, sqlstate: str) -> None:
    with pytest.raises((StatementError, NotSupported)) as error:
        tokenize(sql)
    assert error.value.sqlstate == sqlstate


# --------------------------------------------------------------------------- trees


def where(text: str) -> syntax.Expression:
    node = parse(f"SELECT 1 FROM t WHERE {text}")
    assert isinstance(node, syntax.Select)
    assert node.where is not None
    return node.where


def shape(node: syntax.Expression) -> str:
    """The expression with every grouping in parentheses."""
    match node:
        case syntax.ColumnReference():
            return node.name
        case syntax.NumberLiteral():
            return node.text
        case syntax.BooleanLiteral():
            return str(node.value).lower()
        case syntax.Binary():
            return f"({shape(node.left)} {node.operator} {shape(node.right)})"
        case syntax.Logical():
            return "(" + f" {node.operator} ".join(map(shape, node.operands)) + ")"
        case syntax.Not():
            return f"(NOT {shape(node.operand)})"
        case syntax.Negation():
            return f"(- {shape(node.operand)})"
        case syntax.IsTest():
            return f"({shape(node.operand)} IS {node.value})"
        case syntax.InList():
            return f"({shape(node.operand)} IN {', '.join(map(shape, node.items))})"
        case syntax.Between():
            return f"({shape(node.operand)} BETWEEN {shape(node.low)}, {shape(node.high)})"
        case syntax.TypeCast():
            return f"({shape(node.operand)}::{node.type.name})"
        case _:
            return repr(node)


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("a = b IS NULL", "((a = b) IS None)"),
        ("NOT a = b", "(NOT (a = b))"),
        ("NOT a AND b OR c", "(((NOT a) AND b) OR c)"),
        ("a OR b AND c", "(a OR (b AND c))"),
        ("a AND b AND c", "(a AND b AND c)"),
        ("- a % b", "((- a) % b)"),
        ("-1::int", "(- (1::int))"),
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a || b + c", "(a || (b + c))"),
        ("a || b = c", "((a || b) = c)"),
        ("a + 1 BETWEEN b AND c + 1", "((a + 1) BETWEEN b, (c + 1))"),
        ("a BETWEEN 1 AND 2 AND b", "((a BETWEEN 1, 2) AND b)"),
        ("a = b IN (1)", "(a = (b IN 1))"),
        ("NOT a IN (1, 2)", "(NOT (a IN 1, 2))"),
        ("a NOT IN (1)", "(NOT (a IN 1))"),
        ("a IS NOT TRUE", "(NOT (a IS True))"),
        ("a ISNULL AND b NOTNULL", "((a IS None) AND (NOT (b IS None)))"),
        ("a > b IS NOT FALSE", "(NOT ((a > b) IS False))"),
    ],
)
def test_operators_bind_as_in_postgresql(text: str, grouped: str) -> None:
    assert shape(where(text)) == grouped


@pytest.mark.parametrize("text", ["a < b = c", "a = b = c", "a <> b < c"])
def test_comparisons_do_not_associate(text: str) -> None:
    with pytest.raises(StatementError) as error:
        where(text)
    assert error.value.sqlstate == "42601"


@pytest.mark.parametrize(
    "text",
    [
        "a BETWEEN 1 AND 2 IN (3)",
        "a IN (1) BETWEEN b AND c",
        "a NOT BETWEEN 1 AND 2 NOT IN (3)",
        "a NOT IN (1) IN (2)",
        "(a BETWEEN 1 AND 2 BETWEEN 3 AND 4)",
    ],
)
def test_ranges_do_not_associate(text: str) -> None:
    with pytest.raises(StatementError) as error:
        where(text)
    assert error.value.sqlstate == "42601"


@pytest.mark.parametrize(
    "text",
    [
        "a BETWEEN 1 AND 2 AND b BETWEEN 3 AND 4 AND c IN (1) AND d NOT IN (2) OR e IN (3)",
        "a IN (1) = b IN (2)",
        "(a IN (1)) IN (true)",
        "a IN (1, 2) AND (b BETWEEN 1 AND 2 OR c IN (3))",
        "NOT a IN (1) AND NOT b BETWEEN 1 AND 2",
        "a BETWEEN 1 AND 2 IS NULL AND b IN (1)",
    ],
)
def test_ranges_that_are_connected_are_fine(text: str) -> None:
    where(text)


def test_words_of_other_dialects_are_plain_names() -> None:
    node = parse('SELECT date, value, "if", key, top, convert, div FROM level AS qualify')
    assert isinstance(node, syntax.Select)
    names = [i.expression.name for i in node.items if isinstance(i, syntax.SelectItem)]  # type: ignore[union-attr] # columns
    assert names == ["date", "value", "if", "key", "top", "convert", "div"]
    assert node.sources == (syntax.TableName("level", "qualify", 55),)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a DIV b FROM t",
        "SELECT a MOD b FROM t",
        "SELECT TOP 5 a FROM t",
        "SELECT a FROM t QUALIFY b",
        "SELECT a FROM t PREWHERE b",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT a FROM t LIMIT 5, 10",
        "SELECT a.b:c FROM t",
        "SELECT TRY_CAST(a AS int) FROM t",
        "SELECT a FROM t WHERE a RLIKE 'x'",
        "SELECT a FROM t WHERE a == b",
        "SELECT !a FROM t",
        "SELECT `a` FROM t",
        "SELECT [a] FROM t",
        "SELECT @a FROM t",
        "SELECT ? FROM t",
        "SELECT :a FROM t",
        "SELECT {{ a }} FROM t",
        "FROM t SELECT a",
        "REPLACE INTO t VALUES (1)",
        "INSERT OVERWRITE TABLE t VALUES (1)",
        "INSERT IGNORE INTO t VALUES (1)",
        "INSERT INTO t SET a = 1",
        "UPDATE t SET a = 1 ORDER BY a LIMIT 1",
        "DELETE t WHERE a = 1",
        "CREATE OR REPLACE TABLE t (a int)",
        "CREATE TABLE t (a int) ENGINE = x",
        "CREATE TABLE t (a int) shard_key = 'a'",
        "CREATE TABLE t (a int AUTO_INCREMENT)",
        "CREATE TABLE t (a int COMMENT 'x')",
        "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)",
        "CREATE TABLE t (a int COLLATE x)",
        "CREATE TABLE t (LIKE u)",
        "CREATE TABLE t PARTITION OF u",
    ],
)
def test_other_dialects_are_not_spoken(sql: str) -> None:
    with pytest.raises((NotSupported, StatementError)) as error:
        parse(sql)
    assert error.value.sqlstate in ("0A000", "42601")


@pytest.mark.parametrize(
    "body", ["INSERT INTO t VALUES (1)", "update t set a = 1", "DELETE FROM t"]
)
@pytest.mark.parametrize("materialized", ["", "MATERIALIZED ", "NOT MATERIALIZED "])
def test_a_change_in_with_is_refused_as_such(body: str, materialized: str) -> None:
    before = f"WITH x AS {materialized}("
    with pytest.raises(NotSupported, match="change in WITH") as error:
        parse(f"{before}{body} RETURNING a) SELECT * FROM x")
    assert error.value.position == len(before) + 1


def test_words_of_changes_name_columns_in_with() -> None:
    parse("WITH update AS (SELECT 1 AS delete) SELECT (delete) FROM update")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("pg_catalog.int4", "int4"),
        ('"pg_catalog"."int4"', "int4"),
        ('"pg_catalog"."_int4"', "int4[]"),
        ("pg_catalog.varchar(3)", "varchar"),
        ("mood", "mood"),
        ("mood[]", "mood[]"),
        ("public.mood[3]", "public.mood[]"),
        ('"Own".mood', "Own.mood"),
    ],
)
def test_a_type_may_be_named_with_its_schema(written: str, name: str) -> None:
    for text in (f"SELECT $1::{written}", f"SELECT CAST($1 AS {written}), 1 AS a"):
        node = parse(text)
        assert isinstance(node, syntax.Select)
        item = node.items[0]
        assert isinstance(item, syntax.SelectItem)
        assert isinstance(item.expression, syntax.TypeCast)
        assert item.expression.type.name == name


def test_a_table_may_be_called_as_the_text_for_sqlite_calls_its_sources() -> None:
    cluster = PlannedCluster(1)
    for sql in (
        "CREATE TABLE t1 (id int PRIMARY KEY)",
        "CREATE TABLE w1 (id int PRIMARY KEY)",
        "CREATE TABLE other (id int PRIMARY KEY)",
        "INSERT INTO t1 VALUES (6), (7)",
        "INSERT INTO w1 VALUES (8)",
        "INSERT INTO other VALUES (6), (7), (9)",
    ):
        cluster.execute(sql)
    for sql, rows in (
        ("WITH q AS (SELECT 1 AS one) SELECT id, one FROM w1, q", [(8, 1)]),
        ("DELETE FROM t1 WHERE id = 6 RETURNING ARRAY(SELECT unnest(ARRAY[id]))", [("[6]",)]),
        ("DELETE FROM t1 RETURNING (SELECT 1 FROM other o WHERE o.id = t1.id)", [(1,)]),
    ):
        assert list(cluster.execute(sql)[1]) == rows, sql
