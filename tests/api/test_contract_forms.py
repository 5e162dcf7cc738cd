"""Section 1 of the first system's contract: how a form of answer is asked for, the addresses, and who else may read."""

from __future__ import annotations

import html
import json
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.service import A, MakeJob, Send

JQUERY = "application/json, text/javascript, */*; q=0.01"
REACT = "http://react.example:3000"
UNKNOWN = "f175c10a-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("row", "path", "accept", "status", "kind"),
    [
        (1, "endpoints.json", "text/html", 200, "application/json"),
        (1, "endpoints/?format=json", "text/html", 200, "application/json"),
        (1, "endpoints/", "application/json", 200, "application/json"),
        (1, "endpoints/", JQUERY, 200, "application/json"),
        (1, f"submission/{UNKNOWN}.json", "", 404, "application/json"),
        (2, "endpoints/", "*/*", 200, "text/html; charset=utf-8"),
        (2, "endpoints/", "", 200, "text/html; charset=utf-8"),
        (2, "endpoints/", "text/html", 200, "text/html; charset=utf-8"),
        (2, f"submission/{UNKNOWN}", "*/*", 404, "text/html; charset=utf-8"),
        (2, "submission/", "*/*", 405, "text/html; charset=utf-8"),
        (3, "endpoints/", "application/xml", 406, "application/json"),
        (4, "endpoints/?format=xml", "*/*", 404, "application/json"),
        (4, "job/count_lines.html", "*/*", 404, "text/html; charset=utf-8"),
    ],
)
def test_it_answers_in_the_form_that_was_asked_for(
    client: FlaskClient, make_job: MakeJob, row: int, path: str, accept: str, status: int, kind: str
) -> None:
    make_job("count_lines")
    answer = client.get(f"{A}/{path}", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, kind)


@pytest.mark.parametrize("status", [201, 400])
def test_its_page_holds_what_its_json_would_say(send: Send, make_job: MakeJob, status: int) -> None:
    make_job("count_lines")
    answer = send(f"{A}/submission/", submission_name="pröbe & <1>", email="a@b.com" if status == 201 else "no")
    before, _, rest = answer.text.partition("<pre>")
    inside = html.unescape(rest.partition("</pre>")[0])
    assert answer.status_code == status
    assert inside == json.dumps(json.loads(inside), indent=4, ensure_ascii=False)
    assert '"' not in rest.partition("</pre>")[0]
    assert "UUID" not in before and "pröbe" not in before and "submission_name" not in before


@pytest.mark.parametrize(
    "path", ["submission/{}", "submission/{}/", "submission/{}.json", "submission/{}.json/", "job/count_lines.json"]
)
def test_it_answers_at_every_spelling_of_a_detail_to_get_and_head(
    client: FlaskClient, send: Send, make_job: MakeJob, path: str
) -> None:
    make_job("count_lines")
    address = f"{A}/{path.format(send().get_json()['UUID'])}"
    seen, head = client.get(address), client.head(address)
    assert (seen.status_code, head.status_code) == (200, 200)
    assert head.data == b"" and head.content_length == len(seen.data)


@pytest.mark.parametrize("path", ["submission.json", "job.json", "endpoints.json", "jobtimes.json"])
def test_it_takes_no_notice_of_what_else_stands_in_the_query(client: FlaskClient, path: str) -> None:
    assert client.get(f"{A}/{path}?_=1700000000&callback=").data == client.get(f"{A}/{path}").data


@pytest.mark.parametrize("path", ["job", "endpoints", "jobtimes"])
def test_a_list_without_its_slash_keeps_its_query_on_the_way(client: FlaskClient, path: str) -> None:
    for query in ("", "?format=json&page=1", "?a=%C3%B6&b=%2F"):
        answer = client.get(f"{A}/{path}{query}")
        assert (answer.status_code, answer.headers["Location"]) == (301, f"{A}/{path}/{query}")


def test_its_uuids_are_lower_case_and_of_a_version_that_clients_check_for(send: Send, make_job: MakeJob) -> None:
    make_job("count_lines")
    given = send().get_json()["UUID"]
    assert given == str(UUID(given)) and UUID(given).version in range(1, 6)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("submission/", "POST, OPTIONS"),
        ("endpoints/", "GET, HEAD, OPTIONS"),
        (f"submission/{UNKNOWN}", "GET, HEAD, OPTIONS"),
    ],
)
def test_every_answer_says_what_it_depends_on_and_which_methods_there_are(
    client: FlaskClient, path: str, allow: str
) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = client.open(f"{A}/{path}", method=method)
        assert answer.headers["Allow"] == allow, method
        assert "Accept" in answer.vary
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# Other origins


@pytest.fixture
def with_react(app: Flask) -> None:
    """A portal whose answers the pages of one other site may read."""
    app.config["PORTAL"] = app.config["PORTAL"].model_copy(
        update={"portal_cors_origins": f"{REACT}/, http://other.example"}
    )


def asking(path: str, client: FlaskClient, origin: str = REACT, **headers: str) -> dict[str, str]:
    answer = client.options(path, headers={"Origin": origin, **headers})
    assert answer.status_code == 200 and answer.data == b""
    return {name.lower(): value for name, value in answer.headers}


@pytest.mark.parametrize("path", [f"{A}/submission.json", f"{A}/submission/{UNKNOWN}", f"{A}/job/", "/submissions/x"])
@pytest.mark.usefixtures("with_react")
def test_a_configured_origin_is_told_beforehand_what_it_may_send(client: FlaskClient, path: str) -> None:
    said = asking(path, client, Access_Control_Request_Method="POST")
    assert said["access-control-allow-origin"] == REACT
    assert {"GET", "HEAD", "POST"} <= set(said["access-control-allow-methods"].split(", "))
    allowed = said["access-control-allow-headers"].lower().split(", ")
    assert set(allowed) == {"content-type", "authorization", "idempotency-key"}
    assert int(said["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in said


@pytest.mark.usefixtures("with_react")
def test_another_origin_is_told_nothing(client: FlaskClient) -> None:
    said = asking(f"{A}/submission.json", client, "http://evil.example")
    assert not [name for name in said if name.startswith("access-control")]


@pytest.mark.usefixtures("with_react")
def test_a_configured_origin_may_read_refusals_and_faults_too(
    client: FlaskClient, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_react = {"Origin": REACT}
    monkeypatch.setattr("portal.services.jobs.seen_by", lambda *_: 1 / 0)
    wrong = {**from_react, "Authorization": "Basic eDp5"}
    answers = {
        400: send(headers=from_react, email=None),
        403: client.get(f"{A}/endpoints.json", headers=wrong),
        404: client.get(f"{A}/submission/x.json", headers=from_react),
        405: client.delete(f"{A}/job/", headers=from_react),
        406: client.get(f"{A}/job/", headers={**from_react, "Accept": "application/xml"}),
        415: client.post(f"{A}/submission.json", json={"job": "x"}, headers=from_react),
        500: client.get(f"{A}/endpoints.json", headers=from_react),
    }
    for status, answer in answers.items():
        assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (status, REACT)
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    no_file = client.get("/submissions/nothing.txt", headers=from_react)
    assert (no_file.status_code, no_file.headers["Access-Control-Allow-Origin"]) == (404, REACT)
