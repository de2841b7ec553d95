"""The rows that a task is evaluated on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from mftkit.data.corpus import validation_sources
from mftkit.data.rows.columns import mapped
from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.row_texts import row_texts
from mftkit.data.rows.sources import entries, expand
from mftkit.interfaces.evaluator import EvaluationRow
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.rows.source import Numbered, Source
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec


@dataclass(frozen=True)
class RowPlace:
    """Where a row is: the number of its source, and its line."""

    source: int
    line: int


@dataclass(frozen=True)
class RowsToEvaluate:
    """Rows in order, and where each is."""

    rows: list[EvaluationRow]
    places: list[RowPlace]
    sources: tuple[Source, ...]


def read_rows(
    spec: Spec, task: TaskToEvaluate, tokenizer: PreTrainedTokenizerBase, reporter: Reporter
) -> RowsToEvaluate:
    """Read the rows that a task is evaluated on: its own ``data``, or its validation rows.

    Raises MftError if there are none, and RowError for a line that cannot be read.
    """
    chosen = None
    if task.evaluate.data is not None:
        where = f"{task.where}.data"
        sources = expand(entries(task.evaluate.data), where, reporter.warn)
        sources = mapped(sources, task.columns, f"{task.where}.columns", known_keys=None, checks_use=False)
    else:
        assert task.index is not None, "a task that is not trained has data"
        sources, origins = validation_sources(spec, task.index, tokenizer, reporter)
        chosen = {RowPlace(*origin) for origin in origins}
    found = list(islice(_numbered(sources, chosen), task.evaluate.limit))
    if not found:
        raise MftError(f"{task.where}.data: there are no rows to evaluate on (task {task.name})")
    rows = [_row(sources[place.source], each, n) for n, (place, each) in enumerate(found)]
    return RowsToEvaluate(_with_different_ids(rows), [place for place, _row in found], sources)


def _numbered(
    sources: tuple[Source, ...], chosen: set[RowPlace] | None
) -> Iterator[tuple[RowPlace, Numbered]]:
    for number, source in enumerate(sources):
        for each in source.rows():
            place = RowPlace(number, each.line)
            if chosen is not None and place not in chosen:
                continue
            if isinstance(each.value, BadRow) or not isinstance(each.value, dict):
                what = each.value if isinstance(each.value, BadRow) else "a row must be a JSON object"
                raise RowError(source.name, each.line, str(what))
            yield place, each


def _row(source: Source, numbered: Numbered, number: int) -> EvaluationRow:
    row = numbered.value
    own = row.get("task_id", row.get("id"))
    name = str(own) if isinstance(own, str | int) and not isinstance(own, bool) else f"row {number + 1}"
    _check_text(source, numbered)
    question, reference = _texts(row)
    return EvaluationRow(name, row, reference, question, f"{source.name}:{numbered.line}")


def _check_text(source: Source, numbered: Numbered) -> None:
    """Raise RowError for a text that no tokenizer takes: any key may become a part of the prompt."""
    try:
        json.dumps(numbered.value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        what = (
            f"a lone surrogate (\\u{ord(error.object[error.start]):04x}) is not a character; correct the row"
        )
        raise RowError(source.name, numbered.line, what) from None


def _texts(row: dict[str, object]) -> tuple[str, str | None]:
    """The last question and the last answer of a row, as far as it has them."""
    try:
        texts = row_texts(row)
    except BadRow:
        question = row.get("prompt")
        return question if isinstance(question, str) else "", None
    return texts.prompts[-1] if texts.prompts else "", texts.answers[-1] if texts.answers else None


def _with_different_ids(rows: list[EvaluationRow]) -> list[EvaluationRow]:
    """Number the rows that share an id; a number that makes another row's id is passed over."""
    counts = Counter(row.id for row in rows)
    taken = set(counts)
    numbers: Counter[str] = Counter()
    found = []
    for row in rows:
        name = row.id
        while counts[row.id] > 1 and name in taken:
            numbers[row.id] += 1
            name = f"{row.id} ({numbers[row.id]})"
        taken.add(name)
        found.append(replace(row, id=name))
    return found
