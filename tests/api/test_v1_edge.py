"""/api/v1 at its edge: every refusal is a problem, and a token does what its scopes say and no more."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from portal.database import transaction
from portal.models import Account
from portal.services import tokens
from tests.api.service import A, MakeJob, Send, upload
from tests.api.signing import basic, bearer, refused, token

V1 = "/api/v1"


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/jobs/", "/jobs/a/b", "/submissions/x/y"])
def test_an_unknown_address_is_a_problem_too(client: FlaskClient, path: str) -> None:
    refused(client.get(f"{V1}{path}"), 404)


def test_an_address_that_only_begins_like_ours_is_not_ours(client: FlaskClient) -> None:
    assert client.get("/api/v10").mimetype == "text/html"


def test_another_method_is_told_which_there_are(client: FlaskClient) -> None:
    answer = client.put(f"{V1}/me")

    refused(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_it_refuses_to_answer_in_anything_but_json(client: FlaskClient) -> None:
    refused(client.get(f"{V1}/jobs", headers={"Accept": "application/xml"}), 406)
    for accept in ("*/*", "application/json;q=0.1, text/html", "application/*"):
        assert client.get(f"{V1}/jobs", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=1.5", "limit=99999999999999999999", "limit="])
def test_it_names_the_wrong_part_of_an_address(client: FlaskClient, query: str) -> None:
    assert list(refused(client.get(f"{V1}/jobs?{query}"), 422)["fields"]) == ["limit"]


def test_it_refuses_nul_anywhere_in_an_address(client: FlaskClient) -> None:
    refused(client.get(f"{V1}/jobs?after=%00"), 400)
    refused(client.get(f"{V1}/jobs/%00"), 404)
    refused(client.get(f"{V1}/no%00thing"), 404)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"name": "\xed\xa0\x80"}',
        rb'{"name": "\ud800"}',
        b"[" * 100_000,
        b'{"name":"x","steps":[{"order":1' + b"0" * 5000 + b',"task":"t"}]}',
        '{"name": "x"}'.encode("utf-16"),
    ],
)
def test_it_refuses_what_is_no_json(client: FlaskClient, admin: Account, body: bytes) -> None:
    refused(client.post(f"{V1}/jobs", headers=basic(), data=body, content_type="application/json"), 400)


def test_it_refuses_more_text_than_it_takes(app: Flask, client: FlaskClient, admin: Account) -> None:
    body = b'{"name": "' + b"x" * app.config["MAX_FORM_MEMORY_SIZE"] + b'"}'

    refused(client.post(f"{V1}/jobs", headers=basic(), data=body, content_type="application/json"), 413)


def test_it_says_when_to_come_again_after_too_many_wrong_tokens(client: FlaskClient) -> None:
    answers = [client.get(f"{V1}/me", headers=bearer("aa_wrong")) for _ in range(11)]

    refused(answers[0], 401)
    refused(answers[-1], 429)
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert client.get(f"{V1}/jobs").status_code == 200


def test_it_knows_who_asks(client: FlaskClient, session: Session, admin: Account) -> None:
    told = {"name": "admin", "email": "admin@example.org", "role": "administrator"}

    assert client.get(f"{V1}/me", headers=basic()).get_json() == {**told, "scopes": None}
    assert client.get(f"{V1}/me", headers=token(session, admin, "run", "edit")).get_json() == {
        **told,
        "scopes": ["edit", "run"],
    }
    refused(client.get(f"{V1}/me"), 401)


@pytest.mark.parametrize("secret", ["", "aa_", "aa_" + "x" * 43, "nonsense", "\xe9" * 46])
def test_it_refuses_a_token_that_is_none(client: FlaskClient, admin: Account, secret: str) -> None:
    answer = client.get(f"{V1}/me", headers=bearer(secret))

    refused(answer, 401)
    assert "Bearer" in str(answer.headers.getlist("WWW-Authenticate"))


def test_it_refuses_a_revoked_token_at_once(client: FlaskClient, session: Session, admin: Account) -> None:
    header = token(session, admin, "read")
    [made] = client.get(f"{V1}/tokens", headers=header).get_json()["tokens"]

    assert client.delete(f"{V1}/tokens/{made['id']}", headers=basic()).status_code == 204

    refused(client.get(f"{V1}/me", headers=header), 401)
    refused(client.delete(f"{V1}/tokens/{made['id']}", headers=basic()), 404)


def test_a_token_is_made_by_a_person_and_shown_once(client: FlaskClient, admin: Account) -> None:
    wanted = {"name": "nightly", "scopes": ["read"], "days": 30}

    answer = client.post(f"{V1}/tokens", headers=basic(), json=wanted)

    made = answer.get_json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert made["name"] == "nightly" and made["expires"] > made["created"]
    [listed] = client.get(f"{V1}/tokens", headers=bearer(made["secret"])).get_json()["tokens"]
    assert "secret" not in listed and listed["last_used"] is not None
    refused(client.post(f"{V1}/tokens", headers=bearer(made["secret"]), json=wanted), 403)


def test_it_says_what_is_wrong_with_a_token(client: FlaskClient, admin: Account) -> None:
    problem = refused(client.post(f"{V1}/tokens", headers=basic(), json={"name": " ", "scopes": [], "days": 0}), 422)

    assert set(problem["fields"]) == {"name", "scopes", "days"}


def test_a_token_for_reading_changes_nothing(
    client: FlaskClient, session: Session, admin: Account, make_job: MakeJob
) -> None:
    make_job("count_lines")
    header = token(session, admin, "read")
    etag = client.get(f"{V1}/jobs/count_lines", headers=header).headers["ETag"]

    refused(client.delete(f"{V1}/jobs/count_lines", headers={**header, "If-Match": etag}), 403)
    refused(client.post(f"{V1}/jobs", headers=header, json={"name": "x"}), 403)
    refused(submit(client, header, "count_lines"), 403)


def test_a_token_for_one_job_runs_that_job_only(
    client: FlaskClient, session: Session, admin: Account, make_job: MakeJob
) -> None:
    for name in ("mine", "another"):
        make_job(name, public=False)
    header = token(session, admin, "job:mine")

    assert submit(client, header, "mine").status_code == 202
    refused(submit(client, header, "another"), 403)
    assert client.get(f"{V1}/jobs/mine", headers=header).status_code == 200
    refused(client.get(f"{V1}/jobs/another", headers=header), 404)
    refused(client.get(f"{V1}/submissions", headers=header), 403)
    assert len(client.get(f"{V1}/submissions?job=mine", headers=header).get_json()["submissions"]) == 1
    refused(client.get(f"{V1}/tasks", headers=header), 403)


def test_the_first_systems_routes_take_tokens_too(
    client: FlaskClient, session: Session, admin: Account, make_job: MakeJob, send: Send
) -> None:
    for name in ("mine", "another"):
        make_job(name, public=False)
    only_mine, reading = token(session, admin, "job:mine"), token(session, admin, "read")

    assert send(job="mine", headers=only_mine).status_code == 201
    assert send(job="another", headers=only_mine).status_code == 403
    assert send(job="mine", headers=reading).status_code == 403
    assert send(job="mine", headers=bearer("aa_wrong")).get_json() == {"detail": "Invalid token."}
    assert client.get(f"{A}/job.json", headers=reading).get_json()["count"] == 2
    assert client.get(f"{A}/job.json", headers=only_mine).get_json()["count"] == 0
    assert client.get(f"{A}/job/mine.json", headers=only_mine).status_code == 200


def test_a_token_of_a_closed_account_is_good_for_nothing(client: FlaskClient, session: Session, admin: Account) -> None:
    header = token(session, admin, "read")
    with transaction(session):
        session.get_one(Account, admin.id).active = False

    refused(client.get(f"{V1}/me", headers=header), 401)
    assert tokens.find(session, header["Authorization"].removeprefix("Bearer ")) is None


def test_the_documentation_asks_nobody_else(client: FlaskClient) -> None:
    page = client.get(f"{V1}/docs")

    assert page.status_code == 200 and "/api/v1/submissions/{uuid}" in page.text
    assert "style=" not in page.text and 'src="http' not in page.text and 'href="http' not in page.text
    assert client.get(f"{V1}/openapi.json").get_json()["openapi"] == "3.1.0"


def test_the_specification_has_every_route(app: Flask, client: FlaskClient) -> None:
    told = client.get(f"{V1}/openapi.json").get_json()["paths"]
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("v1.") and rule.endpoint not in ("v1.openapi", "v1.docs")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, item in told.items() for method in item} == routes


def submit(client: FlaskClient, headers: dict[str, str], job: str) -> Any:
    data = {"job": job, "name": "probe", "input_data": upload(b"one\n")}
    return client.post(f"{V1}/submissions", headers=headers, data=data, content_type="multipart/form-data")
