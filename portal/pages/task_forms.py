"""The forms of tasks and jobs: rows of parameters and steps, drafts in and drafts out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    FieldList,
    Form,
    FormField,
    HiddenField,
    IntegerField,
    SelectField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import NumberInput, TextArea

from portal import validators
from portal.domain import conditions
from portal.domain.drafts import ConfigurationDraft, ParameterDraft, TaskDraft
from portal.domain.errors import Invalid
from portal.domain.parameters import Kind, decimal_number, whole_number
from portal.domain.plugins import Plugin, plugins
from portal.domain.retries import NO_RETRIES, Retries
from portal.domain.sizes import TIME
from portal.domain.verdict import Then
from portal.domain.work import VALUE_FLAG
from portal.models import Backend
from portal.pages.forms import Amount, Checkboxes, LimitsForm
from portal.services import jobs

SPARE_ROWS = 3
MOST_ROWS = 250
KINDS = [SelectChoice(each.value) for each in Kind]
CONFIGURATION_KINDS = [SelectChoice(each) for each in ("Software", "Dataset", "Misc.")]
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
ERROR_LINE = re.compile(r"Line ([0-9]+):")
ON_EXIT_STATUS = [
    SelectChoice(Then.CONTINUE.value, "go on with the job"),
    SelectChoice(Then.FINISH.value, "end the job as complete"),
    SelectChoice(Then.FAIL.value, "fail the job"),
]


class WholeNumber(IntegerField):
    """A whole number or nothing; what was typed stays."""

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = None
        if valuelist and (text := valuelist[0].strip()):
            self.data = whole_number(text)


class Number(StringField):
    """A number or nothing; what was typed stays."""

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else "" if self.data is None else f"{self.data:.15g}"

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = None
        if valuelist and (text := valuelist[0].strip()):
            self.data = decimal_number(text)


class Words(StringField):
    """Several words in one line, with commas or blanks between."""

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else ", ".join(str(each) for each in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = tuple(valuelist[0].replace(",", " ").split()) if valuelist else ()


class WholeNumbers(Words):
    """Several whole numbers in one line."""

    def process_formdata(self, valuelist: list[str]) -> None:
        super().process_formdata(valuelist)
        words, self.data = self.data, ()
        try:
            self.data = tuple(whole_number(each) for each in words)
        except ValueError:
            raise ValueError("Give whole numbers with commas between, such as 1, 2.") from None


class Lines(StringField):
    """Several texts, one a line."""

    widget = TextArea()

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else "\n".join(self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        lines = valuelist[0].splitlines() if valuelist else []
        self.data = tuple(line.strip() for line in lines if line.strip())


class Rows(FieldList):
    """Rows of one small form: empty ones count for nothing, and buttons without a script move and remove them."""

    def __init__(self, row: type[Row], label: str = "", **options: Any) -> None:
        super().__init__(FormField(row), label, **options)
        self.stays = row.STAYS

    def _extract_indices(self, prefix: str, formdata: Mapping[str, Any]) -> list[int]:
        """Each row costs time, however empty: no more of them are read than tell that there are too many."""
        return sorted(set(super()._extract_indices(prefix, formdata)))[:MOST_ROWS]

    def drop_empty(self) -> None:
        self.entries = [entry for entry in self.entries if entry.form.filled()]
        self._compact_indices()

    def sort(self, key: Callable[[Form], bool]) -> None:
        """Rows of the same key keep their order."""
        self.entries.sort(key=lambda entry: key(entry.form))
        self._compact_indices()

    def add_spare(self) -> None:
        """Empty rows to write in where no script can add one."""
        for _ in range(SPARE_ROWS):
            self.append_entry()

    def pattern(self) -> FormField:
        """An empty row, not one of the form's own, that a script copies."""
        pattern = self.append_entry()
        self.entries.pop()
        self.last_index -= 1
        return pattern

    def rearrange(self, action: str) -> None:
        """'2-up', '0-down' or '1-remove'."""
        number, _, move = action.partition("-")
        index = int(number) if number.isdecimal() else -1
        if not 0 <= index < len(self.entries):
            return
        if move == "remove":
            del self.entries[index]
        elif (other := index + {"up": -1, "down": 1}.get(move, 0)) in range(len(self.entries)):
            self._swap(index, other)
        self._compact_indices()

    def _swap(self, one: int, other: int) -> None:
        entries = self.entries
        entries[one], entries[other] = entries[other], entries[one]
        if self.stays:
            first, second = (entries[index].form[self.stays] for index in (one, other))
            first.data, second.data = second.data, first.data
            first.raw_data, second.raw_data = second.raw_data, first.raw_data


class Row(Form):
    """One row. It is filled when one of its DECIDING fields is; the field STAYS keeps its place when rows move."""

    DECIDING: tuple[str, ...] = ()
    STAYS = ""

    def filled(self) -> bool:
        return any(_something(self[name]) for name in self.DECIDING)


def _something(field: Field) -> bool:
    return bool(field.raw_data[0].strip() if field.raw_data else field.data)


class FormWithRows(FlaskForm):
    """A form that holds rows of small forms. `revision` is the one that the writing started from."""

    revision = HiddenField()

    def rows(self) -> list[Rows]:
        return [field for field in self if isinstance(field, Rows)]

    @property
    def errors(self) -> dict[str | None, list[str]]:
        """What is wrong by field name; those of the rows as well."""
        own: dict[str | None, list[str]] = {None: self.form_errors} if self.form_errors else {}
        return own | {field.name: list(field.errors) for field in _leaves(self) if field.errors}

    def check_base(self, current: int) -> None:
        """Raise Invalid, once, when somebody else saved a revision since this writing started."""
        started_from, self.revision.data = self.revision.data, str(current)
        if started_from and started_from != str(current):
            raise Invalid(
                revision_of_others=f"Somebody saved revision {current} while you wrote. Nothing of yours is lost: "
                "look at that revision, then save again to put yours after it."
            )

    def check_readable(self) -> None:
        """Raise Invalid for what cannot even be read, such as a word where a number goes."""
        self.validate()
        wrong = {field: field.errors for field in _leaves(self) if field.errors}
        for field in wrong:
            field.errors = []
        if wrong:
            raise Invalid(**{field.name: " ".join(errors) for field, errors in wrong.items()})

    def rearrange(self, words: str) -> None:
        """Do what a row's button says, such as 'steps-2-up'."""
        name, _, action = words.partition("-")
        for rows in self.rows():
            if rows.name == name:
                rows.rearrange(action)

    def drop_empty_rows(self) -> None:
        for rows in self.rows():
            rows.drop_empty()

    def add_spare_rows(self) -> None:
        for rows in self.rows():
            rows.add_spare()


def _leaves(form: Any) -> Iterator[Field]:
    """The fields that a person fills in, also those of the rows."""
    for field in form:
        if isinstance(field, FieldList):
            for row in field:
                yield from _leaves(row.form)
        else:
            yield field


class ParameterRow(Row):
    DECIDING = ("alias", "label", "help", "flag", "default", "minimum", "maximum", "choices", "pattern")

    place = ""
    alias = StringField("Name")
    kind = SelectField("Type", choices=KINDS, coerce=Kind, default=Kind.TEXT)
    flag = StringField("Flag")
    default = StringField("Default")
    label = StringField("Label")
    help = StringField("Help")
    required = BooleanField("Required", description="Cannot be left empty; the default is filled in.")
    minimum = Number("Smallest", description="Of a text: the fewest characters.")
    maximum = Number("Largest", description="Of a text: the most characters.")
    choices = Lines("Choices", description="One a line: of a choice the values, of a file its endings, such as .csv.")
    pattern = StringField("Pattern", description="Of a text: a regular expression (RE2) that all of it matches.")
    spacing = BooleanField("Blank between flag and value", default=True)
    switchless = BooleanField("Value without its flag")

    def draft(self) -> ParameterDraft:
        texts = {name: _text(self[name]) for name in ("alias", "label", "help", "flag")}
        same = {name: self[name].data for name in ("required", "minimum", "maximum", "spacing", "switchless")}
        return ParameterDraft(
            **texts,
            **same,
            kind=self.kind.data or Kind.TEXT,
            default=self.default.data or None,
            pattern=self.pattern.data or "",
            choices=self.choices.data or (),
        )


class VariableRow(Row):
    DECIDING = ("name", "value", "secret")

    name = StringField("Name")
    value = StringField("Value")
    secret = StringField("Or a secret")

    def validate_secret(self, field: Field) -> None:
        if _text(field) and self["value"].data:
            raise ValidationError("A variable has a value or a secret: leave one of them empty.")


class ConfigurationRow(Row):
    DECIDING = ("name", "parameters", "version")

    kind = SelectField("Kind", choices=CONFIGURATION_KINDS, validate_choice=False)
    name = StringField("Name")
    version = StringField("Version")
    parameters = StringField("Parameters")

    def draft(self) -> ConfigurationDraft:
        return ConfigurationDraft(**{field.short_name: _text(field) for field in self})


class TaskForm(FormWithRows, LimitsForm):
    """A task, as an analyst writes it."""

    name = StringField("Name", description="Jobs, parameters and REST clients use it.")
    description = TextAreaField("Description")
    public = BooleanField("Public", default=True, description="Every analyst may see it and use it in jobs.")
    groups = Checkboxes("Shared with", validate_choice=False, description="Analysts in these groups may, too.")
    language = SelectField("Language", validate_choice=False)
    backend = SelectField("Backend", validate_choice=False)
    code = TextAreaField("Code")
    inputs = Words("Input endings", description="Such as .csv, .txt: the files that the task takes, in order.")
    outputs = Words("Output endings", description="Files with these endings are kept as results.")
    stdout = StringField("Ending of standard output", description="Keeps what is printed as a result; empty: not kept.")
    exit_statuses = WholeNumbers("Expected exit statuses", description="Beside 0, such as 1, 2. Others fail the job.")
    on_exit_status = SelectField("After one of these", choices=ON_EXIT_STATUS, coerce=Then, default=Then.CONTINUE)
    on_missing_output = SelectField("When an output is missing", choices=ON_EXIT_STATUS, coerce=Then, default=Then.FAIL)
    retries = WholeNumber("Retries", default=0, widget=NumberInput(min=0), description="Tries after the first one.")
    retry_wait = Amount(
        "First waiting time",
        TIME,
        default=NO_RETRIES.wait_seconds,
        description="Doubled each time, and spread a little.",
    )
    retry_on_crash = BooleanField("It crashed (ended by a signal)")
    retry_on_time = BooleanField("It reached its time limit")
    retry_exit_statuses = WholeNumbers("Or one of these exit statuses", description="Such as 75.")
    parameters = Rows(ParameterRow)
    variables = Rows(VariableRow)
    configurations = Rows(ConfigurationRow)

    @classmethod
    def showing(cls, draft: TaskDraft, number: int) -> TaskForm:
        variables = [
            *({"name": name, "value": value} for name, value in draft.variables),
            *({"name": name, "secret": secret} for name, secret in draft.secrets),
        ]
        said = {**asdict(draft), **asdict(draft.limits), **_said_of_retries(draft.retries)}
        return cls(data={**said, "variables": variables, "revision": str(number)})

    def offer(self, every: Sequence[Backend]) -> None:
        """Fill the lists to choose from: the backends that serve the language, and the one that a saved task has."""
        self.language.choices = [_language_choice(name) for name in plugins("languages")]
        self.language.data = self.language.data or next(iter(plugins("languages")), None)
        language = plugins("languages").get(self.language.data or "")
        label = language.label if language else self.language.data
        self.backend.choices = [
            _backend_choice(each, self.language.data, label)
            for each in every
            if self.language.data in each.languages or (self.revision.data and each.name == self.backend.data)
        ]
        self.backend.description = f"Only the backends that serve {label} are listed."

    def chosen_backend(self) -> str:
        """A browser chooses the first where nobody has chosen."""
        return _text(self.backend) or next((each.value for each in self.backend.choices or ()), "")

    def add_spare_rows(self) -> None:
        super().add_spare_rows()
        for row, place in zip(self.parameters, _places(self.parameters, self.language.data), strict=True):
            row.form.place = place

    def error_line(self) -> str | bool:
        """The line of the code that a sentence beside it speaks of; False for an attribute that is not there."""
        found = ERROR_LINE.match(" ".join(self.code.errors))
        return found[1] if found else False

    def draft(self) -> TaskDraft:
        """What was typed, as a draft; what cannot be read is left out."""
        return TaskDraft(
            name=_text(self.name),
            language=_text(self.language),
            backend=_text(self.backend),
            code=(self.code.data or "").replace("\r\n", "\n"),
            description=_text(self.description),
            inputs=self.inputs.data or (),
            outputs=self.outputs.data or (),
            stdout=_text(self.stdout),
            exit_statuses=self.exit_statuses.data or (),
            on_exit_status=self.on_exit_status.data,
            on_missing_output=self.on_missing_output.data,
            limits=self.limits(),
            retries=self._retries(),
            parameters=tuple(row.form.draft() for row in self.parameters),
            variables=self._variables("value"),
            secrets=self._variables("secret"),
            configurations=tuple(row.form.draft() for row in self.configurations),
            public=self.public.data,
            groups=tuple(self.groups.data or ()),
        )

    def _variables(self, kind: str) -> tuple[tuple[str, str], ...]:
        """Those that have a secret, or the others, each with that or with its value."""
        rows = [row.form for row in self.variables if bool(_text(row.form["secret"])) == (kind == "secret")]
        return tuple(
            (_text(form["name"]), _text(form[kind]) if kind == "secret" else form[kind].data or "") for form in rows
        )

    def drop_empty_rows(self) -> None:
        """A draft has the variables with a secret after the others, and so have its faults their numbers."""
        super().drop_empty_rows()
        self.variables.sort(lambda row: bool(_text(row["secret"])))

    def _retries(self) -> Retries:
        wait = self.retry_wait.data
        return Retries(
            most=self.retries.data or 0,
            on_crash=self.retry_on_crash.data,
            on_time=self.retry_on_time.data,
            exit_statuses=self.retry_exit_statuses.data or (),
            wait_seconds=NO_RETRIES.wait_seconds if wait is None else wait,
        )


def _said_of_retries(retries: Retries) -> dict[str, Any]:
    return {
        "retries": retries.most,
        "retry_on_crash": retries.on_crash,
        "retry_on_time": retries.on_time,
        "retry_exit_statuses": retries.exit_statuses,
        "retry_wait": retries.wait_seconds,
    }


def _places(rows: Rows, language: str | None) -> Iterator[str]:
    """How the code has each parameter. A command's whose flag holds VALUE takes no number."""
    pattern = _pattern(plugins("languages").get(language or ""))
    numbers = count(1)
    for row in rows:
        if "{number}" in pattern and VALUE_FLAG in (row.form.flag.data or ""):
            yield "$VALUE"
        else:
            yield _place(pattern, _text(row.form.alias) or "name", next(numbers))


def _pattern(language: Plugin | None) -> str:
    """How a language's code has a parameter, as its plug-in states it."""
    return language.constants.get("PLACE", "{name}") if language else "{name}"


def _place(pattern: str, name: str, number: int) -> str:
    word = name if WORD.fullmatch(name) else f"`{name}`"
    return pattern.replace("{number}", str(number)).replace("{name}", name).replace("{word}", word)


def _text(field: Field) -> str:
    return (field.data or "").strip()


def _language_choice(name: str) -> SelectChoice:
    plugin = plugins("languages")[name]
    place = _pattern(plugin)
    return SelectChoice(name, plugin.label, {"data-mode": plugin.constants.get("EDITOR", ""), "data-place": place})


def _backend_choice(backend: Backend, language: str | None, label: str | None) -> SelectChoice:
    serves = language in backend.languages
    return SelectChoice(backend.name, backend.name if serves else f"{backend.name} (does not serve {label})")


class Names(Words):
    """Several names in one line, with commas between: a name may hold blanks."""

    def process_formdata(self, valuelist: list[str]) -> None:
        names = valuelist[0].split(",") if valuelist else []
        self.data = tuple(name.strip() for name in names if name.strip())


JOB = "job/"  # begins the choice of a job; no name holds a /
CONDITIONS = [
    SelectChoice("", "always"),
    SelectChoice("parameter", "if a parameter is one of the values"),
    SelectChoice("exit_status_of", "if a step ended with one of the exit statuses"),
    SelectChoice("file", "if there is a file of the ending"),
    SelectChoice("no_file", "if there is no file of the ending"),
]


class StepRow(Row):
    DECIDING = ("task",)
    STAYS = "order"

    order = WholeNumber("Order", widget=NumberInput(min=1))
    task = SelectField("Task or job", validate_choice=False)
    name = StringField("Name", description="Empty: that of its task or job.")
    needs = Names("Needs", description="Steps, with commas between. Empty: by its number.")
    condition = SelectField("Runs", choices=CONDITIONS, validate_choice=False)
    condition_of = StringField("Parameter, step or ending", description="Such as fit_alpha, fit or .csv.")
    condition_is = Lines("Values", description="One a line.")

    @staticmethod
    def showing(step: jobs.StepDraft) -> dict[str, Any]:
        said = {"order": step.order, "name": step.name, "needs": step.needs}
        return {**said, "task": JOB + step.job if step.job else step.task, **_said_of_condition(step.condition or {})}

    @property
    def more(self) -> str:
        """What is said beside what runs and in which order, in a line."""
        condition = self._condition()
        known = condition and not conditions.fault(condition)
        said = [
            _text(self["name"]),
            f"needs {', '.join(self.needs.data)}" if self.needs.data else "",
            conditions.words(condition) if known else "",
        ]
        return ", ".join(each for each in said if each)

    @property
    def wrong_inside(self) -> bool:
        return any(self[name].errors for name in ("name", "needs", "condition"))

    def validate_order(self, field: Field) -> None:
        if field.data is None and not field.process_errors:
            raise ValidationError("Give the step its order number.")

    def draft(self) -> jobs.StepDraft:
        chosen = self.task.data or ""
        return jobs.StepDraft(
            self.order.data,
            "" if chosen.startswith(JOB) else chosen,
            _text(self["name"]),
            self.needs.data or None,
            self._condition(),
            chosen.removeprefix(JOB) if chosen.startswith(JOB) else "",
        )

    def _condition(self) -> dict[str, Any] | None:
        """What was filled in; whether it is a condition the service says."""
        kind, subject, values = self.condition.data, _text(self.condition_of), list(self.condition_is.data or ())
        if not kind:
            return None
        if kind in ("file", "no_file"):
            return {"file": subject, "exists": kind == "file"}
        return {kind: subject, "is": [_status(each) for each in values] if kind == "exit_status_of" else values}


def _said_of_condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    if "file" in condition:
        return {"condition": "file" if condition["exists"] else "no_file", "condition_of": condition["file"]}
    kind = next((name for name in ("parameter", "exit_status_of") if name in condition), "")
    values = [str(each) for each in condition.get("is", ())]
    return {"condition": kind, "condition_of": condition.get(kind, ""), "condition_is": values}


def _status(text: str) -> int | str:
    try:
        return whole_number(text)
    except ValueError:
        return text


def _things(tasks: Sequence[str], others: Sequence[str]) -> list[SelectChoice]:
    """What a step can be; told apart only where there are jobs to choose from."""
    if not others:
        return [SelectChoice("", "Choose a task"), *map(SelectChoice, tasks)]
    return [
        SelectChoice("", "Choose a task or a job"),
        *(SelectChoice(name, optgroup="Tasks") for name in tasks),
        *(SelectChoice(JOB + name, name, optgroup="Jobs") for name in others),
    ]


class ValidatorRow(Row):
    DECIDING = ("name", "options", "file")

    file = StringField("File")
    name = SelectField("What it must be", validate_choice=False)
    options = StringField("Options")

    def offer(self) -> None:
        """Fill the list to choose from, each with what it says of itself; one that is gone stays until changed."""
        known = plugins("validators")
        every = [SelectChoice(each.name, each.label, {"data-hint": _about(each)}) for each in known.values()]
        chosen = self["name"].data or ""
        other = SelectChoice(chosen, f"{chosen} (not installed)" if chosen else "Choose one")
        self["name"].choices = every if chosen in known else [other, *every]

    def validate_name(self, field: Field) -> None:
        if not field.data:
            raise ValidationError("Choose what the file must be.")

    def hint(self) -> str:
        known = plugins("validators").get(self["name"].data or "")
        return _about(known) if known else ""

    def entry(self) -> str:
        """As a job keeps it: all in one line."""
        return str(validators.Entry(_text(self["name"]), _text(self["options"]), _text(self.file)))

    @staticmethod
    def showing(text: str) -> dict[str, str]:
        entry = validators.entry(text)
        return {"name": entry.name, "options": entry.options, "file": entry.field}


def _about(validator: Plugin) -> str:
    said = (validator.constants.get("HINT"), validator.constants.get("OPTIONS"))
    return " ".join(each for each in said if each)


OPEN_LINKS = [
    SelectChoice("None", "as usual: of a public job only"),
    SelectChoice("True", "to everybody who has it"),
    SelectChoice("False", "only to whom it belongs or is shared with"),
]


def _chosen_links(word: str | bool | None) -> bool | None:
    return {"True": True, "False": False}.get(str(word))


class JobForm(FormWithRows):
    """A job, as an analyst composes it."""

    name = StringField("Name", description="REST clients name the job by it.")
    description = TextAreaField("Description")
    public = BooleanField("Public", description="Everybody may run it.")
    open_links = SelectField(
        "A run’s address opens it",
        choices=OPEN_LINKS,
        coerce=_chosen_links,
        default=None,
        validate_choice=False,
        description="Who has no account finds a run by it only.",
    )
    groups = Checkboxes("Shared with", validate_choice=False, description="Accounts in these groups may run it, too.")
    enabled = BooleanField("Enabled", default=True, description="Switched off, it takes no new runs.")
    keep_days = WholeNumber("Keep results for … days", widget=NumberInput(min=1))
    validators = Rows(ValidatorRow, "Validators")
    steps = Rows(StepRow, "Steps")

    @classmethod
    def showing(cls, draft: jobs.JobDraft, number: int) -> JobForm:
        rows = [ValidatorRow.showing(each) for each in draft.validators]
        steps = [StepRow.showing(step) for step in draft.steps]
        return cls(data={**asdict(draft), "validators": rows, "steps": steps, "revision": str(number)})

    def offer(self, tasks: Sequence[str], others: Sequence[str], groups: Sequence[str]) -> None:
        """Fill the lists to choose from, after the spare rows are there."""
        self.groups.choices = groups
        self.validator_pattern = self.validators.pattern()
        for row in (*self.validators, self.validator_pattern):
            row.form.offer()
        self.pattern = self.steps.pattern()
        self.pattern.form["order"].data = self._next_order()
        for row in (*self.steps, self.pattern):
            row.form["task"].choices = _things(tasks, others)

    def add_spare_rows(self) -> None:
        """Spare steps come after the last one."""
        first = self._next_order()
        super().add_spare_rows()
        for number, row in enumerate(self.steps[-SPARE_ROWS:], first):
            row.form["order"].data = number

    def _next_order(self) -> int:
        return max((row.form["order"].data or 0 for row in self.steps if row.form.filled()), default=0) + 1

    def draft(self) -> jobs.JobDraft:
        """What was chosen, as a draft; a step that cannot be read is left out."""
        return jobs.JobDraft(
            name=_text(self.name),
            description=_text(self.description),
            public=self.public.data,
            enabled=self.enabled.data,
            keep_days=self.keep_days.data,
            validators=tuple(row.form.entry() for row in self.validators),
            steps=tuple(row.form.draft() for row in self.steps if row.form.order.data is not None),
            open_links=self.open_links.data,
            groups=tuple(self.groups.data or ()),
        )
