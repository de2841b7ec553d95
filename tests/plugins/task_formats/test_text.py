"""The task format "text": the prompt is context, everything else is in the loss."""

from typing import Any

import pytest

import mftkit
from mftkit.interfaces.task_format import no_note
from mftkit.plugins import installed, kinds

CONTEXT = mftkit.FormatContext("task", 0, no_note, eos="</s>")


def sample(row: dict[str, Any], context: mftkit.FormatContext = CONTEXT) -> mftkit.FormattedSample:
    made = installed.build(kinds.TASK_FORMAT, "text", {})
    (found,) = made.samples(made.read(row, context), context)
    assert isinstance(found, mftkit.FormattedSample)
    return found


@pytest.mark.parametrize(
    ("row", "segments"),
    [
        ({"text": "x = 1\n"}, [("x = 1\n", "all"), ("</s>", "all")]),
        ({"prompt": "x =", "completion": " 1"}, [("x =", "none"), (" 1", "all"), ("</s>", "all")]),
        ({"prompt": "", "completion": "x"}, [("x", "all"), ("</s>", "all")]),
    ],
)
def test_segments(row: dict[str, Any], segments: list[tuple[str, str]]) -> None:
    made = sample(row)
    assert [(segment.text, segment.in_loss) for segment in made.segments] == segments
    assert made.adds_start
    assert not made.segments[-1].pieces[0].content


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(mftkit.MftError, match="no end-of-text token"):
        sample({"text": "x"}, mftkit.FormatContext("task", 0, no_note))
