"""The spec of each run of a comparison: the compared spec, with an arm's changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.spec import load_spec
from mftkit.spec.names import LONGEST_NAME
from mftkit.spec.training import LOSS
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec
    from mftkit.spec.training import BestBy
    from mftkit.tools.compare.arms import Arm


def run_spec(
    base: Spec, arm: Arm, seed: int, output: Path, tokenizer: Path | None, training: JsonObject | None = None
) -> Spec:
    """The spec of an arm's run over all tasks.

    Args:
        base: the compared spec.
        arm: the changes.
        seed: the run's; generated rows stay those of ``base``.
        output: the run directory.
        tokenizer: the one trained for the comparison; None if the spec names one.
        training: keys of the training section that are not those of the arm's spec.

    Raises MftError, with the arm named, for a spec that cannot be run.
    """
    data = _changed(base, arm, seed, output, tokenizer)
    data["training"] |= training or {}
    return _load(data, arm)


def single_spec(
    base: Spec, arm: Arm, seed: int, output: Path, tokenizer: Path | None, task: str, training: JsonObject
) -> Spec:
    """The spec of a model of one task, with ``training`` as its budget."""
    names = [each.name for each in base.tasks]
    data = _changed(base, arm, seed, output, tokenizer)
    data["tasks"] = [each for each in data["tasks"] if each["name"] == task]
    rest = {key: value for key, value in data.items() if key not in ("tasks", "model", "data", "chat")}
    data |= {key: narrowed(value, task, names) for key, value in rest.items()}
    data["training"] |= training | {"best_by": _best_by((arm.spec or base).training.best_by, data)}
    return _load(data, arm)


def _best_by(best_by: BestBy, single: JsonObject) -> BestBy:
    """What makes a step of a single model the best: the metrics that it still has, or else the loss."""
    evaluated = {task["name"]: task["evaluate"] for task in single["tasks"] if task["evaluate"] is not None}
    evaluated |= {task["name"]: task for task in single["evaluation"]["tasks"]}
    if isinstance(best_by, dict):
        return {task: metric for task, metric in best_by.items() if task in evaluated} or LOSS
    names = {evaluator["name"] for section in evaluated.values() for evaluator in section["evaluators"]}
    return best_by if best_by.partition("/")[0] in names else LOSS


def narrowed(value: object, task: str, names: list[str]) -> object:
    """Settings without those of other tasks: in objects by task and lists of tasks, only one task is left.

    >>> narrowed({"alpha": {"a": 1, "b": 2}, "tasks": ["b"], "rate": [1, 2]}, "a", ["a", "b"])
    {'alpha': {'a': 1}, 'tasks': None, 'rate': [1, 2]}
    """
    if isinstance(value, dict):
        if value and value.keys() <= set(names):
            return {key: inner for key, inner in value.items() if key == task}
        return {key: narrowed(inner, task, names) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(one, str) and one in names for one in value):
        return [task] if task in value else None
    return value


def _changed(base: Spec, arm: Arm, seed: int, output: Path, tokenizer: Path | None) -> JsonObject:
    data = (arm.spec or base).dump()
    data |= {"loss": arm.loss, "balancer": arm.balancer, "seed": seed, "output": str(output)}
    # Labels of settings depend on the other arms, and a run's name must not: it is a part of its spec.
    title = arm.key if arm.settings else arm.label
    data["name"] = f"{base.name} {title} {seed}"[:LONGEST_NAME].strip().replace("/", "-")
    if arm.is_baseline:  # without anything that balances tasks
        data["gradients"] = None
        data["training"]["grouping"] = "none"
    if data["data"]["seed"] is None:
        data["data"]["seed"] = base.seed
    if tokenizer is not None:
        data["model"]["tokenizer"] = str(tokenizer)
    balancer = installed.component_class(kinds.BALANCER, arm.balancer["name"])
    if arm.is_single or not balancer.reads_task_weights:
        for task in data["tasks"]:
            task["weight"] = 1.0
    return data


def _load(data: JsonObject, arm: Arm) -> Spec:
    try:
        return load_spec(data)
    except MftError as error:
        raise MftError(f"arm {arm.label}: {error}") from error
