"""A run's data: the training and validation samples of all tasks, and what was found in preparing them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mftkit.data.content import content_of
from mftkit.data.mixing import Mixture, mixture
from mftkit.data.rows.faults import RowError
from mftkit.data.rows.reading import RowFindings
from mftkit.data.samples import Part, Samples
from mftkit.data.split import held_out, held_out_groups
from mftkit.data.streaming import ChunkedSamples, ChunkTables, StreamedTask, starts_again, without_numbers
from mftkit.data.task_formats import build_task_format
from mftkit.data.task_rows import task_rows, validation_rows
from mftkit.data.tokens.token_cache import TableSource, TokenCache
from mftkit.interfaces.component import TaskInfo
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from mftkit.data.rows.files import Source
    from mftkit.data.tokens.table import TokenTable
    from mftkit.interfaces.mixer import Mixer
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec

__all__ = ["Corpus", "Samples", "TaskReport", "prepare", "prepare_validation", "validation_sources"]


@dataclass(frozen=True)
class TaskReport:
    """Counts of one task's rows, training and validation together."""

    rows: int
    """Good rows read."""
    skipped: int
    """Bad rows skipped (``data.on_bad_row``)."""
    truncated: int
    """Samples truncated to ``max_length``."""
    dropped: int
    """Samples dropped for their length, or because truncation left no loss tokens."""
    train_tokens: int
    """Tokens of the training samples after truncation, in the loss or not."""
    valid_rows: int
    """Samples held out for validation."""
    cached: bool
    """Whether all tokens came from the cache."""


@dataclass(frozen=True)
class Corpus:
    """The data of a run."""

    train: Samples
    valid: Samples
    tasks: tuple[TaskInfo, ...]
    reports: tuple[TaskReport, ...]
    fingerprint: str
    """Equal for equal sources, read in the same way; it may depend on where a data set or a format's files lie."""
    content: str
    """Equal for equal samples in the same order, wherever the data lies."""
    warnings: tuple[str, ...]
    """All warnings that were reported."""
    stops: tuple[str, ...] = ()
    """Texts that end the answers of the training samples."""
    mixture: Mixture | None = None
    """Samples that each epoch draws; None: every training sample once."""

    @property
    def mixer(self) -> Mixer | None:
        """What decides the tasks' shares; None without mixing."""
        return None if self.mixture is None else self.mixture.mixer


@dataclass(frozen=True)
class _Loaded:
    """One task's tables, and which of their rows are used."""

    train: Part
    valid: Part
    report: TaskReport
    identity: tuple[str, ...]
    stops: tuple[str, ...]
    """Texts that end answers."""


def prepare(spec: Spec, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> Corpus:
    """Read, check, tokenize and split the data of all tasks, reusing what the cache holds.

    Raises MftError for data that cannot be used; for a bad row the message is ``PATH:LINE: what is wrong``.
    """
    return _Preparation(spec, tokenizer, reporter).corpus()


def prepare_validation(spec: Spec, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> Samples:
    """The validation samples of all tasks, as ``prepare`` gives them.

    Training rows are read only for a task whose validation rows depend on them: a fraction, or rows of a generator.
    """
    preparation = _Preparation(spec, tokenizer, reporter)
    parts = [preparation.validation(index, task) for index, task in enumerate(spec.tasks)]
    return Samples(parts, spec.max_length)


def validation_sources(
    spec: Spec, index: int, tokenizer: PreTrainedTokenizerBase, reporter: Reporter
) -> tuple[tuple[Source, ...], set[tuple[int, int]]]:
    """The sources that hold a task's validation rows, and these rows: number of the source, and line.

    Raises MftError for data that cannot be used.
    """
    preparation, task = _Preparation(spec, tokenizer, reporter), spec.tasks[index]
    part = preparation.validation(index, task)
    if isinstance(task.valid, float | int):
        sources = task_rows(spec, index, task, reporter)
    else:
        sources = validation_rows(spec, index, task, reporter)
    return sources, {part.table.origin(int(row)) for row in part.rows}


class _Preparation:
    def __init__(self, spec: Spec, tokenizer: PreTrainedTokenizerBase, reporter: Reporter) -> None:
        self.spec = spec
        self.reporter = reporter
        self.token_cache = TokenCache(spec, tokenizer, reporter)
        self.warnings: list[str] = []
        self.chunks = None if spec.data.streaming is None else ChunkTables(spec, self.token_cache)
        self.warned: set[str] | None = None
        """What later chunks have been warned of; None until the first chunk is prepared."""
        self.last_places: dict[int, tuple[int, int]] = {}
        """Source and line of the last sample of each task in the latest chunk."""

    def corpus(self) -> Corpus:
        loaded = self.load_all()
        train = self.train_samples([task.train for task in loaded])
        valid = Samples([task.valid for task in loaded], self.spec.max_length)
        mixing = None if self.chunks is not None else self.spec.mixing
        unmixed = [self.info(index, parts, train, None) for index, parts in enumerate(loaded)]
        mixed = None if mixing is None else mixture(mixing, unmixed, train, self.spec.seed)
        infos = tuple(self.info(index, parts, train, mixed) for index, parts in enumerate(loaded))
        settings = [self.spec.max_length, self.spec.data.overlong]
        identity = json.dumps([settings, [task.identity for task in loaded]])
        fingerprint = hashlib.sha256(identity.encode()).hexdigest()
        return Corpus(
            train,
            valid,
            infos,
            tuple(task.report for task in loaded),
            fingerprint,
            content_of(self.token_cache.rendering, (*train.parts, *valid.parts), self.spec.max_length),
            tuple(self.warnings),
            tuple(dict.fromkeys(stop for task in loaded for stop in task.stops)),
            mixed,
        )

    def info(self, index: int, parts: _Loaded, train: Samples, mixed: Mixture | None) -> TaskInfo:
        """Return a task as components see it: the counts of one epoch."""
        task, samples = self.spec.tasks[index], len(parts.train.rows)
        if self.chunks is not None:
            return StreamedTask(task.name, task.weight, len(parts.valid.rows))
        tokens = int(train.loss_tokens[train.task == index].sum())
        drawn = samples if mixed is None else mixed.draws[index]
        return TaskInfo(task.name, task.weight, drawn, round(tokens * drawn / samples), len(parts.valid.rows))

    def load_all(self) -> list[_Loaded]:
        if self.chunks is None:
            return [self.load(index, task) for index, task in enumerate(self.spec.tasks)]
        loaded = [
            self.load_streamed(index, table) for index, table in enumerate(self.chunks.tables(0, self.warn))
        ]
        self.warned = {without_numbers(message) for message in self.warnings}
        return loaded

    def train_samples(self, parts: list[Part]) -> Samples:
        if self.chunks is None:
            return Samples(parts, self.spec.max_length, read_weights=True)
        return ChunkedSamples(parts, self.spec.max_length, self.chunk)

    def load_streamed(self, index: int, table: TokenTable) -> _Loaded:
        """Return a task's samples in the first chunk of its stream, and its validation samples."""
        assert self.chunks is not None, "the data is streamed"
        earlier, task = len(self.warnings), self.spec.tasks[index]
        sources = self.chunks.sources(index, self.warn)
        train, truncated, kept = self.chunk_part(index, table)
        nothing = np.zeros(len(table), np.bool_)
        valid = self.validation(index, task) if task.validates else self.part(index, table, nothing, sources)
        self.check(task, train, valid, sources, self.warnings[earlier:])
        identity = (
            "stream",
            str(self.chunks.rows[index]),
            content_of("", [train, valid], self.spec.max_length),
        )
        report = self.report([(table, kept, truncated)], train, valid, cached=False)
        return _Loaded(train, valid, report, identity, self.stops(table))

    def chunk(self, number: int) -> list[Part]:
        """Return the training samples of a chunk, task by task."""
        assert self.chunks is not None, "the data is streamed"
        tables = self.chunks.tables(number, self.warn)
        parts = [self.chunk_part(index, table)[0] for index, table in enumerate(tables)]
        if not any(len(part.rows) for part in parts):
            raise MftError(f"data.streaming: chunk {number + 1} has no samples left to train on")
        return parts

    def chunk_part(self, index: int, table: TokenTable) -> tuple[Part, int, NDArray[np.bool_]]:
        """Return a task's samples in a chunk, the number of those truncated, and a mask of the rows that are used."""
        assert self.chunks is not None, "the data is streamed"
        task, sources = self.spec.tasks[index], self.chunks.sources(index, self.warn)
        self.warn_findings(task, table, sources)
        if len(table):
            if starts_again(table, self.last_places.get(index)):
                self.warn(f"task {task.name}: its stream has ended, and starts again from its first row")
            self.last_places[index] = table.origin(len(table) - 1)
        kept, truncated = self.fitting(task, table, sources)
        return self.part(index, table, kept, sources), truncated, kept

    def load(self, index: int, task: TaskSpec) -> _Loaded:
        earlier = len(self.warnings)
        sources = task_rows(self.spec, index, task, self.reporter, self.warn)
        table, fingerprint, cached = self.table(
            task, sources, groups=task.generator is not None, every_variant=True
        )
        kept, truncated = self.fitting(task, table, sources)
        if isinstance(task.valid, float | int):
            chosen = _chosen(table, float(task.valid))
            valid = self.part(index, table, kept & chosen, sources)
            identity: tuple[str, ...] = (fingerprint, str(task.valid))
            reported = [(table, kept, truncated)]
        else:
            chosen = np.zeros(len(table), dtype=bool)
            from_valid = validation_rows(self.spec, index, task, self.reporter, self.warn)
            generated = task.valid_generator is not None
            other, other_fingerprint, other_cached = self.table(task, from_valid, groups=generated)
            fits, cut = self.fitting(task, other, from_valid)
            if generated:
                fits &= self.unseen(task, table, other)
            else:
                self.warn_leak(task, table, other)
            valid = self.part(index, other, fits, from_valid)
            identity, cached = (fingerprint, other_fingerprint), cached and other_cached
            reported = [(table, kept, truncated), (other, fits, cut)]
        train = self.part(index, table, kept & ~chosen, sources)
        self.check(task, train, valid, sources, self.warnings[earlier:])
        return _Loaded(train, valid, self.report(reported, train, valid, cached), identity, self.stops(table))

    def stops(self, table: TokenTable) -> tuple[str, ...]:
        return tuple(str(stop) for _kind, stop, _answers in table.facts["stops"].values())

    def validation(self, index: int, task: TaskSpec) -> Part:
        """Return a task's validation samples alone."""
        if self.chunks is not None and not task.validates:
            return self.load_streamed(index, self.chunks.tables(0, self.warn)[index]).valid
        if isinstance(task.valid, float | int) or task.valid_generator is not None:
            return self.load(index, task).valid
        sources = validation_rows(self.spec, index, task, self.reporter, self.warn)
        table, _fingerprint, _cached = self.table(task, sources, groups=False)
        fits, _truncated = self.fitting(task, table, sources)
        return self.part(index, table, fits, sources)

    def table(
        self, task: TaskSpec, sources: tuple[Source, ...], *, groups: bool, every_variant: bool = False
    ) -> tuple[TokenTable, str, bool]:
        """Return the tokens of some sources, and report what was found in reading them."""
        task_format = build_task_format(self.spec, task)
        variants = task_format.variants if every_variant else 1
        found = self.token_cache.table(
            TableSource(task.name, task.format.name, task_format, sources, groups, variants)
        )
        self.warn_findings(task, found[0], sources)
        return found

    def warn_findings(self, task: TaskSpec, table: TokenTable, sources: Sequence[Source]) -> None:
        names = [source.name for source in sources]
        for message in RowFindings.from_json(table.facts).messages(task.name, names):
            self.warn(message)

    def fitting(
        self, task: TaskSpec, table: TokenTable, sources: Sequence[Source]
    ) -> tuple[NDArray[np.bool_], int]:
        """Return a mask of the rows that are used and the number truncated. Raises RowError if long rows are errors.

        A row that is too long in one variant counts as too long, so that every epoch has the same samples.
        """
        limit, overlong = self.spec.max_length, self.spec.data.overlong
        variants = [table.of_variant(number) for number in range(table.variants)]
        lengths = np.max([variant.lengths for variant in variants], axis=0)
        long = lengths > limit
        if overlong == "error" and long.any():
            row = int(np.argmax(long))
            source, line = table.origin(row)
            what = f"{lengths[row]} tokens, but max_length is {limit} ({long.sum()} rows are too long)"
            hint = 'raise max_length, or set data.overlong to "truncate" or "drop"'
            raise RowError(sources[source].name, line, f"{what}; {hint}")
        kept: NDArray[np.bool_] = np.min([variant.loss_tokens(limit) for variant in variants], axis=0) > 0
        if overlong == "drop":
            kept &= ~long
        truncated = int((long & kept).sum())
        self.warn_length(task, truncated, int((~kept & long).sum()), int((~kept & ~long).sum()))
        return kept, truncated

    def warn_length(self, task: TaskSpec, truncated: int, dropped: int, empty: int) -> None:
        limit = f"max_length {self.spec.max_length}"
        if truncated:
            self.warn(f"task {task.name}: truncated the end of {truncated} samples to {limit}")
        if dropped and self.spec.data.overlong == "drop":
            self.warn(f"task {task.name}: dropped {dropped} samples longer than {limit}")
        elif dropped:
            self.warn(
                f"task {task.name}: dropped {dropped} samples: no loss tokens left after truncation to {limit}"
            )
        if empty:
            self.warn(f"task {task.name}: dropped {empty} samples: the tokenizer gives them no loss tokens")

    def warn_leak(self, task: TaskSpec, train: TokenTable, valid: TokenTable) -> None:
        shared = int(np.isin(valid.digests, train.digests).sum())
        if shared:
            self.warn(f"task {task.name}: {shared} validation rows are also training rows")

    def unseen(self, task: TaskSpec, train: TokenTable, valid: TokenTable) -> NDArray[np.bool_]:
        """Return a mask of the generated validation rows that are no training rows, nor of the group of one.

        Raises MftError if no row is left.
        """
        known = np.isin(valid.digests, train.digests)
        if task.generator is not None and train.facts["grouped"] and valid.facts["grouped"]:
            known |= np.isin(valid.split_keys, train.split_keys)
        number = int(known.sum())
        counted = (
            f"{number} of {len(known)} generated validation rows are training rows, or of the same group"
        )
        if number == len(known):
            what = counted if number else "the generator made no validation rows"
            raise MftError(
                f"task {task.name}: {what}, so none is left. Change the options of valid.generator or of the training "
                "rows, or set valid to a fraction or to files."
            )
        if number:
            self.warn(f"task {task.name}: {counted}; they are left out")
        return ~known

    def check(
        self, task: TaskSpec, train: Part, valid: Part, sources: Sequence[Source], warnings: list[str]
    ) -> None:
        if not len(train.rows):
            names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
            read = f"{len(train.table)} rows read from {names}"
            raise MftError("; ".join([f"task {task.name}: no samples left to train on ({read})", *warnings]))
        if not len(valid.rows):
            self.warn(f"task {task.name}: the validation set is empty, so this task has no validation loss")

    def part(
        self, index: int, table: TokenTable, chosen: NDArray[np.bool_], sources: Sequence[Source]
    ) -> Part:
        return Part(index, table, np.flatnonzero(chosen), tuple(source.name for source in sources))

    def report(
        self, tables: list[tuple[TokenTable, NDArray[np.bool_], int]], train: Part, valid: Part, cached: bool
    ) -> TaskReport:
        lengths = np.minimum(train.table.lengths[train.rows], self.spec.max_length)
        return TaskReport(
            rows=sum(table.facts["rows"] for table, _kept, _truncated in tables),
            skipped=sum(table.facts["skipped"] for table, _kept, _truncated in tables),
            truncated=sum(truncated for _table, _kept, truncated in tables),
            dropped=sum(int((~kept).sum()) for _table, kept, _truncated in tables),
            train_tokens=int(lengths.sum()),
            valid_rows=len(valid.rows),
            cached=cached,
        )

    def warn(self, message: str) -> None:
        """Report a warning; one about a later chunk only if none before differs from it in its numbers alone."""
        if self.warned is not None:
            if without_numbers(message) in self.warned:
                return
            self.warned.add(without_numbers(message))
        self.warnings.append(message)
        self.reporter.warn(message)


def _chosen(table: TokenTable, fraction: float) -> NDArray[np.bool_]:
    split = held_out_groups if table.facts["grouped"] else held_out
    return split(table.split_keys, fraction)
