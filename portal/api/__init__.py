"""What programs see."""

from __future__ import annotations

from flask import Flask

from portal.api import contract, v1


def register(app: Flask) -> None:
    v1.register(app)
    contract.register(app)
