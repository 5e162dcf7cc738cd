"""A bare Flask route that tells of a batch as JSON: the rows that the portal reads for it, and nothing around them."""

from __future__ import annotations

import os
from typing import Any

import psycopg2
from flask import Flask, Response, abort, jsonify

ROWS = {
    "batch": "SELECT uuid, name, state, created::text FROM batch WHERE uuid = %s",
    "submissions": "SELECT s.id, s.uuid, s.job_name, s.state, s.created::text, s.ended::text FROM submission s "
    "JOIN batch ON batch.id = s.batch_id WHERE batch.uuid = %s ORDER BY s.position",
    "runs": "SELECT r.uuid, r.step, r.state, r.started::text, r.ended::text, r.exit_status FROM run r "
    "JOIN submission s ON s.id = r.submission_id JOIN batch ON batch.id = s.batch_id WHERE batch.uuid = %s "
    "ORDER BY r.stage, r.position",
    "results": "SELECT e.name, e.size, e.sha256 FROM result e JOIN submission s ON s.id = e.submission_id "
    "JOIN batch ON batch.id = s.batch_id WHERE batch.uuid = %s ORDER BY e.id",
    "messages": "SELECT m.sentence, m.created::text FROM message m JOIN submission s ON s.id = m.submission_id "
    "JOIN batch ON batch.id = s.batch_id WHERE batch.uuid = %s ORDER BY m.id",
}

app = Flask(__name__)
_connection: Any = None


def _cursor() -> Any:
    global _connection
    if _connection is None:
        _connection = psycopg2.connect(os.environ["DATABASE_URL"])
        _connection.autocommit = True
    return _connection.cursor()


@app.get("/sign-in")
def ready() -> str:
    return ""


@app.get("/<uuid>")
def batch(uuid: str) -> Response:
    told = {}
    with _cursor() as cursor:
        for what, statement in ROWS.items():
            cursor.execute(statement, (uuid,))
            told[what] = cursor.fetchall()
    if not told["batch"]:
        abort(404)
    return jsonify(told)
