"""What every data filter must do."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.data.rows.formats import BadRow
from mftkit.data.rows.row_texts import content_of
from mftkit.interfaces.data_filter import FilterContext
from mftkit.plugins.executors import choose_executor
from mftkit.testing.assertions import ConformanceError, require
from mftkit.testing.conformance import Conformance
from mftkit.testing.randomness import assert_rng_untouched, seeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

QUESTIONS = 12


def some_rows() -> list[dict[str, Any]]:
    """Rows of several formats, some of them equal or almost so, with code that works and code that does not."""
    rows: list[dict[str, Any]] = []
    for number in range(QUESTIONS):
        question = f"Write a function that adds {number} to a number and multiplies it by {number % 3}."
        code = f"def f(x):\n    return (x + {number}) * {number % 3}\n"
        answer = f"It is this:\n\n```python\n{code}```\n" if number % 2 else code
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        tests = f"assert f(1) == {(1 + number) * (number % 3)}\nassert f(2) == {(2 + number) * (number % 3)}"
        rows += [
            {"id": 2 * number, "messages": turns, "tests": tests},
            {"id": 2 * number + 1, "instruction": question, "output": answer, "tests": "assert f(1) == -1"},
        ]
    rows.append({"prompt": "Say what it is.", "answer": "```python\ndef broken(:\n```"})
    rows.append({"question": "And in words?", "answer": "No code at all, and no tests with it."})
    return [*rows, *rows[:3]]


class DataFilterConformance(Conformance):
    """The promises of ``mftkit.DataFilter``, tried on a few rows of several formats."""

    given: ClassVar[Sequence[dict[str, Any]]] = tuple(some_rows())
    """The rows that come in."""
    seed: ClassVar[int] = 7

    def passed(
        self, rows: Sequence[dict[str, Any]], directory: Path | None = None
    ) -> tuple[list[Any], list[tuple[Any, str]]]:
        """The rows that stay, and those dropped with their reasons."""
        if directory is None:
            with tempfile.TemporaryDirectory() as made:
                return self.passed(rows, Path(made))
        dropped: list[tuple[Any, str]] = []
        kept = self.make().apply(iter(rows), self.context(directory, dropped))
        return list(kept), dropped

    def context(self, directory: Path, dropped: list[tuple[Any, str]]) -> FilterContext:
        """What the filter is given."""
        from mftkit.chat_client import open_chat

        def drop(row: dict[str, Any], reason: str, detail: str = "") -> None:
            require(isinstance(reason, str) and bool(reason.strip()), "a row is dropped without a reason")
            require(isinstance(detail, str), f"the detail of a dropped row is no text: {detail!r}")
            dropped.append((row, reason))

        def report(**counts: int) -> None:
            wrong = [name for name, number in counts.items() if not isinstance(number, int)]
            require(not wrong, f"report: {', '.join(wrong)} of no whole number")

        return FilterContext(
            seed=self.seed,
            task=self.tasks[0].name,
            directory=directory,
            drop=drop,
            report=report,
            note=lambda message: require(isinstance(message, str), "a note that is no text"),
            chat=lambda ref: open_chat(ref, directory),
            executor=lambda ref: choose_executor(ref, lambda _line: None),
        )

    def test_every_row_is_kept_or_dropped_for_a_reason(self) -> None:
        """Rows in and rows out differ by those that are dropped, each with a reason."""
        kept, dropped = self.passed(self.given)
        summary = f"{len(self.given)} rows in, {len(kept)} kept, {len(dropped)} dropped"
        require(
            len(kept) + len(dropped) == len(self.given), f"rows are lost, or both dropped and kept: {summary}"
        )

    def test_rows_stay_rows(self) -> None:
        """What is given on can be written as JSON, and read as a row."""
        for number, row in enumerate(self.passed(self.given)[0], 1):
            try:
                require(json.loads(json.dumps(row)) == row, f"row {number} is not the same after JSON: {row}")
                content_of(row)
            except (TypeError, ValueError, BadRow) as error:
                raise ConformanceError(f"row {number} that is given on cannot be read: {error}") from error

    def test_rows_keep_their_order(self) -> None:
        """Rows with ids come in the order in which they came."""
        rows = [{**row, "id": f"row {number:03}"} for number, row in enumerate(self.given)]
        ids = [row.get("id") for row in self.passed(rows)[0]]
        require(ids == sorted(ids, key=str), f"rows are given on in another order: {ids}")

    def test_what_comes_in_is_left_as_it_is(self) -> None:
        """A row that is changed is a new one."""
        rows = json.loads(json.dumps(list(self.given)))
        self.passed(rows)
        require(rows == list(self.given), "rows that come in are changed")

    def test_the_same_rows_pass_every_time(self) -> None:
        """The same again, whatever the global random state, which is not touched."""
        made = []
        for state in (0, 1):
            with seeded(state), assert_rng_untouched("the filter"):
                made.append(self.passed(self.given))
        require(made[0] == made[1], "the same rows and options give others the second time")

    def test_it_can_start_again_where_it_was_stopped(self) -> None:
        """Closed half way, and started again in the same directory, it gives the rows that it would have."""
        whole = self.passed(self.given)[0]
        with tempfile.TemporaryDirectory() as directory:
            with self._started(Path(directory)) as rows:
                next(rows, None)
            again = self.passed(self.given, Path(directory))[0]
        require(again == whole, "started again in the directory of one that was closed, it gives other rows")

    def test_no_rows(self) -> None:
        """Without rows it returns no rows."""
        kept, dropped = self.passed([])
        require(not kept and not dropped, "rows are made of none")

    @contextmanager
    def _started(self, directory: Path) -> Iterator[Iterator[Any]]:
        rows: Any = self.make().apply(iter(self.given), self.context(directory, []))
        try:
            yield rows
        finally:
            if hasattr(rows, "close"):
                rows.close()
