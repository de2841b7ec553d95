"""Files of seed tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Seed:
    """A task written by a person."""

    instruction: str
    classification: bool
    """Whether its output is one of a few labels."""
    input: str
    """The input; "" if there is none."""
    output: str


def read_seeds(path: Path) -> tuple[Seed, ...]:
    """Read the seed tasks in a file of JSON Lines.

    A line is ``{"instruction", "input", "output"}`` (``input`` and ``is_classification`` are optional), or in the
    format of Self-Instruct's own file, with ``instances``. Raises MftError as ``PATH:LINE: what is wrong``.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise mftkit.MftError(f"seeds: {path} cannot be read: {error}") from error
    seeds = tuple(_seed(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    if not seeds:
        raise mftkit.MftError(f"seeds: {path} contains no seed tasks")
    return seeds


def _seed(line: str, where: str) -> Seed:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise mftkit.MftError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise mftkit.MftError(f"{where}: a seed task must be a JSON object")
    instances = row.get("instances")
    instance = instances[0] if isinstance(instances, list) and instances else row
    found = {"instruction": row.get("instruction"), "output": None, "input": ""}
    if isinstance(instance, dict):
        found |= {"output": instance.get("output"), "input": instance.get("input") or ""}
    for key, value in found.items():
        if not isinstance(value, str) or (key != "input" and not value.strip()):
            raise mftkit.MftError(f"{where}: '{key}' is missing or not a string")
    classification = row.get("is_classification", False)
    if not isinstance(classification, bool):
        raise mftkit.MftError(f"{where}: 'is_classification' must be true or false")
    texts = {key: str(value).strip() for key, value in found.items()}
    return Seed(texts["instruction"], classification, texts["input"], texts["output"])
