"""Checks the data of tasks: every entry names something, and the first rows of each file can be read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.data.rows.files import FileSource
from mftkit.data.rows.hub import HubSource
from mftkit.data.rows.reading import RowFindings, read_rows
from mftkit.data.rows.sources import entries, entry_sources, with_columns
from mftkit.data.task_formats import build_task_format, reading_context
from mftkit.plugins.ownership import plugin_suffix
from mftkit.spec import HubDataset
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mftkit.data.rows.source import Digest, Numbered, Source
    from mftkit.spec import Spec, TaskSpec
    from mftkit.spec.positions import Location
    from mftkit.tools.spec_check.findings import Findings

ROWS = 20
"""Rows of each source that are read."""
MOST_SOURCES = 200
"""Sources of one entry whose rows are read."""
LARGEST_JSON = 32 << 20
"""Bytes of a .json file that is read: a JSON array has to be read as a whole."""


def check_data(spec: Spec, findings: Findings) -> None:
    """Check ``train``, ``valid`` and ``columns`` of every task."""
    for index, task in enumerate(spec.tasks):
        for key in ("train", "valid"):
            named = getattr(task, key)
            if isinstance(named, list | HubDataset):
                _Check(spec, index, task, key, findings).run(entries(named))


@dataclass(frozen=True)
class _Check:
    """Checks one of a task's two keys."""

    spec: Spec
    index: int
    task: TaskSpec
    key: str
    findings: Findings

    def run(self, named: Sequence[str | HubDataset]) -> None:
        at: Location = ("tasks", self.index, self.key)
        found: dict[str, tuple[Location, Source]] = {}
        for number, entry in enumerate(named):
            here = (*at, number) if len(named) > 1 else at
            where = ".".join(map(str, here))
            with self.findings.guard(here):
                for source in entry_sources(entry, where, partial(self.findings.warn, here)):
                    found.setdefault(source.name, (here, source))
        readable = [each for each in found.values() if is_read_here(*each, self.findings)]
        with self.findings.guard(("tasks", self.index, "columns")):
            sources = tuple(source for _, source in readable)
            all_read = len(readable) == len(found)
            checks_use = self.key == "train" and all_read
            renamed = with_columns(sources, self.task, self.index, checks_use=checks_use)
            self._read([here for here, _ in readable], renamed, all_read=all_read)

    def _read(self, places: list[Location], sources: Sequence[Source], *, all_read: bool) -> None:
        task_format = build_task_format(self.spec, self.task)
        context = reading_context(self.spec, self.task.name)
        rows = skipped = 0
        for here, source in list(zip(places, sources, strict=True))[:MOST_SOURCES]:
            found = RowFindings("skip")
            try:
                rows += sum(1 for _ in read_rows([_Head(source)], task_format, context, found))
            except MftError as error:
                skipped += 1
                self.findings.error(here, str(error))
            except Exception as error:  # of a plugin's format
                skipped += 1
                what = f"{self.task.format.name} cannot read the rows of {source.name}"
                self.findings.error(
                    here, f"{what}: {type(error).__name__}: {error}{plugin_suffix(task_format)}"
                )
            skipped += found.skipped
            self._report(here, source, found)
        if len(sources) > MOST_SOURCES:
            what = f"rows of {len(sources) - MOST_SOURCES} more files: those of the first {MOST_SOURCES} are read"
            self.findings.unchecked(places[-1], what)
        if sources and all_read and not rows + skipped and self.key == "train":
            self.findings.error(places[0], f"the files of the task {self.task.name} contain no rows")

    def _report(self, here: Location, source: Source, found: RowFindings) -> None:
        """A bad row ends the run, or is skipped by it."""
        add = self.findings.error if self.spec.data.on_bad_row == "error" else self.findings.warn
        for _, line, what in found.first_skipped:
            add(here, f"{source.name}:{line}: {what}")
        if found.empty:
            self.findings.warn(here, f"{source.name} contains no rows")


def is_read_here(here: Location, source: Source, findings: Findings) -> bool:
    """Return True if the first rows of a source can be read at once; what cannot be is reported."""
    if isinstance(source, HubSource):
        if Path(source.dataset).is_absolute() and not Path(source.dataset).exists():
            findings.error(here, f"there is no directory {source.dataset}")
        else:
            findings.unchecked(here, f"{source.name}: a data set is loaded when the run starts")
        return False
    is_array = isinstance(source, FileSource) and source.path.suffix.lower() == ".json"
    if is_array and Path(source.name).stat().st_size > LARGEST_JSON:
        findings.unchecked(here, f"rows of {source.name}: a large JSON array is read as a whole")
        return False
    return True


@dataclass(frozen=True)
class _Head:
    """The first rows of a source."""

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    def digest(self) -> Digest:
        return self.source.digest()

    def rows(self) -> Iterator[Numbered]:
        return islice(self.source.rows(), ROWS)
