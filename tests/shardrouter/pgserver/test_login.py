"""Who may come in: passwords and TLS, with real clients, and with some that lie."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import uvloop

from nodes.config import Address, ConfigError
from shardrouter.access import encryption_from, own_encryption
from shardrouter.errors import Unavailable
from shardrouter.pgserver import PgServer, server
from shardrouter.pgserver.tls import ALPN, Encryption
from shardrouter.pgwire import messages as m
from shardrouter.pgwire.scram import Verifier, make_verifier, mock_verifier, parse_verifier
from shardrouter.roles import Role
from tests.shardrouter.pgserver.memory_session import Database
from tests.shardrouter.pgserver.wire_client import START, WireClient, kinds

PASSWORD = "correct horse"
VERIFIER = str(make_verifier(PASSWORD, b"0123456789abcdef"))


class Roles:
    """An authenticator with three roles."""

    def __init__(self) -> None:
        self.roles = {
            "ann": Role("ann", VERIFIER, may_log_in=True, is_superuser=True),
            "group": Role("group", VERIFIER),
            "bare": Role("bare", may_log_in=True),
        }
        self.is_away = False

    async def find(self, name: str) -> Role | None:
        if self.is_away:
            raise Unavailable("who may connect cannot be read now")
        return self.roles.get(name)

    def verifier(self, name: str, role: Role | None) -> Verifier:
        return parse_verifier(role.verifier if role else "") or mock_verifier(name, b"secret")


@pytest.fixture
def roles() -> Roles:
    return Roles()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate."""
    directory = tmp_path_factory.mktemp("tls")
    own_encryption(directory / "cluster.toml", Address("127.0.0.1", 1))
    return directory


@pytest.fixture
def encryption(files: Path) -> Encryption:
    return encryption_from(files / "router.crt", files / "router.key")


@pytest.fixture
async def server_of(database: Database, roles: Roles, encryption: Encryption) -> PgServer:
    return PgServer(
        database.session, host="127.0.0.1", port=0, authenticator=roles, encryption=encryption
    )


@pytest.fixture
async def address(server_of: PgServer) -> AsyncIterator[Address]:
    yield await server_of.start()
    await server_of.close(5)


async def connect(
    address: Address, password: str = PASSWORD, user: str = "ann", query: str = "sslmode=disable"
) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(
        f"postgresql://{user}@{address}/shardrouter?{query}", password=password
    )


async def test_a_cluster_is_one_database_and_there_is_no_other(
    address: Address, database: Database
) -> None:
    with pytest.raises(asyncpg.InvalidCatalogNameError) as refused:
        await asyncpg.connect(f"postgresql://ann@{address}/ann", password=PASSWORD, ssl=False)
    assert str(refused.value) == (
        'database "ann" does not exist\nHINT:  A cluster is one database, "shardrouter".'
    )
    with pytest.raises(asyncpg.InvalidPasswordError):  # who is unknown learns nothing of it
        await asyncpg.connect(f"postgresql://ann@{address}/ann", password="x", ssl=False)
    assert database.sessions == 0


async def test_tools_find_the_database_where_postgresql_has_one_for_them(address: Address) -> None:
    connection = await asyncpg.connect(
        f"postgresql://ann@{address}/postgres", password=PASSWORD, ssl=False
    )
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_a_password_opens_and_says_who_it_is(address: Address, database: Database) -> None:
    connection = await connect(address)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert [role.name for role in database.roles if role] == ["ann"]


@pytest.mark.parametrize(
    ("user", "password"), [("ann", "wrong"), ("nobody", PASSWORD), ("bare", ""), ("bare", PASSWORD)]
)
async def test_a_wrong_password_and_an_unknown_user_look_alike(
    address: Address, user: str, password: str, database: Database
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError) as refused:
        await connect(address, password or "x", user)
    assert str(refused.value) == f'password authentication failed for user "{user}"'
    assert database.roles == []


async def test_what_is_asked_of_an_unknown_user_is_what_is_asked_of_any(address: Address) -> None:
    async def asked(user: str) -> list[bytes]:
        async with WireClient(address) as client:
            client.send(
                m.StartupMessage(3, 0, (("user", user), ("database", "shardrouter"))),
                m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc"),
            )
            found = [await client.receive(), await client.receive()]
            return [message.data for message in found]

    (known, question), (unknown, mock), (_, again) = [
        await asked(user) for user in ("ann", "nobody", "nobody")
    ]
    assert known == unknown
    _, salt, count = question.split(b",")
    _, mock_salt, mock_count = mock.split(b",")
    assert (len(salt), count) == (len(mock_salt), mock_count)
    assert again.split(b",")[1] == mock_salt, "a salt that changes says that there is no user"
    assert again.split(b",")[0] != mock.split(b",")[0]


async def test_a_role_without_login_is_told_after_its_proof(address: Address) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="not permitted"):
        await connect(address, user="group")


async def test_without_roles_nobody_comes_in(address: Address, roles: Roles) -> None:
    roles.is_away = True
    with pytest.raises(asyncpg.CannotConnectNowError, match="cannot be read"):
        await connect(address)


async def test_a_proof_cannot_be_skipped(address: Address, database: Database) -> None:
    async with WireClient(address) as client:
        client.send(START, m.Query("SELECT 1"))
        said = await client.until(type(None))
    assert kinds(said) == ["Authentication", "ErrorResponse"]
    assert said[1].report.sqlstate == "08P01"
    assert database.units == []


async def test_roles_let_the_server_leave_loopback(database: Database, roles: Roles) -> None:
    open_to_all = PgServer(database.session, host="0.0.0.0", port=0, authenticator=roles)
    await open_to_all.start()
    await open_to_all.close(1)


# --------------------------------------------------------------------------------- TLS


async def test_tls_is_1_3_and_verified(address: Address, files: Path) -> None:
    for query in ("sslmode=require", f"sslmode=verify-full&sslrootcert={files / 'router.crt'}"):
        connection = await connect(address, query=query)
        transport = connection._transport  # type: ignore[attr-defined]
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(
            f"postgresql://ann@localhost:{address.port}/shardrouter",
            password=PASSWORD,
            ssl=ssl.create_default_context(),  # does not know the certificate
        )
    older = ssl.create_default_context(cafile=files / "router.crt")
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        await asyncpg.connect(
            f"postgresql://ann@localhost:{address.port}/shardrouter", password=PASSWORD, ssl=older
        )


async def test_much_comes_and_goes_encrypted(address: Address) -> None:
    connection = await connect(address, query="sslmode=require")
    await connection.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
    name = "é" * 2_000_000
    await connection.execute("INSERT INTO t VALUES (1, $1)", name)
    assert await connection.fetchval("SELECT name FROM t WHERE id = 1") == name
    await connection.close()


def test_psql_verifies_and_binds_on_uvloop(
    database: Database, roles: Roles, encryption: Encryption, files: Path
) -> None:
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("psql is missing: apt-get install postgresql-client")

    async def main() -> str:
        server = PgServer(
            database.session, host="127.0.0.1", port=0, authenticator=roles, encryption=encryption
        )
        address = await server.start()
        options = f"sslmode=verify-full&sslrootcert={files / 'router.crt'}&channel_binding=require"
        process = await asyncio.create_subprocess_exec(
            *(psql, "-X", "-A", "-t", f"postgresql://ann@{address}/shardrouter?{options}"),
            *("-c", "SELECT 41 + 1", "-c", "\\conninfo"),
            env=os.environ | {"PGPASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        await server.close(5)
        return said.decode()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        said = runner.run(main())
    assert said.startswith("42\n"), said
    assert "TLSv1.3" in said


async def test_plain_bytes_behind_a_request_for_tls_are_refused(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    async with WireClient(address) as client:
        client.send(m.SSLRequest(), START)
        [error] = await client.until(type(None))
    assert error.report.message == "received unencrypted data after SSL request"
    assert "unencrypted" in caplog.text


class Tls:
    """TLS by hand, over a socket that a test reads and writes."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)

    async def shake(self, client: WireClient, piece: int = 1 << 20) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush(client, piece)
                if not await self.more(client):
                    raise ConnectionResetError from None
            else:
                return await self.flush(client, piece)

    async def flush(self, client: WireClient, piece: int) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), piece):
            client.writer.write(data[at : at + piece])
            await client.writer.drain()
            await asyncio.sleep(0)

    async def more(self, client: WireClient) -> bool:
        data = await client.reader.read(1 << 16)
        self.incoming.write(data)
        return bool(data)


@pytest.mark.parametrize(("direct", "piece"), [(True, 1), (True, 1 << 20), (False, 1)])
async def test_tls_by_the_byte_and_without_asking(
    address: Address, direct: bool, piece: int
) -> None:
    context = ssl.create_default_context()
    if direct:
        context.set_alpn_protocols([ALPN])
    tls = Tls(context)
    async with WireClient(address) as client:
        if not direct:
            client.send(m.SSLRequest())
            assert await client.reader.readexactly(1) == b"S"
        await tls.shake(client, piece)
        tls.tls.write(m.encode(START))
        await tls.flush(client, piece)
        await tls.more(client)
        assert tls.tls.read(1) == b"R"


async def test_tls_without_asking_has_to_name_the_protocol(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    async with WireClient(address) as client:
        tls = Tls(ssl.create_default_context())
        await tls.shake(client)
        assert await client.until(type(None)) == []
    assert "without the protocol postgresql" in caplog.text


async def test_what_is_not_tls_ends_the_connection(
    address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    for first in (m.encode(m.SSLRequest()), b""):
        async with WireClient(address) as client:
            client.writer.write(first)
            if first:
                assert await client.reader.readexactly(1) == b"S"
            client.writer.write(b"\x16" + bytes(100))
            await client.reader.read()
    assert "TLS" in caplog.text
    await (await connect(address)).close()


# ------------------------------------------------------------------------------- crowds


async def test_who_says_nothing_makes_room_for_who_does(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ENTERING_MAX", 3)
    silent = [WireClient(address) for _ in range(5)]
    for client in silent:
        await client.__aenter__()
    connection = await connect(address)
    assert await connection.fetchval("SELECT 1") == 1
    for client in silent[:2]:
        assert await client.receive() is None
    await connection.close()
    for client in silent:
        await client.__aexit__(None, None, None)


async def test_a_password_is_in_no_log(address: Address, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connection = await connect(address)
    for text in (
        "CREATE ROLE x PASSWORD 'hidden'",
        "SELECT 'hidden' FROM nosuch",
        "SELEC 'hidden'",
    ):
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(text)
    await connection.close()
    assert "hidden" not in caplog.text
    assert PASSWORD not in caplog.text


# ---------------------------------------------------------------------------- the files


def test_files_are_made_once_and_for_their_owner(tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.toml"
    own_encryption(cluster, Address("10.1.2.3", 1))
    before = (tmp_path / "router.crt").read_bytes()
    own_encryption(cluster, Address("10.1.2.3", 1))
    assert (tmp_path / "router.crt").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "router.key").stat().st_mode) == 0o600
    (tmp_path / "router.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        own_encryption(cluster, Address("10.1.2.3", 1))
    (tmp_path / "router.key").chmod(0o600)
    (tmp_path / "router.crt").write_text("no certificate")
    with pytest.raises(ConfigError, match="no certificate and its key"):
        own_encryption(cluster, Address("10.1.2.3", 1))
