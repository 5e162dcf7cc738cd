"""Every setting, typed, from the environment, read once. A wrong value stops the start with one sentence."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Callable
from functools import cache, cached_property
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

import limits
from click import ClickException
from cryptography.fernet import Fernet
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url

from portal.domain import passwords
from portal.domain.policy import Role

DATABASES = ("postgresql://", "postgres://", "postgresql+psycopg2://", "sqlite:///")
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
ROOT = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
HERE = ("localhost", "127.0.0.1", "::1")
BROKERS = ("redis://", "rediss://", "redis+socket://")
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - it is compared
HOST = re.compile(r"\*|\.?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")


class WrongSetting(ClickException):
    """A setting that the portal cannot start with; the text names it. A command ends with it and status 2."""

    exit_code = 2


class Settings(BaseSettings):
    """The portal's settings; each is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(extra="ignore")

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=1, le=65535)
    portal_url: str = Field(default="", description="Address in mails; http://HOST:PORT if empty.")
    portal_data: Path = Path("var")
    database_url: str = ""
    broker_url: str = ""
    secret_key: str = ""
    portal_secrets_key: str = Field(
        default="", description="Keys of the secrets, with commas: the first encrypts, all decrypt."
    )
    portal_admin_name: str = "admin"
    portal_admin_password: str = ""
    portal_admin_email: str = ""

    portal_workers: int = Field(
        default=4, ge=1, le=256, description="Runs at one time in the worker that `start` makes."
    )
    portal_lease_seconds: float = Field(default=30, ge=0.5)
    portal_beat_seconds: float = Field(default=2, ge=0.05)
    portal_poll_seconds: float = Field(default=5, ge=0.2)
    portal_max_lost: int = Field(default=3, ge=1)
    portal_at_shutdown: Literal["", "hand over", "end"] = Field(
        default="", description="What a worker does with its runs; empty: `start` ends them, others hand them over."
    )
    portal_hand_over_seconds: float = Field(default=600, ge=1, description="How long they wait for the next worker.")
    portal_disk_floor_bytes: int = Field(default=200_000_000, ge=0, description="Less free disk takes no run.")
    portal_keep_days: int | None = Field(default=None, ge=1, le=36_500, description="Results are kept so long.")
    portal_clean_seconds: float = Field(default=60, ge=0.2, description="How often what is over is removed.")
    portal_orphan_seconds: float = Field(
        default=3600, ge=1, description="How old a file must be that belongs to nothing, before it is removed."
    )

    portal_level: int = Field(default=4, ge=1, le=4, description="Runs are confined no further than this.")
    portal_min_level: int = Field(default=2, ge=1, le=4, description="Workers that confine runs less take none.")
    portal_min_level_anonymous: int = Field(default=3, ge=1, le=4, description="The same, of runs without an account.")

    portal_warm: bool = Field(default=True, description="Runs are forks of interpreters that wait for them.")
    portal_warm_modules: str = Field(
        default="numpy; numpy scipy.stats",
        description="What warm Python has loaded: a set of modules for each interpreter, the leanest first.",
    )
    portal_warm_packages: str = Field(default="", description="What warm R has loaded beside its usual packages.")

    portal_max_upload_bytes: int = Field(default=1_000_000_000, ge=1)
    portal_max_form_bytes: int = Field(
        default=4_000_000, ge=1000, description="The text fields of one request together."
    )
    portal_max_inputs: int = Field(default=10_000, ge=1, le=100_000, description="Runs that one request may ask for.")
    portal_trusted_proxies: str = Field(
        default="", description="The proxies in front that are believed: their addresses, or their number."
    )
    portal_allowed_hosts: str = Field(
        default="",
        description="The names that the portal answers to; those of PORTAL_URL, HOST and this machine if empty.",
    )
    portal_sign_in_limit: str = "10 per minute"
    portal_rate_limit: str = Field(default="100 per second", description="Requests of one address or account.")
    portal_submit_limit: str = Field(default="300 per minute", description="Submissions of one address or account.")
    portal_miss_limit: str = Field(default="100 per minute", description="How often one may ask for what is not there.")
    portal_quota_bytes: int | None = Field(
        default=20_000_000_000, ge=0, description="Files kept for one account or address; empty: no limit."
    )
    portal_log_level: Literal["debug", "info", "warning", "error"] = "warning"
    portal_session_hours: float = Field(default=168, gt=0, description="Somebody stays signed in so long at most.")
    portal_idle_hours: float = Field(default=12, gt=0, description="And so long without opening a page.")
    portal_anonymous_runs: bool = Field(default=True, description="Public jobs may be run without an account.")
    portal_cors_origins: str = Field(
        default="", description="Origins that may read the REST answers, with commas between."
    )
    portal_rest_roots: str = Field(
        default="/analytics_automated", description="Paths that the first system's routes live under, with commas."
    )

    portal_default_job_priority: int = Field(default=1, ge=0, le=2)
    portal_logged_in_job_priority: int = Field(default=2, ge=0, le=2)
    portal_queue_hog_size: int | None = Field(default=10, ge=0)
    portal_queue_hard_limit: int | None = Field(default=15, ge=0)

    mail_server: str = Field(default="", description="No mail is sent while this is empty.")
    mail_port: int = Field(default=25, ge=1, le=65535)
    mail_username: str = ""
    mail_password: str = ""
    mail_starttls: bool = False
    mail_from: str = "portal@localhost"
    portal_mail_to_one: int = Field(default=100, ge=1, description="Letters a day to one address.")
    portal_mail_from_one: int = Field(default=1000, ge=1, description="Letters a day that one sender has caused.")

    portal_oidc_issuer: str = Field(default="", description="The identity provider that people may sign in with.")
    portal_oidc_client_id: str = ""
    portal_oidc_client_secret: str = ""
    portal_oidc_name: str = Field(default="your organisation", description="What the button calls it.")
    portal_oidc_role: Role = Field(default=Role.SUBMITTER, description="Of accounts that it makes.")
    portal_oidc_only: bool = Field(default=False, description="Whether passwords are refused.")

    @field_validator(
        "portal_queue_hog_size", "portal_queue_hard_limit", "portal_keep_days", "portal_quota_bytes", mode="before"
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("secret_key")
    @classmethod
    def _hard_to_guess(cls, value: str) -> str:
        if value and (reason := passwords.key_fault(value)):
            raise ValueError(reason)
        return value

    @field_validator("portal_admin_password")
    @classmethod
    def _a_password(cls, value: str) -> str:
        if value and (reason := passwords.fault(value)):
            raise ValueError(reason.rstrip("."))
        return value

    @field_validator("portal_oidc_issuer")
    @classmethod
    def _known_issuer(cls, value: str) -> str:
        if value and not value.startswith("https://") and urlsplit(value).hostname not in HERE:
            raise ValueError("it must begin with https://")
        return _of_kind(value, ("http://", "https://"))

    @field_validator("portal_secrets_key")
    @classmethod
    def _known_keys(cls, value: str) -> str:
        try:
            for each in _listed(value):
                Fernet(each)
        except ValueError:
            raise ValueError("it must be keys as `flask secrets key` makes them, with commas between") from None
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if _of_kind(value, DATABASES) and not make_url(value).database:
            raise ValueError("it must name a database")
        return value

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        return _of_kind(value, BROKERS)

    @field_validator("portal_url")
    @classmethod
    def _known_address(cls, value: str) -> str:
        return _of_kind(value, ("http://", "https://"))

    @field_validator("portal_trusted_proxies")
    @classmethod
    def _known_proxies(cls, value: str) -> str:
        try:
            return value if not value or value.isdecimal() else _networks(value)
        except ValueError:
            raise ValueError("it must be a number, or addresses such as 10.0.0.1, 192.168.0.0/16") from None

    @field_validator("portal_allowed_hosts")
    @classmethod
    def _known_hosts(cls, value: str) -> str:
        if not all(HOST.fullmatch(host) for host in _listed(value)):
            raise ValueError("it must be names such as portal.example.org, with commas between and without ports")
        return value

    @field_validator("portal_sign_in_limit", "portal_rate_limit", "portal_submit_limit", "portal_miss_limit")
    @classmethod
    def _readable_limit(cls, value: str) -> str:
        try:
            limits.parse_many(value)
        except ValueError:
            raise ValueError("it must read like “10 per minute”") from None
        return value

    @field_validator("portal_rest_roots")
    @classmethod
    def _known_roots(cls, value: str) -> str:
        if not (roots := _roots(value)) or not all(ROOT.fullmatch(root) for root in roots):
            raise ValueError("it must be paths such as /analytics_automated, with commas between")
        return value

    @model_validator(mode="after")
    def _guarded_broker(self) -> Self:
        """Whoever may write to the broker wakes workers and empties queues: on a network it asks for a password."""
        broker = urlsplit(self.broker_url)
        open_to_others = broker.scheme in ("redis", "rediss") and not broker.password and not _is_near(broker.hostname)
        if open_to_others and (self.address.startswith("https://") or not _is_near(self.host)):
            raise ValueError(
                "BROKER_URL must hold a password, as in redis://:password@host:6379/0, where the portal or its broker "
                "can be reached from other machines"
            )
        return self

    @model_validator(mode="after")
    def _beats_within_lease(self) -> Self:
        if self.portal_beat_seconds > self.portal_lease_seconds / 6:
            raise ValueError("PORTAL_BEAT_SECONDS must be at most a sixth of PORTAL_LEASE_SECONDS")
        return self

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        if bool(self.portal_oidc_issuer) != bool(self.portal_oidc_client_id):
            raise ValueError("PORTAL_OIDC_ISSUER and PORTAL_OIDC_CLIENT_ID must be set together")
        if self.portal_oidc_only and not self.portal_oidc_issuer:
            raise ValueError("PORTAL_OIDC_ONLY needs PORTAL_OIDC_ISSUER")
        return self

    @field_validator("portal_data")
    @classmethod
    def _whole_path(cls, value: Path) -> Path:
        return (value if value.parts else Path("var")).expanduser().resolve()

    @property
    def database(self) -> str:
        """The database's URL as SQLAlchemy takes it; SQLite under the data directory if none is set."""
        if not self.database_url:
            return URL.create("sqlite", database=str(self.portal_data / "portal.db")).render_as_string()
        scheme, rest = self.database_url.split("://", 1)
        return f"postgresql+psycopg2://{rest}" if scheme in ("postgres", "postgresql") else self.database_url

    @property
    def broker_socket(self) -> Path:
        """The embedded broker's socket; in the temporary directory where the data's own path is too long for one."""
        socket = self.portal_data / "broker.sock"
        if len(str(socket)) < 100 and PLAIN_PATH.fullmatch(str(socket)):
            return socket
        name = sha256(str(self.portal_data).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"portal-{os.getuid()}-{name}" / "broker.sock"

    @property
    def broker(self) -> str:
        return self.broker_url or f"redis+socket://{self.broker_socket}"

    @property
    def address(self) -> str:
        """Where people reach the portal, without a slash at its end."""
        return (self.portal_url or f"http://{self.near}").rstrip("/")

    @property
    def rest_roots(self) -> tuple[str, ...]:
        """The paths under which the first system's routes live, each without a slash at its end."""
        return _roots(self.portal_rest_roots)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        return tuple(_listed(self.portal_allowed_hosts))

    @property
    def cors_origins(self) -> frozenset[str]:
        return frozenset(each.rstrip("/") for each in _listed(self.portal_cors_origins))

    @property
    def warm_modules(self) -> tuple[tuple[str, ...], ...]:
        """The sets of modules that warm Pythons have, the leanest first; the first has none."""
        return (), *(tuple(each.split()) for each in self.portal_warm_modules.split(";") if each.strip())

    @property
    def warm_packages(self) -> tuple[str, ...]:
        return tuple(self.portal_warm_packages.split())

    @property
    def bind(self) -> str:
        """What the web server listens on."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def near(self) -> str:
        """Where this machine itself finds the web server."""
        return f"127.0.0.1:{self.port}" if self.host == "0.0.0.0" else self.bind  # noqa: S104 - it is compared

    @cached_property
    def files_directory(self) -> Path:
        return self.portal_data / "files"

    @cached_property
    def runs_directory(self) -> Path:
        return self.portal_data / "runs"

    def known_key(self) -> str:
        """The same key, as far as there is one yet."""
        return self.signing_key() if self.secret_key or self._key_file.exists() else ""

    @property
    def _key_file(self) -> Path:
        return self.portal_data / "secret_key"

    def signing_key(self) -> str:
        """The key of sessions and forms: SECRET_KEY, or one made once and kept beside the data."""
        return self.secret_key or self._kept(self._key_file, lambda: secrets.token_hex(32))

    def secrets_keys(self, make: bool = False) -> tuple[str, ...]:
        """The keys of the secrets: those of PORTAL_SECRETS_KEY, then one kept beside the data.

        `make` makes that one where there is none at all. It goes on to decrypt where keys are set later.
        """
        file = self.portal_data / "secrets_key"
        if file.exists() or (make and not self.portal_secrets_key):
            return *_listed(self.portal_secrets_key), self._kept(file, lambda: Fernet.generate_key().decode())
        return tuple(_listed(self.portal_secrets_key))

    def _kept(self, file: Path, make: Callable[[], str]) -> str:
        """What stands in a file beside the data, made once."""
        try:
            self.portal_data.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not file.exists():
                _write_once(file, make())
            return file.read_text("ascii")
        except OSError as failure:
            raise WrongSetting(
                f"The data directory {self.portal_data} cannot be used ({failure.strerror}): "
                "set PORTAL_DATA to one that can be written."
            ) from None


def _is_near(host: str | None) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host in (None, "", "localhost") or ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _roots(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.rstrip("/") for each in _listed(text)))


def _of_kind(url: str, kinds: tuple[str, ...]) -> str:
    """The URL, if it is empty or one of these kinds with a port that is a number."""
    if url and not url.startswith(kinds):
        raise ValueError(f"it must begin with {' or '.join(kinds)}")
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("its port must be a number") from None
    return url


def _networks(text: str) -> str:
    """The same, if it is addresses and networks with commas between. Raises ValueError."""
    for each in text.split(","):
        ip_network(each.strip(), strict=False)
    return text


def _write_once(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text, "ascii")
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


@cache
def settings() -> Settings:
    """The settings of this process. Raises WrongSetting naming the first variable that is wrong."""
    try:
        return Settings()
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        if not name:
            raise WrongSetting(f"{reason}.") from None
        raise WrongSetting(f"The setting {name} is wrong: {reason[0].lower()}{reason[1:]}.") from None
