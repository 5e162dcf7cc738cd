"""What a task's rules make of how a run ended."""

from __future__ import annotations

import pytest

from portal.domain.verdict import Outcome, Rules, Then, Verdict, judge

ENDED_WELL = Outcome("exited", 0)


def test_it_continues_after_a_run_that_gave_everything() -> None:
    assert judge(Rules(), ENDED_WELL, []) == Verdict(Then.CONTINUE, "")


def test_it_fails_a_run_with_an_exit_status_that_nobody_expects() -> None:
    assert judge(Rules(exit_statuses=(2,)), Outcome("exited", 3), []) == Verdict(Then.FAIL, "Failed with exit status 3")


@pytest.mark.parametrize(
    ("then", "words"), [(Then.CONTINUE, "goes on"), (Then.FINISH, "ends the job"), (Then.FAIL, "fails the job")]
)
def test_it_does_as_the_rules_say_about_an_expected_exit_status(then: Then, words: str) -> None:
    verdict = judge(Rules(exit_statuses=(3, 4), on_exit_status=then), Outcome("exited", 4), [".csv"])

    assert verdict == Verdict(then, f"Exit status 4 {words}, as the task's rules say")


@pytest.mark.parametrize("then", Then)
def test_it_does_as_the_rules_say_about_a_missing_output(then: Then) -> None:
    verdict = judge(Rules(on_missing_output=then), ENDED_WELL, [".csv", ".png"])

    assert verdict == Verdict(then, "No file with the ending .csv, .png was written")


def test_it_never_lets_the_rules_excuse_a_run_that_did_not_end_by_itself() -> None:
    lenient = Rules((9,), Then.CONTINUE, Then.CONTINUE)

    assert judge(lenient, Outcome("signalled", None, 9), []) == Verdict(Then.FAIL, "Ended by signal 9")
    assert judge(lenient, Outcome("wall_time", None, 9, "Its time was up."), []).sentence == "Its time was up."
    assert judge(lenient, Outcome("cannot_start"), []) == Verdict(Then.FAIL, "Ended: cannot_start")
