"""Turns a task's sources into its table of tokens: made once, then read from the cache."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.atomic_files import new_directory
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.formats import BadRow, Conversation, Text
from mftkit.data.rows.reading import RowFindings, read_rows
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.encoder import VERSION, Encoder, fast_backend
from mftkit.data.tokens.table import TableWriter, TokenTable, open_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.rows.files import Digest, Source
    from mftkit.data.rows.formats import RowFormat
    from mftkit.data.rows.reading import Row
    from mftkit.data.text.segments import ChatFormat, Segment
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec

_BATCH = 1000
"""Most rows that are tokenized in one call."""
_BATCH_CHARACTERS = 1 << 23
"""Characters after which a batch is full, for very long rows."""


class TableSource(NamedTuple):
    """What a table is made from: the sources of one task, and how their rows are read."""

    task: str
    row_format: RowFormat
    sources: tuple[Source, ...]
    groups: bool
    """Whether rows may name a group, which then decides the split."""


class TokenCache:
    """Makes and reads the tables of a run."""

    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> None:
        self._spec = spec
        self._tokenizer = tokenizer
        self._reporter = reporter
        self._root = cache_root(spec.data.cache) / "tokens"

    def table(self, source: TableSource) -> tuple[TokenTable, str, bool]:
        """Return the table, its fingerprint, and whether it was cached. Raises MftError for bad data."""
        digests = [each.digest() for each in source.sources]
        fingerprint = self._fingerprint(source, digests)
        directory = self._root / fingerprint
        if table := open_table(directory, self._reporter.warn):
            return table, fingerprint, True
        with locked(directory, self._reporter):
            if table := open_table(directory, _ignore):  # made by another process in the meantime
                return table, fingerprint, True
            with new_directory(directory, CACHE_FULL_HINT) as part:
                self._write(source, digests, TableWriter(part))
        return TokenTable(directory), fingerprint, False

    @cached_property
    def _chat(self) -> ChatFormat:
        markers = self._spec.chat.markers
        return chat_format(
            self._spec.chat.format, None if markers is None else markers.model_dump(), self._tokenizer
        )

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self._tokenizer, self._chat.control_texts())

    @cached_property
    def _text_encoder(self) -> Encoder:
        return Encoder(self._tokenizer)

    @cached_property
    def _identity(self) -> str:
        """Identity of the tokenizer: everything that the tokens of a text depend on."""
        ends = [self._tokenizer.bos_token_id, self._tokenizer.eos_token_id]
        return hashlib.sha256(f"{fast_backend(self._tokenizer).to_str()}{ends}".encode()).hexdigest()

    def _fingerprint(self, source: TableSource, digests: Sequence[Digest]) -> str:
        made_of = {
            "version": VERSION,
            "task": source.task,
            "sources": [digest.sha256 for digest in digests],
            "row_format": source.row_format,
            "groups": source.groups,
            "on_bad_row": self._spec.data.on_bad_row,
            "tokenizer": self._identity,
            "chat": self._chat.describe() if source.row_format == "chat" else None,
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]

    def _write(self, source: TableSource, digests: Sequence[Digest], writer: TableWriter) -> None:
        findings = RowFindings(self._spec.data.on_bad_row)
        counts = [digest.lines for digest in digests]
        total = None if None in counts else sum(count or 0 for count in counts)
        rows = read_rows(source.sources, source.task, source.row_format, findings, groups=source.groups)
        try:
            with self._reporter.progress(f"tokenizing {source.task}", total) as advance:
                for batch in _batches(rows):
                    self._write_batch(batch, source, findings, writer)
                    advance(len(batch))
            writer.close(findings.to_json())
        finally:
            writer.abandon()

    def _write_batch(
        self, batch: list[Row], source: TableSource, findings: RowFindings, writer: TableWriter
    ) -> None:
        if source.row_format == "text":
            texts = [row.content.content for row in batch if isinstance(row.content, Text)]
            kept, encoded = batch, self._text_encoder.encode_texts(texts)
        else:
            rendered = list(self._rendered(batch, source, findings))
            kept = [row for row, _segments in rendered]
            encoded = self._encoder.encode([segments for _row, segments in rendered])
        if kept:
            findings.repeated_rows += writer.append(encoded, kept)

    def _rendered(
        self, batch: list[Row], source: TableSource, findings: RowFindings
    ) -> Iterator[tuple[Row, tuple[Segment, ...]]]:
        for row in batch:
            assert isinstance(row.content, Conversation)
            try:
                rendering = self._chat.render(row.content)
            except BadRow as bad:
                findings.rows -= 1
                findings.bad(source.sources, row.source, row.line, str(bad))
                continue
            findings.altered_by_template += rendering.altered_by_template
            yield row, rendering.segments


def _ignore(damage: str) -> None:
    del damage  # it was reported before


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        content = row.content
        if isinstance(content, Text):
            characters += len(content.content)
        else:
            characters += sum([len(turn.content) for turn in content.turns])
        if len(batch) == _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
