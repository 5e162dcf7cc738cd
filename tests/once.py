"""What is the same for every application of the tests is worked out once: templates, addresses, statements.

Nor do the tests' own databases wait for the disk: they need not outlive the machine's power.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

MANY = 5000


class Templates(BytecodeCache):
    """Templates as they were compiled for the first application."""

    def __init__(self) -> None:
        self._codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._codes.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.bytecode_to_string()


class Address(Rule):
    """A rule whose builder was compiled for the first application: it asks the rule itself for its converters."""

    builders: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}  # noqa: RUF012 - shared by all

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (self.rule, tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in self.builders:
            self.builders[key] = super()._compile_builder(append_unknown)
        return self.builders[key]


templates = Templates()
statements: LRUCache[Any, Any] = LRUCache(MANY)


def work_out_once() -> None:
    """Let this process's applications and engines share what would be the same for each of them."""
    Flask.url_rule_class = Address
    SQLiteDialect.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign,assignment]
    SQLiteDialect.__hash__ = lambda one: hash(type(one))  # type: ignore[method-assign,assignment]
    event.listen(Engine, "engine_connect", _share_statements)
    event.listen(Engine, "connect", _do_not_wait_for_the_disk)


def _share_statements(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execution_options(compiled_cache=statements)


def _do_not_wait_for_the_disk(connection: Any, record: object) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous=OFF")


def leave_alone_what_stays() -> None:
    """The modules and tests live to the end: looking for garbage among them, again and again, finds none."""
    gc.collect()
    gc.freeze()
