"""The reasoning before an answer, in a separate key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.base.reasoning import split_reasoning
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.values import string

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Keys that hold it, in a turn or beside a pair."""


def reasoning_of(given: JsonObject, content: str, where: str) -> str | None:
    """Return the reasoning in a turn or row, or None. Raises BadRow for two that differ.

    ``content``: the answer, which may begin with reasoning, too. If it is the same, it is what ``Turn.content`` keeps
    for templates that do not render a key.
    """
    if given.keys().isdisjoint(REASONING_KEYS):
        return None
    found = {key: string(given[key], f"{where}'{key}'") for key in REASONING_KEYS if given.get(key)}
    if len(set(found.values())) > 1:
        raise BadRow(f"{where}{' and '.join(map(repr, found))} differ: keep one of them")
    text = next(iter(found.values()), "")
    if not text.strip():
        return None
    inline = split_reasoning(content).reasoning
    if inline and inline.strip() != text.strip():
        raise BadRow(
            f"{where}'{next(iter(found))}' differs from the reasoning in the answer itself: keep one of them"
        )
    return text
