"""A sample of the table, with what its row and its format say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mftkit.interfaces.conversation import Conversation
from mftkit.tools.data_show.answers import turns_of_answers
from mftkit.tools.data_show.view import Answer, SampleView, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.data.rows.files import Source
    from mftkit.data.tokens.token_cache import TableSource, TokenCache
    from mftkit.interfaces.task_format import RowContent
    from mftkit.tools.data_show.choice import ChosenRow
    from mftkit.tools.data_show.tokens import TokenReader

_CUT_SHOWN = 40
"""Tokens that are shown of what is cut off."""


def samples_of_row(
    row: ChosenRow,
    use: Sequence[str],
    source: TableSource,
    cache: TokenCache,
    reader: TokenReader,
    max_length: int,
) -> list[SampleView]:
    """Return the samples of a data row.

    Args:
        row: the data row.
        use: what the run does with each sample.
        source: the sources of the row's table, which is read again for the row's turns.
        cache: renders the row again.
        reader: makes the tokens ready to be shown.
        max_length: tokens after which a sample is cut.
    """
    table = row.part.table
    origin, line = table.origin(int(row.samples[0]))
    content, formatted = cache.texts(source, _value(source.sources[origin], line))
    # A format's versions of a row for later epochs may have no text here: then only the tokens are shown.
    known = len(formatted) == len(row.samples)
    turns = turns_of_answers(content, formatted)
    made = []
    for number, index in enumerate(row.samples.tolist()):
        tokens, spans = table.sample(index)
        pairs = [(int(start), int(end)) for start, end in spans.reshape(-1, 2)]
        mask = np.zeros(len(tokens), dtype=np.bool_)
        for start, end in pairs:
            mask[start:end] = True
        numbers = turns[number] if known else []
        stops = formatted[number].stops if known else ()
        cut = tokens[max_length:]
        made.append(
            SampleView(
                place=f"{row.part.names[origin]}:{line}",
                number=number + 1,
                of=len(row.samples),
                use=use[number],
                tokens=reader.tokens(tokens[:max_length], mask[:max_length]),
                length=min(len(tokens), max_length),
                loss_tokens=int(mask[:max_length].sum()),
                cut=len(cut),
                cut_text=reader.text(cut[:_CUT_SHOWN].tolist()),
                weight=float(table.weights[index]),
                turns=_turns(content, numbers),
                answers=tuple(
                    Answer(
                        turn=numbers[place] if place < len(numbers) else None,
                        kind=stops[place][0] if place < len(stops) else "",
                        ends_with=stops[place][1]
                        if place < len(stops)
                        else reader.text([int(tokens[end - 1])]),
                        tokens=max(0, min(end, max_length) - start),
                        stop_is_cut=end > max_length,
                    )
                    for place, (start, end) in enumerate(pairs)
                ),
            )
        )
    return made


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
