"""The documentation says what is there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from portal import validators
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


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", page.read_text("utf-8"))
    targets = [(page.parent / link if link else page, heading) for link, heading in links]

    assert [target for target, _ in targets if not target.exists()] == []
    assert [heading for target, heading in targets if heading and heading not in headings(target)] == []


def headings(page: Path) -> set[str]:
    """What links name the headings of a page by."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}


def test_every_link_to_a_part_of_a_page_leads_to_its_heading() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [
        (page, file, part)
        for page in pages
        for file, part in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8"))
    ]

    assert links
    assert [link for link in links if link[2] not in parts_of(link[0].parent / link[1] if link[1] else link[0])] == []


def parts_of(page: Path) -> set[str]:
    """The names that its headings have as places of it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_validator_is_described_and_no_other() -> None:
    table = (ROOT / "docs" / "validators.md").read_text("utf-8")
    described = {name for row in re.findall(r"^\| (`[^|]*) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}

    assert described == plugins.plugins("validators").keys()


def test_the_validator_of_the_documentation_is_one_file_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "validators.md").read_text("utf-8"), re.S)
    (tmp_path / "counts.py").write_text(example, "utf-8")
    monkeypatch.setitem(plugins.FOLDERS, "validators", tmp_path)
    monkeypatch.setattr(validators, "__path__", [*validators.__path__, str(tmp_path)])
    plugins.plugins.cache_clear()

    try:
        assert plugins.plugins("validators")["counts"].label == "Read counts"
        assert validators.check_options("counts", "many") == "“many” is not a whole number."
        assert validators.check("counts 100", io.BytesIO(b"abc\t7\n")) is None
        assert validators.check("counts 100", io.BytesIO(b"abc\t7\ndef\t101\n")) == "line 2 counts more than 100."
        assert validators.check("counts 100", io.BytesIO(b"\xff")) == "line 1 is not UTF-8 text."
    finally:
        plugins.plugins.cache_clear()


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
