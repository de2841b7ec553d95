"""A sample whose answer does not end in its stop token is refused."""

from typing import Any

import pytest

from data_path import text_encoder, tokenizer
from mftkit.data.tokens.stop_check import check_stops
from mftkit.interfaces.task_format import FormattedSample, InLoss, Piece, Segment
from mftkit_registry.errors import MftError


def sample(*parts: tuple[str, InLoss], stops: int = 1) -> FormattedSample:
    segments = tuple(Segment((Piece(text, False),), in_loss) for text, in_loss in parts)
    return FormattedSample(segments, stops=(("tool call", "</s>"),) * stops)


GOOD = sample(("ask", "none"), ("answer</s>", "all"), ("ask", "none"), ("b</s>", "all"), stops=2)


@pytest.mark.parametrize(
    "bad",
    [
        sample(("ask", "none"), ("answer", "all")),
        sample(("ask", "none"), ("answer", "all"), ("</s>", "none")),
        sample(("ask", "none"), ("answer</s>", "all"), ("ask", "none"), ("b</s>", "none"), stops=2),
        sample(("ask", "none"), ("answer</s>\n", "all")),
    ],
)
def test_an_answer_without_its_stop_in_the_loss_is_refused_with_an_example(bad: FormattedSample) -> None:
    tok: Any = tokenizer()
    encoder = text_encoder(tok)
    check_stops(encoder, [GOOD], encoder.encode([GOOD]), ["a:1"], "t")
    with pytest.raises(
        MftError, match=r'^b:2: the token .</s>., .*"tool call".*chat format of .*stop \(task t\)'
    ):
        check_stops(encoder, [GOOD, bad], encoder.encode([GOOD, bad]), ["a:1", "b:2"], "t")
