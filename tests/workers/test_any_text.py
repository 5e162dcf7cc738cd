"""Values are data: any text that is accepted arrives byte for byte, as a value and as a variable, in every language."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from portal import storage
from portal.database import transaction
from portal.domain.drafts import ParameterDraft, TaskDraft
from portal.domain.states import State
from portal.models import Batch, Task
from portal.services import tasks
from tests.levels import ways
from tests.making import make_job, make_task

pytestmark = [pytest.mark.usefixtures("level"), pytest.mark.parametrize("level", ways(), indirect=True)]

NASTY = [
    "-1", "1e-5", "a_b", "2026-11-21", " ", "  two  ", "", "'", '"', "'\"'\"", "😀", "é", "e\u0301", "\n", "a\nb\n",
    "\r\n", "\t", "\\", "\\n", "a\\", "$(id)", "`id`", "$P1", "$I1", "$HOME", "${x}", "%s%d", "%41", "%", "*", "~", "#",
    "-n", "--", "x;id", "&& id", "> x", "TRUE", "NULL", "NA", "nan", "\u202e", "\ufeff", "\xa0", "\x7f", "\x85",
    "\U0010ffff", "{'a': 1}", "=", "a=b",
]  # fmt: skip
REFUSED = "".join(map(chr, set(range(32)) - {9, 10, 13})) + "\ufffd"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=REFUSED), max_size=50)
MANY = 40
NAMES = [f"v{number}" for number in range(MANY)]
CODES = {
    "command": "{ /usr/bin/printf '%s\\0' " + " ".join(f"$P{at}" for at in range(1, MANY + 1)) + "\n"
    "for name in " + " ".join(NAMES) + "; do printenv -0 $name; done; } > $O1",
    "python": "import os\n"
    f"names = ['v%d' % number for number in range({MANY})]\n"
    "found = [params[name] for name in names] + [os.environ[name] for name in names]\n"
    "open(outputs['.out'], 'wb').write(b''.join(os.fsencode(each) + b'\\0' for each in found))\n",
    "r": f"names <- paste0('v', 0:{MANY - 1})\n"
    "found <- c(unlist(params[names], use.names = FALSE), Sys.getenv(names, names = FALSE))\n"
    "out <- file(outputs[['.out']], 'wb')\n"
    "for (each in found) writeBin(c(charToRaw(each), as.raw(0)), out)\n"
    "close(out)\n",
}
EXAMPLES = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def sent(session: Session, client: FlaskClient, work: Callable[[], None]) -> Callable[[str, list[str]], bytes]:
    """What the task of a language found in its values and variables, the values being POSTed."""
    parameters = tuple(ParameterDraft(name) for name in NAMES)

    def send(language: str, texts: list[str]) -> bytes:
        job = f"job of {language}"
        task = session.query(Task).filter_by(name=language).one_or_none()
        variables = tuple(zip(NAMES, texts, strict=True))
        draft = TaskDraft(
            language, language, "here", CODES[language], outputs=(".out",), parameters=parameters, variables=variables
        )
        if task is None:
            make_task(session, language, language, CODES[language], outputs=(".out",), parameters=parameters)
            make_job(session, job, [(1, language)])
            task = tasks.get(session, language)
        with transaction(session):
            tasks.save(session, draft, None, task)
        fields = {
            "job": job,
            "submission_name": "any",
            "email": "a@example.org",
            "input_data": (io.BytesIO(b"x"), "x.txt"),
        }
        values = {f"{language}_{name}": text for name, text in variables}
        return posted({**fields, **values})

    def posted(fields: dict[str, object]) -> bytes:
        answer = client.post("/analytics_automated/submission.json", data=fields)
        assert answer.status_code == 201, answer.text
        work()
        session.rollback()
        [submission] = session.query(Batch).filter_by(uuid=answer.get_json()["UUID"]).one().submissions
        assert submission.state is State.COMPLETE, submission.runs[0].reason
        [result] = submission.results
        with storage.open_blob(result.key) as stream:
            return stream.read()

    return send


@pytest.mark.parametrize("language", CODES)
@EXAMPLES
@given(texts=st.lists(TEXT, min_size=MANY, max_size=MANY))
@example(texts=NASTY[:MANY])
@example(texts=(NASTY[::-1] * 2)[:MANY])
def test_any_text_arrives_byte_for_byte(
    language: str, texts: list[str], sent: Callable[[str, list[str]], bytes]
) -> None:
    expected = b"".join(text.encode() + b"\0" for text in texts)

    assert sent(language, texts) == expected + expected
