"""The filters of a task: what its training rows pass before they are used, once for these rows and options.

Each filter is a stage that draws from the one before it, so that a row is held once however many stages there
are. The rows that stay are written to a file, which is then read like any other; what each stage dropped and why
stands beside it in ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import disk_errors, write_text
from mftkit.data.made.filter_run import FilterRun
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.files import FileSource
from mftkit.data.rows.formats import BadRow, RowError, parse_row
from mftkit.interfaces.component import TaskInfo
from mftkit.plugins import installed, kinds
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mftkit.data.rows.files import Source
    from mftkit.interfaces.data_filter import DataFilter
    from mftkit.interfaces.references import ComponentRef
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec

_TOLD = 3
"""Bad rows skipped that are told in full."""


def tasks_before_data(tasks: Sequence[TaskSpec]) -> tuple[TaskInfo, ...]:
    """The run's tasks as components see them before any data is read: of no samples yet."""
    return tuple(TaskInfo(task.name, task.weight) for task in tasks)


def filtered(
    spec: Spec, task: TaskSpec, sources: tuple[Source, ...], reporter: Reporter
) -> tuple[Source, ...]:
    """The sources as they are for a task without filters, else the file of the rows that stay.

    Raises MftError for a filter that cannot be used, and RowError for a bad row unless these are skipped.
    """
    if not task.filters:
        return sources
    tasks = tasks_before_data(spec.tasks)
    filters = [installed.build(kinds.DATA_FILTER, ref.name, ref.options, tasks) for ref in task.filters]
    directory = cache_root(spec.data.cache) / "filtered" / _key(spec, task, sources, filters)
    with locked(directory, reporter):
        if not _complete(directory):
            _Pass(spec, task, sources, reporter).make(directory, filters)
    return (FileSource(directory / "rows.jsonl"),)


def _key(spec: Spec, task: TaskSpec, sources: Sequence[Source], filters: Sequence[DataFilter]) -> str:
    made_of = {
        "rows": [source.digest().sha256 for source in sources],
        "format": task.format,
        "on_bad_row": spec.data.on_bad_row,
        "filters": [_identity(*pair) for pair in zip(task.filters, filters, strict=True)],
        "seed": spec.seed,
        "task": task.name,
    }
    return _digest(made_of)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _identity(ref: ComponentRef, made: DataFilter) -> dict[str, Any]:
    """What the manifest says of a filter, and what its rows depend on."""
    registration = installed.registry().get(kinds.DATA_FILTER, ref.name)
    return {
        "name": ref.name,
        "distribution": registration.distribution,
        "distribution_version": registration.version,
        "version": made.version,
        "options": ref.options,
    }


def _complete(directory: Path) -> bool:
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        return bool((directory / "rows.jsonl").stat().st_size == manifest["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


class _Pass:
    """One pass over the rows of a task."""

    def __init__(self, spec: Spec, task: TaskSpec, sources: tuple[Source, ...], reporter: Reporter) -> None:
        self.spec, self.task, self.sources, self.reporter = spec, task, sources, reporter
        lines = [source.digest().lines for source in sources]
        goal = None if None in lines else sum(number or 0 for number in lines)
        self.state = GenerationProgress(task.name, "", goal, doing="filtering")
        self.skipped: list[str] = []

    def make(self, directory: Path, filters: Sequence[DataFilter]) -> None:
        """Write the rows that stay and the manifest, and tell what each stage did."""
        stages = [self.stage(directory, number, made) for number, made in enumerate(filters)]
        rows = self.rows()
        with self.reporter.generation(self.state) as changed, ExitStack() as stack:
            for stage in stages:
                stack.callback(stage.close)
                rows = stage.apply(rows, changed)
            lines = [_line(row, stages[-1].name) for row in rows]
        text = "".join(lines)
        write_text(directory / "rows.jsonl", text, CACHE_FULL_HINT)
        manifest = self.manifest(stages, filters, len(lines), len(text.encode()))
        write_text(
            directory / "manifest.json",
            json.dumps(manifest, indent=1, ensure_ascii=False, default=str),
            CACHE_FULL_HINT,
        )
        self.tell(stages)

    def stage(self, directory: Path, number: int, made: DataFilter) -> FilterRun:
        name = self.task.filters[number].name
        work = directory / "work" / f"{number}-{name}"
        with disk_errors(work, CACHE_FULL_HINT):
            work.mkdir(parents=True, exist_ok=True)
        replies = directory.parent / "replies" / f"{_digest([self.task.name, name])}-{name}"
        return FilterRun(
            name, made, self.spec.seed, self.task.name, (work, replies), self.state, self.reporter
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of all sources that can be read; a bad one is told with the place where the user wrote it."""
        for source in self.sources:
            for numbered in source.rows():
                try:
                    if isinstance(numbered.value, BadRow):
                        raise numbered.value
                    parse_row(numbered.value, self.task.format)
                except BadRow as bad:
                    error = RowError(source.name, numbered.line, str(bad))
                    if self.spec.data.on_bad_row == "error":
                        raise error from None
                    self.skipped.append(str(error))
                    continue
                self.state.rows += 1
                yield numbered.value

    def manifest(
        self, stages: Sequence[FilterRun], filters: Sequence[DataFilter], kept: int, size: int
    ) -> dict[str, Any]:
        told = [
            {**_identity(ref, made), **stage.found()}
            for ref, made, stage in zip(self.task.filters, filters, stages, strict=True)
        ]
        return {
            "task": self.task.name,
            "seed": self.spec.seed,
            "sources": [source.name for source in self.sources],
            "read": self.state.rows,
            "skipped": len(self.skipped),
            "rows": kept,
            "bytes": size,
            "filters": told,
        }

    def tell(self, stages: Sequence[FilterRun]) -> None:
        if self.skipped:
            told = f"{len(self.skipped)} bad rows skipped, {self.state.rows} kept"
            first = "; ".join(self.skipped[:_TOLD])
            self.reporter.warn(f"task {self.task.name}: {told}; the first: {first}")
        for stage in stages:
            for line in stage.lines():
                self.reporter.note(f"task {self.task.name}: {line}")


def _line(row: Any, name: str) -> str:
    try:
        line = json.dumps(row, ensure_ascii=False)
        line.encode()
    except (TypeError, ValueError) as error:
        raise MftError(f"filter {name}: gives a row that cannot be written as JSON: {error}") from error
    return line + "\n"
