"""DSNs as users write them."""

from __future__ import annotations

import pytest

from shardrouter.pgclient import DsnError, Target, parse_dsn


def test_what_a_dsn_says() -> None:
    target = parse_dsn(
        "postgresql://a%40b:p%2Fw@h1:6433,[::1]:7000,h3/d%20b?sslmode=require&connect_timeout=3"
        "&application_name=x",
        {},
    )
    assert target == Target(
        (("h1", 6433), ("::1", 7000), ("h3", 5432)),
        "a@b",
        "p/w",
        "d b",
        "require",
        connect_timeout_s=3.0,
        settings=(("application_name", "x"),),
    )
    assert str(target) == "postgresql://a%40b@h1:6433,[::1]:7000,h3:5432/d%20b"
    assert "p/w" not in repr(target)


def test_what_it_leaves_out_comes_from_the_environment() -> None:
    environment = {"PGUSER": "ann", "PGPASSWORD": "s", "PGPORT": "6433", "PGSSLMODE": "disable"}
    target = parse_dsn("postgresql://", environment)
    assert target == Target((("127.0.0.1", 6433),), "ann", "s", "ann", "disable")
    assert parse_dsn("postgres://bob:@h/x", environment).password == ""


def test_what_a_host_has_to_be_comes_from_either() -> None:
    dsn = "postgresql://h/d?target_session_attrs=read-write"
    assert parse_dsn(dsn, {"PGTARGETSESSIONATTRS": "standby"}).session_attrs == "read-write"
    assert parse_dsn("postgres://h", {"PGTARGETSESSIONATTRS": "standby"}).session_attrs == "standby"
    assert parse_dsn("postgres://h", {}).session_attrs == "any"


def test_after_a_loss_the_others_come_first() -> None:
    target = parse_dsn("postgresql://u@a:1,b:2,c:3/d", {})
    assert target.beginning_with(("b", 2)).hosts == (("c", 3), ("a", 1), ("b", 2))
    assert target.beginning_with(("x", 2)) == target


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("mysql://h/d", "begins with postgresql://"),
        ("host=h user=u", "begins with postgresql://"),
        ("postgresql://h:99999/d", "'99999' is no port"),
        ("postgresql://[::1/d", "not one|no address"),
        ("postgresql://h/d?sslmode=maybe", "sslmode is one of"),
        ("postgresql://h/d?target_session_attrs=fast", "one of any, read-write, .*, not 'fast'"),
        ("postgresql://h/d?colour=red", "unknown parameter 'colour'"),
        ("postgresql://h/d?connect_timeout=soon", "number of seconds"),
        ("postgresql://" + ",".join(["h"] * 100) + "/d", "the limit is 64"),
    ],
)
def test_a_wrong_dsn_is_a_sentence(dsn: str, message: str) -> None:
    with pytest.raises(DsnError, match=message):
        parse_dsn(dsn, {})
