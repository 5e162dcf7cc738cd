"""The `flask` commands."""

from __future__ import annotations

from flask import Flask

from portal.commands.load import load
from portal.commands.password import password
from portal.commands.setup import setup
from portal.commands.start import start


def register(app: Flask) -> None:
    for command in (start, setup, load, password):
        app.cli.add_command(command)
