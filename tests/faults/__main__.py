"""python -m tests.faults N=30 SEED=1 [DATABASES=sqlite,postgresql] [KINDS="stop,web killed"]
[JOBS=quick,long,several] [LEAST=200] [BACKLOG=45] [PATIENCE=240]

Makes N faults, shared between the databases, and prints what the checker found: 0 is the only good status.
"""

from __future__ import annotations

import logging
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tests.faults import figures
from tests.faults.campaign import Campaign, Report, Wish
from tests.faults.checker import ANY, Harm, kinds_of
from tests.faults.faults import BOTH, KINDS
from tests.faults.rig import own_mounts

MOST_TOLD = 60
KNOWN = frozenset({"N", "SEED", "DATABASES", "KINDS", "JOBS", "LEAST", "BACKLOG", "PATIENCE"})


def _wish(words: Sequence[str]) -> Wish:
    given = dict(word.partition("=")[::2] for word in words)
    kinds = _list(given.get("KINDS", ""))
    if given.keys() - KNOWN or not set(kinds) <= KINDS.keys():
        raise click.ClickException(f"{__doc__}\nThe kinds are: {', '.join(KINDS)}")
    usual = Wish()
    return Wish(
        int(given.get("N") or usual.faults),
        int(given.get("SEED") or usual.seed),
        _list(given.get("DATABASES", "")) or BOTH,
        kinds,
        _list(given.get("JOBS", "")),
        int(given.get("LEAST") or usual.least),
        int(given.get("BACKLOG") or usual.backlog),
        float(given.get("PATIENCE") or usual.patience),
    )


def _list(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def main(words: Sequence[str]) -> int:
    try:
        wish = _wish(words)
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not own_mounts():
        click.echo("No mount is permitted here: full disks are left out.")
    directory = Path(tempfile.mkdtemp(prefix="portal-faults-"))
    directory.chmod(0o755)
    try:
        reports = list(_reports(wish, directory))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    click.echo(_told(reports))
    harmed = any(report.findings for report in reports)
    if harmed:
        click.echo(f"The logs, the database and the journal are kept in {directory}.")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return int(harmed)


def _reports(wish: Wish, directory: Path) -> Iterator[Report]:
    number, rest = divmod(wish.faults, len(wish.databases))
    for at, database in enumerate(wish.databases):
        place = directory / database
        place.mkdir()
        yield Campaign(database, place, number + (at < rest), wish).run()


def _told(reports: Sequence[Report]) -> str:
    return "\n".join([*_findings(reports), "", *_table(reports), "", *_figures(reports), "", _sum(reports)])


def _findings(reports: Sequence[Report]) -> Iterator[str]:
    for report in reports:
        for finding in report.findings[:MOST_TOLD]:
            kinds = ", ".join(kinds_of(finding, report.journal))
            yield f"{report.database} {finding.invariant} {finding.harm} [{kinds}]: {finding.text}"
        if len(report.findings) > MOST_TOLD:
            yield f"{report.database}: and {len(report.findings) - MOST_TOLD} more"


def _table(reports: Sequence[Report]) -> Iterator[str]:
    tried = Counter(each.kind for report in reports for each in report.journal.faults if each.hit)
    harm: Counter[tuple[str, Harm]] = Counter(
        (kind, finding.harm)
        for report in reports
        for finding in report.findings
        for kind in kinds_of(finding, report.journal)
    )
    yield f"{'fault':32}{'times':>7}" + "".join(f"{each:>9}" for each in Harm)
    asked = {each.kind for report in reports for each in report.journal.faults}
    for kind in [*sorted(asked), ANY]:
        yield f"{kind:32}{tried[kind]:7}" + "".join(f"{harm[kind, each]:9}" for each in Harm)


def _figures(reports: Sequence[Report]) -> Iterator[str]:
    yield f"{'p95':36}" + "".join(f"{report.database:>24}" for report in reports)
    for name in figures.FIGURES:
        yield f"{name:36}" + "".join(f"{figures.p95(report.figures[name]):>24}" for report in reports)


def _sum(reports: Sequence[Report]) -> str:
    faults = sum(each.hit for report in reports for each in report.journal.faults)
    submissions = sum(report.submissions for report in reports)
    harm = Counter(finding.harm for report in reports for finding in report.findings)
    return f"{faults} faults over {submissions} submissions: " + ", ".join(f"{harm[each]} {each}" for each in Harm)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
