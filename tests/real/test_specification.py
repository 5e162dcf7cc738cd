"""Whatever the OpenAPI document allows, and much that it forbids, is answered as the document says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, request
from sqlalchemy.orm import Session
from werkzeug.serving import make_server

from portal.database import transaction
from portal.models import Account, Submission
from portal.services import submissions, throttle, tokens
from tests.api.conftest import make_job  # noqa: F401 - a fixture
from tests.api.service import MakeJob, finish_step
from tests.conftest import PASSWORD, forget_settings
from tests.making import order

pytestmark = pytest.mark.real

EXAMPLES = 20
NOT_OURS = ("positive_data_acceptance", "use_after_free")  # a schema cannot know names; a deletion takes its time
REACHED = {("v1.show", 200), ("v1.list_submissions", 200), ("v1.show_job", 200), ("v1.rerun", 202), ("v1.stop", 202)}
SCOPES = ("read", "run", "edit")


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """One client may have very many submissions, and send very many wrong secrets."""
    for name in ("PORTAL_QUEUE_HOG_SIZE", "PORTAL_QUEUE_HARD_LIMIT"):
        monkeypatch.setenv(name, "")
    for what in ("SIGN_IN", "RATE", "SUBMIT", "MISS"):
        monkeypatch.setenv(f"PORTAL_{what}_LIMIT", "100000 per minute")
    monkeypatch.setattr(throttle, "check", lambda culprits: None)
    forget_settings()


@pytest.fixture
def seen(unlimited: None, app: Flask) -> set[tuple[str | None, int]]:
    """What was answered so far: endpoints and statuses."""
    found: set[tuple[str | None, int]] = set()

    @app.after_request
    def remember(response: Response) -> Response:
        found.add((request.endpoint, response.status_code))
        return response

    return found


@pytest.fixture
def served(seen: set[tuple[str | None, int]], app: Flask) -> Iterator[str]:
    """The application behind a real port; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def submission(session: Session, make_job: MakeJob, admin: Account) -> Submission:  # noqa: F811
    """One that has ended, with a result of each of its steps."""
    make_job("counting", ((0, "count"), (1, "count_again")))
    made = submissions.submit(session, order("counting", account=admin)).submissions[0]
    finish_step(session)
    finish_step(session)
    session.expire_all()
    return made


@pytest.fixture
def secret(session: Session, admin: Account) -> str:
    with transaction(session):
        return tokens.create(session, admin, tokens.TokenDraft("fuzzing", SCOPES)).secret


@pytest.fixture
def known(submission: Submission, tmp_path: Path) -> Path:
    """Tells the fuzzer what is there, so that not every second request ends with 404; it need not wait for ends."""
    there = {
        "path.uuid": [submission.uuid],
        "path.run": [run.uuid for run in submission.runs],
        "path.name": ["counting", "count", submission.results[0].name],
        "path.stream": ["stdout"],
        "query.job": ["counting"],
    }
    lines = ["[parameters]", '"query.wait" = 0']
    for name in there:
        lines.append(f'"{name}" = {{ dictionary = "{name}", probability = 0.5 }}')
    for name, values in there.items():
        lines += [f'[dictionaries."{name}"]', f"values = {json.dumps(values)}"]
    file = tmp_path / "schemathesis.toml"
    file.write_text("\n".join(lines), "utf-8")
    return file


def fuzz(address: str, known: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(known), "run", address,
        "--max-examples", str(EXAMPLES), "--exclude-checks", ",".join(NOT_OURS), "--seed", "1",
        "--continue-on-failure", "--warnings", "off", "--generation-database", "none", "--no-color", *options,
    ]  # fmt: skip
    settings = os.environ | {"COLUMNS": "160"}
    return subprocess.run(command, cwd=known.parent, env=settings, capture_output=True, text=True, check=False)


def test_the_whole_specification_holds(
    served: str, seen: set[tuple[str | None, int]], secret: str, known: Path
) -> None:
    header = f"Authorization: Bearer {secret}"

    done = fuzz(f"{served}/api/v1/openapi.json", known, "--header", header, "--max-time", "50")

    assert done.returncode == 0, done.stdout + done.stderr
    assert seen >= REACHED


def test_it_holds_for_tokens_that_a_person_makes(served: str, admin: Account, known: Path) -> None:
    only = ["--include-path-regex", "/tokens", "--auth", f"{admin.name}:{PASSWORD}", "--max-time", "12"]

    done = fuzz(f"{served}/api/v1/openapi.json", known, *only)

    assert done.returncode == 0, done.stdout + done.stderr
