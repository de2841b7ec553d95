"""metrics.jsonl: what a run measured."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import disk_errors, write_text

if TYPE_CHECKING:
    from pathlib import Path


class MetricsFile:
    """metrics.jsonl: one JSON object a line, appended and flushed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; numbers that are not finite are written as null."""
        text = json.dumps(_finite(line), ensure_ascii=False, allow_nan=False)
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All lines that are whole; one cut off by a kill, or damaged, is left out."""
        if not self.path.exists():
            return []
        lines = []
        for text in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if (
                isinstance(line, dict)
                and isinstance(line.get("event"), str)
                and isinstance(line.get("step"), int)
            ):
                lines.append(line)
        return lines

    def cut(self, step: int) -> None:
        """Drop lines past ``step``, and earlier ends: a resumed run writes them again."""
        kept = [line for line in self.read() if line.get("step", 0) <= step and line.get("event") != "end"]
        write_text(self.path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
