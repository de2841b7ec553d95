import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

import mftkit
from mftkit.testing import ConformanceError, ConformanceWarning, DataGeneratorConformance


class Unstated(mftkit.DataGenerator):
    def row(self, seed: int, number: int) -> dict[str, Any]:
        return {"prompt": f"after {number}", "answer": f"{number + seed}"}

    def rows(self, context: mftkit.GenerationContext) -> Iterator[dict[str, Any]]:
        for number in range(40):
            yield self.row(context.seed, number)


class Counts(Unstated):
    reads_seed = True  # where earlier versions of the interface had it


class IgnoresTheSeed(Counts):
    def row(self, seed: int, number: int) -> dict[str, Any]:
        return {"prompt": f"after {number}", "answer": f"{number}"}


class Modest(Counts):
    reads_seed = False


class Clock(Counts):
    def row(self, seed: int, number: int) -> dict[str, str]:
        return super().row(time.perf_counter_ns(), number)


class Draws(Counts):
    def row(self, seed: int, number: int) -> dict[str, str]:
        return super().row(random.randint(0, 9), number)


class NoRows(Counts):
    def rows(self, context: mftkit.GenerationContext) -> Iterator[Any]:
        yield from ()


class NoFormat(Counts):
    def row(self, seed: int, number: int) -> dict[str, str]:
        return {"words": "of no kind"}


class TwoFormats(Counts):
    def row(self, seed: int, number: int) -> dict[str, str]:
        return super().row(seed, number) if number % 2 else {"text": "words"}


class NotJson(Counts):
    def row(self, seed: int, number: int) -> Any:
        return {"text": {1, 2}}


class ForgetsWhereItWas(Counts):
    def rows(self, context: mftkit.GenerationContext) -> Iterator[dict[str, str]]:
        made = context.directory / "made"
        made.mkdir(exist_ok=True)
        for number in range(len(list(made.iterdir())), 40):
            (made / str(number)).touch()
            yield self.row(context.seed, number)


def suite(component: type[Any]) -> DataGeneratorConformance:
    made = DataGeneratorConformance()
    made.component = component  # type: ignore[misc]
    return made


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (IgnoresTheSeed, "promise_reads_seed", "another seed gives the same rows"),
        (Clock, "the_seed_decides", "different rows the second time"),
        (Draws, "the_seed_decides", "random state of random"),
        (NoRows, "rows_are_rows", "yields no rows"),
        (NoFormat, "rows_are_rows", "row 1 cannot be read: as chat: .*; as text: "),
        (TwoFormats, "rows_are_rows", "several formats"),
        (NotJson, "rows_are_rows", "cannot be written as JSON"),
        (ForgetsWhereItWas, "it_survives_a_kill", "restarted in the directory"),
    ],
)
def test_what_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        getattr(suite(component), f"test_{check}")()


def test_rows_that_should_not_depend_on_the_seed_are_a_hint() -> None:
    with pytest.warns(ConformanceWarning, match="reads_seed is False, but another seed gives different rows"):
        suite(Modest).test_promise_reads_seed()


def test_the_suite_says_whether_the_seed_is_read_and_decides_over_the_component() -> None:
    made = suite(IgnoresTheSeed)
    made.reads_seed = False  # type: ignore[misc]
    made.test_promise_reads_seed()
    made = suite(Modest)
    made.reads_seed = True  # type: ignore[misc]
    made.test_promise_reads_seed()


def test_without_a_statement_either_is_right() -> None:
    for component in (Unstated, type("Same", (Unstated,), {"row": IgnoresTheSeed.row})):
        suite(component).test_promise_reads_seed()


def test_a_generator_may_read_what_it_states() -> None:
    assert not Unstated({}).reads_seed
    assert Counts({}).reads_seed is True
