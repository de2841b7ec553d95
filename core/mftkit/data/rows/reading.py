"""Reads a task's sources row by row; faults and oddities are counted or raised."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from mftkit.data.rows.formats import (
    BadRow,
    Conversation,
    RowError,
    Text,
    content_digest,
    parse_row,
    row_weight,
)
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Numbered, Source
    from mftkit.data.rows.formats import RowFormat

OnBadRow = Literal["error", "skip"]
_SHOWN = 3
"""Skipped rows that are reported in full."""

_ALTERED_IN_CACHE = "reshaped"
"""Key of ``altered_by_template`` in the cache, under which tables on the disk have it."""


class Row(NamedTuple):
    """A good row and its place."""

    source: int
    line: int
    content: Conversation | Text
    digest: bytes
    """sha256 of task and content."""
    split_key: bytes
    """sha256 that decides the side of the split: that of task and content, or that of the row's group."""
    weight: float
    """Factor of its tokens in the loss."""


@dataclass
class RowFindings:
    """What reading found besides rows; stored in the cache, so that every run reports it."""

    on_bad_row: OnBadRow
    rows: int = 0
    skipped: int = 0
    first_skipped: list[tuple[int, int, str]] = field(default_factory=list)
    """(source, line, what) of the first few."""
    empty: list[int] = field(default_factory=list)
    """Indices of sources without rows."""
    repeated_rows: int = 0
    repeated_ids: int = 0
    other_names: dict[str, int] = field(default_factory=dict)
    """Values of ``data_name`` that differ from the task's name, with their numbers of rows."""
    grouped: int = 0
    """Rows that name a group."""
    altered_by_template: int = 0
    """Rows whose contents the chat template strips or rewrites."""

    def bad(self, sources: Sequence[Source], source: int, line: int, what: str) -> None:
        """Count a bad row as skipped. Raises RowError if bad rows are errors."""
        if self.on_bad_row == "error":
            raise RowError(sources[source].name, line, what)
        self.skipped += 1
        if len(self.first_skipped) < _SHOWN:
            self.first_skipped.append((source, line, what))

    def to_json(self) -> JsonObject:
        """Return the findings for the cache."""
        facts = asdict(self)
        facts[_ALTERED_IN_CACHE] = facts.pop("altered_by_template")
        return facts

    @classmethod
    def from_json(cls, facts: JsonObject) -> Self:
        """Read the findings from the cache."""
        rest = dict(facts)
        return cls(altered_by_template=rest.pop(_ALTERED_IN_CACHE), **rest)

    def messages(self, task: str, names: Sequence[str]) -> Iterator[str]:
        """Yield the warnings for these findings; ``names`` are those of the sources."""
        for source in self.empty:
            yield f"{names[source]}: contains no rows (task {task})"
        if self.skipped:
            first = "; ".join(f"{names[source]}:{line}: {what}" for source, line, what in self.first_skipped)
            yield f"task {task}: {self.skipped} bad rows skipped, {self.rows} kept; the first: {first}"
        if odd := ", ".join(self._odd()):
            yield f"task {task}: {odd} (all are kept)"
        if self.altered_by_template:
            yield (
                f"task {task}: the chat template strips or rewrites the contents of {self.altered_by_template} rows, "
                f'as it will in use (chat.format "markers" keeps every space)'
            )

    def _odd(self) -> Iterator[str]:
        if self.repeated_rows:
            yield f"{self.repeated_rows} rows repeat an earlier one"
        if self.repeated_ids:
            yield f"{self.repeated_ids} rows repeat an earlier row's id"
        if self.other_names:
            names = ", ".join(f'"{name}"' for name in list(self.other_names)[:_SHOWN])
            yield f"in {sum(self.other_names.values())} rows data_name is not the task's name but {names}"


def read_rows(
    sources: Sequence[Source],
    task: str,
    row_format: RowFormat,
    findings: RowFindings,
    *,
    groups: bool = False,
) -> Iterator[Row]:
    """Yield the good rows of all sources in order; everything else that is found is added to ``findings``.

    With ``groups``, a row's key "group" (a string) decides its side of the split instead of its content. Raises
    RowError for a bad row unless bad rows are skipped.
    """
    for source, origin in enumerate(sources):
        ids: set[int] = set()
        any_row = False
        for numbered in origin.rows():
            any_row = True
            try:
                yield _row(source, numbered, task, row_format, groups)
            except BadRow as bad:
                findings.bad(sources, source, numbered.line, str(bad))
                continue
            findings.rows += 1
            _note_oddities(numbered.value, task, ids, findings)
        if not any_row:
            findings.empty.append(source)
    if 0 < findings.grouped < findings.rows and groups:
        raise MftError(
            f"task {task}: {findings.grouped} of {findings.rows} rows name a group; either all rows or none must"
        )


def _row(source: int, numbered: Numbered, task: str, row_format: RowFormat, groups: bool) -> Row:
    if isinstance(numbered.value, BadRow):
        raise numbered.value
    content = parse_row(numbered.value, row_format)
    digest = split_key = content_digest(task, content)
    if groups and "group" in numbered.value:
        split_key = hashlib.sha256(str(numbered.value["group"]).encode()).digest()
    return Row(source, numbered.line, content, digest, split_key, row_weight(numbered.value))


def _note_oddities(row: JsonObject, task: str, ids: set[int], findings: RowFindings) -> None:
    name = row.get("data_name", task)
    if name != task:
        findings.other_names[str(name)] = findings.other_names.get(str(name), 0) + 1
    if "group" in row:
        findings.grouped += 1
    identity = row.get("id")
    if isinstance(identity, int | str):
        key = hash((type(identity), identity))
        findings.repeated_ids += key in ids
        ids.add(key)
