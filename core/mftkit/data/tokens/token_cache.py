"""Turns a task's sources into its table of tokens: made once, then read from the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from mftkit.base.atomic_files import new_directory
from mftkit.chat_client.cache_key import options_identity
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.reading import RowFindings, read_rows
from mftkit.data.task_formats import reading_context, uses_chat
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.control_tokens import ControlTokens, added_tokens, tokens_in
from mftkit.data.text.encoder import VERSION, Encoder, fast_backend
from mftkit.data.tokens.stop_check import check_stops
from mftkit.data.tokens.table import TableWriter, TokenTable, open_table
from mftkit.plugins import installed, kinds
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Digest, Source
    from mftkit.data.rows.reading import Row
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.task_format import FormatContext, FormattedSample, RowContent, TaskFormat
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec

_BATCH = 1000
"""Most rows that are tokenized in one call."""
_BATCH_CHARACTERS = 1 << 23
"""Characters after which a batch is full, for very long rows."""
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
                self._write(source, digests, part)
        return TokenTable(directory), fingerprint, False

    def texts(self, source: TableSource, row: JsonObject) -> tuple[RowContent, tuple[FormattedSample, ...]]:
        """Return a row's content and its samples as text, in the order in which the table has them (of variant 0)."""
        context = self._context(source)
        if source.task_format.uses_length:
            context = replace(context, token_starts=self._encoder(source.task_format, context).token_starts)
        content = source.task_format.read(row, context)
        return content, tuple(source.task_format.samples(content, context))

    def encoder(self, source: TableSource) -> Encoder:
        """Return what encodes the samples of a source."""
        return self._encoder(source.task_format, self._context(source))

    @cached_property
    def chat(self) -> ChatFormat:
        """The chat format of the run."""
        markers, chat = self._spec.chat.markers, self._spec.chat
        return chat_format(
            chat.format,
            None if markers is None else markers.model_dump(),
            self._tokenizer,
            split=chat.split,
            special_tokens=self._spec.data.special_tokens,
        )

    @cached_property
    def _identity(self) -> str:
        """Identity of the tokenizer: everything that the tokens of a text depend on."""
        ends = [self._tokenizer.bos_token_id, self._tokenizer.eos_token_id]
        return hashlib.sha256(f"{fast_backend(self._tokenizer).to_str()}{ends}".encode()).hexdigest()

    @property
    def rendering(self) -> str:
        """Identity of what makes tokens of a row: the tokenizer and, if a task needs one, the chat format."""
        has_chat = any(uses_chat(task) for task in self._spec.tasks)
        return json.dumps([self._identity, self.chat.describe() if has_chat else None])

    def _fingerprint(self, source: TableSource, digests: Sequence[Digest]) -> str:
        task_format = source.task_format
        made_of: JsonObject = {
            "version": VERSION,
            "task": source.task,
            "sources": [digest.sha256 for digest in digests],
            "format": [source.format_name, task_format.version, options_identity(task_format.options)],
            "seed": self._context(source).seed if task_format.uses_seed else None,
            "groups": source.groups,
            "on_bad_row": self._spec.data.on_bad_row,
            "special_tokens": self._spec.data.special_tokens,
            "tokenizer": self._identity,
            "chat": self.chat.describe() if task_format.uses_chat else None,
        }
        if content := installed.content_of_local(kinds.TASK_FORMAT, source.format_name):
            made_of["plugin"] = content
        if task_format.uses_length:
            made_of["max_length"] = self._context(source).max_length
        if source.variants > 1:
            made_of["variants"] = source.variants
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]

    def _context(self, source: TableSource, findings: RowFindings | None = None) -> FormatContext:
        reading = reading_context(self._spec, source.task, None if findings is None else findings.note)
        return replace(
            reading,
            chat=self.chat if source.task_format.uses_chat else None,
            eos=self._tokenizer.eos_token or "",
            vocabulary=frozenset(token.text for token in added_tokens(self._tokenizer)),
            max_length=self._spec.max_length
            if source.task_format.uses_length and self._spec.data.overlong == "truncate"
            else None,
        )

    def _encoder(self, task_format: TaskFormat, context: FormatContext) -> Encoder:
        """Return what encodes the samples of a task."""
        if task_format.uses_chat:
            return self.chat.encoder
        own = task_format.control_texts(context)
        return Encoder(self._tokenizer, ControlTokens(self._tokenizer, own, self._spec.data.special_tokens))

    def _write(self, source: TableSource, digests: Sequence[Digest], directory: Path) -> None:
        findings = RowFindings(self._spec.data.on_bad_row)
        counts = [digest.lines for digest in digests]
        total = None if None in counts else sum(count or 0 for count in counts)
        context = self._context(source, findings)
        encoder = self._encoder(source.task_format, context)
        if source.task_format.uses_length:
            # a row's variants ask for the same long text again, between a few calls for its parts
            context = replace(context, token_starts=lru_cache(maxsize=16)(encoder.token_starts))
        maker = _SampleMaker(source, context, encoder, findings, self._spec)
        rows = read_rows(source.sources, source.task_format, maker.context, findings, groups=source.groups)
        writer = TableWriter(directory, source.variants)
        try:
            with self._reporter.progress(f"tokenizing {source.task}", total) as advance:
                for batch in _batches(rows, source.variants):
                    maker.write(batch, writer)
                    advance(len(batch))
            findings.repeated_rows = writer.repeated_rows
            writer.close(findings.to_json())
        finally:
            writer.abandon()


class _SampleMaker:
    """Makes samples of the rows of one table."""

    def __init__(
        self,
        source: TableSource,
        context: FormatContext,
        encoder: Encoder,
        findings: RowFindings,
        spec: Spec,
    ) -> None:
        self.context = context
        self._of_variants = [replace(context, variant=variant) for variant in range(source.variants)]
        self._source = source
        self._findings = findings
        self._reports_special_tokens = spec.data.special_tokens == "auto"
        self._encoder = encoder
        self._controls = encoder.controls

    def write(self, batch: list[Row], writer: TableWriter) -> None:
        """Write the samples of some rows."""
        made = [(row, sample) for row in batch for sample in self._samples(row)]
        if not made:
            return
        samples = [sample for _row, sample in made]
        encoded = self._encoder.encode(samples)
        places = [f"{self._source.sources[row.source].name}:{row.line}" for row, _sample in made]
        check_stops(self._encoder, samples, encoded, places, self._source.task)
        rows = [row._replace(weight=row.weight * sample.weight) for row, sample in made]
        writer.append(encoded, rows)

    def _samples(self, row: Row) -> Sequence[FormattedSample]:
        findings = self._findings
        findings.at(row.source, row.line)
        try:
            samples = self._variants(row)
        except BadRow as bad:
            findings.rows -= 1
            findings.bad(self._source.sources, row.source, row.line, str(bad))
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
        made = [
            tuple(self._source.task_format.samples(row.content, context)) for context in self._of_variants
        ]
        if len({len(samples) for samples in made}) > 1:
            raise MftError(
                f'task {self._source.task}: the format "{self._source.format_name}" must make equally many samples of '
                f"each variant of a row, but made {', '.join(str(len(samples)) for samples in made)} of "
                f"{self._source.sources[row.source].name}:{row.line}. Fix the plugin."
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


def _ignore(damage: str) -> None:
    del damage  # it was reported before


def _batches(rows: Iterator[Row], variants: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += variants * sum([len(text) for text in row.content.texts])
        if variants * len(batch) >= _BATCH or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
