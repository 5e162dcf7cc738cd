"""Runs the migrations on the database of the Flask application, on SQLite and PostgreSQL alike."""

from alembic import context
from flask import current_app

from portal import models  # noqa: F401 - makes every table known
from portal.database import Base

database = current_app.extensions["migrate"].db

with database.engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        **current_app.extensions["migrate"].configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
