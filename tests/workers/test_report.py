"""What a worker says of itself."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal.models import Worker
from tests.making import make_backend
from workers import tasks


def test_it_says_of_each_backend_what_it_cannot_run_and_why(session: Session) -> None:
    make_backend(session)
    make_backend(session, "far", options={"rscript": "/nowhere/Rscript", "python": "/nowhere/python"})

    tasks.report()
    tasks.report()

    session.rollback()
    [told] = session.scalars(select(Worker)).all()
    assert told.obstacles["here"]["python"] is None
    assert told.obstacles["far"]["command"] is None
    assert "/nowhere/Rscript is not installed on this machine" in str(told.obstacles["far"]["r"])
    assert "the interpreter /nowhere/python is not installed" in str(told.obstacles["far"]["python"])
