"""Rows made by a data generator: made once for its options, seed and version, then read like any file.

Where they lie, in the cache::

    generated/NAME-1f2e.../           of one generator, seed and task
        replies-3c4d....jsonl         what a chat model answered, whatever the options: asked for once
        0a9b.../                      of some options
            work/                     the generator's own
            5e6f.../                  of one version of what makes the rows
                rows.jsonl            whole or absent
                manifest.json         what they were made of

Rows are written as they are made. After a kill they are made again from the start, with the replies that
are there; so are those of other options, as where more are wanted: what was asked before is not asked again.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import disk_errors, sync, temporary, write_text
from mftkit.chat_client import open_chat
from mftkit.chat_client.cache_key import rows_identity
from mftkit.chat_client.context import GenerationContext
from mftkit.data.made.filtered import filtered, tasks_before_data
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root, locked
from mftkit.data.rows.files import FileSource
from mftkit.data.rows.sources import task_sources
from mftkit.interfaces.chat import BudgetSpent
from mftkit.plugins import installed, kinds
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mftkit.data.rows.files import Source
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.generator import DataGenerator
    from mftkit.interfaces.references import ChatRef
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec


def generate_tasks(spec: Spec, task: str | None, reporter: Reporter) -> dict[str, Path]:
    """Make the rows of each task that names a generator, or of ``task`` alone: task name to file of rows.

    Raises MftError where there is nothing to make.
    """
    makers = [found for found in spec.tasks if found.generator is not None]
    if task is not None and all(found.name != task for found in makers):
        known = ", ".join(found.name for found in makers) or "none"
        raise MftError(f"no task {task} with a generator in this spec (tasks with one: {known})")
    if not makers:
        raise MftError("no task of this spec has a generator: there is nothing to make")
    return {
        found.name: Path(task_rows(spec, spec.tasks.index(found), found, reporter)[0].name)
        for found in makers
        if task in (None, found.name)
    }


def task_rows(
    spec: Spec, index: int, task: TaskSpec, reporter: Reporter, warn: Callable[[str], None] | None = None
) -> tuple[Source, ...]:
    """What a task's training rows are read from: its files or its generator's rows, through its filters.

    ``index`` is the task's place in the spec, ``warn`` where it is told of files (default: nowhere).
    """
    if task.generator is not None:
        sources: tuple[Source, ...] = (generated_rows(spec, task, reporter),)
    else:
        sources = task_sources(task, index, warn or (lambda _told_later: None))
    return filtered(spec, task, sources, reporter)


def generated_rows(spec: Spec, task: TaskSpec, reporter: Reporter) -> FileSource:
    """The file of a task's generated rows as they were made, unfiltered; made now unless it is there already.

    Rows that a budget cut short are gone on with, which is free while the budget is the same. Raises MftError
    where rows cannot be made, or none was.
    """
    making = _Making(spec, task, reporter)
    with locked(making.root, reporter):
        if not making.complete():
            making.make()
    return FileSource(making.rows)


@dataclass(frozen=True)
class _Making:
    """The rows of one task: where they lie, and how they are made."""

    spec: Spec
    task: TaskSpec
    reporter: Reporter

    @cached_property
    def generator(self) -> DataGenerator:
        assert self.task.generator is not None, "only asked for tasks that have one"
        made: DataGenerator = installed.build(
            kinds.DATA_GENERATOR,
            self.name,
            self.task.generator.options,
            tasks_before_data(self.spec.tasks),
        )
        return made

    @property
    def name(self) -> str:
        assert self.task.generator is not None
        return self.task.generator.name

    @property
    def seed(self) -> int:
        return self.spec.seed if self.spec.data.seed is None else self.spec.data.seed

    @cached_property
    def root(self) -> Path:
        """Of all that this generator makes for the task, whatever its options."""
        made_of = {"generator": self.name, "seed": self.seed, "task": self.task.name}
        return cache_root(self.spec.data.cache) / "generated" / f"{self.name}-{_digest(made_of)}"

    @cached_property
    def work(self) -> Path:
        """The generator's own directory, whatever its version."""
        return self.root / _digest(rows_identity(self.generator.options)) / "work"

    @cached_property
    def directory(self) -> Path:
        """Of the rows."""
        return self.work.parent / _digest([self.distribution, self.generator.version])

    @cached_property
    def distribution(self) -> list[str]:
        registration = installed.registry().get(kinds.DATA_GENERATOR, self.name)
        return [registration.distribution, registration.version]

    @property
    def rows(self) -> Path:
        return self.directory / "rows.jsonl"

    def complete(self) -> bool:
        try:
            manifest = json.loads((self.directory / "manifest.json").read_text(encoding="utf-8"))
            return bool(self.rows.stat().st_size == manifest["bytes"] and manifest["stopped"] is None)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def make(self) -> None:
        with disk_errors(self.directory, CACHE_FULL_HINT):
            self.work.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir(exist_ok=True)
        state = GenerationProgress(self.task.name, self.name, self.generator.goal)
        with self.reporter.generation(state) as changed, ExitStack() as chats:
            stopped = self.write(self.generator.rows(self.context(state, chats, changed)), state, changed)
        if stopped is not None and not state.rows:
            raise MftError(f"task {self.task.name}: {self.name} made no row: {stopped}")
        write_text(
            self.directory / "manifest.json",
            json.dumps(self.manifest(state, stopped), indent=1),
            CACHE_FULL_HINT,
        )
        self.tell(state, stopped)

    def context(
        self, state: GenerationProgress, chats: ExitStack, changed: Callable[[], None]
    ) -> GenerationContext:
        def opened(model: ChatRef) -> Chat:
            chat = open_chat(model, self.root, self.reporter.note, changed)
            chats.callback(chat.close)
            state.chats.append(chat)
            return chat

        def report(**counts: int) -> None:
            state.counts.update(counts)

        return GenerationContext(self.seed, self.task.name, self.work, report, opened)

    def write(
        self, rows: Iterator[Any], state: GenerationProgress, changed: Callable[[], None]
    ) -> BudgetSpent | None:
        """Write rows as they come; the end of a budget ends them, and is returned."""
        partial, stopped = temporary(self.rows), None
        with disk_errors(self.rows, CACHE_FULL_HINT):
            with partial.open("w", encoding="utf-8") as file:
                try:
                    for row in rows:
                        file.write(_line(row, state.rows + 1, self.name))
                        state.rows += 1
                        changed()
                except BudgetSpent as spent:
                    stopped = spent
            sync(partial)
            partial.replace(self.rows)
        return stopped

    def manifest(self, state: GenerationProgress, stopped: BudgetSpent | None) -> dict[str, Any]:
        usage = state.usage
        return {
            "task": self.task.name,
            "generator": self.name,
            "options": self.generator.options.model_dump(mode="json"),
            "seed": self.seed,
            "versions": {
                "mftkit": version("mftkit"),
                self.distribution[0]: self.distribution[1],
                "generator": self.generator.version,
            },
            "rows": state.rows,
            "bytes": self.rows.stat().st_size,
            "counts": dict(state.counts),
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "cost": usage.cost,
            },
            "prompts": dict(self.generator.prompts),
            "stopped": None if stopped is None else str(stopped),
        }

    def tell(self, state: GenerationProgress, stopped: BudgetSpent | None) -> None:
        told = "; ".join(part for part in (state.counts_text(), state.cost_text()) if part)
        made = f"task {self.task.name}: {self.name} made {state.rows} rows{f' ({told})' if told else ''}"
        self.reporter.note(made)
        if stopped is not None:
            of = f" of {state.goal}" if state.goal is not None else ""
            self.reporter.warn(f"task {self.task.name}: {state.rows}{of} rows were made: {stopped}")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _line(row: Any, number: int, name: str) -> str:
    try:
        line = json.dumps(row, ensure_ascii=False)
        line.encode()
    except (TypeError, ValueError) as error:
        raise MftError(f"generator {name}: row {number} cannot be written as JSON: {error}") from error
    return line + "\n"
