"""What must hold before anything is started: each check ends the start with one sentence, or says nothing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import redis

from portal.settings import Settings, WrongSetting

PATIENCE = 3


def check_data(chosen: Settings) -> None:
    """The data directory, and everything in it that will be written."""
    for directory in (chosen.portal_data, chosen.files_directory, chosen.runs_directory):
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as failure:
            raise _unusable(directory, failure.strerror) from None
    for path in (chosen.portal_data, *chosen.portal_data.iterdir()):
        if not os.access(path, os.R_OK | os.W_OK):
            raise _unusable(path, "Permission denied")


def _unusable(path: Path, reason: str | None) -> WrongSetting:
    return WrongSetting(f"{path} cannot be used ({reason}): make it writable, or set PORTAL_DATA to another directory.")


def check_private(directory: Path) -> None:
    """Where the embedded broker's socket lies must be ours: others may write to the temporary directory."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if directory.stat().st_uid != os.getuid():
        raise WrongSetting(f"{directory} belongs to somebody else: remove it, or set PORTAL_DATA to a shorter path.")


def check_address(chosen: Settings) -> None:
    try:
        kind, _, _, _, address = socket.getaddrinfo(chosen.host, chosen.port, type=socket.SOCK_STREAM)[0]
    except OSError as failure:
        raise WrongSetting(f"HOST {chosen.host} is no address of this machine ({failure.strerror}).") from None
    with socket.socket(kind, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as failure:
            raise WrongSetting(
                f"Port {chosen.port} of {chosen.host} cannot be used ({failure.strerror}): "
                "end what uses it, or set PORT to another."
            ) from None


def check_broker(chosen: Settings) -> None:
    """An external broker must answer; the embedded one is our own child."""
    if not chosen.broker_url.startswith(("redis://", "rediss://")):
        return
    try:
        client = redis.Redis.from_url(chosen.broker_url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        client.ping()
    except (redis.RedisError, OSError, ValueError) as failure:
        raise WrongSetting(f"The broker does not answer ({failure}): look at BROKER_URL.") from None
