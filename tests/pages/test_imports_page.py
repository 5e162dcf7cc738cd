"""Loading dumps on the page: first what would be done, then the same files."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.domain.policy import Role
from portal.services import accounts, jobs, tasks
from tests.conftest import PASSWORD
from tests.services.dumps.loading import BACKEND, job, load, row, sample, task

OWN = "backends: [{name: b, runner: local, queue: b, languages: [command]}]\n"


def upload(client: FlaskClient, *contents: bytes | str, **more: str) -> tuple[int, str]:
    files = [
        (io.BytesIO(one.encode() if isinstance(one, str) else one), f"{at}.yaml") for at, one in enumerate(contents)
    ]
    answer = client.post("/import", data={"files": files, **more}, content_type="multipart/form-data")
    return answer.status_code, answer.text


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_it_shows_what_would_be_done_and_writes_nothing(signed_in: FlaskClient, session: Session) -> None:
    status, page = upload(signed_in, sample("first.yaml"))

    assert status == 200
    for shown in (
        "Nothing is imported yet",
        "task psiblast seq",
        "`ls` is now `ls $P1`",
        "1 × auth.user",
        "Import these files",
    ):
        assert shown in page
    assert tasks.every(session) == []


def test_it_imports_the_files_that_it_has_shown(signed_in: FlaskClient, session: Session, data: Path) -> None:
    _, page = upload(signed_in, BACKEND + task(1, "t"), job(1, "j", 1))

    answer = signed_in.post("/import/now", data={"token": token_of(page)})

    assert answer.status_code == 200
    assert "Imported: 1 queue, 1 backend, 1 task, 1 job, 1 step." in answer.text
    assert jobs.get(session, "j").current.author is not None
    assert not [each for each in (data / "files").rglob("*") if each.is_file()]


def test_it_shows_what_is_refused_and_offers_no_import(signed_in: FlaskClient) -> None:
    status, page = upload(signed_in, BACKEND + task(1, "t", "cat $I7"))

    assert status == 422
    assert "Nothing was imported" in page
    assert "$I7 stands for nothing here" in page
    assert "Import these files" not in page


def test_it_replaces_only_when_told_to(signed_in: FlaskClient, session: Session) -> None:
    load(session, BACKEND + task(1, "t"))
    changed = BACKEND + task(1, "t", "sort $I1")

    assert upload(signed_in, changed)[0] == 422
    _, page = upload(signed_in, changed, replace="y")
    signed_in.post("/import/now", data={"token": token_of(page)})

    session.expire_all()
    assert tasks.get(session, "t").current.code == "sort $I1"


def test_it_shows_nothing_of_a_file_as_markup(signed_in: FlaskClient) -> None:
    hostile = row(
        "task", 1, name="<script>alert(1)</script>", backend="null", in_glob=".a", out_glob=".b", executable="ls"
    )

    _, page = upload(signed_in, hostile)

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_it_takes_a_configuration_of_our_own_but_reads_no_file_beside_it(
    signed_in: FlaskClient, session: Session
) -> None:
    assert upload(signed_in, OWN)[0] == 200

    sly = OWN + "tasks: [{name: t, language: command, backend: b, code_file: /etc/passwd}]\n"
    status, page = upload(signed_in, sly)

    assert status == 422
    assert "no code_file beside it" in page


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"- " * 100_000, b"<xml/>"])
def test_it_answers_whatever_is_uploaded(signed_in: FlaskClient, content: bytes) -> None:
    assert upload(signed_in, content)[0] == 422


def test_it_asks_for_a_file(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/import", data={})

    assert answer.status_code == 422
    assert "Choose one file or several." in answer.text


@pytest.mark.parametrize("token", ["", "made-up", "eyJhIjoxfQ.aaaa.bbbb"])
def test_it_imports_nothing_for_a_made_up_token(signed_in: FlaskClient, token: str) -> None:
    answer = signed_in.post("/import/now", data={"token": token}, follow_redirects=True)

    assert "The files are not kept any more: choose them again." in answer.text


def test_it_imports_the_same_files_once(signed_in: FlaskClient) -> None:
    _, page = upload(signed_in, BACKEND)
    signed_in.post("/import/now", data={"token": token_of(page)})

    again = signed_in.post("/import/now", data={"token": token_of(page)}, follow_redirects=True)

    assert "choose them again" in again.text


def test_it_is_for_administrators(client: FlaskClient, session: Session) -> None:
    with transaction(session):
        accounts.create(session, "ann", PASSWORD, Role.ANALYST)
    assert client.get("/import").status_code == 302
    client.post("/sign-in", data={"name": "ann", "password": PASSWORD})

    assert client.get("/import").status_code == 403
    assert upload(client, BACKEND)[0] == 403
    assert client.post("/import/now", data={"token": "x"}).status_code == 403


def test_it_is_found_on_the_page_of_backends(signed_in: FlaskClient) -> None:
    assert 'href="/import"' in signed_in.get("/backends").text
    assert 'type="file"' in signed_in.get("/import").text


@pytest.mark.parametrize(
    "content",
    [b"tasks: !!bool maybe", b"- !!timestamp x", b"tasks: " + b"[" * 100_000, b"\xe9", b"x" * 10_000_001, b""],
)
def test_it_refuses_a_hostile_file_with_a_sentence(signed_in: FlaskClient, content: bytes) -> None:
    answer = signed_in.post("/import", data={"files": (io.BytesIO(content), "bad.yaml")})

    assert answer.status_code in (413, 422)
    assert "bad.yaml" in answer.text or "larger than" in answer.text or "at most" in answer.text
