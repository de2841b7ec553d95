"""Checks that the token that ends each answer is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.data.text.encoder import Encoded, Encoder
    from mftkit.interfaces.task_format import FormattedSample


def check_stops(
    encoder: Encoder,
    samples: Sequence[FormattedSample],
    encoded: Encoded,
    places: Sequence[str],
    task: str,
) -> None:
    """Check that each answer of the samples ends in its stop token, in the loss.

    Args:
        encoder: what encoded the samples.
        samples: the samples.
        encoded: their tokens and spans of loss tokens.
        places: ``PATH:LINE`` of each sample's row, for the message.
        task: name of the task, for the message.

    Raises:
        MftError: an answer ends otherwise; a model trained on it would not learn to stop.
    """
    stops = {stop for sample in samples for _kind, stop in sample.stops}
    ids = {stop: encoder.token_of(stop) for stop in stops}
    token_start = span_start = 0
    for number, sample in enumerate(samples):
        spans = encoded.spans[span_start : span_start + 2 * encoded.span_counts[number]]
        ends = list(spans[1::2])
        for answer, (kind, stop) in enumerate(sample.stops):
            expected = ids[stop]
            if expected is None:  # a text of several tokens ends answers; it is part of the loss as a text
                continue
            last = encoded.tokens[token_start + ends[answer] - 1] if answer < len(ends) else None
            if len(ends) != len(sample.stops) or last != expected:
                raise MftError(
                    f'{places[number]}: the token {stop!r}, which ends an answer of kind "{kind}", is not in the loss '
                    f"with the chat format of {encoder.name}, so the model would not learn to stop (task {task}). "
                    'Fix the chat template, or set chat.format to "markers".'
                )
        token_start += encoded.lengths[number]
        span_start += 2 * encoded.span_counts[number]
