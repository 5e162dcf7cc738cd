"""Makes the tasks and jobs of the load by the portal's services: python -m tests.faults.load LOG LEASE.

Every user process holds a lock of its run for its whole life, and tells when it starts and ends: in LOG, which the
portal knows nothing of. The lock is inherited by what it starts, so that a left-over grandchild is seen too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.faults.jobs import LINES, Fate, Job, Step, jobs

COMMAND = """\
exec 9>>"{log}/locks/$ID.{task}"
flock -n 9 || echo "overlap $ID {task} $$ $(date +%s.%N)" >> "{log}/execution"
echo "start $ID {task} $$ $(date +%s.%N)" >> "{log}/execution"
echo begun
sleep {seconds}
{fault}
one=$( {{ printf '%s\\n' {task}; cat {inputs}; }} | sha256sum | cut -c1-64)
yes "$one" | head -n {lines} > $O1 || exit 1
[ "$(wc -l < $O1)" = {lines} ] || exit 1
echo over
echo "end $ID {task} $$ $(date +%s.%N)" >> "{log}/execution"
"""
COMMAND_FAILS = 'echo "fail $ID {task} $$ $(date +%s.%N)" >> "{log}/execution"; exit {status}'
COMMAND_ONCE = '[ -e "{log}/failed/$ID.{task}" ] || {{ : > "{log}/failed/$ID.{task}"; {fails}; }}'

PYTHON = """\
import fcntl, hashlib, os, subprocess, sys, time

LOG, TASK, SECONDS, STATUS, LINES = {log!r}, {task!r}, {seconds!r}, {status!r}, {lines!r}
identity = os.path.basename(next(iter(inputs.values())))[:36]


def tell(word):
    line = f"{{word}} {{identity}} {{TASK}} {{os.getpid()}} {{time.time():.6f}}\\n"
    file = os.open(f"{{LOG}}/execution", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, line.encode())
    os.close(file)


lock = os.open(f"{{LOG}}/locks/{{identity}}.{{TASK}}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    tell("overlap")
tell("start")
print("begun", flush=True)
subprocess.run(["sleep", str(SECONDS)], pass_fds=(lock,))
if STATUS:
    tell("fail")
    sys.exit(STATUS)
digest = hashlib.sha256(TASK.encode() + b"\\n" + b"".join(open(each, "rb").read() for each in inputs.values()))
[target] = outputs.values()
with open(target, "w") as file:
    file.write((digest.hexdigest() + "\\n") * LINES)
print("over", flush=True)
tell("end")
"""
STATUS = {Fate.FAILS: 3, Fate.NEVER_WORKS: 75}


def command(step: Step, log: Path) -> str:
    given = {"log": log, "task": step.task}
    fails = COMMAND_FAILS.format(status=STATUS.get(step.fate, 75), **given)
    fault = {
        Fate.FAILS: fails,
        Fate.NEVER_WORKS: fails,
        Fate.FAILS_ONCE: COMMAND_ONCE.format(fails=fails, **given),
    }.get(step.fate, ":")
    inputs = " ".join(f"$I{number}" for number in range(1, len(step.inputs) + 1))
    return COMMAND.format(seconds=step.seconds, fault=fault, inputs=inputs, lines=LINES, **given)


def python(step: Step, log: Path) -> str:
    return PYTHON.format(
        log=str(log), task=step.task, seconds=step.seconds, status=STATUS.get(step.fate, 0), lines=LINES
    )


def make(log: Path, lease: float) -> None:
    from portal.database import transaction

    with transaction() as session:
        for job in jobs(lease):
            _make_job(session, job, log)


def _make_job(session: object, job: Job, log: Path) -> None:
    from portal.services import jobs as services

    for step in job.steps:
        _make_task(session, step, log)
    steps = tuple(services.StepDraft(step.stage, step.task) for step in job.steps)
    services.save(session, services.JobDraft(job.name, public=True, steps=steps), None)  # type: ignore[arg-type]


def _make_task(session: object, step: Step, log: Path) -> None:
    from portal.domain.drafts import TaskDraft
    from portal.domain.retries import NO_RETRIES, Retries
    from portal.services import tasks

    retries = {
        Fate.FAILS_ONCE: Retries(most=3, exit_statuses=(75,), wait_seconds=1),
        Fate.NEVER_WORKS: Retries(most=1, exit_statuses=(75,), wait_seconds=1),
        Fate.STURDY: Retries(most=5, on_crash=True, wait_seconds=1),
    }
    draft = TaskDraft(
        name=step.task,
        language=step.language,
        backend="localhost",
        code=(command if step.language == "command" else python)(step, log),
        inputs=step.inputs,
        outputs=(step.output,),
        retries=retries.get(step.fate, NO_RETRIES),
    )
    tasks.save(session, draft, None)  # type: ignore[arg-type]


if __name__ == "__main__":
    make(Path(sys.argv[1]), float(sys.argv[2]))
