"""What no request may hold, whichever page it is for."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/sign-in", "/analytics_automated/submission.json"])
def test_it_takes_no_text_form_beyond_the_limit(app: Flask, client: FlaskClient, path: str) -> None:
    body = b"name=" + b"x" * app.config["MAX_FORM_MEMORY_SIZE"]

    assert client.post(path, data=body, content_type=FORM).status_code == 413


@pytest.mark.parametrize("path", ["/runs/%00", "/jobs/%00/run", "/batches/%00", "/tasks/a%00b", "/submissions/%00"])
def test_it_knows_no_address_with_a_nul(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_it_reads_no_question_with_a_nul(signed_in: FlaskClient) -> None:
    assert signed_in.get("/runs?text=%00").status_code == 400


def test_it_signs_nobody_in_by_a_name_with_a_nul(client: FlaskClient) -> None:
    assert client.post("/sign-in", data={"name": "a\0b", "password": "x"}).status_code in (400, 422)
