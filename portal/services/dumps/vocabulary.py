"""What the first system's models and fields are called, over time, and what of them is taken."""

from __future__ import annotations

from dataclasses import dataclass

from portal.domain.verdict import Then


@dataclass(frozen=True)
class Behaviour:
    """What the first system's kind of queue mixed: where a task runs and how it is written."""

    number: int
    queue: str
    runner: str
    language: str


BEHAVIOURS = {
    each.number: each
    for each in (
        Behaviour(1, "localhost", "local", "command"),
        Behaviour(2, "GridEngine", "gridengine", "command"),
        Behaviour(3, "R", "local", "r"),
        Behaviour(4, "Python", "local", "python"),
    )
}
THEN = {0: Then.CONTINUE, 1: Then.FINISH, 3: Then.FAIL}
USUAL_ROOT = "/tmp/"  # noqa: S108 - the first system's default, read and never used
USUAL_STDOUT = ".stdout"
CONFIGURATION_TYPES = {0: "Software", 1: "Dataset", 2: "Misc."}
VALIDATORS = {"gif": "gif", "jpeg": "jpeg", "png": "png", "pdb_file": "pdb", "seq": "fasta"}
NO_VALIDATOR = "none"

TAKEN = {
    "backend": {"name", "root_path", "server_type", "queue_type"},
    "queuetype": {"name", "execution_behaviour"},
    "job": {"name", "runnable"},
    "validator": {"job", "validation_type", "re_string"},
    "validatortypes": {"name"},
    "step": {"job", "task", "ordering", "condition"},
    "parameter": {"task", "flag", "default", "bool_valued", "rest_alias", "spacing", "switchless"},
    "environment": {"task", "env", "value"},
    "configuration": {"task", "type", "name", "parameters", "version", "software", "dataset"},
    "task": {
        "backend", "name", "in_glob", "out_glob", "executable", "description", "stdout_glob",
        "incomplete_outputs_behaviour", "custom_exit_status", "custom_exit_behaviour",
        "validation_type", "completion_behaviour", "failure_behaviour", "no_outputs_behaviour",
        "custom_success_exit", "custom_terminate_exit", "custom_fail_exit", "success_codes", "permanent_fail_codes",
    },
}  # fmt: skip
EARLIER_BEHAVIOURS = ("completion_behaviour", "no_outputs_behaviour", "failure_behaviour", "validation_type")
LEFT = {
    "backend": {"ip", "port"},
    "job": {"value", "requirements", "cwl_version", "cwl_content"},
    "parameter": {"secondary_files"},
    "task": {
        "requirements", "hints", "arguments", "stdin", "stdout", "stderr", "temporary_fail_codes", "label", "doc",
        "shell_quote", "cwl_content", "initial_work_dir", "environment_variables",
    },
}  # fmt: skip

ACCOUNTS = "accounts, groups and permissions are not imported."
RUN_DATA = "what has run there is not imported."
SKIPPED = {
    "auth.user": ACCOUNTS,
    "auth.group": ACCOUNTS,
    "auth.permission": ACCOUNTS,
    "backenduser": "the first system never used them; their passwords are not kept.",
    "batch": RUN_DATA,
    "submission": RUN_DATA,
    "result": RUN_DATA,
    "message": RUN_DATA,
    "requirement": "CWL requirements are not imported.",
}
CLOCK = "django_celery_beat."
CLOCKS = "read where a schedule names it."
UNKNOWN = "an unknown model."
