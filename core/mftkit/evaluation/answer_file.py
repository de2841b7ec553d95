"""Answers on disk, appended as they are generated, so that an evaluation that was stopped continues."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mftkit.generation.batched import Generated

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.evaluation.prompts import EncodedPrompt
    from mftkit.generation.sampling import Sampling


class AnswerFile:
    """Answers by key, in a file of JSON lines. A last line that was cut off is left out."""

    def __init__(self, path: Path, weights: str) -> None:
        """``weights`` identify the model: answers of another one are not found."""
        self._path = path
        self._weights = weights
        self._known = dict(_read(path)) if path.is_file() else {}
        self._is_cut_off = path.is_file() and not path.read_bytes().endswith(b"\n")

    def key(self, prompt: EncodedPrompt, name: str, sampling: Sampling) -> str:
        """What an answer depends on."""
        parts = [
            self._weights,
            list(prompt.ids),
            sorted(prompt.stops.ids),
            prompt.stops.texts,
            name,
            *sampling,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Generated:
        return self._known[key]

    def add(self, key: str, answer: Generated) -> None:
        """Keep an answer."""
        self._known[key] = answer
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            start = "\n" if self._is_cut_off else ""
            file.write(start + json.dumps({"key": key, **vars(answer)}, ensure_ascii=False) + "\n")
        self._is_cut_off = False


def _read(path: Path) -> list[tuple[str, Generated]]:
    found = []
    for line in path.read_bytes().split(b"\n"):  # a kill may cut a character in two
        try:
            value = json.loads(line)
            found.append((value.pop("key"), Generated(**value)))
        except (ValueError, KeyError, TypeError, AttributeError):  # cut off by a kill: it is generated again
            continue
    return found
