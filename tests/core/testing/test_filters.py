import random
from collections.abc import Iterator
from typing import Any

import pytest

import mftkit
from mftkit.testing import ConformanceError, DataFilterConformance


class Keeps(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        yield from rows


class Loses(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        yield from list(rows)[1:]


class GivesNoReason(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[Any]:
        for row in rows:
            context.drop(row, " ")
        yield from ()


class Spoils(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, str]]:
        yield from ({"words": "of no kind"} for _ in rows)


class Reverses(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        yield from reversed(list(rows))


class Meddles(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        for row in rows:
            row["seen"] = True
            yield row


class Draws(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        for row in rows:
            if random.random() < 0.5:
                context.drop(row, "by chance")
            else:
                yield row


class ForgetsWhereItWas(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows):
            place = context.directory / str(number)
            if place.exists():
                context.drop(row, "seen before")
            else:
                place.touch()
                yield row


class MakesOne(mftkit.DataFilter):
    def apply(self, rows: Any, context: mftkit.FilterContext) -> Iterator[dict[str, str]]:
        yield from rows
        yield {"prompt": "one", "answer": "more"}


def suite(component: type[Any]) -> DataFilterConformance:
    made = DataFilterConformance()
    made.component = component  # type: ignore[misc]
    return made


def test_one_that_keeps_all_is_let_through() -> None:
    for name in dir(DataFilterConformance):
        if name.startswith("test_") and "light" not in name:
            getattr(suite(Keeps), name)()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Loses, "every_row_is_kept_or_dropped_for_a_reason", "rows are lost"),
        (GivesNoReason, "every_row_is_kept_or_dropped_for_a_reason", "without a reason"),
        (Spoils, "rows_stay_rows", "cannot be read"),
        (Reverses, "rows_keep_their_order", "another order"),
        (Meddles, "what_comes_in_is_left_as_it_is", "modifies its input rows"),
        (Draws, "the_same_rows_pass_every_time", "random state of random"),
        (ForgetsWhereItWas, "it_can_start_again_where_it_was_stopped", "returns different rows"),
        (MakesOne, "no_rows", "no input"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()
