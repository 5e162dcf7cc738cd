"""An identity provider on loopback: discovery, authorisation, tokens with PKCE, keys. All it says can be spoilt."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

from tests.servers import free_port

CLIENT = "the-portal"
SECRET = "told to the portal alone"


@dataclass
class Provider:
    """Who is signed in there, and how it misbehaves: `spoil` changes claims, `sign` makes the token of them."""

    issuer: str
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "preferred_username": "ann"})
    spoil: Callable[[dict[str, Any]], dict[str, Any]] = dict
    sign: Callable[[dict[str, Any]], str] | None = None
    id_token: bool = True
    published: dict[str, Any] = field(default_factory=dict)
    keys: KeySet = field(default_factory=lambda: KeySet([RSAKey.generate_key(2048, {"kid": "first"})]))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def signed(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        key = self.keys.keys[0]
        return jwt.encode({"alg": "RS256", "kid": key.kid} | (header or {}), claims, key, ["RS256"])

    def new_keys(self, kid: str) -> None:
        self.keys = KeySet([RSAKey.generate_key(2048, {"kid": kid})])

    def visit(self, address: str) -> str:
        """What a browser does there: its person agrees at once. Gives the address that it is sent back to."""
        answer = requests.get(address, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def app(self) -> Flask:
        app = Flask("provider")
        app.get("/.well-known/openid-configuration", endpoint="about")(lambda: jsonify(self._about()))
        app.get("/keys", endpoint="keys")(lambda: jsonify(self.keys.as_dict(private=False)))
        app.get("/authorize")(self._authorize)
        app.post("/token")(self._token)
        return app

    def _about(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        known = {name: f"{self.issuer}/{end}" for name, end in ends.items()}
        return {"issuer": self.issuer} | known | self.published

    def _authorize(self) -> Any:
        asked = request.args.to_dict()
        self.asked.append(asked)
        if asked["response_type"] != "code" or asked.get("code_challenge_method") != "S256":
            return Response("A code with PKCE must be asked for.", 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    def _token(self) -> Any:
        asked = self.codes.pop(request.form["code"], None)
        if asked is None or not self._proves(asked) or request.form["redirect_uri"] != asked["redirect_uri"]:
            return jsonify(error="invalid_grant"), 400
        claims = self.spoil(self._claims(asked))
        token = {"access_token": "of no use", "token_type": "Bearer", "expires_in": 60}
        return jsonify(token | ({"id_token": (self.sign or self.signed)(claims)} if self.id_token else {}))

    def _proves(self, asked: dict[str, str]) -> bool:
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        given = request.authorization
        is_client = given is not None and (given.username, given.password) == (CLIENT, SECRET)
        return is_client and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]

    def _claims(self, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        return {"iss": self.issuer, "aud": CLIENT, "nonce": asked["nonce"], **times, **self.person}


@contextmanager
def provider() -> Iterator[Provider]:
    """A provider that listens, for as long as the block lasts."""
    port = free_port()
    made = Provider(f"http://127.0.0.1:{port}")
    server = make_server("127.0.0.1", port, made.app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()


def said_back(address: str) -> dict[str, str]:
    """What stands in the address that a browser is sent back to."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
