"""The REST contract as its clients use it: through curl."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import eventually

FINAL = ("Complete", "Error", "Crash")


@dataclass(frozen=True)
class Client:
    url: str

    def curl(self, *words: str) -> bytes:
        return subprocess.run(["curl", "-sS", *words], check=True, capture_output=True).stdout

    def post(self, file: Path, **fields: str) -> dict[str, Any]:
        """Submit a file, and give the answer."""
        words = [word for name, value in fields.items() for word in ("--form-string", f"{name}={value}")]
        path = f"{self.url}/analytics_automated/submission.json"
        answer: dict[str, Any] = json.loads(self.curl(*words, "-F", f"input_data=@{file}", path))
        return answer

    def get(self, path: str) -> Any:
        return json.loads(self.curl(f"{self.url}/analytics_automated/{path}"))

    def fetch(self, path: str) -> bytes:
        return self.curl("-f", f"{self.url}{path}")

    def ended(self, batch: str, seconds: float = 120) -> dict[str, Any]:
        """The batch once it has ended."""

        def batch_if_ended() -> dict[str, Any] | None:
            told: dict[str, Any] = self.get(f"submission/{batch}.json")
            return told if all(each["state"] in FINAL for each in told["submissions"]) else None

        found = eventually(batch_if_ended, seconds)
        assert isinstance(found, dict)
        return found

    def download(self, submission: dict[str, Any], ending: str, directory: Path) -> Path:
        """The submission's result with this ending, as a file."""
        [path] = [each["data_path"] for each in submission["results"] if each["data_path"].endswith(ending)]
        target = directory / path.rpartition("/")[2]
        target.write_bytes(self.fetch(path))
        return target
