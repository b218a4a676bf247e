"""SET, SHOW and RESET, as PostgreSQL does them."""

from __future__ import annotations

import pytest

from shardrouter.errors import NotSupported, StatementError
from shardrouter.settings import STATEMENT_TIMEOUT_S_MAX, Settings


@pytest.mark.parametrize(
    ("value", "seconds", "shown"),
    [
        ("500", 0.5, "500ms"),
        ("500ms", 0.5, "500ms"),
        ("10s", 10, "10s"),
        ("10000", 10, "10s"),
        ("1.5 s", 1.5, "1500ms"),
        ("1min", 60, "1min"),
        ("90s", 90, "90s"),
        ("2h", 7200, "2h"),
        ("0", STATEMENT_TIMEOUT_S_MAX, "0"),
    ],
)
def test_the_statement_timeout_is_read_and_shown_as_in_postgresql(
    value: str, seconds: float, shown: str
) -> None:
    settings = Settings().with_value("statement_timeout", value)
    assert settings.statement_timeout_s == seconds
    assert settings.get("STATEMENT_TIMEOUT") == shown


@pytest.mark.parametrize("value", ["", "-1", "soon", "10 years", "1e3", "10S", "25d"])
def test_a_timeout_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(StatementError) as caught:
        Settings().with_value("statement_timeout", value)
    assert caught.value.sqlstate == "22023"


@pytest.mark.parametrize(
    ("name", "value", "sqlstate"),
    [
        ("nonsense", "1", "42704"),
        ("shardrouter.nonsense", "1", "42704"),
        ("client_encoding", "LATIN1", "22023"),
        ("DateStyle", "German", "22023"),
        ("TimeZone", "Europe/Berlin", "22023"),
        ("search_path", "private", "22023"),
        ("extra_float_digits", "0", "22023"),
        ("standard_conforming_strings", "off", "22023"),
        ("server_version", "16", "55P02"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(name: str, value: str, sqlstate: str) -> None:
    with pytest.raises(StatementError) as caught:
        Settings().with_value(name, value)
    assert caught.value.sqlstate == sqlstate


def test_the_consistency_of_reads_is_chosen_by_name() -> None:
    settings = Settings()
    assert settings.consistency == "linearizable"
    settings = settings.with_value("shardrouter.consistency", "ANY")
    assert (settings.consistency, settings.get("shardrouter.consistency")) == ("any", "any")
    assert settings.with_value("shardrouter.consistency", None).consistency == "linearizable"


@pytest.mark.parametrize("value", ["lease", "session", "Bounded"])
def test_a_consistency_that_is_not_there_yet_names_those_that_are(value: str) -> None:
    with pytest.raises(NotSupported) as caught:
        Settings().with_value("shardrouter.consistency", value)
    assert caught.value.hint == "Available are linearizable and any."


def test_a_consistency_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(StatementError) as caught:
        Settings().with_value("shardrouter.consistency", "eventual")
    assert caught.value.sqlstate == "22023"
    assert caught.value.hint == "Available values: linearizable, any."


def test_reset_brings_the_default_back() -> None:
    changed = Settings().with_value("application_name", "x").with_value("statement_timeout", "1s")
    assert changed.with_value("statement_timeout", None).get("statement_timeout") == "10s"
    assert changed.with_value("all", None).get("application_name") == ""
    with pytest.raises(StatementError, match="nonsense"):
        changed.with_value("nonsense", None)


def test_clients_are_told_of_changes_they_asked_to_know() -> None:
    before = Settings()
    after = before.with_value("application_name", "psql").with_value("statement_timeout", "1s")
    assert after.announced_since(before) == (("application_name", "psql"),)
    assert ("client_encoding", "UTF8") in before.announced()
    assert before.with_value("client_encoding", "utf-8").announced_since(before) == ()
