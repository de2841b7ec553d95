"""The verdicts on rows that a comparison's models were evaluated on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mftkit.interfaces.evaluator import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject

RowVerdicts = dict[str, list[Verdict]]
"""By the id of a row, one verdict per answer."""


def read_verdicts(directory: Path, task: str) -> dict[str, RowVerdicts]:
    """The verdicts of each evaluator in TASK.jsonl of an evaluation; empty if it is not there or damaged."""
    found: dict[str, RowVerdicts] = {}
    try:
        # Not splitlines(): texts may hold other line ends, such as U+2028, as they are.
        lines = (directory / f"{task}.jsonl").read_text(encoding="utf-8").split("\n")
        for line in filter(None, lines):
            row = json.loads(line)
            for evaluator, verdicts in row["verdicts"].items():
                found.setdefault(evaluator, {})[str(row["id"])] = [_verdict(each) for each in verdicts]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found


def _verdict(given: JsonObject) -> Verdict:
    more = {key: value for key, value in given.items() if key not in ("scores", "passed", "note")}
    return Verdict(given["scores"], given["passed"], given.get("note", ""), more)


def shared_rows(each: Sequence[RowVerdicts]) -> list[str]:
    """The ids that all have, in the order of the first."""
    return [name for name in each[0] if all(name in other for other in each[1:])]
