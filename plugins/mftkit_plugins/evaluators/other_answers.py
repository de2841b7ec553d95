"""Answers of another model, from the file of verdicts of an earlier evaluation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mftkit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_answers(path: Path) -> dict[str, str]:
    """Return the first answer to each row, by the row's id, of a file ``evaluations/step-N/TASK.jsonl``.

    Where evaluators asked the same row in different forms, the first form counts. Raises MftError.
    """
    found: dict[str, str] = {}
    for number, row in _rows(path):
        answers = row.get("answers") if isinstance(row, dict) else None
        if not isinstance(answers, list) or not isinstance(row.get("id"), str):
            raise mftkit.MftError(
                f'judge: {path}:{number} is no row of an evaluation: it needs "id" and "answers"; give a file '
                "TASK.jsonl that mft evaluate or a run wrote"
            )
        for answer in answers[:1]:
            text = answer.get("text") if isinstance(answer, dict) else answer
            if isinstance(text, str):
                found.setdefault(row["id"], text)
    return found


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, json.loads(line)
    except (OSError, ValueError) as error:
        raise mftkit.MftError(f"judge: {path} cannot be read: {error}; correct the option against") from error
