"""Turns a task's sources into its table of tokens: made once, then read from the cache."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import new_directory
from mftkit.chat_client.cache_key import options_identity
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.reading import RowFindings
from mftkit.data.rows.source import Digest
from mftkit.data.task_formats import reading_context, uses_chat
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.control_tokens import ControlTokens, added_tokens
from mftkit.data.text.encoder import VERSION, Encoder, fast_backend
from mftkit.data.tokens.making_processes import (
    MakingProcesses,
    making_processes,
    number_of_processes,
    pickled_setup,
)
from mftkit.data.tokens.sample_maker import MadeHere, SampleMaker, TableSource
from mftkit.data.tokens.table import TableWriter, TokenTable, open_table
from mftkit.plugins import installed, kinds
from mftkit.reporting.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.source import Numbered
    from mftkit.data.text.chat_protocol import ChatFormat
    from mftkit.interfaces.task_format import FormatContext, FormattedSample, RowContent, TaskFormat
    from mftkit.spec import Spec

__all__ = ["TableSource", "TokenCache"]


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
        counts = [digest.lines for digest in digests]
        total = None if None in counts else sum(count or 0 for count in counts)
        table, cached = self._table(fingerprint, source, partial(self._made, source, total), total)
        return table, fingerprint, cached

    def table_of(
        self, name: str, source: TableSource, rows: Iterable[tuple[int, Numbered]], total: int
    ) -> TokenTable:
        """Return the table of some rows of a source, which is in the cache under ``name`` afterwards.

        Args:
            name: of the entry; equal names must mean equal rows, read in the same way.
            source: the source.
            rows: the rows, each with the index of its source; not read if the table is in the cache.
            total: number of rows.

        Raises:
            MftError: bad data.
        """
        return self._table(name, source, lambda: nullcontext(MadeHere(self.maker(source), rows)), total)[0]

    def identity_of(self, source: TableSource, sources: Sequence[str]) -> str:
        """Return the identity of a table that is made from ``sources``, given the identities of their content."""
        return self._fingerprint(source, [Digest(each, None) for each in sources])

    @property
    def root(self) -> Path:
        """The directory of the entries."""
        return self._root

    def _table(
        self,
        name: str,
        source: TableSource,
        make: Callable[[], AbstractContextManager[MadeHere | MakingProcesses]],
        total: int | None,
    ) -> tuple[TokenTable, bool]:
        """Return an entry's table, and whether it was there."""
        directory = self._root / name
        if table := open_table(directory, self._reporter.warn):
            return table, True
        with locked(directory, self._reporter):
            if table := open_table(directory, _ignore):  # made by another process in the meantime
                return table, True
            with new_directory(directory, CACHE_FULL_HINT) as part:
                self._write(source, make(), total, part)
            return TokenTable(directory), False

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
    def _highest_id(self) -> int:
        """The highest id that a token can have."""
        return max(self._tokenizer.get_vocab().values())

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

    def _context(self, source: TableSource) -> FormatContext:
        reading = reading_context(self._spec, source.task)
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

    def maker(self, source: TableSource) -> SampleMaker:
        """Return what makes the samples of a source."""
        context = self._context(source)
        return SampleMaker(
            source,
            context,
            self._encoder(source.task_format, context),
            self._spec.data.on_bad_row,
            reports_special_tokens=self._spec.data.special_tokens == "auto",
        )

    def _write(
        self,
        source: TableSource,
        made_by: AbstractContextManager[MadeHere | MakingProcesses],
        total: int | None,
        directory: Path,
    ) -> None:
        findings = RowFindings(self._spec.data.on_bad_row)
        writer = TableWriter(directory, source.variants, self._highest_id)
        try:
            with (
                made_by as made_samples,
                self._reporter.progress(f"tokenizing {source.task}", total) as advance,
            ):
                for made in made_samples:
                    findings.add(made.findings)
                    if made.samples is not None:
                        writer.append(*made.samples)
                    advance(made.rows)
                findings.empty = made_samples.empty
            findings.finish(source.task, source.groups)
            findings.repeated_rows = writer.repeated_rows
            writer.close(findings.to_json())
        finally:
            writer.abandon()

    @contextmanager
    def _made(self, source: TableSource, rows: int | None) -> Iterator[MadeHere | MakingProcesses]:
        """The samples of a source in order, made by several processes where there are cores and rows for them."""
        number = number_of_processes(self._spec.data.processes, rows)
        setup = pickled_setup(_maker_of, self._spec, self._tokenizer, source) if number > 1 else None
        if setup is None:
            if number > 1 and self._spec.data.processes is not None:
                self._reporter.note(
                    f"task {source.task}: one process tokenizes, not {number}: plugins of the spec's own, or objects "
                    "given in Python, are in this process alone"
                )
            yield MadeHere(self.maker(source))
        else:
            with making_processes(setup, number) as made:
                yield made


def _maker_of(spec: Spec, tokenizer: PreTrainedTokenizerBase, source: TableSource) -> SampleMaker:
    return TokenCache(spec, tokenizer, Reporter()).maker(source)


def _ignore(damage: str) -> None:
    del damage  # it was reported before
