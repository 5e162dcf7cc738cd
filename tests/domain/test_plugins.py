"""A folder is the registry of its plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from portal.domain import plugins


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setitem(plugins.FOLDERS, "languages", tmp_path)
    plugins.plugins.cache_clear()
    yield tmp_path
    plugins.plugins.cache_clear()


def test_it_finds_a_new_file_and_reads_its_label_without_running_it(folder: Path) -> None:
    ran = folder / "ran"
    (folder / "octave.py").write_text(f"LABEL = 'Octave'\nEDITOR = 'plain'\nopen({str(ran)!r}, 'w')\nimport nowhere\n")

    found = plugins.plugins("languages")

    assert list(found) == ["octave"]
    assert (found["octave"].label, found["octave"].constants["EDITOR"]) == ("Octave", "plain")
    assert not ran.exists()


def test_it_calls_a_file_without_a_label_by_its_name_and_passes_over_private_ones(folder: Path) -> None:
    for name in ("scheme.py", "__init__.py", "_shared.py", "notes.txt"):
        (folder / name).write_text("")

    assert {name: plugin.label for name, plugin in plugins.plugins("languages").items()} == {"scheme": "scheme"}


def test_it_brings_the_languages_runners_and_validators_of_the_house() -> None:
    plugins.plugins.cache_clear()

    assert {"command", "python", "r"} <= plugins.plugins("languages").keys()
    assert "local" in plugins.plugins("runners")
    assert {"csv", "text"} <= plugins.plugins("validators").keys()


def test_it_is_read_by_many_threads_at_once() -> None:
    def read(_: int) -> object:
        plugins.plugins.cache_clear()
        return plugins.plugins("languages").keys() | plugins.plugins("validators").keys()

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(read, range(100)))

    assert all(each == found[0] for each in found)
