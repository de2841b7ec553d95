"""The turns of a row, and which of them a stretch of loss tokens is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.interfaces.conversation import Conversation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.interfaces.conversation import Turn
    from mftkit.interfaces.task_format import FormattedSample, RowContent


def turns_of_answers(content: RowContent, samples: Sequence[FormattedSample]) -> list[list[int | None]]:
    """Return for each sample the turn (from 1) of each stretch in the loss; None where it is no turn."""
    if not isinstance(content.value, Conversation):
        return [[None] * len(sample.stops) for sample in samples]
    turns = content.value.turns
    left = list(content.value.trained)
    found: list[list[int | None]] = []
    for sample in samples:
        numbers: list[int | None] = []
        texts = [segment.text for segment in sample.segments if segment.in_loss != "none"]
        for (kind, _stop), text in zip(sample.stops, texts, strict=False):
            fits = [
                turn
                for turn in left
                if turns[turn].kind == kind
                and turns[turn].weight == sample.weight
                and _stands_in(turns[turn], text)
            ]
            numbers.append(fits[0] + 1 if fits else None)
            left = [turn for turn in left if turn not in fits[:1]]
        found.append(numbers)
    return found


def _stands_in(turn: Turn, text: str) -> bool:
    """Return True if a text may be this turn's: a template may strip or rewrite contents, but not all of them."""
    parts = [turn.content.strip(), *(call.name for call in turn.tool_calls)]
    return any(part in text for part in parts if part) or not any(parts)
