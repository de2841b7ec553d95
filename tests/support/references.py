"""Problems in HumanEval's format: two of our own, and HumanEval where it lies beside the project."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

SHARED = Path(os.environ.get("MFT_SHARED") or Path(__file__).parents[2].parent / "shared")
HUMANEVAL = SHARED / "data" / "humaneval" / "HumanEval.jsonl.gz"

PROBLEM = {
    "task_id": "Own/0",
    "prompt": 'from typing import List\n\n\ndef spread(levels: List[float], step: float) -> int:\n    """ Count how many of the water levels lie further than a step from the level right before them,\n    the first one being left out.\n    >>> spread([1.0, 2.0, 5.0], 1.5)\n    1\n    """\n',
    "canonical_solution": "    count = 0\n    for earlier, later in zip(levels, levels[1:]):\n        if abs(later - earlier) > step:\n            count += 1\n    return count\n",
}
OTHER = {
    "task_id": "Own/1",
    "prompt": 'def fold(text: str, width: int) -> list:\n    """ Cut a text into lines of at most width characters, never within a word, and give them as a list.\n    """\n',
    "canonical_solution": "    lines = ['']\n    for word in text.split():\n        longer = f'{lines[-1]} {word}'.strip()\n        if len(longer) <= width:\n            lines[-1] = longer\n        else:\n            lines.append(word)\n    return lines\n",
}


def humaneval() -> list[dict[str, str]]:
    """HumanEval's 164 problems; none where it is not there."""
    if not HUMANEVAL.exists():
        return []
    return [json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()]
