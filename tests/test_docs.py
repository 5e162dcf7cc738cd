"""The documentation says what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal.domain import plugins
from portal.domain.states import State
from portal.services import results
from portal.settings import Settings
from tests import making
from tests.servers import ROOT
from workers import languages


def test_every_setting_is_described_and_no_other() -> None:
    table = (ROOT / "docs" / "settings.md").read_text("utf-8")
    described = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}

    assert described == {name.upper() for name in Settings.model_fields}


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.fixture
def more_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of languages with one place for more."""
    known = plugins.FOLDERS["languages"]
    folder = tmp_path / "languages"
    folder.mkdir()
    for file in known.glob("[a-z]*.py"):
        (folder / file.name).symlink_to(file)
    monkeypatch.setitem(plugins.FOLDERS, "languages", folder)
    monkeypatch.setattr(languages, "__path__", [*languages.__path__, str(folder)])
    plugins.plugins.cache_clear()
    yield folder
    plugins.plugins.cache_clear()


def test_the_language_of_the_readme_is_one_file_that_works(
    more_languages: Path, session: Session, work: Callable[[], None]
) -> None:
    [example] = re.findall(r"```python\n(\"\"\"Perl.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    (more_languages / "perl.py").write_text(example, "utf-8")
    making.make_backend(session, languages=("perl",))
    code = 'open(my $out, ">", "loud.txt"); while (<>) { print $out uc }'
    making.make_task(session, "shout", "perl", code, inputs=(".txt",), outputs=(".txt",))
    making.make_job(session, "loudly", [(1, "shout")])
    submission = making.submitted(session, "loudly", b"hello")

    work()

    session.expire_all()
    assert submission.state is State.COMPLETE
    [kept] = results.of_submission(submission)
    with results.open_file(results.find(session, kept.name)) as stream:
        assert stream.read() == b"HELLO"
