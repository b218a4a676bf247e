"""Errors have asyncpg's names: whoever catches those need not learn others."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import asyncpg
import pytest

from shardrouter import errors, exceptions
from shardrouter.plan import UnknownTable

PACKAGES = Path(errors.__file__).parent, Path(errors.__file__).parents[1] / "nodes"

NAMELESS = {
    "00000",  # no error
    "08P01",  # a client's bytes, which an embedded one has none of
    "57P01",  # with 57P03 and 53300 below: `Unavailable`
    "53300",
    "42000",
}


def asyncpg_class(sqlstate: str) -> type[BaseException] | None:
    return type(asyncpg.PostgresError).get_message_class_for_sqlstate(sqlstate)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("name", exceptions.__all__)
def test_the_name_is_the_one_asyncpg_has_for_the_code(name: str) -> None:
    ours = getattr(exceptions, name)
    theirs = asyncpg_class(ours.sqlstate)
    assert theirs is not None
    assert theirs.__name__ == name
    bases = {base.__name__ for base in theirs.__mro__}
    assert all(
        base.__name__ in bases
        for base in ours.__mro__[1:]
        if base.__module__ == exceptions.__name__
    )


def test_every_code_that_is_raised_has_its_class() -> None:
    raised = {
        code
        for package in PACKAGES
        for path in package.rglob("*.py")
        for code in re.findall(r'sqlstate="([0-9A-Z]{5})"', path.read_text())
    }
    assert len(raised) > 20  # the pattern still finds them
    named = {getattr(exceptions, name).sqlstate for name in exceptions.__all__}
    assert raised - named - NAMELESS == set()


def test_a_statement_error_is_made_as_the_class_of_its_code() -> None:
    error = errors.StatementError("duplicate key", sqlstate="23505", detail="Key (id)=(1).")
    assert type(error) is exceptions.UniqueViolationError
    assert isinstance(error, exceptions.IntegrityConstraintViolationError)
    assert (error.message, error.detail, error.definite) == ("duplicate key", "Key (id)=(1).", True)
    assert type(errors.StatementError("?", sqlstate="99999")) is errors.StatementError
    assert type(exceptions.DataError("?")) is exceptions.DataError


def test_a_class_with_a_constructor_of_its_own_stays_itself() -> None:
    error = UnknownTable("t", 7)
    assert type(error) is UnknownTable
    assert isinstance(error, exceptions.UndefinedTableError)
    assert (error.sqlstate, error.position) == ("42P01", 7)


def test_errors_survive_copies_and_pickles() -> None:
    error = errors.StatementError("no", sqlstate="23514", hint="h")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is exceptions.CheckViolationError
        assert (twin.message, twin.sqlstate, twin.hint) == ("no", "23514", "h")
