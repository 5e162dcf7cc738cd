"""The words to the workers: a process that cannot say one goes on, and says the next."""

from __future__ import annotations

import threading

import pytest

from portal import queue
from tests.servers import eventually


def test_a_line_that_finds_no_thread_is_silent_for_a_while_and_talks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PAUSE", 0.0)
    line = queue.Line("memory://")
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(line, "_tell", lambda *word: said.append(word))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as crowded:
        crowded.setattr(threading.Thread, "start", refuse)
        line.send("wake", "one")
    line.send("wake", "two")

    eventually(lambda: said, pause=0.01)
    assert said == [("wake", "two")]
