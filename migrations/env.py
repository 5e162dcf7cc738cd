"""Runs the migrations on the database of the Flask application, on SQLite and PostgreSQL alike."""

from alembic import context
from flask import current_app

from portal import models  # noqa: F401 - makes every table known
from portal.database import Base

DESCENDING = ("ix_run_turn",)  # SQLite does not tell in which direction an index has its columns


def seen(thing: object, name: str | None, kind: str, *_: object) -> bool:
    return kind != "index" or name not in DESCENDING


database = current_app.extensions["migrate"].db

with database.engine.connect().execution_options(writes=True) as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=seen,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
