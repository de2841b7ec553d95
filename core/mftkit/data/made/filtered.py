"""Rows of a task after its filters: filtered once for the rows, the filters and their options.

Each filter draws from the one before it, so a row is held in memory once, however many filters there are. What each
filter dropped and why is kept in the manifest beside the rows (see ``cached_rows``).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import disk_errors
from mftkit.data.made.cached_rows import CachedRows, digest
from mftkit.data.made.filter_run import FilterRun
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root
from mftkit.data.rows.faults import BadRow, RowError
from mftkit.data.task_formats import build_task_format, reading_context, tasks_before_data
from mftkit.plugins import installed, kinds
from mftkit.plugins.option_files import file_digests
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit.spec.references import without_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Source
    from mftkit.interfaces.data_filter import DataFilter
    from mftkit.interfaces.references import ComponentRef
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec

_SHOWN = 3
"""Skipped bad rows that are reported in full."""


class FilteredRows(CachedRows):
    """The rows of a task's sources that its filters keep."""

    def __init__(self, spec: Spec, task: TaskSpec, sources: tuple[Source, ...], reporter: Reporter) -> None:
        """Raises MftError for a filter that cannot be used."""
        self.spec, self.task, self.sources = spec, task, sources
        tasks = tasks_before_data(spec.tasks)
        self.filters: list[DataFilter] = [
            installed.build(kinds.DATA_FILTER, ref.name, ref.options, tasks) for ref in task.filters
        ]
        self.task_format = build_task_format(spec, task)
        self.context = reading_context(spec, task.name)
        directory = cache_root(spec.data.cache) / "filtered" / digest(self._made_from(), 32)
        super().__init__(directory, directory, reporter)

    def make(self) -> None:
        """Filter the rows and report what each filter did. Raises RowError for a bad row unless these are skipped."""
        line_counts = [source.digest().lines for source in self.sources]
        goal = None if None in line_counts else sum(number or 0 for number in line_counts)
        progress = GenerationProgress(self.task.name, "", goal, doing="filtering")
        skipped: list[str] = []
        runs = [self._run(number, progress) for number in range(len(self.filters))]
        rows = self._rows(progress, skipped)
        with self.reporter.generation(progress) as changed, ExitStack() as stack:
            for run in runs:
                stack.callback(run.close)
                rows = run.apply(rows, changed)
            kept = self.write_rows(rows, f"filter {runs[-1].name}")
        self.write_manifest(
            {
                "task": self.task.name,
                "seed": self.spec.seed,
                "sources": [source.name for source in self.sources],
                "read": progress.rows,
                "skipped": len(skipped),
                "rows": kept,
                "filters": [
                    {**made_from, **run.to_json()}
                    for made_from, run in zip(self._identities(), runs, strict=True)
                ],
            }
        )
        self._report(progress.rows, skipped, runs)

    def _made_from(self) -> JsonObject:
        """Return all that the kept rows depend on: the key of the cache."""
        return {
            "rows": [source.digest().sha256 for source in self.sources],
            "format": without_defaults(kinds.TASK_FORMAT, self.task.format),
            "on_bad_row": self.spec.data.on_bad_row,
            "filters": self._identities(),
            "seed": self.spec.seed,
            "task": self.task.name,
        }

    def _identities(self) -> list[JsonObject]:
        return [_identity(ref, made) for ref, made in zip(self.task.filters, self.filters, strict=True)]

    def _run(self, number: int, progress: GenerationProgress) -> FilterRun:
        name = self.task.filters[number].name
        work = self.directory / "work" / f"{number}-{name}"
        with disk_errors(work, CACHE_FULL_HINT):
            work.mkdir(parents=True, exist_ok=True)
        replies = self.directory.parent / "replies" / f"{digest([self.task.name, name], 32)}-{name}"
        return FilterRun(
            name,
            self.filters[number],
            self.spec.seed,
            self.task.name,
            (work, replies),
            progress,
            self.reporter,
        )

    def _rows(self, progress: GenerationProgress, skipped: list[str]) -> Iterator[JsonObject]:
        """Yield the readable rows of all sources; bad rows are located here, where the user wrote them."""
        for source in self.sources:
            for numbered in source.rows():
                try:
                    if isinstance(numbered.value, BadRow):
                        raise numbered.value
                    self.task_format.read(numbered.value, self.context)
                except BadRow as bad:
                    error = RowError(source.name, numbered.line, str(bad))
                    if self.spec.data.on_bad_row == "error":
                        raise error from None
                    skipped.append(str(error))
                    continue
                progress.rows += 1
                yield numbered.value

    def _report(self, read: int, skipped: list[str], runs: Sequence[FilterRun]) -> None:
        if skipped:
            counts = f"{len(skipped)} bad rows skipped, {read} kept"
            self.reporter.warn(f"task {self.task.name}: {counts}; the first: {'; '.join(skipped[:_SHOWN])}")
        for run in runs:
            for line in run.summary_lines():
                self.reporter.note(f"task {self.task.name}: {line}")


def _identity(ref: ComponentRef, made: DataFilter) -> JsonObject:
    """Return what the rows kept by a filter depend on."""
    registration = installed.registry().get(kinds.DATA_FILTER, ref.name)
    files = file_digests(made.options)
    distribution, version = registration.source
    return {
        "name": ref.name,
        "distribution": distribution,
        "distribution_version": version,
        "version": made.version,
        "options": ref.options,
        **({"files": files} if files else {}),
    }
