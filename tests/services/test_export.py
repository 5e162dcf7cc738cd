"""Everything as YAML of our own."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.drafts import ConfigurationDraft, ParameterDraft
from portal.domain.limits import Limits
from portal.domain.parameters import Kind
from portal.domain.retries import Retries
from portal.domain.verdict import Then
from portal.models import Backend
from portal.services import backends, configuration, export, jobs, tasks
from tests.making import make_backend, make_job, make_task


def everything(session: Session) -> list[object]:
    drafts = [tasks.draft_of(each.current) for each in tasks.every(session)]
    found = [{**vars(each), "_sa_instance_state": None, "id": None} for each in backends.every(session)]
    return [*found, *drafts, *(jobs.draft_of(each) for each in jobs.every(session))]


def written_and_loaded(session: Session, folder: Path) -> list[object]:
    file = folder / "all.yaml"
    file.write_text(export.text(session))
    with transaction(session):
        for each in (*jobs.every(session), *tasks.every(session)):
            session.delete(each)
        session.flush()
        session.query(Backend).delete()
        configuration.load(session, file, None)
    session.expire_all()
    return everything(session)


def test_it_writes_the_examples_as_they_are(session: Session, tmp_path: Path, examples: configuration.Loaded) -> None:
    before = everything(session)

    assert written_and_loaded(session, tmp_path) == before


def test_it_leaves_nothing_out(session: Session, tmp_path: Path) -> None:
    make_backend(session, "here", limits=Limits(wall_seconds=60), ceilings=Limits(files=9), options={"a": "b"})
    make_task(
        session, "t", "command", "set -e\ncat $I1 # “ä”\n", inputs=(".a",), outputs=(".b",), stdout=".c",
        exit_statuses=(1, 2), on_exit_status=Then.FINISH, on_missing_output=Then.CONTINUE, description="d: 'e'\n\nf",
        limits=Limits(cpu_seconds=5), retries=Retries(2, on_crash=True, exit_statuses=(75,)),
        parameters=(ParameterDraft("n", "N", "help", "-n", Kind.INTEGER, "3", True, 1, 9), ParameterDraft("no"),
                    ParameterDraft("f", kind=Kind.FILE)),
        variables=(("LC_ALL", "no"),), configurations=(ConfigurationDraft("Dataset", "x", "-y", "1.10"),),
    )  # fmt: skip
    make_job(session, "j", [(5, "t")], validators=("csv", "t_f: regex a: b"), keep_days=3, enabled=False)
    before = everything(session)

    assert written_and_loaded(session, tmp_path) == before
