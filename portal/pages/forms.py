"""The forms of the portal: the only place that knows the names of form fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from flask_wtf import FlaskForm
from flask_wtf.file import FileRequired, MultipleFileField
from wtforms import (
    BooleanField,
    Field,
    FieldList,
    FormField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, Length
from wtforms.widgets import CheckboxInput, ListWidget

from portal.domain.errors import Invalid
from portal.domain.levels import LEVELS, words
from portal.domain.limits import NAMES, TITLES, USUAL, Limits, measure
from portal.domain.plugins import plugins
from portal.domain.sizes import Measure
from portal.models import Backend
from portal.services.backends import BackendDraft


def blame(form: Any, wrong: Invalid) -> None:
    """Put each sentence of a refusal beside its field; what has no field here goes to the top of the form."""
    fields = {field.name: field for field in _every_field(form)}
    for name, sentence in wrong.fields.items():
        if name in fields:
            fields[name].errors = [*fields[name].errors, sentence]
        else:
            form.form_errors.append(sentence)


def _every_field(fields: Any) -> Iterator[Field]:
    for field in fields:
        yield field
        if isinstance(field, FieldList | FormField):
            yield from _every_field(field)


class SignInForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give your name.")], render_kw={"autocomplete": "username"})
    password = PasswordField(
        "Password", [DataRequired("Give your password.")], render_kw={"autocomplete": "current-password"}
    )


class Checkboxes(SelectMultipleField):
    """Several of a few choices, each with a box of its own."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class Amount(StringField):
    """A time, a size or a number, as people write it, or nothing; what was typed stays."""

    def __init__(self, label: str, measure: Measure, **options: Any) -> None:
        super().__init__(label, **options)
        self.measure = measure

    def _value(self) -> str:
        return self.raw_data[0] if self.raw_data else "" if self.data is None else self.measure.words(self.data)

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = None
        if valuelist and (text := valuelist[0].strip()):
            self.data = self.measure.read(text)


def limit(name: str) -> Amount:
    return Amount(TITLES[name], measure(name), render_kw={"spellcheck": "false"})


class LimitsForm(FlaskForm):
    """The six limits, each by its own name."""

    wall_seconds = limit("wall_seconds")
    cpu_seconds = limit("cpu_seconds")
    memory_bytes = limit("memory_bytes")
    output_bytes = limit("output_bytes")
    files = limit("files")
    log_bytes = limit("log_bytes")

    def limit_fields(self) -> list[Field]:
        return [self[name] for name in NAMES]

    def limits(self, prefix: str = "") -> Limits:
        return Limits(**{name: self[f"{prefix}{name}"].data for name in NAMES})


class BackendForm(LimitsForm):
    name = StringField(
        "Name",
        [DataRequired("Give the backend a name."), Length(max=80, message="Use at most 80 characters.")],
        description="What analysts choose it by.",
    )
    runner = SelectField("Runner", description="How runs are started there.")
    queue = StringField(
        "Queue",
        [DataRequired("Name the queue that its workers listen on."), Length(max=80)],
        description="The workers that serve it listen on this name.",
    )
    languages = Checkboxes("Languages")
    root_directory = StringField(
        "Root directory",
        [Length(max=500, message="Use at most 500 characters.")],
        description="Where each run gets its own directory; empty for the portal's own.",
        render_kw={"spellcheck": "false"},
    )
    most_wall_seconds = limit("wall_seconds")
    most_cpu_seconds = limit("cpu_seconds")
    most_memory_bytes = limit("memory_bytes")
    most_output_bytes = limit("output_bytes")
    most_files = limit("files")
    most_log_bytes = limit("log_bytes")
    options = TextAreaField(
        "Options of the runner",
        description="One a line, as name=value.",
        render_kw={"rows": 4, "spellcheck": "false", "data-mode": "plain"},
    )
    network = BooleanField(
        "Runs reach the network",
        description="Otherwise they have none. With it they also reach what listens on the worker's own machine.",
    )
    minimum_level = SelectField(
        "Least confinement",
        default="",
        choices=[("", "As the settings say"), *((str(level), words(level)) for level in LEVELS)],
        description="Workers that confine runs less take none of this backend.",
    )
    enabled = BooleanField("Takes new runs", default=True)

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        self.runner.choices = list(_runners(values.get("data")).items())
        self.languages.choices = [(plugin.name, plugin.label) for plugin in plugins("languages").values()]

    @classmethod
    def of(cls, backend: Backend | None) -> BackendForm:
        """The form of a request, over what the backend says now; a new one starts with what is usual."""
        return cls(data=_said(backend) if backend else asdict(USUAL))

    def limit_rows(self) -> list[tuple[Field, Field]]:
        """Each limit with its ceiling."""
        return [(self[name], self[f"most_{name}"]) for name in NAMES]

    def draft(self) -> BackendDraft:
        """What was filled in. Raises Invalid for options that are not lines of name=value."""
        return BackendDraft(
            name=self.name.data.strip(),
            runner=self.runner.data,
            queue=self.queue.data.strip(),
            languages=tuple(self.languages.data),
            root_directory=(self.root_directory.data or "").strip(),
            limits=self.limits(),
            ceilings=self.limits("most_"),
            options=_options(self.options.data or ""),
            enabled=self.enabled.data,
            network=self.network.data,
            minimum_level=int(self.minimum_level.data) if self.minimum_level.data else None,
        )


def _runners(said: dict[str, Any] | None) -> dict[str, str]:
    """The installed runners; and the backend's own, which it may keep."""
    own = (said or {}).get("runner")
    installed = {plugin.name: plugin.label for plugin in plugins("runners").values()}
    return {own: f"{own} (not installed)", **installed} if own else installed


class ImportForm(FlaskForm):
    files = MultipleFileField(
        "Dumps",
        [FileRequired("Choose one file or several.")],
        description="YAML or JSON, up to 10 MB; a dump may be in several files.",
        render_kw={"accept": ".yaml,.yml,.json"},
    )
    replace = BooleanField(
        "Replace tasks and jobs of the same name",
        description="By a new revision; what runs now is not touched. Otherwise such a file is refused.",
    )


def _said(backend: Backend) -> dict[str, Any]:
    same = ("name", "runner", "queue", "languages", "root_directory", "enabled", "network")
    options = "\n".join(f"{name}={value}" for name, value in backend.options.items())
    limits, ceilings = asdict(Limits.of(backend.limits)), asdict(Limits.of(backend.ceilings))
    most = {f"most_{name}": value for name, value in ceilings.items()}
    chosen = {"options": options, "minimum_level": str(backend.minimum_level or "")}
    return {name: getattr(backend, name) for name in same} | chosen | limits | most


def _options(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if not line.partition("=")[1]:
            raise Invalid(options=f"Options: “{line[:40]}” is not of the form name=value.")
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
