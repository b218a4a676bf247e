"""What Tab offers."""

from __future__ import annotations

import pytest

from shardrouter.cli.shell.completion import Names, complete

NAMES = Names(
    {
        "accounts": ["id", "owner", "balance"],
        "orders": ["id", "account_id", "Total"],
        "Odd": ["x"],
    }
)
COMMANDS = ["d", "dt", "timing", "q"]


def offered(text: str, behind: str = "") -> list[str]:
    return [found.text for found in complete(text, behind, NAMES, COMMANDS)]


@pytest.mark.parametrize(
    ("text", "behind", "expected"),
    [
        ("SELECT * FROM acc", "", ["accounts"]),
        ("SELECT * FROM accounts a, or", "", ["orders"]),
        ("select * from accounts join o", "", ["orders", "only"]),
        ('SELECT * FROM "O', "", ['"Odd"']),
        ("INSERT INTO a", "", ["accounts"]),
        ("UPDATE o", "", ["orders", "only"]),
        ("UPDATE accounts SET bal", "", ["balance"]),
        ("SELECT ba", " FROM accounts", ["balance"]),
        ("SELECT o.", " FROM orders AS o", ["id", "account_id", '"Total"']),
        ("SELECT a.ow", " FROM accounts a", ["owner"]),
        ("SELECT * FROM accounts a JOIN orders o ON a.id = o.acc", "", ["account_id"]),
        ("SELECT accounts.o", " FROM accounts", ["owner"]),
        ("SEL", "", ["SELECT"]),
        ("sel", "", ["select"]),
        ("\\d", "", ["\\d", "\\dt"]),
        ("\\t", "", ["\\timing"]),
        ("\\d acc", "", ["accounts"]),
        ("\\copy ord", "", ["orders"]),
        ("SELECT 'a FROM ", "", []),
    ],
)
def test_what_fits_is_offered(text: str, behind: str, expected: list[str]) -> None:
    found = offered(text, behind)
    assert found[: len(expected)] == expected
    if expected:
        assert len(found) == len(expected)


def test_columns_come_before_keywords() -> None:
    found = offered("SELECT * FROM accounts WHERE ")
    assert found[:4] == ["id", "owner", "balance", "accounts"]
    assert "AND" in found
    assert "Total" not in found


def test_the_word_before_the_cursor_is_replaced() -> None:
    [found] = complete('SELECT * FROM "O', "", NAMES, COMMANDS)
    assert found.replaces == 2
