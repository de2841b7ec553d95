"""Reads a task's sources row by row; faults and oddities are counted or raised."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np

from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.rows.formats import CORE_KEYS, content_digest, row_weight
from mftkit.data.rows.values import kind_of
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Numbered, Source
    from mftkit.interfaces.task_format import FormatContext, RowContent, TaskFormat

OnBadRow = Literal["error", "skip"]
_SHOWN = 3
"""Skipped rows that are reported in full."""
_SHOWN_KEYS = 20
"""Keys that are reported by name."""
_KEY_CHARACTERS = 60
"""Characters of a key that are shown."""


class Row(NamedTuple):
    """A good row and its place."""

    source: int
    line: int
    content: RowContent
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
    unused_keys: dict[str, int] = field(default_factory=dict)
    """Keys of rows that are not used, with their numbers of rows."""
    notes: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)
    """What was reported of rows, by its text: [rows, source and line of the first, example]."""
    stops: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """What ends each kind of answer, by "kind token": [kind, text of the token, answers]."""
    _noted: set[str] = field(default_factory=set)
    """Reports of the present row."""
    _ids: dict[int, array[int]] = field(default_factory=dict)
    """Digests of the ids of each source's rows; 8 bytes each, since there may be many millions."""
    place: tuple[int, int] = (0, 0)
    """Source and line of the present row."""

    def bad(self, sources: Sequence[Source], source: int, line: int, what: str) -> None:
        """Count a bad row as skipped. Raises RowError if bad rows are errors."""
        if self.on_bad_row == "error":
            raise RowError(sources[source].name, line, what)
        self.skipped += 1
        if len(self.first_skipped) < _SHOWN:
            self.first_skipped.append((source, line, what))

    def at(self, source: int, line: int) -> None:
        """Begin with a row: what is noted from now on is about it."""
        self.place = (source, line)
        self._noted.clear()

    def note(self, text: str, example: str = "") -> None:
        """Report something about the present row (see ``mftkit.Note``)."""
        if text in self._noted:
            return
        self._noted.add(text)
        rows, *first = self.notes.get(text, (0, *self.place, example))
        self.notes[text] = (rows + 1, *first)  # type: ignore[assignment]

    def count_stops(self, stops: Sequence[tuple[str, str]]) -> None:
        """Count the answers of a sample by their kind and what ends them."""
        for kind, stop in stops:
            answers = self.stops.get(f"{kind} {stop}", (kind, stop, 0))[2]
            self.stops[f"{kind} {stop}"] = (kind, stop, answers + 1)

    def add(self, later: RowFindings) -> None:
        """Add what was found in the rows after these."""
        self.rows += later.rows
        self.skipped += later.skipped
        self.first_skipped = [*self.first_skipped, *later.first_skipped][:_SHOWN]
        self.grouped += later.grouped
        for total, more in ((self.other_names, later.other_names), (self.unused_keys, later.unused_keys)):
            for key, rows in more.items():
                total[key] = total.get(key, 0) + rows
        for text, (rows, *place) in later.notes.items():
            before, *first = self.notes.get(text, (0, *place))
            self.notes[text] = (int(before) + rows, *first)  # type: ignore[call-overload]
        for key, (kind, stop, answers) in later.stops.items():
            self.stops[key] = (kind, stop, answers + self.stops.get(key, (kind, stop, 0))[2])
        for source, ids in later._ids.items():
            self._ids.setdefault(source, array("Q")).extend(ids)

    def note_id(self, source: int, identity: int | str) -> None:
        """Note the id of a row."""
        text = f"{type(identity).__name__} {identity}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8).digest()
        self._ids.setdefault(source, array("Q")).frombytes(digest)

    def finish(self, task: str, groups: bool) -> None:
        """Check what all rows together must be, after the last one. Raises MftError if only some rows name a group."""
        for ids in self._ids.values():
            self.repeated_ids += len(ids) - len(np.unique(np.frombuffer(ids, np.uint64)))
        self._ids.clear()
        if 0 < self.grouped < self.rows and groups:
            raise MftError(
                f"task {task}: {self.grouped} of {self.rows} rows name a group; either all rows or none must"
            )

    def to_json(self) -> JsonObject:
        """Return the findings for the cache."""
        facts = asdict(self)
        del facts["_noted"], facts["_ids"], facts["place"]
        return facts

    @classmethod
    def from_json(cls, facts: JsonObject) -> Self:
        """Read the findings from the cache."""
        return cls(**facts)

    def messages(self, task: str, names: Sequence[str]) -> Iterator[str]:
        """Yield the warnings for these findings; ``names`` are those of the sources."""
        for source in self.empty:
            yield f"{names[source]}: contains no rows (task {task})"
        if self.skipped:
            first = "; ".join(f"{names[source]}:{line}: {what}" for source, line, what in self.first_skipped)
            yield f"task {task}: {self.skipped} bad rows skipped, {self.rows} kept; the first: {first}"
        if odd := ", ".join(self._odd()):
            yield f"task {task}: {odd} (all are kept)"
        if self.unused_keys:
            yield f"task {task}: keys not used: {_counted(self.unused_keys)}"
        for text, (rows, source, line, example) in self.notes.items():
            number = f"{rows} row{'' if rows == 1 else 's'}"
            shown = f": {example}" if example else ""
            first = f"the first: {names[source]}:{line}{shown}"
            yield f"task {task}: {text.replace('{rows}', number)} ({first})"

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
    task_format: TaskFormat,
    context: FormatContext,
    findings: RowFindings,
    *,
    groups: bool = False,
) -> Iterator[Row]:
    """Yield the good rows of all sources in order; everything else that is found is added to ``findings``.

    ``context`` names the task; its notes should go to ``findings.note``. With ``groups``, a row's key "group" (a
    string) decides its side of the split instead of its content. Raises RowError for a bad row unless bad rows are
    skipped.
    """
    for source, origin in enumerate(sources):
        any_row = False
        for numbered in origin.rows():
            any_row = True
            row = read_row(sources, source, numbered, task_format, context, findings, groups=groups)
            if row is not None:
                yield row
        if not any_row:
            findings.empty.append(source)
    findings.finish(context.task, groups)


def read_row(
    sources: Sequence[Source],
    source: int,
    numbered: Numbered,
    task_format: TaskFormat,
    context: FormatContext,
    findings: RowFindings,
    *,
    groups: bool = False,
) -> Row | None:
    """Return one row of ``sources[source]``, or None for a bad one that is skipped; otherwise as ``read_rows``."""
    findings.at(source, numbered.line)
    try:
        row = _row(source, numbered, task_format, context, groups)
    except BadRow as bad:
        findings.bad(sources, source, numbered.line, str(bad))
        return None
    findings.rows += 1
    _note_oddities(numbered.value, context.task, source, findings)
    _note_unused(numbered.value, row.content, findings, groups)
    return row


def _row(
    source: int, numbered: Numbered, task_format: TaskFormat, context: FormatContext, groups: bool
) -> Row:
    if isinstance(numbered.value, BadRow):
        raise numbered.value
    if not isinstance(numbered.value, dict):
        raise BadRow(f"a row must be a JSON object, not {kind_of(numbered.value)}")
    content = task_format.read(numbered.value, context)
    digest = split_key = content_digest(context.task, content)
    if groups and "group" in numbered.value:
        split_key = hashlib.sha256(str(numbered.value["group"]).encode()).digest()
    return Row(source, numbered.line, content, digest, split_key, row_weight(numbered.value))


def _note_unused(row: JsonObject, content: RowContent, findings: RowFindings, groups: bool) -> None:
    core = CORE_KEYS if groups else CORE_KEYS - {"group"}
    unused = [key for key, value in row.items() if value is not None and key not in content.used_keys | core]
    for key in (*unused, *sorted(content.unused)):
        findings.unused_keys[key] = findings.unused_keys.get(key, 0) + 1


def _note_oddities(row: JsonObject, task: str, source: int, findings: RowFindings) -> None:
    name = row.get("data_name", task)
    if name != task:
        findings.other_names[str(name)] = findings.other_names.get(str(name), 0) + 1
    if "group" in row:
        findings.grouped += 1
    identity = row.get("id")
    if isinstance(identity, int | str):
        findings.note_id(source, identity)


def _counted(keys: dict[str, int]) -> str:
    """Return keys with their numbers of rows: "url, license (12,000 rows), note (3 rows)"."""
    groups: dict[int, list[str]] = {}
    for key, rows in keys.items():
        groups.setdefault(rows, []).append(key)
    parts = []
    left = len(keys)
    for rows, names in sorted(groups.items(), reverse=True):
        shown = [name[:_KEY_CHARACTERS] for name in names[: _SHOWN_KEYS - (len(keys) - left)]]
        if shown:
            parts.append(f"{', '.join(shown)} ({rows:,} row{'' if rows == 1 else 's'})")
        left -= len(shown)
    if left:
        parts.append(f"and {left:,} more")
    return ", ".join(parts)
