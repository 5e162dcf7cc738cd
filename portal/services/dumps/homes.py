"""Where imported tasks run: the first system's backends and their queues, as backends of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portal.domain.limits import USUAL
from portal.services.backends import BackendDraft
from portal.services.dumps.catalogue import Catalogue
from portal.services.dumps.report import Group, Report
from portal.services.dumps.rows import Row
from portal.services.dumps.vocabulary import BEHAVIOURS, USUAL_ROOT, Behaviour

NOT_IN_A_QUEUE = re.compile(r"[^A-Za-z0-9_-]")
NOWHERE = BackendDraft("unassigned", "local", "localhost", ("command",), enabled=False)


@dataclass
class Homes:
    """The backends of a dump."""

    catalogue: Catalogue
    report: Report

    def draft(self, row: Row) -> BackendDraft:
        name, behaviour = self.catalogue.name(row), self._behaviour(row)
        known = behaviour or BEHAVIOURS[1]
        if behaviour is None:
            self.report.change(
                row.label, "it has no queue: it is switched off until somebody gives it one and allows it."
            )
        root = self.catalogue.text(row, "root_path")
        return BackendDraft(
            name=name,
            runner=known.runner,
            queue=self._queue(row, known),
            languages=(known.language,),
            root_directory="" if root == USUAL_ROOT else root,
            limits=USUAL,
            enabled=behaviour is not None,
        )

    def _behaviour(self, backend: Row) -> Behaviour | None:
        queue = self.catalogue.find(backend, "queue_type", "queuetype")
        source, name = (queue, "execution_behaviour") if queue else (backend, "server_type")
        number = self.catalogue.number(source, name)
        if number is not None and number not in BEHAVIOURS:
            self.report.refuse(source.label, f"{name} {number} is unknown; known are 1 to {len(BEHAVIOURS)}.")
        return BEHAVIOURS.get(number or 0)

    def _queue(self, backend: Row, behaviour: Behaviour) -> str:
        queue = self.catalogue.find(backend, "queue_type", "queuetype")
        name = self.catalogue.text(queue, "name") if queue else ""
        kept = NOT_IN_A_QUEUE.sub("_", name)[:80] or behaviour.queue
        if queue and kept != name:
            self.report.change(queue.label, f"its workers listen on the queue {kept}.")
        return kept

    def tell_idle_queues(self) -> None:
        used = {self.catalogue.key(row, "queue_type") for row in self.catalogue.all("backend")}
        for row in self.catalogue.all("queuetype"):
            if row.pk not in used:
                self.report.say(Group.SKIPPED, row.label, "no backend uses this queue.")

    def of(self, task: Row) -> tuple[str, str]:
        """The name of the task's backend, and the language that its queue stands for."""
        row = self.catalogue.find(task, "backend", "backend")
        if row is None:
            self.report.change(
                task.label, f"it has no backend: it is on one called {NOWHERE.name}, which is switched off."
            )
            return NOWHERE.name, BEHAVIOURS[1].language
        return self.catalogue.name(row), (self._behaviour(row) or BEHAVIOURS[1]).language
