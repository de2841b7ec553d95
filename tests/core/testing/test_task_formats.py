"""The suite finds what is wrong with a task format."""

import random
from collections.abc import Iterable
from typing import Any

import pytest

import mftkit
from mftkit.plugins import kinds
from mftkit.testing.running import run_suite, suite_for


class Good(mftkit.TaskFormat):
    """The text, and its end."""

    def read(self, row: Any, context: mftkit.FormatContext) -> mftkit.RowContent:
        return mftkit.read_text(row)

    def samples(
        self, content: mftkit.RowContent, context: mftkit.FormatContext
    ) -> Iterable[mftkit.FormattedSample]:
        text: Any = content.value
        end = mftkit.Segment((mftkit.Piece(context.eos, content=False),), "all")
        body = mftkit.Segment((mftkit.Piece(text.prompt + text.content, content=True),), "all")
        return [mftkit.FormattedSample((body, end), stops=(("text", context.eos),))]


class ReadsNothing(Good):
    def read(self, row: Any, context: mftkit.FormatContext) -> mftkit.RowContent:
        raise mftkit.BadRow("no row is good enough")


class Changes(Good):
    def read(self, row: Any, context: mftkit.FormatContext) -> mftkit.RowContent:
        row["seen"] = True
        return mftkit.read_text(row)


class Crashes(Good):
    def read(self, row: Any, context: mftkit.FormatContext) -> mftkit.RowContent:
        return mftkit.RowContent(row["text"].strip(), (row["text"],), row["text"], frozenset({"text"}))

    def samples(self, content: mftkit.RowContent, context: mftkit.FormatContext) -> Any:
        return super().samples(mftkit.read_text({"text": content.value}), context)


class Draws(Good):
    def samples(self, content: mftkit.RowContent, context: mftkit.FormatContext) -> Any:
        text = f"{random.random()}"
        return [mftkit.FormattedSample((mftkit.Segment((mftkit.Piece(text, True),), "all"),))]


class Untrained(Good):
    def samples(self, content: mftkit.RowContent, context: mftkit.FormatContext) -> Any:
        return [mftkit.FormattedSample((mftkit.Segment((mftkit.Piece("text", True),), "none"),))]


class Unstopped(Good):
    def samples(self, content: mftkit.RowContent, context: mftkit.FormatContext) -> Any:
        body = mftkit.Segment((mftkit.Piece("a text", True),), "all")
        return [mftkit.FormattedSample((body,), stops=(("text", context.eos),))]


class Uncounted(Good):
    def read(self, row: Any, context: mftkit.FormatContext) -> mftkit.RowContent:
        context.note("a row is odd")
        return mftkit.read_text(row)


class Uneven(Good):
    variants = 3

    def samples(self, content: mftkit.RowContent, context: mftkit.FormatContext) -> Any:
        return [*super().samples(content, context)] * (context.variant + 1)


def failures(component: type[Any]) -> dict[str, str]:
    suite = suite_for(kinds.TASK_FORMAT, component)
    return {result.check: result.what for result in run_suite(suite) if result.outcome == "failed"}


def test_a_good_format_passes() -> None:
    assert failures(Good) == {}


@pytest.mark.parametrize(
    ("component", "check", "why"),
    [
        (ReadsNothing, "samples", "can use none of the rows"),
        (Changes, "rows are left as they are", "changes the row"),
        (Crashes, "reading is deterministic", "'text'"),
        (Draws, "samples are deterministic", "random state"),
        (Untrained, "samples have loss tokens", "no loss tokens"),
        (Unstopped, "samples have loss tokens", "does not end in '</s>'"),
        (Uncounted, "reading is deterministic", '"{rows}"'),
        (Uneven, "variants have equally many samples", "different numbers"),
    ],
)
def test_what_is_wrong_is_reported(component: type[Any], check: str, why: str) -> None:
    assert why in failures(component)[check]
