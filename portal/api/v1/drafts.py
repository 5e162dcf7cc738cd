"""The bodies that make and change things: the services' own drafts, field by field, and the few that are only ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from pydantic import Field as Described

from portal.domain.drafts import TaskDraft
from portal.services.jobs import JobDraft
from portal.services.tokens import TokenDraft

Draft = TypeVar("Draft")

STAGE = re.compile(r"[0-9]{1,6}", re.ASCII)
STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def body_of(name: str, draft: type[Any]) -> type[BaseModel]:
    """A strict model with the fields of a draft, so that a field that it gains is one of ours too."""
    hints = get_type_hints(draft)
    members: dict[str, Any] = {each.name: (hints[each.name], _default(each)) for each in fields(draft)}
    return create_model(name, __config__=STRICT, __doc__=draft.__doc__, **members)


def draft_of(body: BaseModel, draft: Callable[..., Draft]) -> Draft:
    return draft(**{name: getattr(body, name) for name in type(body).model_fields})


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return Described(default_factory=field.default_factory)
    return ... if field.default is MISSING else field.default


JobBody = body_of("JobDraft", JobDraft)
TaskBody = body_of("TaskDraft", TaskDraft)
TokenBody = body_of("TokenDraft", TokenDraft)


class Resume(BaseModel):
    """Where to go on, and whether with the tasks as they are now."""

    model_config = ConfigDict(strict=True, extra="forbid", openapi_extra={"required": False})  # type: ignore[typeddict-unknown-key]

    step: int | str | None = Described(None, description="A stage's number or a step's UUID; else what failed first.")
    current: bool = Described(False, description="With the tasks as they are now.")

    @property
    def wanted(self) -> int | str | None:
        """A stage's number, as some clients send all that a person typed, is one in quotes too."""
        return int(self.step) if isinstance(self.step, str) and STAGE.fullmatch(self.step) else self.step
