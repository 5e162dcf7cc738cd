"""Runs: the list, the page that follows a run to its end, and its files."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from portal import queue
from portal.database import now, transaction
from portal.domain.drafts import ParameterDraft
from portal.domain.parameters import Kind
from portal.domain.verdict import Outcome
from portal.models import Account, Attempt, LogChunk, Run, Submission, Worker
from portal.services import backends, keeping, progress, results, submissions
from portal.services.progress import Written
from tests.making import make_job, make_task, order, submitted

Work = Callable[[], None]
INPUT = b"name,value\nflipper,200\n"


@pytest.fixture
def ended(session: Session, work: Work) -> Submission:
    """A run of two steps that has ended; it gave a table, a page of HTML, and words on both streams."""
    code = "cp $I1 $O1; echo '<script>alert(1)</script>' > page.html; echo out; echo err >&2"
    make_task(session, "copy", "command", code, inputs=(".txt",), outputs=(".csv", "page.html"))
    make_task(session, "count", "command", "wc -l < $I1", inputs=(".csv",), stdout=".count")
    make_job(session, "table", [(1, "copy"), (2, "count")])
    submission = submitted(session, "table", INPUT)
    work()
    session.expire_all()
    return submission


def queued(session: Session, account: Account | None = None) -> Submission:
    make_task(session, "wait", "command", "sleep 60")
    make_job(session, "waiting", [(1, "wait")])
    return submissions.submit(session, order("waiting", account=account)).submissions[0]


def begin(session: Session) -> progress.Claim:
    """Start the next run that is due, as a worker would."""
    with transaction(session):
        claim = progress.claim(session, [queue.EVERY], "worker", "host")
    assert claim is not None
    with transaction(session):
        progress.started(session, claim, {"host": "host"})
    return claim


def test_it_says_that_a_run_waits_for_a_worker(client: FlaskClient, session: Session) -> None:
    submission = queued(session)
    sentence = "Waits for a worker of the queue here: none has reported for 2 minutes."

    assert sentence in client.get(f"/runs/{submission.uuid}").text
    told = client.get(f"/analytics_automated/submission/single/{submission.uuid}.json").get_json()
    assert (told["state"], told["last_message"]) == ("Submitted", "Submitted")

    with transaction(session):
        backends.report(session, Worker(name="alpha:11", queues=["here"], obstacles={}))
    assert sentence not in client.get(f"/runs/{submission.uuid}").text


def end(session: Session, exit_status: int = 3, **streams: bytes) -> None:
    """Let the next run that is due write something and end."""
    claim = begin(session)
    with transaction(session):
        progress.beat(session, claim, [Written(stream, 0, data) for stream, data in streams.items()])
    with transaction(session):
        progress.finish(session, claim, Outcome("exited", exit_status))
    session.expire_all()


@pytest.fixture
def failed(session: Session, admin: Account) -> Submission:
    """The administrator's run of two steps, of which the first failed."""
    for task in ("one", "two"):
        make_task(session, task, "command", "echo")
    make_job(session, "failing", [(1, "one"), (2, "two")])
    submission = submissions.submit(session, order("failing", account=admin)).submissions[0]
    end(session, stderr=b"no such column\n")
    return submission


def change(session: Session, submission: Submission, **values: object) -> None:
    with transaction(session):
        session.execute(update(Submission).where(Submission.uuid == submission.uuid).values(values))
    session.expire_all()


def address(submission: Submission, ending: str) -> str:
    return f"/runs/{submission.uuid}/results/{submission.uuid}{ending}"


def test_it_shows_every_step_with_its_state(client: FlaskClient, ended: Submission) -> None:
    page = client.get(f"/runs/{ended.uuid}").text

    assert page.count("Complete") >= 3
    assert all(word in page for word in ("copy", "count", "Completed job at step #2"))


def test_it_draws_the_graph_and_says_it_in_words(client: FlaskClient, ended: Submission) -> None:
    page = client.get(f"/runs/{ended.uuid}").text

    assert page.count('class="graph-node state-complete"') == 2
    assert re.search(r"<li>\s*copy \(Complete, [0-9.]+ s\)\.", page)


def test_it_says_a_failure_once(client: FlaskClient, session: Session, work: Work) -> None:
    make_task(session, "fail", "command", "exit 3")
    make_job(session, "failing", [(1, "fail")])
    submission = submitted(session, "failing")
    work()
    session.expire_all()

    submission.say("Something that happened later")
    session.commit()

    story = client.get(f"/runs/{submission.uuid}").text.split('id="story"')[1]

    assert story.count("exit status 3</p>") == 1


@pytest.fixture
def greeting(session: Session) -> Submission:
    """A run with a value of its own and one by default."""
    parameters = (ParameterDraft("who"), ParameterDraft("loud", kind=Kind.BOOLEAN, default="TRUE"))
    make_task(session, "greet", "command", "echo $P1 $P2", parameters=parameters)
    make_job(session, "greeting", [(1, "greet")])
    return submitted(session, "greeting", values={"greet_who": "Ann & <Bob>"})


def test_it_shows_the_parameters_and_the_batch(client: FlaskClient, greeting: Submission) -> None:
    page = client.get(f"/runs/{greeting.uuid}").text

    assert re.search(r"<dt>who</dt>\s*<dd>Ann &amp; &lt;Bob&gt;</dd>", page)
    assert re.search(r"<dt>loud</dt>\s*<dd>TRUE</dd>", page)
    assert f'href="/batches/{greeting.batch.uuid}"' in page


def test_it_is_run_again_with_the_same_values(client: FlaskClient, greeting: Submission) -> None:
    [again] = re.findall(r'href="(/jobs/greeting/run[^"]*)"', client.get(f"/runs/{greeting.uuid}").text)

    form = client.get(unescape(again)).text

    assert 'name="p.greet_who" type="text" value="Ann &amp; &lt;Bob&gt;"' in form
    assert 'value="a test"' in form


def test_it_leaves_a_text_out_that_no_address_can_hold(client: FlaskClient, session: Session) -> None:
    make_task(session, "greet", "command", "echo $P1 $P2", parameters=(ParameterDraft("who"), ParameterDraft("why")))
    make_job(session, "greeting", [(1, "greet")])
    submission = submitted(session, "greeting", values={"greet_who": "Ann", "greet_why": "because " * 1000})

    [again] = re.findall(r'href="(/jobs/greeting/run[^"]*)"', client.get(f"/runs/{submission.uuid}").text)

    assert len(again) < 4000
    assert "p.greet_who=Ann" in again


def test_it_is_asked_for_again_until_the_end(client: FlaskClient, session: Session, ended: Submission) -> None:
    running = queued(session)

    assert 'hx-trigger="every 1s"' in client.get(f"/runs/{running.uuid}/progress").text
    begin(session)
    assert 'hx-trigger="every 1s"' in client.get(f"/runs/{running.uuid}/progress").text
    assert "hx-trigger" not in client.get(f"/runs/{ended.uuid}/progress").text


def test_it_answers_an_unchanged_fragment_with_304(client: FlaskClient, session: Session) -> None:
    where = f"/runs/{queued(session).uuid}/progress"
    first = client.get(where)

    again = client.get(where, headers={"If-None-Match": first.headers["ETag"]})

    assert again.status_code == 304
    assert "no-cache" in again.headers["Cache-Control"]


def test_it_stops_a_run_of_ones_own(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    submission = queued(session, admin)
    assert "Stop" in signed_in.get(f"/runs/{submission.uuid}").text

    signed_in.post(f"/runs/{submission.uuid}/stop")

    page = signed_in.get(f"/runs/{submission.uuid}").text
    assert "Stopped before it began" in page and "Stop asked" in page


def test_it_stops_twice_without_harm(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    submission = queued(session, admin)

    first, second = (signed_in.post(f"/runs/{submission.uuid}/stop", follow_redirects=True) for _ in "12")

    assert "The run is asked to stop." in first.text
    assert second.status_code == 200 and "This run had ended already." in second.text


def test_it_deletes_a_run_and_goes_back_to_the_list(signed_in: FlaskClient, failed: Submission) -> None:
    where = f"/runs/{failed.uuid}/delete"
    assert f'action="{where}"' in signed_in.get(f"/runs/{failed.uuid}").text

    answer = signed_in.post(where, follow_redirects=True)

    assert answer.request.path == "/runs"
    assert "The run a test is being deleted." in answer.text


def test_it_says_that_a_run_is_being_deleted(signed_in: FlaskClient, session: Session, failed: Submission) -> None:
    change(session, failed, delete_asked=True)

    page = signed_in.get(f"/runs/{failed.uuid}").text

    assert "Being deleted …" in page and "hx-trigger" in page
    assert 'form="delete"' not in page and "Run again from here" not in page
    assert "Being deleted …" in signed_in.get("/runs").text
    keeping.remove(failed.id)
    assert "It may have been deleted." in signed_in.get(f"/runs/{failed.uuid}").text


def test_it_does_not_delete_or_resume_somebody_elses_run(client: FlaskClient, failed: Submission) -> None:
    assert client.post(f"/runs/{failed.uuid}/delete").status_code == 403
    assert client.post(f"/runs/{failed.uuid}/resume").status_code == 403
    page = client.get(f"/runs/{failed.uuid}").text
    assert 'form="delete"' not in page and "Run again from here" not in page


def test_it_tells_a_page_that_follows_a_deleted_run_to_load_anew(client: FlaskClient, session: Session) -> None:
    where = "/runs/00000000-0000-4000-8000-000000000000/progress"

    assert client.get(where, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    assert "It may have been deleted." in client.get(where).text


def test_it_runs_again_from_a_step(signed_in: FlaskClient, session: Session, failed: Submission) -> None:
    page = signed_in.get(f"/runs/{failed.uuid}").text
    [step] = re.findall(r'<option value="([^"]+)">Step 1: one \(failed\)</option>', page)

    answer = signed_in.post(f"/runs/{failed.uuid}/resume", data={"step": step}, follow_redirects=True)

    assert f"Goes on from step 1 of {failed.uuid[:8]}: 0 steps were taken over" in answer.text
    assert f'href="/runs/{failed.uuid}"' in answer.text
    assert answer.request.path in signed_in.get(f"/runs/{failed.uuid}").text


def test_it_makes_one_run_of_two_presses(signed_in: FlaskClient, failed: Submission) -> None:
    [key] = re.findall(r'name="key" value="([^"]+)"', signed_in.get(f"/runs/{failed.uuid}").text)

    first, second = (signed_in.post(f"/runs/{failed.uuid}/resume", data={"key": key}) for _ in "12")

    assert first.location == second.location
    [other] = re.findall(r'name="key" value="([^"]+)"', signed_in.get(f"/runs/{failed.uuid}").text)
    assert other != key


def test_it_says_why_a_run_cannot_be_resumed(signed_in: FlaskClient, failed: Submission) -> None:
    answer = signed_in.post(f"/runs/{failed.uuid}/resume", data={"step": "2"}, follow_redirects=True)

    assert answer.request.path == f"/runs/{failed.uuid}"
    assert "Choose a step that was reached" in answer.text


def test_it_shows_what_was_taken_over(signed_in: FlaskClient, session: Session, failed: Submission) -> None:
    again = submissions.submit(session, order("failing", account=failed.batch.account)).submissions[0]
    end(session, exit_status=0)
    end(session)
    where = signed_in.post(f"/runs/{again.uuid}/resume").location

    page = signed_in.get(where).text

    assert 'class="graph-node state-complete borrowed"' in page and "one (Taken over)" in page
    assert f'<a href="/runs/{again.uuid}#step-{again.runs[0].uuid}">taken over</a>' in page
    with transaction(session):
        session.delete(session.merge(again.batch))
    assert "which is gone" in signed_in.get(where).text


def test_it_says_when_a_step_is_tried_again(client: FlaskClient, session: Session) -> None:
    submission = queued(session)
    with transaction(session):
        session.execute(update(Run).values(attempt=1, due=now(19.5)))

    page = client.get(f"/runs/{submission.uuid}").text

    assert re.search(r"wait \(Tries again in (19|20) s\)", page)
    assert re.search(r">tries again in (19|20) s<", page)


@pytest.fixture
def retried(session: Session, failed: Submission) -> Submission:
    """Its first step was tried twice, under the numbers 1 and 4."""
    with transaction(session):
        run = session.merge(failed.runs[0])
        run.attempts[0].sentence = "Ended by signal 11"
        run.attempts.append(Attempt(number=4, worker="w", ended=now(1), sentence="Failed", exit_status=75))
        run.attempt = 4
        session.add(LogChunk(run_id=run.id, attempt=4, stream="stdout", start=0, data=b"the second time\n"))
    session.expire_all()
    return failed


def test_it_shows_each_attempt_with_its_own_log(client: FlaskClient, retried: Submission) -> None:
    page = client.get(f"/runs/{retried.uuid}").text
    where = f"/runs/{retried.uuid}/steps/{retried.runs[0].uuid}"

    for words in ("2 attempts", "Attempt 1", "Ended by signal 11", "Attempt 2", "exit status 75", "no such column"):
        assert words in page
    assert f'href="{where}/stderr?attempt=1"' in page
    assert client.get(f"{where}/stderr?attempt=1").data == b"no such column\n"
    assert client.get(f"{where}/stdout?attempt=2").data == client.get(f"{where}/stdout").data == b"the second time\n"


@pytest.mark.parametrize("attempt", ["0", "3", "-1"])
def test_it_knows_no_other_attempt(client: FlaskClient, retried: Submission, attempt: str) -> None:
    where = f"/runs/{retried.uuid}/steps/{retried.runs[0].uuid}/stderr?attempt={attempt}"

    assert client.get(where).status_code == 404


def test_it_does_not_speak_of_attempts_where_there_was_one(client: FlaskClient, failed: Submission) -> None:
    page = client.get(f"/runs/{failed.uuid}").text

    assert "no such column" in page and "attempts" not in page


def test_it_says_of_a_long_log_what_is_shown(client: FlaskClient, session: Session) -> None:
    submission = queued(session)
    end(session, stdout=b"".join(b"line %d\n" % number for number in range(1000)))

    page = client.get(f"/runs/{submission.uuid}").text

    assert "Standard output: the last 200 lines of 8.9 kB" in page
    assert "line 800\n" in page and "line 799\n" not in page


def test_it_is_not_blown_up_by_noise(client: FlaskClient, session: Session) -> None:
    submission = queued(session)
    bar = b"".join(b"\r%3d%%" % (number % 100) for number in range(200_000))
    end(session, stdout=b"<" * 1_000_000, stderr=b"\x1b[2J\0\xff\n" + bar)

    page = client.get(f"/runs/{submission.uuid}").text

    assert len(page) < 100_000
    assert "&lt;&lt;" in page and page.count(" 99%") == 1


def test_it_says_how_long_the_results_are_kept(client: FlaskClient, session: Session, ended: Submission) -> None:
    change(session, ended, expires=now(6.5 * 86400))

    page = client.get(f"/runs/{ended.uuid}").text

    assert re.search(r"Input, results and logs: until <time [^>]+>[^<]+</time>, 7 days left", page)


@pytest.mark.parametrize(
    ("seconds", "words"), [(7 * 86400 - 1, "7 days left"), (90_000, "25 hours left"), (-5, "being removed")]
)
def test_it_rounds_up_what_is_left(
    client: FlaskClient, session: Session, ended: Submission, seconds: int, words: str
) -> None:
    change(session, ended, expires=now(seconds + 0.0))

    assert f"</time>, {words}<" in client.get(f"/runs/{ended.uuid}").text


def test_it_says_what_each_step_used(client: FlaskClient, ended: Submission) -> None:
    page = client.get(f"/runs/{ended.uuid}").text

    assert len(re.findall(r"CPU [0-9.]+ s, memory [0-9.]+ MB", page)) == 2


def test_it_says_that_the_results_were_removed(client: FlaskClient, session: Session, ended: Submission) -> None:
    change(session, ended, expires=now(-60))
    keeping.remove(ended.id)

    page = client.get(f"/runs/{ended.uuid}").text

    assert re.search(r"Input, results and logs were removed on <time", page)
    assert "/results/" not in page and "/steps/" not in page and "#log-" not in page and "logs: until" not in page


def test_it_does_not_stop_somebody_elses_run(client: FlaskClient, session: Session, admin: Account) -> None:
    submission = queued(session, admin)

    assert client.post(f"/runs/{submission.uuid}/stop").status_code == 403
    assert "Queued" in client.get(f"/runs/{submission.uuid}").text


def test_it_gives_a_result_to_save(client: FlaskClient, ended: Submission) -> None:
    answer = client.get(address(ended, ".csv"))

    assert answer.data == INPUT
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "private" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"


def test_it_never_gives_a_page_as_a_page(client: FlaskClient, ended: Submission) -> None:
    [page] = [result.name for result in results.of_submission(ended) if result.name.endswith(".html")]

    answer = client.get(f"/runs/{ended.uuid}/results/{page}")

    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_it_gives_a_part_of_a_result(client: FlaskClient, ended: Submission) -> None:
    answer = client.get(address(ended, ".csv"), headers={"Range": "bytes=0-3"})

    assert (answer.status_code, answer.data) == (206, b"name")


def test_it_spares_a_result_that_is_known_already(client: FlaskClient, ended: Submission) -> None:
    etag = client.get(address(ended, ".csv")).headers["ETag"]

    assert client.get(address(ended, ".csv"), headers={"If-None-Match": etag}).status_code == 304


def test_it_gives_the_input_back(client: FlaskClient, ended: Submission) -> None:
    name = results.input_name(ended)

    assert name in client.get(f"/runs/{ended.uuid}").text
    assert client.get(f"/runs/{ended.uuid}/results/{name}").data == INPUT


def test_it_previews_a_table_as_a_fragment_and_as_a_page(client: FlaskClient, ended: Submission) -> None:
    where = address(ended, ".csv") + "/preview"

    fragment = client.get(where, headers={"HX-Request": "true"}).text
    page = client.get(where).text

    assert "<td>flipper</td>" in fragment and "<html" not in fragment
    assert "<td>flipper</td>" in page and "<html" in page


def test_it_previews_html_as_text(client: FlaskClient, ended: Submission) -> None:
    [page] = [result.name for result in results.of_submission(ended) if result.name.endswith(".html")]

    text = client.get(f"/runs/{ended.uuid}/results/{page}/preview").text

    assert "&lt;script&gt;alert(1)" in text and "<script>alert(1)" not in text


def test_it_gives_what_a_step_wrote(client: FlaskClient, ended: Submission) -> None:
    run = ended.runs[0]

    answer = client.get(f"/runs/{ended.uuid}/steps/{run.uuid}/stderr")

    assert (answer.text, answer.mimetype) == ("err\n", "text/plain")
    assert "err" in client.get(f"/runs/{ended.uuid}").text


def test_it_gives_no_file_of_another_run(client: FlaskClient, session: Session, ended: Submission) -> None:
    other = queued(session)

    answer = client.get(f"/runs/{other.uuid}/results/{ended.uuid}.csv")

    assert answer.status_code == 404


@pytest.mark.parametrize("where", ["", "/progress", "/steps/x/stdout", "/results/x.csv"])
def test_it_knows_no_run_of_a_guessed_name(where: str, client: FlaskClient, admin: Account) -> None:
    answer = client.get(f"/runs/00000000-0000-4000-8000-000000000000{where}")

    assert answer.status_code == 404
    assert "There is no such run." in answer.text


def test_it_lists_by_state_and_name(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    queued(session, admin)

    assert "a test" in signed_in.get("/runs?state=QUEUED&text=TEST&job=waiting").text
    assert "No run is like this" in signed_in.get("/runs?state=ERROR").text
    assert "No run is like this" in signed_in.get("/runs?text=other").text


@pytest.mark.parametrize("before", ["0", "-1", "99999999999999999999999999", "x"])
def test_it_survives_an_odd_place_to_go_on_from(before: str, signed_in: FlaskClient) -> None:
    assert signed_in.get(f"/runs?before={before}").status_code == 200


def test_it_goes_on_to_older_runs(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    last = queued(session, admin)
    older = submissions.submit(session, order("waiting", account=admin)).submissions[0]

    page = signed_in.get(f"/runs?before={older.id}").text

    assert last.uuid in page and older.uuid not in page


def test_it_lists_the_same_as_json(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    submission = queued(session, admin)

    [row] = signed_in.get("/runs.json?job=waiting").get_json()["runs"]

    assert (row["id"], row["state"], row["job"]) == (submission.uuid, "QUEUED", "waiting")


def test_it_gives_no_formula_to_a_spreadsheet(signed_in: FlaskClient, session: Session, admin: Account) -> None:
    queued(session, admin).batch.name = "=1+1"
    session.commit()

    answer = signed_in.get("/runs.csv")

    assert answer.mimetype == "text/csv"
    assert ",'=1+1," in answer.text


def test_it_shows_all_runs_of_a_batch(client: FlaskClient, session: Session) -> None:
    make_task(session, "wait", "command", "sleep 60")
    make_job(session, "first", [(1, "wait")])
    make_job(session, "second", [(1, "wait")])
    batch = submissions.submit(session, order("first", "second"))

    page = client.get(f"/batches/{batch.uuid}").text

    assert all(submission.uuid in page for submission in batch.submissions)


def test_it_keeps_to_its_policy(signed_in: FlaskClient, ended: Submission) -> None:
    for where in ("/", "/runs", "/backends/new", f"/runs/{ended.uuid}", f"/batches/{ended.batch.uuid}", "/nowhere"):
        page = signed_in.get(where).text

        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style", page), where
