"""examples.yaml holds together: what it names exists, and every step finds its input."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from .running import EXAMPLES

CONFIGURATION: dict[str, Any] = yaml.safe_load((EXAMPLES / "examples.yaml").read_text(encoding="utf-8"))
TASKS = {task["name"]: task for task in CONFIGURATION["tasks"]}
BACKENDS = {backend["name"]: backend for backend in CONFIGURATION["backends"]}
JOBS = {job["name"]: job for job in CONFIGURATION["jobs"]}


def given(task: dict[str, Any]) -> list[str]:
    return [*task["outputs"], *([task["stdout"]] if "stdout" in task else [])]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_finds_the_code_of_a_task_and_a_backend_that_speaks_its_language(task: dict[str, Any]) -> None:
    assert (EXAMPLES / task["code_file"]).is_file()
    assert task["language"] in BACKENDS[task["backend"]]["languages"]


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_it_gives_every_step_what_an_earlier_one_wrote(job: dict[str, Any]) -> None:
    for step in job["steps"]:
        earlier = [TASKS[other["task"]] for other in job["steps"] if other["order"] < step["order"]]
        written = [ending for task in earlier for ending in given(task)]
        assert not earlier or set(TASKS[step["task"]]["inputs"]) <= set(written)


def test_it_runs_every_job_without_an_account_and_without_a_parameter() -> None:
    assert all(job["public"] for job in JOBS.values())
    assert all("default" in parameter for task in TASKS.values() for parameter in task["parameters"])


def test_it_offers_the_three_parameters_of_the_penguins_job() -> None:
    tasks = [TASKS[step["task"]] for step in JOBS["penguins"]["steps"]]

    names = {f"{task['name']}_{parameter['name']}" for task in tasks for parameter in task["parameters"]}

    assert names == {"body_mass_title", "bill_length_alpha", "report_rows"}
