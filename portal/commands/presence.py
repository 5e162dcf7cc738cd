"""Whether there is a portal at all: a command for what is in one ends with a sentence where there is none.

Nothing is made to find that out, so that a wrong PORTAL_DATA leaves no empty portal behind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from click import get_current_context
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from portal.database import engine
from portal.models import Account
from portal.services import audit
from portal.settings import Settings, WrongSetting

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def in_portal(command: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A command that needs a portal, and ends with one sentence where there is none."""

    @wraps(command)
    def checked(*words: Given.args, **options: Given.kwargs) -> Answer:
        _check(current_app.config["PORTAL"])
        audit.act_in(f"flask {get_current_context().info_name}")
        return command(*words, **options)

    return with_appcontext(checked)


def _check(chosen: Settings) -> None:
    url = make_url(chosen.database)
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if file and not file.exists():
        raise _none(chosen)
    try:
        there = inspect(engine()).has_table(Account.__tablename__)
    except SQLAlchemyError as failure:
        reason = str(getattr(failure, "orig", failure)).strip().splitlines()[0]
        raise WrongSetting(f"The database does not answer ({reason}): look at DATABASE_URL.") from None
    if not there:
        raise _none(chosen)


def _none(chosen: Settings) -> WrongSetting:
    if chosen.database_url:
        return WrongSetting("There is no portal in the database: look at DATABASE_URL, or run flask setup.")
    return WrongSetting(f"There is no portal in {chosen.portal_data}: set PORTAL_DATA, or run flask setup.")
