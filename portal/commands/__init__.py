"""The `flask` commands."""

from __future__ import annotations

from flask import Flask

from portal.commands.setup import setup
from portal.commands.start import start


def register(app: Flask) -> None:
    app.cli.add_command(start)
    app.cli.add_command(setup)
