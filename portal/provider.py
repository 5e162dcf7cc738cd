"""The identity provider: OpenID Connect's code flow with PKCE. Who somebody is stands in a signed token, checked here.

What the provider publishes is read when it is first needed, and its keys again when it signs with one not seen before.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from hmac import compare_digest
from typing import Any, Self

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from portal.domain.errors import NotAllowed, PortalError, Unavailable
from portal.settings import Settings

SCOPE = "openid profile email"
ALGORITHMS = ("RS256", "PS256", "ES256")
TIMEOUT = 8
LARGEST_ANSWER = 1_000_000
LEEWAY = 60
JOURNEY_SECONDS = 600
LONGEST_SUBJECT = 255
OTHERS = "The answer of the identity provider does not belong to what was asked here: begin again."
REFUSED = "The identity provider did not confirm who you are: begin again."
SILENT = "The identity provider does not answer as it should: try again later, or ask an administrator."
MISBEHAVIOUR = (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Journey:
    """What a browser's session remembers while its person is at the provider: it is good for one return."""

    state: str
    nonce: str
    verifier: str
    target: str
    begun: float

    @classmethod
    def to(cls, target: str) -> Self:
        return cls(generate_token(32), generate_token(32), generate_token(64), target, time.time())

    def kept(self) -> dict[str, Any]:
        return asdict(self)

    def check(self, state: str) -> None:
        """Raises NotAllowed for a return from another journey, or from one that took too long."""
        if not compare_digest(self.state.encode(), state.encode()) or time.time() - self.begun > JOURNEY_SECONDS:
            raise NotAllowed(OTHERS)


@dataclass(frozen=True)
class Identity:
    """Who the provider says somebody is. Only issuer and subject tell; the rest is what they would be called."""

    issuer: str
    subject: str
    name: str = ""
    email: str = ""

    @property
    def key(self) -> str:
        return f"{self.issuer} {self.subject}"


class Provider:
    """One provider, as it is known to this process."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer, self.client_id, self._secret = issuer, client_id, client_secret
        self._published: dict[str, Any] = {}
        self._keys: KeySet | None = None

    def address(self, journey: Journey, back: str) -> str:
        """Where to send the browser. Raises Unavailable."""
        with _provider_errors(Unavailable(SILENT)), self._client(back) as client:
            url, _ = client.create_authorization_url(
                self._known("authorization_endpoint"),
                state=journey.state, nonce=journey.nonce, code_verifier=journey.verifier,
            )  # fmt: skip
            return str(url)

    def identity(self, journey: Journey, back: str, answer: Mapping[str, str]) -> Identity:
        """Who has come back with this answer. Raises NotAllowed or Unavailable."""
        journey.check(answer.get("state", ""))
        if answer.get("iss", self.issuer) != self.issuer or not answer.get("code"):
            raise NotAllowed(REFUSED)
        with _provider_errors(NotAllowed(REFUSED)):
            claims = self._claims(self._id_token(journey, back, answer["code"]), journey.nonce)
        return self._identity(claims)

    def _id_token(self, journey: Journey, back: str, code: str) -> str:
        with self._client(back) as client:
            given = client.fetch_token(
                self._known("token_endpoint"), code=code, code_verifier=journey.verifier, allow_redirects=False
            )
        return str(given["id_token"])

    def _claims(self, id_token: str, nonce: str) -> dict[str, Any]:
        claims = self._signed(id_token).claims
        jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        if claims.get("azp", self.client_id) != self.client_id:
            raise ValueError("the token is meant for another client")
        return claims

    def _signed(self, id_token: str) -> jwt.Token:
        try:
            return jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            self._keys = None
            return jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 1 <= len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            raise NotAllowed(REFUSED)
        email = str(claims.get("email", "")) if claims.get("email_verified") is True else ""
        wished = claims.get("preferred_username") or email.partition("@")[0] or claims.get("name") or ""
        return Identity(self.issuer, subject, str(wished), email)

    def _client(self, back: str) -> OAuth2Session:
        return OAuth2Session(
            self.client_id, self._secret or None,
            scope=SCOPE, redirect_uri=back, code_challenge_method="S256", default_timeout=TIMEOUT,
        )  # fmt: skip

    def _known(self, name: str) -> str:
        """What the provider publishes of itself. Raises ValueError when it is another than the settings name."""
        if not self._published:
            published = _read(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if published["issuer"] != self.issuer:
                raise ValueError("the provider calls itself otherwise")
            self._published = published
        return str(self._published[name])

    def _key_set(self) -> KeySet:
        if self._keys is None:
            self._keys = KeySet.import_key_set(_read(self._known("jwks_uri")))
        return self._keys


def chosen(settings: Settings) -> Provider | None:
    """The provider of the settings, if they name one."""
    if not settings.portal_oidc_issuer:
        return None
    return _provider(settings.portal_oidc_issuer, settings.portal_oidc_client_id, settings.portal_oidc_client_secret)


@cache
def _provider(issuer: str, client_id: str, client_secret: str) -> Provider:
    return Provider(issuer, client_id, client_secret)


@contextmanager
def _provider_errors(refusal: PortalError) -> Iterator[None]:
    """What a provider does wrong is logged by its kind, and is a refusal to the person at the door."""
    try:
        yield
    except requests.RequestException as failure:
        log.warning("the identity provider does not answer: %s", type(failure).__name__)
        raise Unavailable(SILENT) from None
    except MISBEHAVIOUR as failure:
        log.warning("the identity provider's answer is refused: %s: %s", type(failure).__name__, _line(failure))
        raise refusal from None


def _line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:200]


def _read(url: str) -> Any:
    """A JSON document of the provider, of a size that such documents have."""
    with requests.get(url, timeout=TIMEOUT, stream=True, allow_redirects=False) as answer:
        answer.raise_for_status()
        content = answer.raw.read(LARGEST_ANSWER, decode_content=True)
    return json.loads(content)
