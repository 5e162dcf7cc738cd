"""One letter, through SMTP. Addresses and subjects are one line each, whatever they hold."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from portal.domain.errors import Unavailable
from portal.settings import Settings, settings

TIMEOUT = 10


def on() -> bool:
    """Whether mail is sent at all."""
    return bool(settings().mail_server)


def send(to: str, subject: str, text: str) -> None:
    """Hand one letter to the mail server. Raises Unavailable when it does not take it."""
    chosen = settings()
    try:
        server = smtplib.SMTP(chosen.mail_server, chosen.mail_port, timeout=TIMEOUT)
        with closing(server):
            _greet(server, chosen)
            server.send_message(_letter(chosen.mail_from, to, subject, text))
            _part(server)
    except (OSError, ValueError, smtplib.SMTPException) as failure:
        raise Unavailable(f"The mail server did not take the letter: {type(failure).__name__}.") from failure


def _greet(server: smtplib.SMTP, chosen: Settings) -> None:
    if chosen.mail_starttls:
        server.starttls(context=ssl.create_default_context())
    if chosen.mail_username:
        server.login(chosen.mail_username, chosen.mail_password)


def _part(server: smtplib.SMTP) -> None:
    """Say goodbye; the letter is the server's by now, whatever it answers."""
    with suppress(OSError, smtplib.SMTPException):
        server.quit()


def _letter(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = sender, to
    letter["Subject"] = " ".join(subject.split())
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain="portal.local")
    letter.set_content(text)
    return letter
