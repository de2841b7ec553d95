"""Reading a task's sources row by row, with everything that is wrong or odd counted or refused."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

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

    from mftkit.data.rows.files import Numbered, Source
    from mftkit.data.rows.formats import RowFormat

OnBadRow = Literal["error", "skip"]
_TOLD = 3
"""How many of the rows skipped are told in full."""


class Row(NamedTuple):
    """A good row and where it stands."""

    source: int
    line: int
    content: Conversation | Text
    digest: bytes
    """sha256 of task and content."""
    side: bytes
    """sha256 that decides the side of the split: of task and content, or of the row's group."""
    weight: float
    """What its tokens are multiplied by in the loss."""


@dataclass
class Findings:
    """What reading found besides rows; goes into the cache, so that every run is told the same."""

    on_bad_row: OnBadRow
    rows: int = 0
    skipped: int = 0
    first_skipped: list[tuple[int, int, str]] = field(default_factory=list)
    """(source, line, what) of the first few."""
    empty: list[int] = field(default_factory=list)
    """Sources without any row."""
    repeated_rows: int = 0
    repeated_ids: int = 0
    other_names: dict[str, int] = field(default_factory=dict)
    """Values of ``data_name`` that are not the task's name, with their numbers of rows."""
    grouped: int = 0
    """Rows that name their group."""
    reshaped: int = 0
    """Rows whose contents the chat template does not give back as they are."""

    def bad(self, sources: Sequence[Source], source: int, line: int, what: str) -> None:
        """Refuse a row, or count it as skipped. Raises RowError."""
        if self.on_bad_row == "error":
            raise RowError(sources[source].name, line, what)
        self.skipped += 1
        if len(self.first_skipped) < _TOLD:
            self.first_skipped.append((source, line, what))

    def dump(self) -> dict[str, Any]:
        """As JSON has it; ``Findings(**dump)`` is the same again."""
        return asdict(self)

    def messages(self, task: str, names: Sequence[str]) -> Iterator[str]:
        """The warnings that these findings give; ``names`` are the sources'."""
        for source in self.empty:
            yield f"{names[source]}: no rows (task {task})"
        if self.skipped:
            first = "; ".join(f"{names[source]}:{line}: {what}" for source, line, what in self.first_skipped)
            yield f"task {task}: {self.skipped} bad rows skipped, {self.rows} kept; the first: {first}"
        if odd := ", ".join(self._odd()):
            yield f"task {task}: {odd} (all are kept)"
        if self.reshaped:
            yield (
                f"task {task}: the chat template strips or rewrites the contents of {self.reshaped} rows, "
                f'as it will in use (chat.format "markers" keeps every space)'
            )

    def _odd(self) -> Iterator[str]:
        if self.repeated_rows:
            yield f"{self.repeated_rows} rows repeat an earlier one"
        if self.repeated_ids:
            yield f"{self.repeated_ids} rows repeat an earlier row's id"
        if self.other_names:
            names = ", ".join(f'"{name}"' for name in list(self.other_names)[:_TOLD])
            yield f"data_name of {sum(self.other_names.values())} rows is not the task's name but {names}"


def read_rows(
    sources: Sequence[Source], task: str, row_format: RowFormat, findings: Findings, *, groups: bool = False
) -> Iterator[Row]:
    """The good rows of all sources in order; what else is found goes to ``findings``.

    With ``groups``, a row's key "group" (a string) decides its side of the split in place of its content. Raises
    RowError for a bad row unless these are skipped.
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
            f"task {task}: {findings.grouped} of {findings.rows} rows name a group; all must, or none"
        )


def _row(source: int, numbered: Numbered, task: str, row_format: RowFormat, groups: bool) -> Row:
    if isinstance(numbered.value, BadRow):
        raise numbered.value
    content = parse_row(numbered.value, row_format)
    digest = side = content_digest(task, content)
    if groups and "group" in numbered.value:
        side = hashlib.sha256(str(numbered.value["group"]).encode()).digest()
    return Row(source, numbered.line, content, digest, side, row_weight(numbered.value))


def _note_oddities(row: dict[str, Any], task: str, ids: set[int], findings: Findings) -> None:
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
