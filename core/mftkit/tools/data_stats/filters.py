"""What installed filters would drop from data files.

A filter may declare which statistic it provides (``DataFilter.statistic``); the command's default counts are those
statistics, each by the installed filter that provides it. Any other filter is counted if it is asked for by name.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import TypeAdapter, ValidationError

from mftkit.data.made.filter_run import FilterRun
from mftkit.data.made.storage import cache_root
from mftkit.interfaces.references import ComponentRef
from mftkit.plugins import installed, kinds
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit.spec.problems import Problem, problems_of
from mftkit.spec.references import Place
from mftkit.tools.data_stats.rows import PlacedRow
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter

EXACT, NEAR, CONTAMINATED = "exact_repeats", "near_repeats", "contaminated"
"""The statistics of the command; near repeats are searched among the rows that are no exact repeats."""
_TASK = "data"


class DropCount(FilterRun):
    """One filter over the rows, and the places of the rows that it drops."""

    def __init__(self, ref: ComponentRef, stack: ExitStack, reporter: Reporter) -> None:
        name = ref.name
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mft-data-stats-")))
        replies = cache_root(None) / "filtered" / "replies" / f"data-stats-{name}"
        made = installed.build(kinds.DATA_FILTER, name, ref.options)
        progress = GenerationProgress(_TASK, name, None, doing="filtering")
        super().__init__(name, made, 0, _TASK, (work, replies), progress, reporter)
        stack.callback(self.close)
        self.statistic = made.statistic
        self.places: list[str] = []
        """For each dropped row its place, the reason and the detail."""

    @property
    def rows(self) -> int:
        """Number of rows that were dropped."""
        return sum(self.dropped.values())

    def drop(self, row: JsonObject, reason: str, detail: str = "") -> None:
        """Count a row with its place."""
        super().drop(row, reason, detail)
        place = self.locate(row) or "a changed row"
        self.places.append(f"{place} {reason}{f': {detail}' if detail else ''}")

    def locate(self, row: JsonObject) -> str | None:
        """Return PATH:LINE of a row; None for a row that a filter has made."""
        return row.place if isinstance(row, PlacedRow) else None

    def apply(
        self, rows: Iterator[JsonObject], changed: Callable[[], None] | None = None
    ) -> Iterator[JsonObject]:
        """Yield the rows that are kept; progress is shown where the rows are read."""
        return super().apply(rows, changed or _nothing)

    def drain(self, rows: Iterator[JsonObject]) -> None:
        """Count all rows."""
        for _kept in self.apply(rows):
            pass

    def warn(self, message: str) -> None:
        """Show a warning."""
        self._reporter.warn(message)


def read_filter(text: str) -> ComponentRef:
    """Read ``NAME`` or ``{"name": ..., "options": {...}}``. Raises MftError that says what is wrong with it."""
    given: object = text
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except ValueError as error:
            raise MftError(f"--filter {text}: not valid JSON: {error}") from None
    return _checked(given, f"--filter {text}")


def provider(statistic: str, options: JsonObject, option: str) -> ComponentRef | None:
    """Return the installed filter that provides a statistic, with its options; None if there is none.

    ``option`` is the command's option that the filter's options come from, for messages.
    """
    for name in installed.registry().names(kinds.DATA_FILTER):
        try:
            found = installed.component_class(kinds.DATA_FILTER, name)
        except MftError:  # a broken filter provides nothing; ``mft plugins list`` shows why
            continue
        if getattr(found, "statistic", None) == statistic:
            return _checked({"name": name, "options": options}, option)
    return None


def _checked(given: object, option: str) -> ComponentRef:
    try:
        reader: TypeAdapter[ComponentRef] = TypeAdapter(Annotated[ComponentRef, Place(kinds.DATA_FILTER)])
        return reader.validate_python(given, context={"directory": Path.cwd()})
    except ValidationError as error:
        raise MftError(
            f"{option}: {'; '.join(map(_described, problems_of(error, given, ComponentRef)))}"
        ) from None


def _described(problem: Problem) -> str:
    return str(problem).removeprefix("the spec: ")


def _nothing() -> None:
    """Show no progress."""
