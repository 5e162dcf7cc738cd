"""The `flask` commands."""

from __future__ import annotations

from flask import Flask

from portal.commands.account import account
from portal.commands.doctor import doctor
from portal.commands.dump import dump
from portal.commands.load import load
from portal.commands.password import password
from portal.commands.runs import delete, resume, stop
from portal.commands.secrets import secrets
from portal.commands.seed import seed
from portal.commands.setup import setup
from portal.commands.start import start
from portal.commands.token import token


def register(app: Flask) -> None:
    for command in (start, setup, load, dump, account, password, token, stop, delete, resume, secrets, doctor, seed):
        app.cli.add_command(command)
