"""Makes the samples of rows, chunk by chunk, so that several processes can share the chunks of a table."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reading import RowFindings, read_row
from mftkit.data.text.control_tokens import tokens_in
from mftkit.data.tokens.stop_check import check_stops
from mftkit.data.tokens.table import RowColumns
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mftkit.data.rows.reading import OnBadRow, Row
    from mftkit.data.rows.source import Numbered, Source
    from mftkit.data.text.encoder import Encoded, Encoder
    from mftkit.interfaces.task_format import FormatContext, FormattedSample, TaskFormat

    Chunk = list[tuple[int, Numbered]]
    """Rows that are not validated yet, each with the index of its source."""

_BATCH = 1000
"""Most rows that are tokenized in one call."""
_BATCH_CHARACTERS = 1 << 23
"""Characters after which a chunk is full, for very long rows."""
_SHOWN_TOKENS = 5
"""Special tokens of a row that are shown as an example."""


class TableSource(NamedTuple):
    """What a table is made from: the sources of one task, and how their rows are read."""

    task: str
    format_name: str
    task_format: TaskFormat
    sources: tuple[Source, ...]
    groups: bool
    """Whether rows may name a group, which then decides the split."""
    variants: int = 1
    """Versions of each row that are made."""


class MadeSamples(NamedTuple):
    """The samples of one chunk of rows."""

    rows: int
    """Rows of the chunk, bad ones included."""
    findings: RowFindings
    samples: tuple[Encoded, RowColumns] | None
    """None: all rows are bad."""


class Chunks:
    """The rows of all sources in chunks; the same ones in every process that reads them."""

    def __init__(
        self, sources: Sequence[Source], variants: int, rows: Iterable[tuple[int, Numbered]] | None = None
    ) -> None:
        """``rows``: only these, each with the index of its source; None: all rows of all sources."""
        self._sources = sources
        self._rows = self._all_rows() if rows is None else rows
        self._most = -(-_BATCH // variants)
        self.empty: list[int] = []
        """Indices of the sources without rows among those that were read."""

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the chunks in order. Raises MftError, after the rows before it, where a source cannot be read."""
        chunk: Chunk = []
        characters = 0
        try:
            for source, numbered in self._rows:
                chunk.append((source, numbered))
                characters += _characters(numbered.value)
                if len(chunk) >= self._most or characters >= _BATCH_CHARACTERS:
                    yield chunk
                    chunk, characters = [], 0
        except MftError:
            if chunk:  # an error in a row before this place comes first
                yield chunk
            raise
        if chunk:
            yield chunk

    def _all_rows(self) -> Iterator[tuple[int, Numbered]]:
        for source, origin in enumerate(self._sources):
            any_row = False
            for numbered in origin.rows():
                any_row = True
                yield source, numbered
            if not any_row:
                self.empty.append(source)


class SampleMaker:
    """Makes the samples of the rows of one table."""

    def __init__(
        self,
        source: TableSource,
        context: FormatContext,
        encoder: Encoder,
        on_bad_row: OnBadRow,
        reports_special_tokens: bool,
    ) -> None:
        """``context`` needs no ``note``: what is noted of rows is in the findings of their chunk."""
        if source.task_format.uses_length:
            # a row's variants ask for the same long text again, between a few calls for its parts
            context = replace(context, token_starts=lru_cache(maxsize=16)(encoder.token_starts))
        self._context = replace(context, note=self._note)
        self._of_variants = [replace(self._context, variant=variant) for variant in range(source.variants)]
        self.source = source
        self._on_bad_row = on_bad_row
        self._findings = RowFindings(on_bad_row)
        self._reports_special_tokens = reports_special_tokens
        self._encoder = encoder
        self._controls = encoder.controls

    def make(self, chunk: Chunk) -> MadeSamples:
        """Return the samples of some rows. Raises MftError for bad data."""
        source, findings = self.source, RowFindings(self._on_bad_row)
        self._findings = findings
        rows = []
        for index, numbered in chunk:
            row = read_row(
                source.sources,
                index,
                numbered,
                source.task_format,
                self._context,
                findings,
                groups=source.groups,
            )
            if row is not None:
                rows.append(row)
        made = [(row, sample) for row in rows for sample in self._samples(row)]
        if not made:
            return MadeSamples(len(chunk), findings, None)
        samples = [sample for _row, sample in made]
        encoded = self._encoder.encode(samples)
        places = [f"{source.sources[row.source].name}:{row.line}" for row, _sample in made]
        check_stops(self._encoder, samples, encoded, places, source.task)
        weighted = [row._replace(weight=row.weight * sample.weight) for row, sample in made]
        return MadeSamples(len(chunk), findings, (encoded, RowColumns.of(weighted)))

    def _note(self, text: str, example: str = "") -> None:
        self._findings.note(text, example)

    def _samples(self, row: Row) -> Sequence[FormattedSample]:
        findings = self._findings
        findings.at(row.source, row.line)
        try:
            samples = self._variants(row)
        except BadRow as bad:
            findings.rows -= 1
            findings.bad(self.source.sources, row.source, row.line, str(bad))
            return ()
        for sample in samples:
            findings.count_stops(sample.stops)
            if len(sample.stops) > 1 and not self._encoder.joins_exactly(sample):
                findings.note(
                    "in {rows}, an answer begins with characters that the tokenizer joins with the prompt before it "
                    "when both are read again as history, so the later prompts differ from those in use by a token"
                )
        if self._reports_special_tokens:
            self._report_special_tokens(row)
        return samples

    def _variants(self, row: Row) -> tuple[FormattedSample, ...]:
        """Return the samples of a row; each sample's variants stand together, in their order."""
        made = [tuple(self.source.task_format.samples(row.content, context)) for context in self._of_variants]
        if len({len(samples) for samples in made}) > 1:
            raise MftError(
                f'task {self.source.task}: the format "{self.source.format_name}" must make equally many samples of '
                f"each variant of a row, but made {', '.join(str(len(samples)) for samples in made)} of "
                f"{self.source.sources[row.source].name}:{row.line}. Fix the plugin."
            )
        return tuple(sample for together in zip(*made, strict=True) for sample in together)

    def _report_special_tokens(self, row: Row) -> None:
        found = tokens_in(row.content.texts, self._controls.noticed)
        as_text = sorted(token for token in found if token in self._controls.texts)
        as_token = sorted(token for token in found if token not in self._controls.texts)
        if as_text:
            self._findings.note(
                "contents of {rows} contain the text of control tokens of the chat format, which is read as text "
                '(data.special_tokens: "text" confirms this, "token" makes them tokens)',
                " ".join(as_text[:_SHOWN_TOKENS]),
            )
        if as_token:
            self._findings.note(
                "contents of {rows} contain special tokens, which are read as tokens "
                '(data.special_tokens: "token" confirms this, "text" makes them text)',
                " ".join(as_token[:_SHOWN_TOKENS]),
            )


class MadeHere:
    """The samples of all chunks in order, made by this process."""

    def __init__(self, maker: SampleMaker, rows: Iterable[tuple[int, Numbered]] | None = None) -> None:
        """``rows``: only these, each with the index of its source; None: all rows of all sources."""
        self._maker = maker
        self._chunks = Chunks(maker.source.sources, maker.source.variants, rows)

    def __iter__(self) -> Iterator[MadeSamples]:
        """Yield them. Raises MftError for the first fault in the data."""
        return map(self._maker.make, self._chunks)

    @property
    def empty(self) -> list[int]:
        """Indices of the sources without rows, once all samples were read."""
        return self._chunks.empty


def _characters(value: object) -> int:
    """Return the characters of all texts in a row."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0
