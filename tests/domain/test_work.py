"""The frozen Work of a run, and what each place of its command stands for."""

from __future__ import annotations

import json
from dataclasses import replace

from portal.domain.command import Binding
from portal.domain.limits import Limits
from portal.domain.parameters import Argument, Kind
from portal.domain.retries import NO_RETRIES, Retries
from portal.domain.verdict import Rules, Then
from portal.domain.work import Placement, Work, bindings

WORK = Work(
    identity="0d9f",
    task="fit",
    language="command",
    code="fit $I1 > $O1\n# 'é' 😀",
    placement=Placement("here", "local", "/srv/runs", {"python": "/usr/bin/python3"}),
    inputs=(".csv", "graph.out"),
    outputs=(".fit.csv",),
    stdout=".log",
    arguments=(
        Argument("name", "--name", Kind.TEXT, "a 'b' 😀\n", "a 'b' 😀\n"),
        Argument("value", "VALUE", Kind.TEXT, "human", "human"),
        Argument("rows", "-n", Kind.INTEGER, "10", 10, spacing=False),
        Argument("quiet", "-q", Kind.BOOLEAN, "FALSE", False),
        Argument("all", "-a", Kind.BOOLEAN, "TRUE", True),
        Argument("alpha", "--alpha", Kind.DECIMAL, "1e-5", 1e-5, switchless=True),
        Argument("table", "--with", Kind.FILE, ".table.tsv", "fit_table"),
        Argument("mask", "--mask", Kind.FILE, "", None),
    ),
    variables={"SPECIES": "a 'b'"},
    rules=Rules((2, 3), Then.FINISH, Then.CONTINUE),
    limits=Limits(wall_seconds=7, memory_bytes=10**9),
    retries=Retries(2, on_crash=True, exit_statuses=(75,), wait_seconds=5),
)


def test_it_comes_back_from_json_as_it_was() -> None:
    assert Work.from_json(json.loads(json.dumps(WORK.to_json()))) == WORK


def test_it_reads_what_was_frozen_before_there_were_retries() -> None:
    frozen = {name: value for name, value in WORK.to_json().items() if name != "retries"}

    assert Work.from_json(frozen).retries == NO_RETRIES


def test_it_reads_what_a_newer_version_froze() -> None:
    """As in an upgrade, while older workers still run: what they do not know is left out."""
    frozen = json.loads(json.dumps(WORK.to_json()))
    parts = (frozen, frozen["placement"], *frozen["arguments"], frozen["rules"], frozen["limits"], frozen["retries"])
    for part in parts:
        part["invented_later"] = {"by": "somebody"}

    assert Work.from_json(frozen) == WORK


def test_it_takes_what_is_usual_for_what_an_older_version_did_not_freeze() -> None:
    frozen = {
        "identity": "0d9f",
        "task": "fit",
        "language": "command",
        "code": "fit",
        "placement": {"backend": "here", "runner": "local"},
        "arguments": [{"name": "rows", "flag": "-n", "kind": "integer", "text": "10", "value": 10}],
        "rules": {"exit_statuses": [2]},
    }

    argument = Argument("rows", "-n", Kind.INTEGER, "10", 10)
    assert Work.from_json(frozen) == Work(
        "0d9f", "fit", "command", "fit", Placement("here", "local"), arguments=(argument,), rules=Rules((2,))
    )


def test_it_names_files_by_identity_and_ending() -> None:
    bound = bindings(WORK, "/srv/runs/x")

    assert [bound[name].value for name in ("I1", "I2", "O1")] == ["0d9f.csv", "0d9f.graph.out", "0d9f.fit.csv"]
    assert (bound["ID"].value, bound["TMP"].value) == ("0d9f", "/srv/runs/x")


def test_it_numbers_the_parameters_without_the_one_whose_flag_is_value() -> None:
    bound = bindings(WORK, "/run")

    assert bound["VALUE"] == Binding(value="human")
    assert bound["P1"] == Binding(("--name",), "a 'b' 😀\n")
    assert bound["P2"] == Binding(("-n",), "10", spacing=False)
    assert "P8" not in bound


def test_it_names_a_file_as_it_lies_in_the_directory_and_leaves_nothing_for_none() -> None:
    bound = bindings(WORK, "/run")
    only = replace(WORK, arguments=(Argument("mask", "VALUE", Kind.FILE, "", None),))

    assert bound["P6"] == Binding(("--with",), "0d9f.table.tsv")
    assert bound["P7"] == Binding()
    assert bindings(only, "/run")["VALUE"] == Binding()


def test_it_keeps_the_number_of_a_boolean_that_is_off() -> None:
    bound = bindings(WORK, "/run")

    assert (bound["P3"], bound["P4"]) == (Binding(), Binding(("-a",)))


def test_it_leaves_the_flag_out_of_a_parameter_without_a_switch() -> None:
    assert bindings(WORK, "/run")["P5"] == Binding((), "1e-5")
