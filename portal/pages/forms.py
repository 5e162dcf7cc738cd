"""The forms of the portal: the only place that knows the names of form fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    FieldList,
    FormField,
    IntegerField,
    PasswordField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, Length, NumberRange
from wtforms.widgets import CheckboxInput, ListWidget

from portal.domain.errors import Invalid
from portal.domain.plugins import plugins
from portal.domain.work import LONGEST_WALL_SECONDS
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


class BackendForm(FlaskForm):
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
    wall_seconds = IntegerField(
        "Time limit in seconds",
        [NumberRange(1, LONGEST_WALL_SECONDS, f"Give a whole number of seconds, from 1 to {LONGEST_WALL_SECONDS:,}.")],
        description="A run that takes longer is stopped. A task may ask for less.",
        default=3600,
    )
    options = TextAreaField(
        "Options of the runner",
        description="One a line, as name=value.",
        render_kw={"rows": 4, "spellcheck": "false", "data-mode": "plain"},
    )
    enabled = BooleanField("Takes new runs", default=True)

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        self.runner.choices = [(plugin.name, plugin.label) for plugin in plugins("runners").values()]
        self.languages.choices = [(plugin.name, plugin.label) for plugin in plugins("languages").values()]

    @classmethod
    def of(cls, backend: Backend | None) -> BackendForm:
        """The form of a request, over what the backend says now."""
        return cls(data=_said(backend) if backend else None)

    def draft(self) -> BackendDraft:
        """What was filled in. Raises Invalid for options that are not lines of name=value."""
        return BackendDraft(
            name=self.name.data.strip(),
            runner=self.runner.data,
            queue=self.queue.data.strip(),
            languages=tuple(self.languages.data),
            root_directory=(self.root_directory.data or "").strip(),
            wall_seconds=self.wall_seconds.data,
            options=_options(self.options.data or ""),
            enabled=self.enabled.data,
        )


def _said(backend: Backend) -> dict[str, Any]:
    same = ("name", "runner", "queue", "languages", "root_directory", "wall_seconds", "enabled")
    options = "\n".join(f"{name}={value}" for name, value in backend.options.items())
    return {name: getattr(backend, name) for name in same} | {"options": options}


def _options(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if not line.partition("=")[1]:
            raise Invalid(options=f"Options: “{line[:40]}” is not of the form name=value.")
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
