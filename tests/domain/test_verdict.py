"""What a task's rules make of how a run ended."""

from __future__ import annotations

import pytest

from portal.domain.verdict import Outcome, Rules, Then, Verdict, judge

ENDED_WELL = Outcome("exited", 0)


def test_it_continues_after_a_run_that_gave_everything() -> None:
    assert judge(Rules(), ENDED_WELL, []) == Verdict(Then.CONTINUE, "")


def test_it_fails_a_run_with_an_exit_status_that_nobody_expects() -> None:
    assert judge(Rules(exit_statuses=(2,)), Outcome("exited", 3), []) == Verdict(Then.FAIL, "Failed with exit status 3")


@pytest.mark.parametrize("on_missing", Then)
@pytest.mark.parametrize(
    ("then", "words"), [(Then.CONTINUE, "goes on"), (Then.FINISH, "ends the job"), (Then.FAIL, "fails the job")]
)
def test_it_does_as_the_rules_say_about_an_expected_exit_status(then: Then, words: str, on_missing: Then) -> None:
    verdict = judge(Rules((3, 4), then, on_missing), Outcome("exited", 4), [])

    assert verdict == Verdict(then, f"Exit status 4 {words}, as the task's rules say")


@pytest.mark.parametrize("on_missing", Then)
@pytest.mark.parametrize("then", [Then.FINISH, Then.FAIL])
def test_it_asks_for_no_outputs_where_an_exit_status_ends_the_job(then: Then, on_missing: Then) -> None:
    rules = Rules((4,), then, on_missing)

    assert judge(rules, Outcome("exited", 4), [".csv"]) == judge(rules, Outcome("exited", 4), [])


@pytest.mark.parametrize("on_missing", Then)
def test_it_asks_for_the_outputs_where_the_job_goes_on_after_an_exit_status(on_missing: Then) -> None:
    verdict = judge(Rules((4,), Then.CONTINUE, on_missing), Outcome("exited", 4), [".csv", ".png"])

    sentence = "Exit status 4 is expected, but no file with the ending .csv, .png was written"
    assert verdict == Verdict(on_missing, sentence)


@pytest.mark.parametrize("on_missing", Then)
@pytest.mark.parametrize("then", Then)
@pytest.mark.parametrize("missing", [[], [".csv"]])
def test_it_fails_after_an_unexpected_exit_status_whatever_the_other_rules(
    then: Then, on_missing: Then, missing: list[str]
) -> None:
    verdict = judge(Rules((4,), then, on_missing), Outcome("exited", 5), missing)

    assert verdict == Verdict(Then.FAIL, "Failed with exit status 5")


@pytest.mark.parametrize("then", Then)
def test_it_never_takes_success_for_an_expected_exit_status(then: Then) -> None:
    assert judge(Rules((0, 4), then), ENDED_WELL, []) == Verdict(Then.CONTINUE, "")


@pytest.mark.parametrize("then", Then)
def test_it_does_as_the_rules_say_about_a_missing_output(then: Then) -> None:
    verdict = judge(Rules(on_missing_output=then), ENDED_WELL, [".csv", ".png"])

    assert verdict == Verdict(then, "No file with the ending .csv, .png was written")


def test_it_never_lets_the_rules_excuse_a_run_that_did_not_end_by_itself() -> None:
    lenient = Rules((9,), Then.CONTINUE, Then.CONTINUE)

    assert judge(lenient, Outcome("signalled", None, 9), []) == Verdict(Then.FAIL, "Ended by signal 9")
    assert judge(lenient, Outcome("wall_time", None, 9, "Its time was up."), []).sentence == "Its time was up."
    assert judge(lenient, Outcome("cannot_start"), []) == Verdict(Then.FAIL, "Ended: cannot_start")


@pytest.mark.parametrize(("status", "name"), [(129, "HUP"), (134, "ABRT"), (137, "KILL"), (139, "SEGV"), (159, "SYS")])
def test_it_names_the_signal_that_a_shell_tells_of(status: int, name: str) -> None:
    outcome = Outcome("exited", status).of_shell(())

    assert (outcome.exit_status, outcome.signal) == (status, status - 128)
    assert judge(Rules(), outcome, []).sentence == f"Failed with exit status {status} (signal {name})"


@pytest.mark.parametrize("status", [0, 1, 127, 128, 145, 146, 147, 148, 150, 160, 255, None])
def test_it_sees_no_signal_in_an_exit_status_of_no_deadly_one(status: int | None) -> None:
    assert Outcome("exited", status).of_shell(()).signal is None


def test_it_takes_an_exit_status_that_the_task_expects_for_what_it_is() -> None:
    assert Outcome("exited", 139).of_shell((139,)).signal is None


def test_it_never_makes_another_end_a_shells() -> None:
    assert Outcome("wall_time", 139).of_shell(()) == Outcome("wall_time", 139)
