"""Tokens of samples, ready to be shown."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from mftkit.data.text.control_tokens import added_tokens, any_of
from mftkit.data.text.token_texts import TokenTexts
from mftkit.tools.data_show.view import ShownToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.token_texts import TokenText


class TokenReader:
    """Makes tokens ready to be shown."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._texts = TokenTexts(tokenizer)
        self._look_alikes = any_of(added_tokens(tokenizer))

    def tokens(self, ids: NDArray[np.int32], loss_mask: NDArray[np.bool_]) -> tuple[ShownToken, ...]:
        """Return the tokens of a sample [n] with their texts; ``loss_mask`` [n] is True for loss tokens."""
        borders = set((np.flatnonzero(loss_mask[1:] != loss_mask[:-1]) + 1).tolist())
        units = self._texts.split(ids.tolist(), borders)
        marks = self._marks(units)
        return tuple(
            ShownToken(
                unit.ids,
                unit.text,
                unit.added,
                bool(loss_mask[unit.start]),
                tuple(marks.get(number, ())),
            )
            for number, unit in enumerate(units)
        )

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens."""
        return "".join(unit.text for unit in self._texts.split(ids))

    def _marks(self, units: Sequence[TokenText]) -> dict[int, list[int]]:
        """Return where ordinary tokens spell the text of an added one: unit to places in its text."""
        text = "".join("\0" if unit.added else unit.text for unit in units)
        starts = [
            0,
            *accumulate(1 if unit.added else len(unit.text) for unit in units),
        ]
        marks: dict[int, list[int]] = {}
        for found in self._look_alikes.finditer(text):
            number = bisect_right(starts, found.start()) - 1
            marks.setdefault(number, []).append(found.start() - starts[number])
        return marks
