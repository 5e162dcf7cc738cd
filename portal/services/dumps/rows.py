"""A dump as rows. What a file's tags name is never made; a scalar without quotes keeps the text that was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from portal.domain.errors import Invalid
from portal.services import safe_yaml

LARGEST = 10_000_000
LARGEST_NUMBER = 2**31 - 1
MOST_ROWS = 20_000
UNQUOTED = ("bool", "int", "float", "timestamp")
APP = "analytics_automated."


@dataclass(frozen=True)
class Unquoted:
    """A scalar that is read as something else than text: what it is read as, and what stands in the file."""

    value: Any
    written: str


@dataclass(frozen=True)
class Nested:
    """In place of a value that has lists or mappings inside."""


NESTED = Nested()


@dataclass(frozen=True)
class Row:
    """One row of a dump. Accounts have no pk."""

    model: str
    pk: str | None
    fields: dict[str, Any]

    def __hash__(self) -> int:
        return hash((self.model, self.pk))

    @property
    def kind(self) -> str:
        """'task' for a task of the first system; other applications keep their names."""
        return self.model.removeprefix(APP)

    @property
    def label(self) -> str:
        """What a person knows the row by."""
        name = self.fields.get("name")
        return f"{self.kind} {name}" if isinstance(name, str) and name else f"{self.kind} {self.pk}"

    @property
    def place(self) -> int:
        """Rows of a model stand in the order of their pks, as in its lists."""
        return int(self.pk) if self.pk is not None and self.pk.isdecimal() and len(self.pk) < 20 else 0


class _Reader(safe_yaml.Plain):
    """The safe reader, which notes what it took for a number, a date or a truth value, and merges nothing."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Mappings merged into mappings can grow without end; no dump has them."""


def _noting(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Unquoted]:
    return lambda loader, node: Unquoted(construct(loader, node), str(node.value))


for _tag in (f"tag:yaml.org,2002:{name}" for name in UNQUOTED):
    _Reader.add_constructor(_tag, _noting(safe_yaml.Plain.yaml_constructors[_tag]))
_Reader.add_constructor("tag:yaml.org,2002:value", yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:str"])


def decoded(content: bytes, name: str) -> str:
    """A file's text, whatever marks its beginning and its lines. Raises Invalid."""
    if len(content) > LARGEST:
        raise Invalid(file=f"{name} is larger than {LARGEST // 10**6} MB: a configuration is not.")
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(file=f"{name} is not UTF-8 text.") from None


def is_dump(text: str) -> bool:
    """Whether a file is a list of rows, as a dump is, and no mapping, as a configuration of this portal."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line != "---" and line[0] not in "#%"), "")
    return first.startswith(("[", "-", "<"))


def rows_of(text: str, name: str) -> list[Row]:
    """The rows of a dump, in its order. Raises Invalid for what is none, or cannot be read safely."""
    if text.lstrip().startswith("<"):
        raise Invalid(file=f"{name} is XML: dump the configuration as YAML or JSON.")
    try:
        document = _json(text) if text.lstrip().startswith("[") else _yaml(text)
    except safe_yaml.UNREADABLE as wrong:
        raise Invalid(file=f"{name} cannot be read: {safe_yaml.reason(wrong)}") from None
    if not isinstance(document, list):
        raise Invalid(file=f"{name} is neither a dump of the first system nor a configuration of this portal.")
    if len(document) > MOST_ROWS:
        raise Invalid(file=f"{name} has more than {MOST_ROWS} rows: a configuration has not.")
    return list(_rows(document, name))


def _json(text: str) -> Any:
    """What looks like JSON may be YAML in flow style."""
    try:
        return json.loads(
            text,
            parse_float=lambda written: Unquoted(float(written), written),
            parse_int=lambda written: Unquoted(int(written), written),
            object_pairs_hook=_mapping,
        )
    except json.JSONDecodeError:
        return _yaml(text)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a name that stands twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:40]} is named twice in one object: take one out.")
        found[name] = value
    return found


def _yaml(text: str) -> Any:
    return safe_yaml.read(text, _Reader)


def _rows(document: list[Any], name: str) -> Iterator[Row]:
    for number, entry in enumerate(document, 1):
        if not _is_row(entry):
            raise Invalid(file=f"{name}: row {number} is not of the form model, pk, fields.")
        fields = {field: _shallow(value) for field, value in entry["fields"].items()}
        yield Row(entry["model"].lower(), _pk(entry.get("pk")), fields)


def _shallow(value: Any) -> Any:
    """A field without what is inside lists of lists: nobody asks for it, and references make it grow without end."""
    if isinstance(value, list) and not any(
        isinstance(each, Collection) and not isinstance(each, str) for each in value
    ):
        return value
    return NESTED if isinstance(value, Collection) and value and not isinstance(value, str) else value


def _is_row(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        return False
    fields = entry.get("fields")
    return isinstance(fields, dict) and all(isinstance(each, str) for each in fields) and _pk(entry.get("pk")) != ""


def _pk(value: Any) -> str | None:
    """A row's key as text; '' for what can be none."""
    plain = value.value if isinstance(value, Unquoted) else value
    return None if plain is None else str(plain) if isinstance(plain, str | int) else ""


def written(value: Any) -> tuple[str | None, str]:
    """A field's value as text, and what to say when the first system does not take it for what was written."""
    if value is None or isinstance(value, str):
        return value, ""
    plain = value.value if isinstance(value, Unquoted) else value
    source = value.written if isinstance(value, Unquoted) else str(value).lower()
    if not isinstance(plain, bool | int | float) and not isinstance(value, Unquoted):
        raise ValueError("is not text")
    if isinstance(plain, int) and not isinstance(plain, bool) and str(plain) != source:
        return source, f"{source} without quotes is the number {plain} in YAML: it is kept as it was written."
    if isinstance(plain, bool) or str(plain) != source:
        return str(plain), f"{source} without quotes is read as {plain}: write it in quotes if it is meant otherwise."
    return str(plain), ""


def number(value: Any) -> int | None:
    """A field's value as a whole number, as large as the first system can hold one. Raises ValueError."""
    plain = value.value if isinstance(value, Unquoted) else value
    if plain is None or plain == "":
        return None
    try:
        if isinstance(plain, float) and not plain.is_integer():
            raise ValueError
        found = int(plain)
        if not -LARGEST_NUMBER - 1 <= found <= LARGEST_NUMBER:
            raise ValueError
        return found
    except (TypeError, ValueError, OverflowError):
        raise ValueError("is not a whole number of at most 32 bits") from None


def truth(value: Any, default: bool) -> bool:
    """A field's value as true or false. Raises ValueError."""
    plain = value.value if isinstance(value, Unquoted) else value
    if plain is None:
        return default
    if str(plain).lower() in ("true", "1"):
        return True
    if str(plain).lower() in ("false", "0"):
        return False
    raise ValueError("is neither true nor false")


def empty(value: Any) -> bool:
    plain = value.value if isinstance(value, Unquoted) else value
    return plain is None or plain is False or plain in ("", [], {})
