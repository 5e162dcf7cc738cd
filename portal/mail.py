"""One letter, through SMTP. Addresses and subjects are one line each, whatever they hold."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import lru_cache

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from portal.domain.errors import Unavailable
from portal.domain.parameters import UNREADABLE
from portal.settings import Settings, settings

SPECIAL_USE_DOMAIN_NAMES.clear()  # a house's own mail server may well deliver to @mail.local

TIMEOUT = 10
CLOSING = 421


class Refused(Unavailable):
    """The server answers and does not take this letter; `final`: it never will, as there is no such address."""

    def __init__(self, sentence: str, final: bool = False) -> None:
        super().__init__(sentence)
        self.final = final


def on() -> bool:
    """Whether mail is sent at all."""
    return bool(settings().mail_server)


@lru_cache(maxsize=1000)
def is_address(text: str) -> bool:
    """Whether this is one address, and nothing beside it."""
    try:
        domain = validate_email(text, check_deliverability=False, globally_deliverable=False).domain
    except EmailNotValidError:
        return False
    return UNREADABLE not in text and ("." in domain or domain == "localhost")


def send(to: str, subject: str, text: str) -> None:
    """Hand one letter to the mail server. Raises Refused for this letter, Unavailable when the server takes none."""
    chosen = settings()
    try:
        server = smtplib.SMTP(chosen.mail_server, chosen.mail_port, timeout=TIMEOUT)
        with closing(server):
            _greet(server, chosen)
            _hand_over(server, _letter(chosen.mail_from, to, subject, text))
            _part(server)
    except (OSError, smtplib.SMTPException) as failure:
        raise Unavailable(f"The mail server did not take the letter: {_said(failure)}.") from failure


def _hand_over(server: smtplib.SMTP, letter: EmailMessage) -> None:
    try:
        server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as refusal:
        [(code, answer)] = refusal.recipients.values()
        if code == CLOSING:
            raise
        raise Refused(f"The mail server refused the address: {_line(code, answer)}.", final=code >= 500) from refusal
    except (smtplib.SMTPDataError, smtplib.SMTPNotSupportedError, ValueError) as refusal:
        if getattr(refusal, "smtp_code", None) == CLOSING:
            raise
        raise Refused(f"The mail server did not take the letter: {_said(refusal)}.") from refusal


def _said(failure: Exception) -> str:
    """What the server answered, or what befell us before it could."""
    if isinstance(failure, smtplib.SMTPResponseException):
        return _line(failure.smtp_code, failure.smtp_error)
    return type(failure).__name__


def _line(code: int, answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(f"{code} {text}".split())[:200].rstrip(".")


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
    letter["Subject"] = " ".join(subject.split()).replace("=?", "= ?")  # an encoded word could hold a line break
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain="portal.local")
    letter.set_content(text)
    return letter
