"""What is of the cluster and of sessions: databases, roles, settings, access methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shardrouter.catalogs.builtin import Row
from shardrouter.catalogs.objects import PG_CATALOG
from shardrouter.catalogs.world import DATABASE_OID, World

__all__ = ["OF_SESSION", "ROWS"]


def pg_database(world: World) -> Iterator[Row]:
    yield {
        "oid": DATABASE_OID,
        "datname": world.database,
        "datdba": world.owner,
        "encoding": 6,
        "datlocprovider": "c",
        "datallowconn": True,
        "datconnlimit": -1,
        "dattablespace": 1663,
        "datcollate": "C",
        "datctype": "C.UTF-8",
    }


def pg_roles(world: World) -> Iterator[Row]:
    known = {role.name: role for role in world.roles}
    for name, oid in world.role_oids.items():
        role = known.get(name)
        yield {
            "oid": oid,
            "rolname": name,
            "rolsuper": role is None or role.is_superuser,
            "rolinherit": role is None or role.inherits,
            "rolcreaterole": role is None or role.may_create_roles,
            "rolcreatedb": role is None or role.may_create_databases,
            "rolcanlogin": role is None or role.may_log_in,
            "rolconnlimit": -1,
            "rolpassword": "********",
        }


def pg_authid(world: World) -> Iterator[Row]:
    for row in pg_roles(world):
        yield {**row, "rolpassword": None}


def pg_user(world: World) -> Iterator[Row]:
    for row in pg_roles(world):
        if row["rolcanlogin"]:
            yield {
                "usename": row["rolname"],
                "usesysid": row["oid"],
                "usecreatedb": row["rolcreatedb"],
                "usesuper": row["rolsuper"],
                "userepl": False,
                "usebypassrls": False,
                "passwd": "********",
            }


def pg_group(world: World) -> Iterator[Row]:
    for row in pg_roles(world):
        if not row["rolcanlogin"]:
            yield {"groname": row["rolname"], "grosysid": row["oid"], "grolist": "[]"}


def pg_settings(world: World) -> Iterator[Row]:
    for name, value, reset in world.settings:
        yield {
            "name": name,
            "setting": value,
            "category": "Customized Options",
            "short_desc": "",
            "context": "user",
            "vartype": "string",
            "source": "default" if value == reset else "session",
            "boot_val": reset,
            "reset_val": reset,
        }


def pg_stat_activity(world: World) -> Iterator[Row]:
    yield {
        "datid": DATABASE_OID,
        "datname": world.database,
        "pid": world.backend,
        "usesysid": world.role_oids[world.user],
        "usename": world.user,
        "application_name": world.application,
        "state": "active",
        "backend_type": "client backend",
    }


def pg_am(_world: World) -> Iterator[Row]:
    yield {"oid": 2, "amname": "heap", "amtype": "t"}
    yield {"oid": 403, "amname": "btree", "amtype": "i"}


def pg_collation(world: World) -> Iterator[Row]:
    for oid, name, provider, locale in (
        (100, "default", "d", None),
        (950, "C", "c", "C"),
        (951, "POSIX", "c", "POSIX"),
    ):
        yield {
            "oid": oid,
            "collname": name,
            "collnamespace": PG_CATALOG,
            "collowner": world.owner,
            "collprovider": provider,
            "collisdeterministic": True,
            "collencoding": -1,
            "collcollate": locale,
            "collctype": locale,
        }


def pg_tablespace(world: World) -> Iterator[Row]:
    yield {"oid": 1663, "spcname": "pg_default", "spcowner": world.owner}
    yield {"oid": 1664, "spcname": "pg_global", "spcowner": world.owner}


def pg_language(world: World) -> Iterator[Row]:
    for oid, name, trusted in ((12, "internal", False), (13, "c", False), (14, "sql", True)):
        yield {"oid": oid, "lanname": name, "lanowner": world.owner, "lanpltrusted": trusted}


def pg_timezone_names(_world: World) -> Iterator[Row]:
    yield {"name": "UTC", "abbrev": "UTC", "utc_offset": "0 0 0", "is_dst": False}


def pg_timezone_abbrevs(_world: World) -> Iterator[Row]:
    yield {"abbrev": "UTC", "utc_offset": "0 0 0", "is_dst": False}


ROWS: Final = {
    "pg_database": pg_database,
    "pg_roles": pg_roles,
    "pg_authid": pg_authid,
    "pg_user": pg_user,
    "pg_shadow": pg_user,
    "pg_group": pg_group,
    "pg_settings": pg_settings,
    "pg_stat_activity": pg_stat_activity,
    "pg_am": pg_am,
    "pg_collation": pg_collation,
    "pg_tablespace": pg_tablespace,
    "pg_language": pg_language,
    "pg_timezone_names": pg_timezone_names,
    "pg_timezone_abbrevs": pg_timezone_abbrevs,
}

OF_SESSION: Final = frozenset({"pg_settings", "pg_stat_activity"})
"""Relations whose rows differ from session to session."""
