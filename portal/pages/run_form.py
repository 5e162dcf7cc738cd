"""The form that runs a job: made from the job's parameters, named in the form as in the address."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from typing import Any, BinaryIO, cast
from uuid import uuid4

from flask import request
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, MultipleFileField
from markupsafe import Markup
from werkzeug.datastructures import FileStorage
from wtforms import BooleanField, EmailField, Field, HiddenField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.fields.core import UnboundField
from wtforms.form import BaseForm
from wtforms.widgets import CheckboxInput, DateInput, NumberInput

from portal.domain.drafts import TaskDraft
from portal.domain.errors import Invalid
from portal.domain.names import normal_ending, public_name
from portal.domain.parameters import TRUE, Kind, Rule
from portal.models import Account
from portal.pages import forms
from portal.services import jobs, submissions

VALUE_PREFIX = "p."


class RunForm(FlaskForm):
    """A job's form: the four fields of every submission, and `values`, one field a parameter.

    Each form that is shown has a `shown` of its own, so that a double click or a reload submits once.
    """

    submission_name = StringField("Name of this run", render_kw={"maxlength": 64})
    email = EmailField("E-mail", description="Where the letter goes when the run has ended.")
    input_data = MultipleFileField("Input file", render_kw={"multiple": True})
    shown = HiddenField(default=lambda: str(uuid4()))
    pasted = TextAreaField("Text", description="Counts as the input file when no file is chosen.")

    def __init__(self, fields: Sequence[jobs.Field], given: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self.values = ValuesForm(fields)
        self.values.process(self._formdata_of_values(), data=ValuesForm.starting(fields, given))

    def _formdata_of_values(self) -> Any:
        return request.form if self.is_submitted() else None

    @property
    def errors(self) -> dict[str | None, Any]:
        return {**super().errors, **self.values.errors}

    def __iter__(self) -> Iterator[Field]:
        return chain(super().__iter__(), self.values)

    def blame(self, wrong: Invalid) -> None:
        """Put each sentence beside its field; a parameter's goes to the field that bears its public name."""
        forms.blame(self, Invalid(**dict(self.values.beside(*each) for each in wrong.fields.items())))

    def tell(self, sentences: Iterable[tuple[str, str]]) -> None:
        """Add (public name, sentence) to what stands beside the parameters."""
        for name, sentence in sentences:
            if name in self.values:
                field = self.values[name]
                field.description = f"{field.description} {sentence}".strip()

    def ask_for_the_files_again(self) -> None:
        """No browser keeps a chosen file in a form that comes back."""
        again = [self.values[name] for name in self.values.files()]
        for field in [self.input_data, *again] if self._chosen else again:
            field.errors = [*field.errors, "Choose the file again."]

    def order(self, job: str, input_ending: str, account: Account | None, address: str) -> submissions.Order:
        """What was asked for."""
        return submissions.Order(
            jobs=(job,),
            name=(self.submission_name.data or "").strip(),
            email=(self.email.data or "").strip(),
            inputs=self._inputs(input_ending),
            values=self.values.texts(),
            account=account,
            address=address,
            idempotency_key=self._key(job),
            files=self.values.files(),
        )

    def _key(self, job: str) -> str | None:
        """One key for one form with one content: who goes back and changes a field asks for another run."""
        if not self.shown.data:
            return None
        names = [each.name for each in self._chosen]
        content = [job, self.shown.data, names, self.pasted.data, self.values.texts()]
        content += [self.submission_name.data, self.email.data]
        content += [[name, incoming.name] for name, incoming in self.values.files().items()]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _inputs(self, ending: str) -> tuple[submissions.Incoming, ...]:
        if self._chosen:
            return self._chosen
        if text := (self.pasted.data or "").replace("\r\n", "\n"):
            return (submissions.Incoming(f"pasted{ending}", BytesIO(text.encode("utf-8", "replace"))),)
        return ()

    @property
    def _chosen(self) -> tuple[submissions.Incoming, ...]:
        """The input files; a browser sends one without a name where none was chosen."""
        return tuple(filter(None, map(_chosen, self.input_data.data or ())))


def _chosen(file: FileStorage | None) -> submissions.Incoming | None:
    return submissions.Incoming(file.filename, cast(BinaryIO, file.stream)) if file and file.filename else None


class ValuesForm(BaseForm):
    """One field a parameter, named as its public name after 'p.', in the address as in the form."""

    def __init__(self, fields: Sequence[jobs.Field]) -> None:
        unbound = {each.name: _value_field(each, number) for number, each in enumerate(fields)}
        super().__init__(unbound, prefix=VALUE_PREFIX)

    @staticmethod
    def starting(fields: Sequence[jobs.Field], given: Mapping[str, str]) -> dict[str, str | bool]:
        """What stands in the fields at first: what the address gives, or the defaults."""
        return {each.name: _starting(each.rule, given.get(VALUE_PREFIX + each.name)) for each in fields}

    def beside(self, name: str, sentence: str) -> tuple[str, str]:
        """The field's own name, and a refusal without the public name, which its label says already."""
        if name not in self._fields:
            return name, sentence
        own = re.sub(rf"^{re.escape(name)}(: | (?=is ))", lambda found: "" if ":" in found[0] else "This ", sentence)
        return VALUE_PREFIX + name, own[:1].upper() + own[1:]

    def texts(self) -> dict[str, str]:
        """The values by public name, as REST takes them."""
        return {name: _sent(field.data) for name, field in self._fields.items() if not isinstance(field, FileField)}

    def files(self) -> dict[str, submissions.Incoming]:
        """The files that were chosen, by public name."""
        fields = [name for name, field in self._fields.items() if isinstance(field, FileField)]
        found = {name: _chosen(request.files.get(VALUE_PREFIX + name)) for name in fields}
        return {name: incoming for name, incoming in found.items() if incoming}


def _starting(rule: Rule, given: str | None) -> str | bool:
    if rule.kind is Kind.FILE:
        return ""
    text = given if given is not None else rule.default or ""
    return text.lower() in TRUE if rule.kind is Kind.BOOLEAN else text


def _sent(data: str | bool | None) -> str:
    return str(data).upper() if isinstance(data, bool) else data or ""


def _value_field(field: jobs.Field, number: int) -> UnboundField:
    common: dict[str, Any] = {"label": field.label, "description": _explained(field), "id": f"value-{number}"}
    return _VALUE_FIELDS[field.rule.kind](field.rule, common)


def _explained(field: jobs.Field) -> str:
    """The parameter's help, and its bounds unless the help speaks of them."""
    spoken = set(re.findall(r"[0-9.]*[0-9]", field.help))
    bounds = "" if spoken.issuperset(_bounds_of(field.rule)) else _bounds(field.rule)
    return " ".join(part for part in (field.help, bounds, _form_of(field.rule)) if part)


def _form_of(rule: Rule) -> str:
    """What a text matches, and how a file ends, in words."""
    if rule.kind is Kind.FILE and rule.choices:
        return f"A file that ends in {' or '.join(rule.choices)}."
    return f"Of the form {rule.pattern}" if rule.pattern else ""


def _bounds_of(rule: Rule) -> list[str]:
    return [f"{bound:.15g}" for bound in (rule.minimum, rule.maximum) if bound is not None]


def _bounds(rule: Rule) -> str:
    """The allowed values, in words."""
    low, high = (f"{bound:.15g}" if bound is not None else "" for bound in (rule.minimum, rule.maximum))
    unit = " characters" if rule.kind is Kind.TEXT else ""
    if not (low or high):
        return ""
    if low and high:
        return f"From {low} to {high}{unit}."
    return f"At least {low}{unit}." if low else f"At most {high}{unit}."


def _text_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    fewest, most = rule.lengths
    lengths = {"minlength": fewest, "maxlength": most} if fewest else {"maxlength": most}
    return StringField(**common, render_kw={**lengths, **_required(rule)})


def _integer_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    return StringField(**common, widget=NumberInput(step="1"), render_kw={**_range(rule), **_required(rule)})


def _decimal_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    return StringField(**common, widget=NumberInput(step="any"), render_kw={**_range(rule), **_required(rule)})


def _range(rule: Rule) -> dict[str, str]:
    bounds = {"min": rule.minimum, "max": rule.maximum}
    return {name: f"{bound:.15g}" for name, bound in bounds.items() if bound is not None}


def _required(rule: Rule) -> dict[str, Any]:
    return {"required": True} if rule.required else {}


def _boolean_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    return BooleanField(**common, widget=_switch, false_values=("FALSE",))


def _switch(field: BooleanField, **attributes: Any) -> Markup:
    """A checkbox that says FALSE when it is off, so that a default of TRUE can be taken back."""
    off = Markup('<input type="hidden" name="{}" value="FALSE"{}>').format(field.name, _of_form(attributes))
    return CheckboxInput()(field, **{**attributes, "value": "TRUE"}) + off


def _of_form(attributes: Mapping[str, Any]) -> Markup:
    return Markup(' form="{}"').format(attributes["form"]) if "form" in attributes else Markup("")


def _choice_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    nothing = [] if rule.default is not None else [SelectChoice("", "Choose one" if rule.required else "None")]
    choices = [*nothing, *map(SelectChoice, rule.choices)]
    return SelectField(**common, choices=choices, validate_choice=False, render_kw=_required(rule))


def _date_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    return StringField(**common, widget=DateInput(), render_kw=_required(rule))


def _file_field(rule: Rule, common: dict[str, Any]) -> UnboundField:
    accepted = {"accept": ",".join(map(normal_ending, rule.choices))} if rule.choices else {}
    return FileField(**common, render_kw={**accepted, **_required(rule)})


_VALUE_FIELDS: dict[Kind, Callable[[Rule, dict[str, Any]], UnboundField]] = {
    Kind.TEXT: _text_field,
    Kind.INTEGER: _integer_field,
    Kind.DECIMAL: _decimal_field,
    Kind.BOOLEAN: _boolean_field,
    Kind.CHOICE: _choice_field,
    Kind.DATE: _date_field,
    Kind.FILE: _file_field,
}


def drawn_parameters(draft: TaskDraft) -> ValuesForm:
    """The part of a run form that a task's parameters draw."""
    fields = [
        jobs.Field(public_name(draft.name, each.alias), each.label or each.alias, each.help, each.rule, draft.name)
        for each in draft.parameters
    ]
    form = ValuesForm(fields)
    form.process(data=ValuesForm.starting(fields, {}))
    return form
