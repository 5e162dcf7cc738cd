"""How a program says that it wants JSON, and what it gets when it does not."""

from __future__ import annotations

import pytest
from flask import Flask, g

from portal.api import negotiation
from portal.api.negotiation import Form, Refused

A = "/analytics_automated"
BODY = {"UUID": "1", "submission_name": 'Ö "x" <b>'}


@pytest.fixture
def bare() -> Flask:
    return Flask(__name__, template_folder="../../portal/templates")


@pytest.mark.parametrize(
    ("address", "accept"),
    [
        (f"{A}/job.json", "text/html"),
        (f"{A}/submission/1.json/", "*/*"),
        (f"{A}/job/?format=json", "text/html"),
        (f"{A}/job/?format=api&format=json", ""),
        (f"{A}/job/", "application/json"),
        (f"{A}/job/", "application/json, text/javascript, */*; q=0.01"),
        (f"{A}/job/", "text/html, application/JSON;q=0.1"),
    ],
)
def test_it_answers_json_to_whoever_asks_for_it(bare: Flask, address: str, accept: str) -> None:
    with bare.test_request_context(address, headers={"Accept": accept}):
        assert negotiation.asked() is Form.JSON


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_it_answers_a_page_to_everybody_else(bare: Flask, accept: str) -> None:
    with bare.test_request_context(f"{A}/job/", headers={"Accept": accept}):
        assert negotiation.asked() is Form.PAGE


@pytest.mark.parametrize(
    ("address", "accept", "status"),
    [(f"{A}/job/", "application/xml", 406), (f"{A}/job/?format=xml", "application/json", 404)],
)
def test_it_refuses_forms_that_it_does_not_have(bare: Flask, address: str, accept: str, status: int) -> None:
    with bare.test_request_context(address, headers={"Accept": accept}), pytest.raises(Refused) as refused:
        negotiation.asked()
    assert refused.value.status == status


def test_its_json_is_compact_and_leaves_letters_as_they_are(bare: Flask) -> None:
    with bare.test_request_context(f"{A}/job.json"):
        answer = negotiation.answer(BODY, 201)
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.get_data(as_text=True) == '{"UUID":"1","submission_name":"Ö \\"x\\" <b>"}'


def test_its_page_holds_the_indented_escaped_json_and_no_word_of_it_before(bare: Flask) -> None:
    with bare.test_request_context(f"{A}/job/"):
        g.form = Form.PAGE
        page = negotiation.answer(BODY).get_data(as_text=True)
    before, _, rest = page.partition("<pre>")
    assert "UUID" not in before and "Ö" not in before
    assert rest.startswith("{\n    &quot;UUID&quot;: &quot;1&quot;,\n")
    assert "Ö" in rest and "<b>" not in rest
