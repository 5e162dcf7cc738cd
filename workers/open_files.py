"""The first system's I1, I2 ... and O1, O2 ...: files that its code finds open.

Only those that the code names are opened. An input is read as text if it is UTF-8 without NUL, else as bytes.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from portal.domain.work import Work

NAME = re.compile(r"\b[IO][1-9][0-9]*\b", re.ASCII)
BLOCK = 1 << 20
TEXT, BYTES, OUTPUT = "text file", "binary file", "output"


def names_inputs(work: Work) -> bool:
    return any(name.startswith("I") for name in NAME.findall(work.code))


def named(work: Work, space: Path) -> dict[str, tuple[str, str]]:
    """Those of them that the code names: each with its file, and whether it is TEXT, BYTES or an OUTPUT."""
    spoken = set(NAME.findall(work.code))
    directory = space / "tmp" / work.identity
    found = {}
    for number, ending in enumerate(work.inputs, 1):
        file = directory / work.file(ending)
        if f"I{number}" in spoken and file.exists():
            found[f"I{number}"] = (file.name, TEXT if _is_text(file) else BYTES)
    for number, ending in enumerate(work.outputs, 1):
        if f"O{number}" in spoken:
            found[f"O{number}"] = (work.output(ending), OUTPUT)
    return found


def _is_text(file: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                if "\0" in decoder.decode(block):
                    return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
