"""Rows made by a data generator: made once for its options, seed and version.

A task's validation rows may come from a generator, too; its seed is derived from that of the training rows.

In the cache::

    generated/NAME-1f2e.../           one generator, seed and task
        replies-3c4d....jsonl         replies of a chat model, shared by all options: each is paid for once
        0a9b.../                      one set of options
            work/                     the generator's own directory
            5e6f.../                  one version of the generator and its distribution
                rows.jsonl            see ``cached_rows``
                manifest.json

After a kill, rows are made from the start with the replies that are on the disk. The same holds for other options,
such as a larger number of rows: what was asked before is not asked again.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from mftkit.base.atomic_files import disk_errors
from mftkit.chat_client import open_chat
from mftkit.chat_client.cache_key import options_identity
from mftkit.chat_client.context import GenerationContext
from mftkit.data.made.cached_rows import CachedRows, digest
from mftkit.data.made.storage import CACHE_FULL_HINT, cache_root
from mftkit.data.task_formats import tasks_before_data
from mftkit.interfaces.chat import BudgetSpent
from mftkit.plugins import installed, kinds
from mftkit.plugins.option_files import file_digests
from mftkit.reporting.generation_progress import GenerationProgress
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.generator import DataGenerator
    from mftkit.interfaces.references import ChatRef
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec


Role = Literal["training", "validation"]
"""The use of generated rows."""


def label(task: str, role: Role) -> str:
    """Return the name of a task's rows in messages and results: that of the task, or "TASK (valid)"."""
    return task if role == "training" else f"{task} (valid)"


def seed_of(spec: Spec, role: Role) -> int:
    """Return the seed of a generator: ``data.seed`` or ``seed``, and for validation rows one that is derived from it.

    The derived seed is the number in the first 31 bits of the SHA-256 of "validation:SEED".
    """
    seed = spec.seed if spec.data.seed is None else spec.data.seed
    if role == "training":
        return seed
    return int.from_bytes(hashlib.sha256(f"validation:{seed}".encode()).digest()[:4], "big") >> 1


class GeneratedRows(CachedRows):
    """The rows of one of a task's generators, unfiltered.

    Rows that a budget cut short count as incomplete: making them again costs nothing while the budget is the same.
    """

    def __init__(self, spec: Spec, task: TaskSpec, reporter: Reporter, role: Role = "training") -> None:
        ref = task.generator if role == "training" else task.valid_generator
        assert ref is not None, "the caller checks that the task has a generator"
        self.task, self.role = task, role
        self.label = label(task.name, role)
        self.name = ref.name
        self.seed = seed_of(spec, role)
        self.generator: DataGenerator = installed.build(
            kinds.DATA_GENERATOR, self.name, ref.options, tasks_before_data(spec.tasks)
        )
        registration = installed.registry().get(kinds.DATA_GENERATOR, self.name)
        self.distribution = list(registration.source)
        generator_key = digest({"generator": self.name, "seed": self.seed, "task": task.name}, 16)
        self.root = cache_root(spec.data.cache) / "generated" / f"{self.name}-{generator_key}"
        options_directory = self.root / digest(options_identity(self.generator.options), 16)
        self.work = options_directory / "work"
        version_key = digest([self.distribution, self.generator.version], 16)
        super().__init__(options_directory / version_key, self.root, reporter)

    def make(self) -> None:
        """Make the rows. Raises MftError if none could be made."""
        with disk_errors(self.directory, CACHE_FULL_HINT):
            self.work.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir(exist_ok=True)
        progress = GenerationProgress(self.label, self.name, self.generator.goal)
        stopped: list[BudgetSpent] = []
        with self.reporter.generation(progress) as changed, ExitStack() as chats:
            rows = self.generator.rows(self._context(progress, chats, changed))
            counted = _counted(_until_spent(rows, stopped), progress, changed)
            self.write_rows(counted, f"generator {self.name}")
        reason = str(stopped[0]) if stopped else None
        if not progress.rows:
            why = reason or "check its options, and what it read"
            raise MftError(f"task {self.label}: {self.name} made no rows: {why}")
        self.write_manifest(self._manifest(progress, reason))
        self._report(progress, reason)

    def _context(
        self, progress: GenerationProgress, chats: ExitStack, changed: Callable[[], None]
    ) -> GenerationContext:
        def opened(model: ChatRef) -> Chat:
            chat = open_chat(model, self.root, self.reporter.note, changed)
            chats.callback(chat.close)
            progress.chats.append(chat)
            return chat

        def report(**counts: int) -> None:
            progress.counts.update(counts)

        return GenerationContext(self.seed, self.task.name, self.work, report, opened)

    def _manifest(self, progress: GenerationProgress, stopped: str | None) -> JsonObject:
        usage = progress.usage
        return {
            "task": self.task.name,
            **({"role": self.role} if self.role != "training" else {}),
            "generator": self.name,
            "options": self.generator.options.model_dump(mode="json"),
            **({"files": files} if (files := file_digests(self.generator.options)) else {}),
            "seed": self.seed,
            "versions": {
                "mftkit": version("mftkit"),
                self.distribution[0]: self.distribution[1],
                "generator": self.generator.version,
            },
            "rows": progress.rows,
            "counts": dict(progress.counts),
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "cost": usage.cost,
            },
            "prompts": dict(self.generator.prompts),
            "stopped": stopped,
        }

    def _report(self, progress: GenerationProgress, stopped: str | None) -> None:
        details = "; ".join(part for part in (progress.counts_text(), progress.cost_text()) if part)
        made = f"{self.name} made {progress.rows} rows{f' ({details})' if details else ''}"
        self.reporter.note(f"task {self.label}: {made}")
        if stopped is not None:
            goal = f" of {progress.goal}" if progress.goal is not None else ""
            self.reporter.warn(f"task {self.label}: only {progress.rows}{goal} rows were made: {stopped}")


def _until_spent(rows: Iterator[JsonObject], stopped: list[BudgetSpent]) -> Iterator[JsonObject]:
    """Yield rows until the budget is spent; the error then goes to ``stopped``, and the rows so far are kept."""
    try:
        yield from rows
    except BudgetSpent as spent:
        stopped.append(spent)


def _counted(
    rows: Iterator[JsonObject], progress: GenerationProgress, changed: Callable[[], None]
) -> Iterator[JsonObject]:
    for row in rows:
        yield row
        progress.rows += 1  # after the row was written: a row that cannot be written is not counted
        changed()
