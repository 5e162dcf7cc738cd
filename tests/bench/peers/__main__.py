"""python -m peers NAME: one peer as a program, which hears and answers JSON, a line each, until its input ends.

The first line is its place; every other names a row and a count. An answer holds `seconds` and `count`, or `failure`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from .works import Place


def main(name: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    answers = _answers()
    peer = importlib.import_module(f"peers.{name}")
    for line in sys.stdin:
        answers.write(json.dumps(_answer(peer, json.loads(line))) + "\n")
        answers.flush()


def _answers() -> TextIO:
    """Standard output is for answers alone: what a peer prints goes to its log, the standard error."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def _answer(peer: Any, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if "directory" in asked:
            peer.ready(Place(**asked | {"directory": Path(asked["directory"])}))
            return {}
        count = min(asked["count"], getattr(peer, "FEWER", {}).get(asked["row"], asked["count"]))
        return {"seconds": peer.run(asked["row"], count), "count": count}
    except Exception:  # noqa: BLE001 - whatever it is, the bench tells it
        return {"failure": traceback.format_exc()}


if __name__ == "__main__":
    main(sys.argv[1])
