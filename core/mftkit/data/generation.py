"""Rows made by a data generator: made once for its options, seed and version, then read like any file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mftkit import kinds, plugins
from mftkit.data.files import FileSource
from mftkit.data.filtering import filtered
from mftkit.data.sources import task_sources
from mftkit.data.storage import ELSEWHERE, cache_root, locked
from mftkit.files import disk_errors, write_text
from mftkit.interfaces.generator import GenerationContext
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit.data.files import Source
    from mftkit.interfaces.generator import DataGenerator
    from mftkit.reporter import Reporter
    from mftkit.spec import Spec, TaskSpec

_PROGRESS = 100
"""Rows after which progress is told."""


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
    """The file of a task's generated rows as they were made, unfiltered; made now unless it is there already."""
    assert task.generator is not None, "only asked for tasks that have one"
    name = task.generator.name
    generator: DataGenerator = plugins.build(kinds.DATA_GENERATOR.name, name, task.generator.options)
    directory = cache_root(spec.data.cache) / "generated" / _key(spec, task, generator)
    with locked(directory, reporter):
        if not _complete(directory):
            _make(directory, generator, spec.seed, task, reporter)
    return FileSource(directory / "rows.jsonl")


def _key(spec: Spec, task: TaskSpec, generator: DataGenerator) -> str:
    assert task.generator is not None
    registration = plugins.registry().get(kinds.DATA_GENERATOR.name, task.generator.name)
    options: Any = generator.options
    made_of = {
        "generator": task.generator.name,
        "distribution": [registration.distribution, registration.version],
        "version": generator.version,
        "options": options.model_dump(mode="json"),
        "seed": spec.seed,
        "task": task.name,
    }
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    return f"{task.generator.name}-{digest}"


def _complete(directory: Path) -> bool:
    try:
        manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        return bool((directory / "rows.jsonl").stat().st_size == manifest["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(directory: Path, generator: DataGenerator, seed: int, task: TaskSpec, reporter: Reporter) -> None:
    assert task.generator is not None
    counts: Counter[str] = Counter()
    with disk_errors(directory, ELSEWHERE):
        work = directory / "work"
        work.mkdir(parents=True, exist_ok=True)
    context = GenerationContext(seed, task.name, work, lambda **more: counts.update(more))
    lines = []
    with reporter.progress(f"generating {task.name}", None) as advance:
        for number, row in enumerate(generator.rows(context), 1):
            lines.append(_line(row, number, task.generator.name))
            if number % _PROGRESS == 0:
                advance(_PROGRESS)
    text = "".join(lines)
    write_text(directory / "rows.jsonl", text, ELSEWHERE)
    manifest = {"rows": len(lines), "bytes": len(text.encode()), "counts": dict(counts), "task": task.name}
    write_text(directory / "manifest.json", json.dumps(manifest, indent=1), ELSEWHERE)
    told = ", ".join(f"{what} {number}" for what, number in sorted(counts.items()))
    reporter.note(
        f"task {task.name}: {task.generator.name} made {len(lines)} rows{f' ({told})' if told else ''}"
    )


def _line(row: Any, number: int, name: str) -> str:
    try:
        line = json.dumps(row, ensure_ascii=False)
        line.encode()
    except (TypeError, ValueError) as error:
        raise MftError(f"generator {name}: row {number} cannot be written as JSON: {error}") from error
    return line + "\n"
