"""Settings asked for while connecting."""

from __future__ import annotations

import pytest

from shardrouter.errors import NotSupported, StatementError
from shardrouter.pgwire import Startup, read_startup, set_statement
from shardrouter.pgwire.messages import StartupMessage


def startup(**parameters: str) -> Startup:
    return read_startup(StartupMessage(3, 0, tuple(parameters.items())))


def test_database_is_the_user_unless_named() -> None:
    assert startup(user="ann") == Startup("ann", "ann", ())
    assert startup(user="ann", database="db").database == "db"


def test_every_other_parameter_is_a_setting_after_the_options() -> None:
    asked = startup(user="u", application_name="psql", options="-c a=1 --b-c=2 -cd=x\\ y -c e=")
    assert asked.settings == (
        ("a", "1"),
        ("b_c", "2"),
        ("d", "x y"),
        ("e", ""),
        ("application_name", "psql"),
    )


def test_protocol_options_are_no_settings() -> None:
    message = StartupMessage(3, 2, (("user", "u"), ("_pq_.compression", "on")))
    assert read_startup(message).settings == ()


@pytest.mark.parametrize(
    ("parameters", "sqlstate"),
    [
        ({}, "28000"),
        ({"user": ""}, "28000"),
        ({"user": "u", "options": "-x"}, "42601"),
        ({"user": "u", "options": "-c"}, "42601"),
        ({"user": "u", "options": "-c name"}, "42601"),
    ],
)
def test_what_cannot_be_had_is_refused(parameters: dict[str, str], sqlstate: str) -> None:
    with pytest.raises(StatementError) as refused:
        startup(**parameters)
    assert refused.value.sqlstate == sqlstate


def test_replication_is_refused() -> None:
    with pytest.raises(NotSupported):
        startup(user="u", replication="database")
    assert startup(user="u", replication="false").settings == ()


def test_a_setting_cannot_smuggle_sql() -> None:
    assert set_statement("a.b", "x'; DROP TABLE t; --") == "SET a.b = 'x''; DROP TABLE t; --'"
    with pytest.raises(StatementError) as refused:
        set_statement("a = 1; DROP TABLE t; --", "x")
    assert refused.value.sqlstate == "42704"
