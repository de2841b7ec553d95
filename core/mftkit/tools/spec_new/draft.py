"""Writes the spec of surveyed tasks and a model, with comments that say why each value was chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.spec.commented import CommentedSpec
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_new.grouping import TaskFiles
    from mftkit.tools.spec_new.model_facts import ModelFacts
    from mftkit.tools.spec_new.survey import Survey

SMALL = 0.3e9
"""Parameters below which training all of them fits on any machine."""
LARGE = 1e9
"""Parameters above which activations are recomputed."""
FRACTION = 0.05
_SHORTEST, _LONGEST = 256, 8192
_COVERED = 0.99
"""Share of the rows that max_length is chosen to hold."""
_SURROUNDING = 64
"""Tokens that a chat template adds to a conversation, roughly."""


@dataclass(frozen=True)
class DraftTask:
    """One task of the spec to write."""

    files: TaskFiles
    survey: Survey
    valid: Survey | None = None
    """Rows of the validation file; None: there is none."""


@dataclass(frozen=True)
class DraftRequest:
    """All that the spec is made from."""

    name: str
    target: Path
    """The spec file; relative paths in the spec are relative to its directory."""
    model: ModelFacts
    tasks: list[DraftTask]
    is_exact: bool
    """Whether lengths were counted by the model's tokenizer."""
    tuning: str | None = None
    """Name of the tuning; None: chosen by the model's size."""
    max_length: int | None = None
    fraction: float = FRACTION


@dataclass
class _Draft:
    request: DraftRequest
    spec: CommentedSpec = field(default_factory=lambda: CommentedSpec({}))


def draft(request: DraftRequest) -> CommentedSpec:
    """Return the commented spec. Raises MftError if no tuning is installed that fits."""
    made = _Draft(request)
    spec = made.spec
    spec.header = [
        f"Written by mft spec new. Check it with: mft spec check {request.target}",
        "All keys, with their defaults: docs/spec.md, or mft spec schema.",
    ]
    spec.content["name"] = request.name
    spec.content["output"] = f"runs/{request.name}"
    spec.beside["output",] = "the run directory"
    spec.content["seed"] = 0
    _model(made)
    _tasks(made)
    _lengths(made)
    _training(made)
    return spec


def _model(made: _Draft) -> None:
    request, spec = made.request, made.spec
    model = request.model
    path = model.path
    spec.content["model"] = {"path": relative(Path(path), request.target) if model.is_local else path}
    spec.above["model",] = ["", f"The base model{_size(model)}."]
    method = request.tuning or _tuning(model)
    spec.content["tuning"] = method
    saves_adapter = installed.component_class(kinds.TUNING, method).saves_adapter
    small = model.parameters is not None and model.parameters < SMALL
    why = "small enough to train every parameter" if small and not saves_adapter else "see docs/tuning.md"
    spec.beside["tuning",] = f"{why}; options: mft plugins show tuning {method}"


def _tuning(model: ModelFacts) -> str:
    """Return an adapter for a model that is large or of unknown size, otherwise the default."""
    adapters = installed.names_with(kinds.TUNING, "saves_adapter")
    if adapters and (model.parameters is None or model.parameters >= SMALL):
        return adapters[0]
    default = installed.registry().default(kinds.TUNING)
    if default is None:
        raise MftError("no default tuning is installed; choose a tuning with --tuning (mft plugins list)")
    return default


def _tasks(made: _Draft) -> None:
    request, spec = made.request, made.spec
    spec.content["tasks"] = []
    spec.above["tasks",] = [
        "",
        "Each task has its own rows and its own loss; the default weighs them equally.",
    ]
    for index, task in enumerate(request.tasks):
        spec.content["tasks"].append(_task(made, index, task))
    bad = sum(task.survey.bad + (task.valid.bad if task.valid else 0) for task in request.tasks)
    if bad:
        spec.content["data"] = {"on_bad_row": "skip"}
        spec.above["data",] = [
            "",
            f'{"One" if bad == 1 else f"{bad:,}"} of the rows above cannot be used. "skip" leaves such rows '
            'out and reports them; "error" stops at the first one.',
        ]


def _task(made: _Draft, index: int, task: DraftTask) -> JsonObject:
    request, spec, survey = made.request, made.spec, task.survey
    at = ("tasks", index)
    formats = ", ".join(f"{name} ({count:,})" for name, count in survey.formats.most_common())
    spec.above[at] = [f"{survey.count}, read as {formats or 'nothing'}; {_lengths_of(survey, request)}."]
    if survey.bad:
        rows = "1 row" if survey.bad == 1 else f"{survey.bad:,} rows"
        spec.above[at].append(f"{rows} cannot be used, the first: {survey.first_bad}")
    spec.above[at] += [f"{note}." for note in task.files.notes]
    content: JsonObject = {
        "name": task.files.name,
        "train": [relative(path, request.target) for path in task.files.train],
    }
    if survey.proposal.columns:
        content["columns"] = dict(survey.proposal.columns)
        spec.beside[*at, "columns"] = "column of the file: key by which rows are read"
    if survey.proposal.is_text:
        content["format"] = "text"
        spec.beside[*at, "format"] = "raw texts: every token is in the loss"
    if task.valid is not None and task.files.valid is not None and task.valid.rows:
        content["valid"] = [relative(task.files.valid, request.target)]
        spec.beside[*at, "valid"] = task.valid.count
    elif survey.rows < 2:
        content["valid"] = 0
        spec.beside[*at, "valid"] = "one row cannot be divided"
    else:
        content["valid"] = request.fraction
        spec.beside[*at, "valid"] = "share of the rows that is held out for validation"
    return content


def _lengths(made: _Draft) -> None:
    request, spec = made.request, made.spec
    lengths = sorted(length for task in request.tasks for length in task.survey.lengths)
    chosen = request.max_length or _max_length(lengths, request.model.positions)
    longer = sum(length > chosen for length in lengths)
    spec.content["max_length"] = chosen
    how = "" if request.is_exact else ", estimated from characters"
    cut = f"{longer:,} of {len(lengths):,} rows are longer and are cut off" if longer else "all rows fit"
    limit = f"; the model was made for {request.model.positions:,}" if request.model.positions else ""
    spec.above["max_length",] = ["", f"Maximum length of a row in tokens: {cut}{how}{limit}."]


def _max_length(lengths: list[int], positions: int | None) -> int:
    """Return the power of two that holds nearly all rows, within what the model was made for."""
    covering = lengths[min(len(lengths) - 1, int(_COVERED * len(lengths)))] if lengths else _SHORTEST
    chosen = _SHORTEST
    while chosen < covering + _SURROUNDING and chosen < _LONGEST:
        chosen *= 2
    return min(chosen, positions) if positions else chosen


def _training(made: _Draft) -> None:
    request, spec = made.request, made.spec
    size = request.model.parameters
    training: JsonObject = {
        "epochs": 3,
        "batch_size": 16,
        "micro_batch_size": 4,
        "gradient_checkpointing": size is None or size >= LARGE,
        "evaluate_every": "epoch",
    }
    spec.content["training"] = training
    rate = installed.component_class(kinds.TUNING, spec.content["tuning"]).default_learning_rate
    at = ("training",)
    spec.above[at] = [""]
    spec.beside[*at, "epochs"] = "passes over the rows; max_steps sets a number of optimizer steps instead"
    spec.beside[*at, "batch_size"] = "packed rows per optimizer step, over all devices"
    spec.beside[*at, "micro_batch_size"] = "packed rows per forward pass; lower it if memory runs out"
    spec.beside[*at, "gradient_checkpointing"] = "recomputes activations: less memory, more time"
    spec.above[*at, "evaluate_every"] = [
        f"learning_rate: {rate:g}  (the default of this tuning)",
        'checkpoint_every: [epoch, "20 min"]  (the default: the sooner of both; or a number of optimizer steps)',
    ]
    spec.beside[*at, "evaluate_every"] = "or a number of optimizer steps"


def _lengths_of(survey: Survey, request: DraftRequest) -> str:
    lengths = sorted(survey.lengths)
    if not lengths:
        return "no row can be read"
    about = "" if request.is_exact else "about "
    return f"{about}{lengths[len(lengths) // 2]:,} tokens (median), at most {lengths[-1]:,}"


def _size(model: ModelFacts) -> str:
    if model.parameters is None:
        return ""
    millions = model.parameters / 1e6
    return (
        f", about {millions / 1e3:.1f} billion parameters"
        if millions >= 1e3
        else f", about {millions:.3g} million parameters"
    )


def relative(path: Path, target: Path) -> str:
    """Return a path as the spec file ``target`` names it: relative to it, unless it was given as absolute."""
    if path.expanduser().is_absolute():
        return str(path)
    return os.path.relpath(path, target.parent)
