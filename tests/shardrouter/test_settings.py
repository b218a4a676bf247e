"""SET, SHOW and RESET, as PostgreSQL does them."""

from __future__ import annotations

import pytest

from nodes.protocol import Bounded
from shardrouter.errors import NotSupported, StatementError
from shardrouter.session_token import SessionToken
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
        ("search_path", '"private', "22023"),
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


def test_how_old_a_bounded_read_may_be_is_a_setting_of_its_own() -> None:
    settings = Settings().with_value("shardrouter.consistency", "Bounded")
    assert settings.consistency == Bounded(1000)
    assert settings.with_value("shardrouter.max_staleness", "50ms").consistency == Bounded(50)
    with pytest.raises(StatementError, match="max_staleness"):
        settings.with_value("shardrouter.max_staleness", "old")


def test_the_token_of_a_session_is_what_it_has_seen_by_then() -> None:
    token = SessionToken()
    settings = Settings(token=token.__str__)
    assert settings.get("shardrouter.session_token") == ""
    token.advance("shard-1", 1, 7)
    settings = settings.with_value("shardrouter.session_token", " shard-2=1:9 ,shard-1=1:3")
    assert settings.added_token == "shard-1=1:3,shard-2=1:9"
    assert settings.get("shardrouter.session_token") == "shard-1=1:7"  # who has it adds
    with pytest.raises(StatementError) as caught:
        settings.with_value("shardrouter.session_token", "shard-1=7")
    assert caught.value.sqlstate == "22023"
    assert "SHOW shardrouter.session_token" in caught.value.hint


def test_a_consistency_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(StatementError) as caught:
        Settings().with_value("shardrouter.consistency", "eventual")
    assert caught.value.sqlstate == "22023"
    assert caught.value.hint == "Available values: linearizable, lease, session, bounded, any."


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


def test_what_the_startup_packet_said_is_what_reset_goes_back_to() -> None:
    told = {
        "statement_timeout": "1s",
        "default_transaction_isolation": "read committed",
        "application.name": "from the start",
    }
    settings = Settings(facts={"is_superuser": "on"}).with_values(told.items()).rebased()
    settings = settings.with_value("statement_timeout", "2s").with_value("a.b", "c")
    assert settings.get("application.name") == "from the start"
    changed = settings.with_value("application.name", "other")
    assert changed.with_value("application.name", None).get("application.name") == "from the start"
    for name in ("all", "statement_timeout"):
        after = settings.with_value(name, None)
        assert after.get("statement_timeout") == "1s"
        assert after.statement_timeout_s == 1
        assert after.get("is_superuser") == "on"
        assert after.get("transaction_isolation") == "read committed"


def test_several_settings_are_set_as_one_after_the_other() -> None:
    values = [("search_path", "a"), ("transaction_read_only", "on"), ("search_path", "b, c")]
    settings = Settings().with_values(values)
    assert settings.search_path == ("b", "c")
    assert not settings.read_only, "that was said of a transaction, and there is none"
    for name, value, sqlstate in (
        ("transaction_read_only", "perhaps", "22023"),
        ("server_version", "9", "55P02"),
        ("nothing", "1", "42704"),
    ):
        with pytest.raises(StatementError) as caught:
            settings.with_values([("search_path", "d"), (name, value)])
        assert caught.value.sqlstate == sqlstate


def test_a_client_s_own_settings_are_kept() -> None:
    settings = Settings().with_value("myapp.User_id", "7")
    assert settings.get("MyApp.user_id") == "7"
    assert settings.with_value("myapp.user_id", None).get("myapp.user_id") == ""
    with pytest.raises(StatementError) as caught:
        settings.with_value("all", None).get("myapp.user_id")
    assert caught.value.sqlstate == "42704"
    with pytest.raises(StatementError) as caught:
        settings.with_value("myapp.user_id", "x" * 9000)
    assert caught.value.sqlstate == "54000"
    for number in range(63):
        settings = settings.with_value(f"a.b{number}", "")
    assert settings.with_value("a.b0", "again").get("a.b0") == "again"
    with pytest.raises(StatementError) as caught:
        settings.with_value("a.b64", "")
    assert caught.value.sqlstate == "54000"


@pytest.mark.parametrize(
    ("setting", "heard"),
    [
        ("debug5", "NOTICE WARNING INFO"),
        ("notice", "NOTICE WARNING INFO"),
        ("warning", "WARNING INFO"),
        ("error", "INFO"),
    ],
)
def test_notices_are_heard_from_a_level_on(setting: str, heard: str) -> None:
    settings = Settings().with_value("client_min_messages", setting)
    found = [level for level in ("NOTICE", "WARNING", "INFO") if settings.wants(level)]
    assert " ".join(found) == heard


def test_what_pg_dump_and_frameworks_send_is_taken() -> None:
    settings = Settings()
    for name, value in (
        *(("statement_timeout", "0"), ("lock_timeout", "0"), ("row_security", "off")),
        *(("idle_in_transaction_session_timeout", "0"), ("xmloption", "content")),
        *(("check_function_bodies", "false"), ("default_tablespace", "")),
        *(("default_table_access_method", "heap"), ("IntervalStyle", "postgres")),
        *(("standard_conforming_strings", "on"), ("client_min_messages", "warning")),
    ):
        settings = settings.with_value(name, value)
    for name, value in (("IntervalStyle", "iso_8601"), ("bytea_output", "escape")):
        with pytest.raises(StatementError) as caught:
            settings.with_value(name, value)
        assert caught.value.sqlstate == "22023"


def test_another_time_zone_is_refused() -> None:
    with pytest.raises(NotSupported, match="Europe/Berlin") as refused:
        Settings().with_value("TimeZone", "Europe/Berlin")
    assert refused.value.sqlstate == "0A000"
    assert Settings().with_value("TimeZone", "Etc/UTC").get("timezone") == "UTC"


@pytest.mark.parametrize(
    ("value", "seconds", "shown"),
    [("-1", float("inf"), "-1"), ("0", 0, "0"), ("250", 0.25, "250ms"), ("2s", 2, "2s")],
)
def test_superusers_say_what_is_slow(value: str, seconds: float, shown: str) -> None:
    name = "log_min_duration_statement"
    facts = {name: "1s", "is_superuser": "on"}
    settings = Settings(facts=facts)
    assert settings.slow_s == 1
    changed = settings.with_value(name, value)
    assert (changed.slow_s, changed.get(name)) == (seconds, shown)
    assert changed.with_value(name, None).slow_s == 1
    with pytest.raises(StatementError, match="permission denied to set parameter") as caught:
        Settings(facts=facts | {"is_superuser": "off"}).with_value(name, value)
    assert caught.value.sqlstate == "42501"
