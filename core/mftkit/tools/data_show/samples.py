"""A sample of the table, with what its row and its format say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mftkit.interfaces.conversation import Conversation
from mftkit.tools.data_show.answers import turns_of_answers
from mftkit.tools.data_show.view import Answer, SampleView, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mftkit.data.rows.files import Source
    from mftkit.data.tokens.token_cache import TableSource, TokenCache
    from mftkit.interfaces.task_format import RowContent
    from mftkit.tools.data_show.choice import ChosenRow
    from mftkit.tools.data_show.tokens import TokenReader

_CUT_SHOWN = 40
"""Tokens that are shown of what is cut off."""


@dataclass(frozen=True)
class _Text:
    """What is known of a sample beside its tokens."""

    use: str
    turns: tuple[Turn, ...] = ()
    answers: tuple[int | None, ...] = ()
    """The turn of each stretch in the loss."""
    stops: tuple[tuple[str, str], ...] = ()
    """The kind of each stretch in the loss, and the text that ends it."""


class SampleViews:
    """Makes the views of one task's samples."""

    def __init__(self, source: TableSource, cache: TokenCache, reader: TokenReader, max_length: int) -> None:
        """Prepare to show samples.

        Args:
            source: the sources of the task's table; a row is read again for its turns.
            cache: renders rows again.
            reader: makes the tokens ready to be shown.
            max_length: tokens after which a sample is cut.
        """
        self._source = source
        self._cache = cache
        self._reader = reader
        self._max_length = max_length

    def of_row(self, row: ChosenRow, use: Sequence[str]) -> list[SampleView]:
        """Return the samples of a data row; ``use`` is what the run does with each of them."""
        return [self._sample(row, number, text) for number, text in enumerate(self._texts(row, use))]

    def _texts(self, row: ChosenRow, use: Sequence[str]) -> list[_Text]:
        origin, line = row.part.table.origin(int(row.samples[0]))
        content, samples = self._cache.texts(self._source, _value(self._source.sources[origin], line))
        if len(samples) != len(
            row.samples
        ):  # only the tokens of a format's other versions of a row are known
            return [_Text(each) for each in use]
        return [
            _Text(each, _turns(content, answers), tuple(answers), sample.stops)
            for each, answers, sample in zip(use, turns_of_answers(content, samples), samples, strict=True)
        ]

    def _sample(self, row: ChosenRow, number: int, text: _Text) -> SampleView:
        table, index = row.part.table, int(row.samples[number])
        tokens, spans = table.sample(index)
        source, line = table.origin(index)
        mask = np.zeros(len(tokens), dtype=np.bool_)
        for start, end in spans.reshape(-1, 2).tolist():
            mask[start:end] = True
        limit = self._max_length
        return SampleView(
            place=f"{row.part.names[source]}:{line}",
            number=number + 1,
            of=len(row.samples),
            use=text.use,
            tokens=self._reader.tokens(tokens[:limit], mask[:limit]),
            length=min(len(tokens), limit),
            loss_tokens=int(mask[:limit].sum()),
            cut=max(0, len(tokens) - limit),
            cut_text=self._reader.text(tokens[limit : limit + _CUT_SHOWN].tolist()),
            weight=float(table.weights[index]),
            turns=text.turns,
            answers=tuple(
                self._answer(place, start, end, tokens, text)
                for place, (start, end) in enumerate(spans.reshape(-1, 2).tolist())
            ),
        )

    def _answer(self, place: int, start: int, end: int, tokens: NDArray[np.int32], text: _Text) -> Answer:
        kind, stop = (
            text.stops[place] if place < len(text.stops) else ("", self._reader.text([int(tokens[end - 1])]))
        )
        return Answer(
            turn=text.answers[place] if place < len(text.answers) else None,
            kind=kind,
            ends_with=stop,
            tokens=max(0, min(end, self._max_length) - start),
            stop_is_cut=end > self._max_length,
        )


def _turns(content: RowContent, in_loss: Sequence[int | None]) -> tuple[Turn, ...]:
    if not isinstance(content.value, Conversation):
        return ()
    return tuple(
        Turn(number, turn.role, number in in_loss, turn.weight if turn.role == "assistant" else None)
        for number, turn in enumerate(content.value.turns, 1)
    )


def _value(source: Source, line: int) -> dict[str, object]:
    """Return the row of a line, which was read before."""
    found = next(numbered.value for numbered in source.rows() if numbered.line == line)
    assert isinstance(found, dict), "it was read as a row before"
    return found
