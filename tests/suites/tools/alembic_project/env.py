"""Alembic's environment, as its template writes it."""

from alembic import context
from models import Base
from sqlalchemy import create_engine

URL = context.config.get_main_option("sqlalchemy.url")


def include_name(name, kind, parents):
    return kind != "schema" or name in (None, "billing")


OPTIONS = {
    "target_metadata": Base.metadata,
    "compare_type": True,
    "compare_server_default": True,
    "include_schemas": True,
    "include_name": include_name,
}

if context.is_offline_mode():
    context.configure(url=URL, literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(URL)
    with engine.connect() as connection:
        context.configure(connection=connection, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()
