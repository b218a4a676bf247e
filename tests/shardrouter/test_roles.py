"""Roles in `meta`: statements, what another router sees, and when `meta` does not answer."""

from __future__ import annotations

import asyncio
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nodes.config import Address, ConfigError
from shardrouter import access, dsn_file
from shardrouter.errors import RouterError, Unavailable
from shardrouter.pgwire.scram import make_verifier, parse_verifier
from shardrouter.role_store import RoleStore
from shardrouter.roles import Role
from shardrouter.router import Router
from shardrouter.session import Execution, Session
from tests.shardrouter.cluster import one_node
from tests.shardrouter.scripted import Hold, advance, run, scripted

ADDRESS = Address("127.0.0.1", 6433)


def soon() -> float:
    return asyncio.get_running_loop().time() + 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    async with one_node(tmp_path_factory.mktemp("roles")) as path:
        yield path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router(cluster: Path) -> AsyncIterator[Router]:
    async with Router.open(cluster, rng=random.Random(1)) as opened:
        await access.admit_first(opened.roles, cluster, ADDRESS, soon())
        yield opened


async def execute(session: Session, sql: str) -> str:
    [outcome] = await session.run([Execution(await session.prepare(sql))])
    return " ".join([outcome.tag, *(notice.message for notice in outcome.notices)])


async def failure(session: Session, sql: str) -> tuple[str, str]:
    with pytest.raises(RouterError) as caught:
        await execute(session, sql)
    assert caught.value.definite
    return caught.value.sqlstate, caught.value.message


@pytest.mark.asyncio(loop_scope="module")
async def test_the_first_start_makes_a_role_and_a_dsn(cluster: Path, router: Router) -> None:
    dsn = dsn_file.read_dsn(cluster)
    assert stat.S_IMODE(dsn_file.dsn_path(cluster).stat().st_mode) == 0o600
    role = await router.roles.find("shardrouter")
    assert role is not None
    assert role.is_superuser
    password = dsn_file.password_of(dsn)
    assert len(password) >= 32
    assert password not in role.verifier
    assert await router.roles.has_password("shardrouter", password, soon())
    await access.admit_first(router.roles, cluster, ADDRESS, soon())
    assert dsn_file.read_dsn(cluster) == dsn, "the next start changes nothing"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_directory_without_the_password_is_not_given_a_wrong_one(
    router: Router, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "cluster.toml"
    await access.admit_first(router.roles, elsewhere, ADDRESS, soon())
    with pytest.raises(ConfigError, match="there is no"):
        dsn_file.read_dsn(elsewhere)
    dsn_file.new_dsn(elsewhere, ADDRESS, "wrong")
    dsn_file.dsn_path(elsewhere).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        dsn_file.read_dsn(elsewhere)


@pytest.mark.asyncio(loop_scope="module")
async def test_statements_make_change_and_drop_roles(cluster: Path, router: Router) -> None:
    session = router.new_session()
    async with Router.open(cluster, name="other", rng=random.Random(2)) as other:
        text = "CREATE ROLE ann LOGIN PASSWORD 'first'"
        assert await execute(session, text) == "CREATE ROLE"
        assert session.prepared(text) is None, "a plan with a password is not kept"
        assert await other.roles.has_password("ann", "first", soon())
        exists = ("42710", 'role "ann" already exists')
        assert await failure(session, "CREATE USER ann") == exists
        assert await execute(session, "ALTER ROLE ann PASSWORD 'second' CREATEDB") == "ALTER ROLE"
        role = await other.roles.find("ann")
        assert role is not None
        assert role == Role("ann", role.verifier, may_log_in=True, may_create_databases=True)
        assert await other.roles.has_password("ann", "second", soon())
        assert not await other.roles.has_password("ann", "first", soon())
        await execute(session, "ALTER ROLE ann")
        await execute(session, "ALTER ROLE ann PASSWORD NULL")
        role = await other.roles.find("ann")
        assert role is not None
        assert role.verifier == ""
        assert await execute(session, "DROP ROLE IF EXISTS ann, bob") == (
            'DROP ROLE role "bob" does not exist, skipping'
        )
        assert await other.roles.find("ann") is None
    for sql in ("ALTER ROLE ann NOLOGIN", "DROP ROLE ann"):
        assert await failure(session, sql) == ("42704", 'role "ann" does not exist')
    assert (await failure(session, "DROP ROLE shardrouter"))[0] == "55006"
    assert [role.name for role in await router.roles.all(soon())] == ["shardrouter"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_verifier_is_taken_as_it_is(router: Router) -> None:
    verifier = make_verifier("known elsewhere", b"salt of another")
    await execute(router.new_session(), f"CREATE ROLE moved LOGIN PASSWORD '{verifier}'")
    assert await router.roles.has_password("moved", "known elsewhere", soon())
    await execute(router.new_session(), "DROP ROLE moved")


@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_change_roles(router: Router) -> None:
    root = router.new_session()
    await execute(root, "CREATE ROLE plain LOGIN")
    await execute(root, "CREATE ROLE maker LOGIN CREATEROLE")
    plain = router.new_session(Role("plain", may_log_in=True))
    maker = router.new_session(Role("maker", may_log_in=True, may_create_roles=True))
    assert plain.setting("session_authorization") == "plain"
    assert plain.setting("is_superuser") == "off"
    await execute(plain, "ALTER ROLE plain PASSWORD 'own'")
    await execute(plain, "ALTER ROLE CURRENT_USER PASSWORD 'own'")
    await execute(maker, "CREATE ROLE made")
    await execute(maker, "ALTER ROLE made LOGIN")
    for session, sql in (
        (plain, "CREATE ROLE x"),
        (plain, "ALTER ROLE plain SUPERUSER"),
        (plain, "ALTER ROLE plain CREATEROLE"),
        (plain, "ALTER ROLE made PASSWORD 'x'"),
        (plain, "DROP ROLE made"),
        (maker, "CREATE ROLE x SUPERUSER"),
        (maker, "ALTER ROLE shardrouter PASSWORD 'x'"),
        (maker, "ALTER ROLE made SUPERUSER"),
        (maker, "DROP ROLE shardrouter"),
    ):
        assert (await failure(session, sql))[0] == "42501", sql
    await execute(root, "ALTER ROLE maker NOCREATEROLE")
    assert (await failure(maker, "CREATE ROLE x"))[0] == "42501", "it was taken from it"
    await execute(root, "DROP ROLE plain, maker, made")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_role_statement_is_alone(router: Router) -> None:
    session = router.new_session()
    unit = [Execution(await session.prepare(sql)) for sql in ("CREATE ROLE x", "SELECT 1")]
    with pytest.raises(RouterError) as caught:
        await session.run(unit)
    assert caught.value.sqlstate == "0A000"
    assert await router.roles.find("x") is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_lost_password_is_replaced(router: Router) -> None:
    for name in ("lost", "lost"):  # made, then changed
        password = dsn_file.new_password()
        await router.roles.give_password(name, password, soon())
        assert await router.roles.has_password(name, password, soon())
    await execute(router.new_session(), "DROP ROLE lost")


def test_while_meta_does_not_answer_known_roles_come_in() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, [n1]):
            n1.plays(Hold)
            store = RoleStore(shards, b"secret")
            known = Role("ann", may_log_in=True)
            store._known["ann"] = known
            task = asyncio.ensure_future(store.find("ann"))
            await n1.until_got(1)
            advance(1.0)
            assert await task == known
            assert await store.find("ann") == known, "nobody else waits for it now"
            assert len(n1.got) == 1
            task = asyncio.ensure_future(store.find("bob"))
            await n1.until_got(2)
            advance(6.0)
            with pytest.raises(Unavailable):
                await task

    run(scenario())


def test_a_user_that_does_not_exist_has_the_same_salt_at_every_router() -> None:
    async def scenario() -> None:
        async with scripted(1) as (shards, _):
            stores = [RoleStore(shards, secret) for secret in (b"secret", b"secret", b"")]
            salts = [store.verifier("nobody", None).salt for store in stores]
            assert salts[0] == salts[1] != salts[2]
            assert parse_verifier(str(stores[0].verifier("nobody", None))) is not None

    run(scenario())
