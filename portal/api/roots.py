"""The paths that the first system's routes live under: one or several, each with all of them, as the settings say."""

from __future__ import annotations

from flask import Flask, current_app, request
from flask.sansio.app import App

from portal.settings import Settings, WrongSetting


def check(app: Flask) -> None:
    """The routes may stand beside the portal's own, never over them."""
    taken = {rule.rule for rule in app.url_map.iter_rules()}
    for root in listed(app):
        if any(f"{rule}/".startswith(f"{root}/") for rule in taken):
            raise WrongSetting(f"The setting PORTAL_REST_ROOTS is wrong: {root} is the portal's own: choose another.")


def listed(app: App) -> tuple[str, ...]:
    settings: Settings = app.config["PORTAL"]
    return settings.rest_roots


def asked() -> str:
    """The root of this request's address as its client knows it, with what a proxy has put before it."""
    under = (root for root in listed(current_app) if request.path.startswith(f"{root}/"))
    return request.script_root + max(under, key=len, default="")
