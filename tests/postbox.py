"""A real mail server on loopback that keeps the letters it takes."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from portal.settings import settings
from tests.servers import free_port


class Postbox:
    """Takes every letter that comes."""

    def __init__(self) -> None:
        self.letters: list[Message] = []
        self.answer = "250 taken"

    async def handle_RCPT(  # noqa: N802
        self, server: object, session: object, envelope: Envelope, address: str, options: object
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:  # noqa: N802
        self.letters.append(message_from_bytes(envelope.original_content or b"", policy=default))
        return "250 taken"


@pytest.fixture
def box(data: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postbox]:
    box, port = Postbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    mail_server(monkeypatch, port)
    yield box
    controller.stop()


@pytest.fixture
def postbox(box: Postbox) -> list[Message]:
    return box.letters


def mail_server(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("MAIL_SERVER", "127.0.0.1")
    monkeypatch.setenv("MAIL_PORT", str(port))
    settings.cache_clear()
