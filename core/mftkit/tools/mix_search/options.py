"""What a search is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mftkit.evaluation.scoring import build_evaluators
from mftkit.evaluation.tasks import tasks_to_evaluate
from mftkit.tools.compare.arms import BudgetUnit
from mftkit_registry import MftError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mftkit.spec import Spec

LOSS = "loss"


@dataclass(frozen=True)
class SearchOptions:
    """The user's choices."""

    candidates: int = 30
    """Number of proportions that are measured."""
    seeds: int = 1
    """Seeds of specialists, counted up from the spec's own; a candidate's value is the mean over them."""
    by: str = LOSS
    """"loss", or "EVALUATOR/METRIC"."""
    weights: dict[str, float] = field(default_factory=dict)
    """Task to its weight in the mean over tasks; 1 for those that are not named."""
    budget: BudgetUnit = BudgetUnit.STEPS
    """Budget of the specialists that are trained for the search."""
    singles: Path | None = None
    """A comparison whose single models are the specialists; None: they are trained."""
    verify: int = 0
    """Number of best proportions with which models are trained afterwards; 0: none."""


def measured_tasks(spec: Spec, by: str) -> list[str]:
    """The tasks that have a value. Raises MftError for a metric that the spec does not evaluate."""
    if by == LOSS:
        return [task.name for task in spec.tasks]
    evaluated = tasks_to_evaluate(spec)
    names = {task.name: [each.name for each in task.evaluate.evaluators] for task in evaluated}
    evaluator, slash, metric = by.partition("/")
    found = [task for task, own in names.items() if evaluator in own]
    if not slash or not metric or not found:
        known = sorted({name for own in names.values() for name in own})
        has = f"the spec evaluates with {', '.join(known)}" if known else "the spec evaluates no task"
        raise MftError(f"--by {by}: expected {LOSS} or EVALUATOR/METRIC, and {has}")
    for task in evaluated:
        if task.name in found:
            known = [each.name for each in build_evaluators(task)[evaluator].metrics()]
            if metric not in known:
                raise MftError(f"--by {by}: {evaluator} measures {', '.join(known)}")
    return found


def check_options(spec: Spec, options: SearchOptions) -> None:
    """Raise MftError for options that do not fit the spec."""
    if len(spec.tasks) < 2:
        raise MftError("tasks: a search for proportions needs at least two tasks, and the spec has one")
    least = len(spec.tasks) + (2 if spec.mixing is None else 3)
    if options.candidates < least:
        raise MftError(
            f"--candidates {options.candidates}: expected at least {least}: a model of each task, uniform proportions "
            "and those by size" + ("" if spec.mixing is None else ", and the spec's own")
        )
    tasks = measured_tasks(spec, options.by)
    for name in options.weights:
        if name not in tasks:
            near = nearest(name, tasks)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(tasks)}"
            raise MftError(f"--weights {name}: no task of this name has a value by {options.by}; {hint}")
    if not any(options.weights.get(name, 1.0) for name in tasks):
        raise MftError("--weights: are all 0, so every candidate would be as good as any other")


def parse_weights(values: Iterable[str]) -> dict[str, float]:
    """Weights from the command line.

    >>> parse_weights(["code-repair=2,comment=0.5", "tests=1"])
    {'code-repair': 2.0, 'comment': 0.5, 'tests': 1.0}

    Raises MftError for a text that is not of this form.
    """
    found: dict[str, float] = {}
    for text in values:
        for part in text.split(","):
            name, equals, number = part.rpartition("=")
            try:
                weight = float(number)
            except ValueError:
                weight = -1.0
            if not equals or not name.strip() or not 0 <= weight < math.inf:
                raise MftError(
                    f"--weights {text}: expected TASK=WEIGHT,TASK=WEIGHT with weights of at least 0"
                )
            found[name.strip()] = weight
    return found
