"""Attacks on signing in by the identity provider: a real one on loopback, whose answers are spoilt one at a time."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import create_app
from portal import provider as portal_provider
from portal.database import transaction
from portal.domain.policy import Role
from portal.models import Account
from portal.settings import Settings, settings
from tests import provider as providers
from tests.api.signing import basic, bearer
from tests.conftest import PASSWORD
from tests.provider import CLIENT, SECRET, Provider, said_back

BACK = "/sign-in/provider/back"
Claims = dict[str, Any]


@pytest.fixture(scope="module")
def one_for_all() -> Iterator[Provider]:
    with providers.provider() as started:
        yield started


@pytest.fixture
def there(one_for_all: Provider) -> Provider:
    """The provider as it is when it behaves."""
    fresh = Provider(one_for_all.issuer, keys=one_for_all.keys)
    one_for_all.__dict__.update(fresh.__dict__)
    portal_provider._provider.cache_clear()
    return one_for_all


@pytest.fixture
def browser(data: object, there: Provider, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A browser at a portal that this provider may let people into."""
    monkeypatch.setenv("PORTAL_OIDC_ISSUER", there.issuer)
    monkeypatch.setenv("PORTAL_OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("PORTAL_OIDC_CLIENT_SECRET", SECRET)
    settings.cache_clear()
    return create_app(Settings(portal_sign_in_limit="1000 per minute")).test_client()


def visit(browser: FlaskClient, there: Provider, target: str = "/") -> dict[str, str]:
    """Go there and come back, as far as the portal's door; gives what the browser would bring."""
    away = browser.get("/sign-in/provider", query_string={"next": target})
    assert away.status_code == 302
    return said_back(there.visit(away.location))


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/runs").status_code == 200


def is_refused(browser: FlaskClient, answer: dict[str, str]) -> bool:
    given = browser.get(BACK, query_string=answer)
    return given.status_code == 403 and "identity provider" in given.text and not is_in(browser)


def test_it_lets_in_whom_the_provider_knows_and_makes_an_account(
    browser: FlaskClient, there: Provider, session: Session
) -> None:
    there.person |= {"email": "ann@example.org", "email_verified": True}

    answer = browser.get(BACK, query_string=visit(browser, there, "/runs?state=ERROR"))

    assert (answer.status_code, answer.location) == (302, "/runs?state=ERROR")
    assert is_in(browser)
    account = session.scalars(select(Account)).one()
    assert (account.name, account.role, account.email) == ("ann", Role.SUBMITTER, "ann@example.org")
    assert account.subject == f"{there.issuer} 1"
    assert there.asked[0]["scope"] == "openid profile email" and len(there.asked[0]["code_challenge"]) == 43
    browser.post("/sign-out")
    there.new_keys("second")
    browser.get(BACK, query_string=visit(browser, there))
    assert is_in(browser) and session.scalars(select(Account.id)).all() == [account.id]


@pytest.mark.attack("OI-01")
@pytest.mark.parametrize(
    "change",
    [
        {"state": "x"},
        {"state": ""},
        {"code": "x"},
        {"code": ""},
        {"iss": "https://evil.example"},
        {"state": "ä" * 9000},
    ],
)
def test_it_takes_no_answer_that_was_changed(browser: FlaskClient, there: Provider, change: dict[str, str]) -> None:
    assert is_refused(browser, visit(browser, there) | change)


@pytest.mark.attack("OI-01")
def test_it_takes_an_answer_once_and_from_the_browser_that_asked(browser: FlaskClient, there: Provider) -> None:
    eve = browser.application.test_client()
    eves = visit(eve, there)
    assert is_refused(browser, eves)
    visit(browser, there)
    assert is_refused(browser, eves)
    mine = visit(browser, there)
    browser.get(BACK, query_string=mine)
    assert is_in(browser)

    browser.post("/sign-out", headers={})
    thief = browser.application.test_client()
    assert is_refused(thief, mine)


@pytest.mark.attack("OI-01")
def test_a_journey_has_one_return_whatever_came_of_it(browser: FlaskClient, there: Provider) -> None:
    mine = visit(browser, there)

    assert is_refused(browser, mine | {"code": "guessed"})
    assert is_refused(browser, mine)


@pytest.mark.attack("OI-01")
def test_it_takes_no_answer_after_ten_minutes(browser: FlaskClient, there: Provider) -> None:
    answer = visit(browser, there)
    with browser.session_transaction() as mine:
        mine["journey"] |= {"begun": time.time() - 601}

    assert is_refused(browser, answer)


@pytest.mark.attack("OI-01")
def test_a_code_that_was_stolen_is_nothing_without_what_proves_it(browser: FlaskClient, there: Provider) -> None:
    """A thief puts the victim's code into a journey of their own: the provider compares the verifier."""
    victims = visit(browser, there)
    eve = browser.application.test_client()
    own = visit(eve, there)

    assert is_refused(eve, own | {"code": victims["code"]})


@pytest.mark.attack("OI-02")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda claims: claims | {"nonce": "of another journey"},
        lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
        lambda claims: claims | {"aud": "another client"},
        lambda claims: claims | {"aud": ["another client", CLIENT], "azp": "another client"},
        lambda claims: claims | {"iss": "https://evil.example"},
        lambda claims: claims | {"exp": int(time.time()) - 3600},
        lambda claims: claims | {"iat": int(time.time()) + 3600},
        lambda claims: {name: value for name, value in claims.items() if name != "exp"},
        lambda claims: {name: value for name, value in claims.items() if name != "sub"},
        lambda claims: claims | {"sub": ""},
        lambda claims: claims | {"sub": ["1"]},
        lambda claims: claims | {"sub": "x" * 5000},
        lambda claims: claims | {"sub": "1\n2"},
    ],
)
def test_it_takes_no_claims_but_those_for_this_portal_and_moment(
    browser: FlaskClient, there: Provider, spoil: Callable[[Claims], Claims], session: Session
) -> None:
    there.spoil = spoil

    assert is_refused(browser, visit(browser, there))
    assert session.scalars(select(Account)).all() == []


def unsigned(there: Provider, claims: Claims, **header: Any) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'typ': 'JWT'} | header)}.{part(claims)}."


def by_another_key(there: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "first"}, claims, RSAKey.generate_key(2048), ["RS256"])


def with_its_own_key(there: Provider, claims: Claims) -> str:
    own = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "kid": "first", "jwk": own.as_dict(private=False)}
    return jwt.encode(header, claims, own, ["RS256"])


def with_the_public_key_as_a_word(there: Provider, claims: Claims) -> str:
    """By hand, as no library signs with it any more."""
    public = there.keys.keys[0].as_pem(private=False)  # type: ignore[union-attr]
    text = unsigned(there, claims, alg="HS256", kid="first").rstrip(".")
    digest = hmac.digest(public, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def with_the_client_secret(there: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET), ["HS256"])


def with_an_empty_key(there: Provider, claims: Claims) -> str:
    header = {"alg": "HS256", "kid": "../../../../dev/null"}
    return jwt.encode(header, claims, OctKey.import_key("\0" * 32), ["HS256"])


def by_a_key_of_no_file(there: Provider, claims: Claims) -> str:
    header = {"alg": "RS256", "kid": "../../../../dev/null", "jku": "http://127.0.0.1:1/keys"}
    return jwt.encode(header, claims, RSAKey.generate_key(2048), ["RS256"])


def without_its_signature(there: Provider, claims: Claims) -> str:
    return there.signed(claims).rpartition(".")[0] + "."


def of_other_claims(there: Provider, claims: Claims) -> str:
    head, _, signature = there.signed(claims).split(".")
    return f"{head}.{unsigned(there, claims | {'sub': 'admin'}).split('.')[1]}.{signature}"


@pytest.mark.attack("AU-13")
@pytest.mark.parametrize(
    "sign",
    [
        unsigned, by_another_key, with_its_own_key, with_the_public_key_as_a_word, with_the_client_secret,
        with_an_empty_key, by_a_key_of_no_file, without_its_signature, of_other_claims,
        lambda there, claims: unsigned(there, claims, alg="None"),
        lambda there, claims: unsigned(there, claims, alg="RS256", kid="first"),
        lambda there, claims: there.signed(claims, {"kid": "' OR 1=1 --"}),
        lambda there, claims: "no token at all",
        lambda there, claims: "",
    ],
)  # fmt: skip
def test_it_takes_no_token_that_the_provider_did_not_sign(
    browser: FlaskClient, there: Provider, sign: Callable[[Provider, Claims], str], session: Session
) -> None:
    there.sign = lambda claims: sign(there, claims)

    assert is_refused(browser, visit(browser, there))
    assert session.scalars(select(Account)).all() == []


@pytest.mark.attack("AU-13")
def test_it_takes_no_algorithm_on_the_providers_word(browser: FlaskClient, there: Provider) -> None:
    there.published = {"id_token_signing_alg_values_supported": ["none", "HS256"]}
    there.sign = lambda claims: unsigned(there, claims)

    assert is_refused(browser, visit(browser, there))


@pytest.mark.attack("AU-13")
def test_it_takes_no_answer_without_a_token_of_identity(browser: FlaskClient, there: Provider) -> None:
    there.id_token = False

    assert is_refused(browser, visit(browser, there))


@pytest.mark.attack("AU-13")
def test_a_token_of_the_provider_is_none_of_the_portals(browser: FlaskClient, there: Provider, admin: Account) -> None:
    now = int(time.time())
    claims = {"iss": there.issuer, "aud": CLIENT, "sub": "admin", "iat": now, "exp": now + 300}

    for secret in (there.signed(claims), unsigned(there, claims)):
        assert browser.get("/api/v1/me", headers=bearer(secret)).status_code == 401


@pytest.mark.attack("OI-02")
@pytest.mark.parametrize("name", ["https://evil.example", "http://127.0.0.1", ""])
def test_it_goes_to_no_provider_that_calls_itself_otherwise(browser: FlaskClient, there: Provider, name: str) -> None:
    there.published = {"issuer": name}

    answer = browser.get("/sign-in/provider")

    assert answer.status_code == 503 and "does not answer as it should" in answer.text


@pytest.mark.attack("OI-03")
@pytest.mark.parametrize(
    "person",
    [
        {"preferred_username": "admin"},
        {"preferred_username": "ADMIN"},
        {"email": "admin@example.org", "email_verified": True},
        {"email": "admin@example.org", "email_verified": False, "name": "admin"},
        {"preferred_username": "<script>alert(1)</script>"},
        {"preferred_username": "' OR 1=1 --\r\nX: y"},
        {"preferred_username": {"a": 1}, "email": ["x"], "email_verified": "true"},
        {"preferred_username": "\u0430dmin"},
        {"role": "administrator", "groups": ["administrators"], "preferred_username": "eve"},
        {"email": "a@b.org\r\nBcc: x@y.org", "email_verified": True},
    ],
)
def test_it_takes_nobody_for_somebody_else(
    browser: FlaskClient, there: Provider, session: Session, admin: Account, person: Claims
) -> None:
    there.person = {"sub": "eve", **person}

    browser.get(BACK, query_string=visit(browser, there))

    assert is_in(browser) and browser.get("/accounts").status_code == 403
    session.rollback()
    eve = session.scalars(select(Account).where(Account.subject == f"{there.issuer} eve")).one()
    assert eve.id != admin.id and eve.name.lower() != "admin" and eve.role is Role.SUBMITTER
    assert admin.subject is None and "\n" not in eve.email


@pytest.mark.attack("OI-03")
def test_an_account_that_is_switched_off_stays_out(browser: FlaskClient, there: Provider, session: Session) -> None:
    browser.get(BACK, query_string=visit(browser, there))
    with transaction(session):
        session.scalars(select(Account)).one().active = False

    assert is_refused(browser, visit(browser, there))
    assert len(session.scalars(select(Account)).all()) == 1


@pytest.mark.attack("AU-08")
@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_it_stays_here_after_the_provider_instead_of_going_to(
    browser: FlaskClient, there: Provider, target: str
) -> None:
    assert browser.get(BACK, query_string=visit(browser, there, target)).location == "/"


@pytest.mark.attack("AU-09")
def test_the_provider_sends_people_to_the_portals_own_address(browser: FlaskClient, there: Provider) -> None:
    assert browser.get("/sign-in/provider", headers={"Host": "evil.example"}).status_code == 400
    away = browser.get("/sign-in/provider", headers={"X-Forwarded-Host": "evil.example"})

    assert said_back(away.location)["redirect_uri"] == f"{settings().address}{BACK}"


def test_it_says_so_when_the_provider_is_away(browser: FlaskClient, there: Provider, data: object) -> None:
    app = create_app(Settings(portal_oidc_issuer="http://127.0.0.1:1", portal_oidc_client_id=CLIENT))

    answer = app.test_client().get("/sign-in/provider")

    assert answer.status_code == 503 and "does not answer as it should" in answer.text


@pytest.mark.attack("AU-03")
def test_it_takes_no_password_where_only_the_provider_lets_people_in(
    browser: FlaskClient, there: Provider, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTAL_OIDC_ONLY", "true")
    settings.cache_clear()
    app = create_app()
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()

    assert 'type="password"' not in client.get("/sign-in").text
    assert client.post("/sign-in", data={"name": "admin", "password": PASSWORD}).status_code == 422
    assert client.get("/api/v1/me", headers=basic()).status_code == 401
    assert client.get("/forgotten").status_code == 404
