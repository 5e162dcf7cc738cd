"""Airflow 3 on PostgreSQL with its LocalExecutor: a DAG for each row; in row (d) a DAG run for each job."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg2

from . import works

FEWER = {"d": 20, **works.STARTS}
DAGS = """\
import json
from pathlib import Path

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG
from peers import works

PLAN = json.loads((Path(__file__).parent / "plan.json").read_text())


def do(row, number, python, dag_run=None):
    where = dag_run.conf["where"]
    works.do(row, dag_run.conf.get("number", number), where, python)


for row, count in PLAN["counts"].items():
    with DAG(f"row_{row}", schedule=None, max_active_runs=64, is_paused_upon_creation=False) as dag:
        before = None
        for number in range(1 if row == "d" else count):
            step = PythonOperator(task_id=f"s{number}", python_callable=do, op_args=[row, number, PLAN["python"]])
            if before is not None:
                before >> step
            before = step
    globals()[dag.dag_id] = dag
"""
COUNTS = {"a": 40, "b": 10, "c": 40, "d": 1, **works.STARTS}
ENDED = "SELECT count(*), min(state), max(state), max(extract(epoch from end_date)) FROM dag_run " \
        "WHERE run_id = ANY(%s) AND end_date IS NOT NULL"  # fmt: skip

place: works.Place
connection: Any = None


def ready(given: works.Place) -> None:
    global place, connection
    place = given
    os.environ.update(_settings(given))
    dags = given.directory / "dags"
    dags.mkdir()
    (dags / "plan.json").write_text(json.dumps({"counts": COUNTS, "python": given.python}))
    (dags / "rows.py").write_text(DAGS)
    subprocess.run([*_airflow("db", "migrate")], check=True, stdin=subprocess.DEVNULL)
    for words in (("api-server",), ("scheduler",), ("dag-processor",)):
        subprocess.Popen(_airflow(*words), stdin=subprocess.DEVNULL)
    connection = psycopg2.connect(given.database)
    connection.autocommit = True
    _await_dags()
    run("f", 5)


def _airflow(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("airflow")), *words]


def _settings(given: works.Place) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return {
        "AIRFLOW_HOME": str(given.directory),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": given.database.replace("postgresql://", "postgresql+psycopg2://"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(given.workers),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": os.urandom(32).hex(),
        "AIRFLOW__API__SECRET_KEY": os.urandom(32).hex(),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1",
    }


def _await_dags() -> None:
    deadline = time.monotonic() + 240
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM serialized_dag")
            if cursor.fetchone()[0] == len(COUNTS):
                return
        if time.monotonic() > deadline:
            raise TimeoutError("Airflow did not read its DAGs")
        time.sleep(1)


def run(row: str, count: int) -> float:
    """By the service that its REST and its command call, in this process, without either's own time."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    where = str(works.prepare(place.directory, row, count))
    names = [f"{row}{os.urandom(4).hex()}" for _ in range(count if row == "d" else 1)]
    begun = time.time()
    for number, name in enumerate(names):
        conf = {"where": where} | ({"number": number} if row == "d" else {})
        trigger_dag(f"row_{row}", triggered_by=DagRunTriggeredByType.TEST, run_id=name, conf=conf)
    return _ended(names) - begun


def _ended(names: list[str]) -> float:
    deadline = time.monotonic() + 600
    while True:
        with connection.cursor() as cursor:
            cursor.execute(ENDED, (names,))
            number, least, most, at = cursor.fetchone()
        if number == len(names):
            if {least, most} != {"success"}:
                raise RuntimeError(f"Airflow ended as {least}, {most}")
            return float(at)
        if time.monotonic() > deadline:
            raise TimeoutError("Airflow did not end")
        time.sleep(0.1)
