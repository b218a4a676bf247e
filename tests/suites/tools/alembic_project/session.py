"""Alembic's commands over a project of three revisions, each with what it printed.

Printed so that the same lines come from any server that is PostgreSQL. Run in an environment that
has Alembic and psycopg.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata, produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.orm import Session

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from models import Base, Customer, Invoice, Line

URL = sa.URL.create(
    "postgresql+psycopg",
    os.environ["TOOL_USER"],
    os.environ["TOOL_PASSWORD"] or None,
    "127.0.0.1",
    int(os.environ["TOOL_PORT"]),
    os.environ["TOOL_DATABASE"],
)
ENGINE = sa.create_engine(URL)


def step(name: str, act: Callable[[], Any]) -> None:
    try:
        found = act()
    except (Exception, SystemExit) as exc:
        traceback.print_exc()
        print(f"== {name}\n{type(exc).__name__}: {str(exc).splitlines()[0]}", flush=True)
    else:
        print(f"== {name}\n{found!r}", flush=True)


def run(verb: str, *arguments: Any, **options: Any) -> list[str]:
    said = io.StringIO()
    config = Config(stdout=said, output_buffer=said)
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    config.set_main_option(
        "sqlalchemy.url", URL.render_as_string(hide_password=False).replace("%", "%%")
    )
    getattr(command, verb)(config, *arguments, **options)
    return said.getvalue().splitlines()


def differences() -> list[Any]:
    """What autogenerate would write."""
    with ENGINE.connect() as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name in (None, "billing"),
        }
        context = MigrationContext.configure(connection, opts=options)
        if not compare_metadata(context, Base.metadata):
            return []
        made = produce_migrations(context, Base.metadata)
        return render_python_code(made.upgrade_ops).splitlines()


def asked(sql: str) -> list[Any]:
    with ENGINE.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def tables() -> Any:
    inspector = sa.inspect(ENGINE)
    return {
        name: [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found]
        for (_, name), found in sorted(inspector.get_multi_columns().items(), key=str)
    }


def using() -> Any:
    with Session(ENGINE) as session:
        carl = Customer(name="Carl", settings={"a": [1]}, referrer_id=2)
        session.add(carl)
        session.flush()
        found = session.execute(
            sa.select(Customer.name, sa.func.sum(Line.amount))
            .join(Invoice, Invoice.customer_id == Customer.id)
            .join(Line, Line.invoice_id == Invoice.id)
            .group_by(Customer.name)
            .order_by(Customer.name)
        ).all()
        session.commit()
        return [tuple(row) for row in found], carl.id, carl.credit


STEPS: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("history", lambda: run("history")),
    ("current, before", lambda: run("current")),
    ("upgrade +1", lambda: run("upgrade", "+1")),
    ("rows of a1", lambda: asked("SELECT id, name, credit, email, phone FROM client ORDER BY id")),
    ("what is missing at a1", differences),
    ("upgrade head", lambda: run("upgrade", "head")),
    ("current", lambda: run("current")),
    ("check", lambda: run("check")),
    ("differences", differences),
    ("tables", tables),
    (
        "rows",
        lambda: asked("SELECT id, name, credit, settings, referrer_id FROM customer ORDER BY 1"),
    ),
    ("using it", using),
    ("offline", lambda: run("upgrade", "a1:c3", sql=True)),
    ("downgrade -1", lambda: run("downgrade", "-1")),
    ("tables at b2", tables),
    ("downgrade a1", lambda: run("downgrade", "a1")),
    ("rows again", lambda: asked("SELECT id, name, credit, email, phone FROM client ORDER BY id")),
    ("downgrade base", lambda: run("downgrade", "base")),
    ("tables at base", tables),
    ("upgrade head again", lambda: run("upgrade", "head")),
    ("check again", lambda: run("check")),
    ("stamp", lambda: run("stamp", "a1")),
    ("current, stamped", lambda: run("current")),
)

if __name__ == "__main__":
    for title, act in STEPS:
        step(title, act)
