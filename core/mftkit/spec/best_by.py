"""The metric by which steps are compared: ``training.best_by``, for each task that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.spec.problems import Problem, one_of
from mftkit.spec.training import LOSS, STOPS_TASKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mftkit.spec.evaluation import EvaluateSpec, EvaluationSpec
    from mftkit.spec.tasks import TaskSpec
    from mftkit.spec.training import BestBy, EarlyStoppingSpec, TrainingSpec


def metrics_by_task(best_by: BestBy, tasks: Sequence[TaskSpec], evaluation: EvaluationSpec) -> dict[str, str]:
    """The metric that decides for each task, trained or only evaluated, in order; empty if the losses decide."""
    evaluated = _evaluated(tasks, evaluation)
    if isinstance(best_by, dict):
        return {task: best_by[task] for task in evaluated if task in best_by}
    if best_by == LOSS:
        return {}
    evaluator = best_by.partition("/")[0]
    return {task: best_by for task, section in evaluated.items() if evaluator in _names(section)}


def best_by_problems(
    training: TrainingSpec, tasks: Sequence[TaskSpec], evaluation: EvaluationSpec
) -> list[Problem]:
    """What is wrong with ``training.best_by``, as far as the spec alone shows it."""
    at, best_by = ("training", "best_by"), training.best_by
    if best_by == LOSS:
        return []
    evaluated = _evaluated(tasks, evaluation)
    problems = []
    if isinstance(best_by, str):
        problems += _metric_problems(at, best_by, evaluated)
    elif not best_by:
        problems.append(Problem(at, "names no task", best_by))
    else:
        for task, metric in best_by.items():
            if task in evaluated:
                problems += _metric_problems((*at, task), metric, {task: evaluated[task]})
            else:
                what = "is no task with evaluators"
                problems.append(Problem((*at, task), what, task, hint=one_of(evaluated, task)))
    if not problems and evaluation.every is None:
        what = "needs evaluations during the run, and evaluation.every is null"
        problems.append(Problem(at, what, best_by, hint='; set evaluation.every, such as to "epoch"'))
    if training.early_stopping is not None and not problems:
        metrics = list(metrics_by_task(best_by, tasks, evaluation))
        problems += _watched_problems(training.early_stopping, metrics, [task.name for task in tasks])
    return problems


def _watched_problems(
    stopping: EarlyStoppingSpec, with_metric: list[str], trained: list[str]
) -> list[Problem]:
    at = ("training", "early_stopping")
    allowed = (
        [task for task in with_metric if task in trained]
        if stopping.criterion in STOPS_TASKS
        else with_metric
    )
    if not allowed:
        what = "watches single tasks, and none that is trained has the metric of training.best_by"
        return [Problem((*at, "criterion"), what, stopping.criterion)]
    what = "cannot be watched: it has not the metric of training.best_by, or is not trained"
    return [
        Problem((*at, "tasks", index), what, name, hint=one_of(allowed, name))
        for index, name in enumerate(stopping.tasks or [])
        if name not in allowed
    ]


def _metric_problems(
    at: tuple[str, ...], metric: str, evaluated: Mapping[str, EvaluateSpec]
) -> list[Problem]:
    evaluator, slash, _name = metric.partition("/")
    if not slash:
        return [Problem(at, 'should be "loss" or a metric, as "EVALUATOR/METRIC"', metric)]
    names = list(dict.fromkeys(name for section in evaluated.values() for name in _names(section)))
    if evaluator in names:
        return []
    if not names:
        return [Problem(at, "needs a task with evaluators", metric, hint="; add tasks[].evaluate")]
    what = f"is a metric of the evaluator {evaluator!r}, which the tasks do not name"
    return [Problem(at, what, metric, hint=one_of(names, evaluator))]


def _evaluated(tasks: Sequence[TaskSpec], evaluation: EvaluationSpec) -> dict[str, EvaluateSpec]:
    trained = {task.name: task.evaluate for task in tasks if task.evaluate is not None}
    return {**trained, **{task.name: task for task in evaluation.tasks}}


def _names(section: EvaluateSpec) -> list[str]:
    return [evaluator.name for evaluator in section.evaluators]
