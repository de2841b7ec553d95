"""From the user's answers to a checked spec file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mftkit.base.atomic_files import write_text
from mftkit.base.formatting import place
from mftkit.spec import load_spec
from mftkit.spec.commented import check_ending
from mftkit.spec.names import name_for_files
from mftkit.tools.spec_new.draft import FRACTION, DraftRequest, DraftTask, draft
from mftkit.tools.spec_new.grouping import group
from mftkit.tools.spec_new.model_facts import measure, model_facts
from mftkit.tools.spec_new.survey import survey
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mftkit.spec.commented import CommentedSpec
    from mftkit.tools.spec_new.columns import Proposal
    from mftkit.tools.spec_new.grouping import TaskFiles
    from mftkit.tools.spec_new.survey import Survey

_SHOWN = 20
"""Columns that a message lists."""


@dataclass(frozen=True)
class Answers:
    """What the user chose."""

    target: Path
    data: list[str]
    """Files, directories, patterns, each alone or as ``NAME=PATH``."""
    model: str
    name: str | None = None
    columns: list[str] = field(default_factory=list)
    """``COLUMN=KEY`` for all tasks, or ``TASK:COLUMN=KEY`` for one."""
    tuning: str | None = None
    max_length: int | None = None
    fraction: float = FRACTION


@dataclass(frozen=True)
class NewSpec:
    """The spec, and what was found in the data."""

    spec: CommentedSpec
    tasks: list[DraftTask]
    name: str


def build(
    answers: Answers,
    warn: Callable[[str], None],
    ask: Callable[[TaskFiles, Survey], Proposal | None] = lambda _files, _survey: None,
) -> NewSpec:
    """Look at the data and the model, and return the spec, checked but not written.

    Args:
        answers: what the user chose.
        warn: receives warnings about files.
        ask: is asked for the columns of a task whose rows fit no format; None leaves it open.

    Raises:
        MftError: data or a model that cannot be used.
    """
    check_ending(answers.target)
    facts = model_facts(answers.model)
    length, is_exact = measure(facts)
    tasks = [_task(files, answers, length, warn, ask) for files in group(answers.data)]
    name = answers.name or re.sub(r"[\x00-\x1f\x7f\\/]", "-", answers.target.stem).strip() or "run"
    request = DraftRequest(
        name_for_files(name),
        answers.target,
        facts,
        tasks,
        is_exact,
        answers.tuning,
        answers.max_length,
        answers.fraction,
    )
    spec = draft(request)
    load_spec(spec.content, directory=answers.target.parent)
    return NewSpec(spec, tasks, name)


def check_target(target: Path, *, force: bool) -> None:
    """Raise MftError if a spec file cannot be written there, or exists already and ``force`` is false."""
    check_ending(target)
    if target.is_dir():
        raise MftError(f"--output: {target} is a directory; name a file in it")
    if target.exists() and not force:
        raise MftError(f"{place(target)} exists already; choose another --output, or replace it with --force")
    if not target.parent.is_dir():
        raise MftError(f"--output: there is no directory {target.parent}; create it first")


def write(spec: CommentedSpec, target: Path, *, force: bool) -> None:
    """Write a spec file. Raises MftError as ``check_target`` does, or if it cannot be written."""
    text = spec.text(target)
    check_target(target, force=force)
    write_text(target, text)


def _task(
    files: TaskFiles,
    answers: Answers,
    length: Callable[[str], int],
    warn: Callable[[str], None],
    ask: Callable[[TaskFiles, Survey], Proposal | None],
) -> DraftTask:
    columns = _columns(answers.columns, files.name)
    found = survey(files.train, columns or None, length, warn)
    if found.is_unclear and (chosen := ask(files, found)) is not None:
        found = replace(survey(files.train, chosen.columns, length, warn), proposal=chosen)
    if not found.rows:
        raise MftError(_nothing(files, found))
    valid = None
    if files.valid is not None:
        valid = survey((files.valid,), found.proposal.columns, length, warn)
        if not valid.rows:
            warn(
                f"{place(files.valid)} has no row that can be read; a share of the training rows is held out"
            )
    return DraftTask(files, found, valid)


def _columns(given: list[str], task: str) -> dict[str, str]:
    columns = {}
    for entry in given:
        name, colon, rest = entry.partition(":")
        if colon and name != task:
            continue
        column, equals, key = (rest if colon else entry).partition("=")
        if not equals or not column or not key:
            raise MftError(
                f"--columns {entry}: expected COLUMN=KEY or TASK:COLUMN=KEY, such as problem=prompt"
            )
        columns[column] = key
    return columns


def _nothing(files: TaskFiles, found: Survey) -> str:
    paths = ", ".join(place(path) for path in files.train)
    if found.is_unclear and found.columns:
        names = ", ".join(map(repr, found.columns[:_SHOWN]))
        return (
            f"task {files.name}: no format fits the rows of {paths}, and it is not clear which column is the question "
            f"and which the answer (columns with text: {names}); name them with --columns {files.name}:COLUMN=prompt "
            f"--columns {files.name}:COLUMN=answer, or the text with --columns {files.name}:COLUMN=text"
        )
    first = f"; the first: {found.first_bad}" if found.first_bad else ""
    return f"task {files.name}: no row of {paths} can be read ({found.bad} rows that cannot be used{first})"
