"""The verdict on a run: sentences that its numbers support. docs/reports.md describes the rules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mftkit.base.formatting import nats, number, share, whole
from mftkit.pages.findings import Finding, finding
from mftkit.runs.series import MEAN, best_of_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mftkit.reporting.lines import ValidLine
    from mftkit.runs.record import RunRecord

STARVED = 1 / 4
"""A task is starved of tokens if it has less than this part of an equal share of the loss tokens."""
FEW_TOKENS = 50
"""Loss tokens of a task per step below which its part of a gradient is mostly noise."""
WIDE = 0.05
"""Nats: noise from here on is reported in the verdict; any other stands in the table."""
NAMED = 4
"""Tasks that a sentence names; others are counted."""


FULLY = 2
"""Overfitting tasks that have a sentence each; the others are listed."""


def findings(run: RunRecord) -> list[Finding]:
    """The finding on each task of a run."""
    return [finding(task, run.train, run.valid) for task in run.tasks]


def verdict(run: RunRecord, found: Sequence[Finding]) -> list[str]:
    """The verdict in sentences, the most important ones first.

    Args:
        run: finished or not.
        found: the findings on its tasks.
    """
    if not run.train and not run.valid:
        return [*_end(run), "There are no numbers yet, so nothing can be said about the tasks."]
    return [
        *_end(run),
        *_rolled_back(run),
        *_best(run.valid, found, run),
        *_rising(found),
        *_falling(found, run),
        *_rest(found),
        *_starved(run),
        *_not_finite(run),
        *_noise(found),
    ]


def limits(runs: Sequence[RunRecord]) -> dict[str, float]:
    """The noise of each task, and of the mean over tasks: the widest of all runs, in nats per token."""
    widest: dict[str, float] = {}
    for run in runs:
        known = [one for one in findings(run) if math.isfinite(one.noise)]
        each = {**{one.task: one.noise for one in known}, MEAN: noise_of_mean(known)}
        widest |= {name: max(widest.get(name, 0.0), limit) for name, limit in each.items()}
    return widest


def verdict_on_several(runs: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """The verdict on several runs: which has the lowest mean loss, and whether noise could explain that.

    Args:
        runs: in the order of their names.
        names: as the page has them.
    """
    best = [
        (found.loss, name)
        for run, name in zip(runs, names, strict=True)
        if (found := best_of_mean(run.valid)) is not None
    ]
    if len(best) < 2:
        return ["Fewer than two of these runs were validated, so there is nothing to compare."]
    if len({tuple(sorted(run.tasks)) for run in runs}) > 1:
        return ["These runs have different tasks, so their means over tasks cannot be compared."]
    best.sort()
    limit = limits(runs)[MEAN]
    equal = [name for loss, name in best if nats(loss) == nats(best[0][0])]
    tied = [name for loss, name in best if loss - best[0][0] <= limit and name not in equal]
    have = f"{equal[0]} has" if len(equal) == 1 else f"{_names(equal)} share"
    lowest = f"{have} the lowest validation loss, {nats(best[0][0])} as the mean over tasks"
    if tied:
        lowest += f", but noise ({limit:.3f} nats) could explain the difference from {_names(tied)}"
    return [
        f"{lowest}.",
        "The noise of seeds was not measured, and two runs may also differ by it; mft compare --seeds measures it.",
    ]


def noise_of_mean(found: Sequence[Finding]) -> float:
    """The noise of the mean over tasks that were validated, in nats per token; 0 for none."""
    return math.sqrt(sum(one.noise**2 for one in found)) / len(found) if found else 0.0


def _end(run: RunRecord) -> Iterable[str]:
    steps = run.plan.get("steps")
    of = f" of {whole(steps)}" if isinstance(steps, int) else ""
    at = f"step {whole(run.last_step)}{of}"
    if run.end is None:
        yield f"The run has not ended: the numbers are those up to {at}."
    elif run.end.reason == "failed":
        yield f"The run failed in {at}: the numbers are those up to there."
    elif run.end.reason == "interrupted":
        yield f"The run was interrupted at {at}: the numbers are those up to there."
    elif run.end.reason == "early-stopped":
        yield f"Early stopping ended the run at {at}."
    elif run.end.stopped_by:
        yield f"The run was ended at {at} by {run.end.stopped_by}."


def _rolled_back(run: RunRecord) -> Iterable[str]:
    for line in run.rollbacks:
        yield (
            f"{line.task} overfitted: at step {whole(line.step)} it was dropped, and the run went back to step "
            f"{whole(line.to)}; what was trained in between was given up and is not shown."
        )


def _best(valid: Sequence[ValidLine], found: Sequence[Finding], run: RunRecord) -> Iterable[str]:
    best = best_of_mean(valid)
    if best is None:
        first, last = (_training_loss(run, index) for index in (0, -1))
        trained = (
            f" The objective went from {nats(first)} to {nats(last)} in training."
            if first is not None and last is not None and len(run.train) > 1
            else ""
        )
        only = "Validation was done only before training" if valid else "There is no validation"
        yield f"{only}, so nothing can be said about overfitting.{trained}"
        return
    known = [one for one in found if math.isfinite(one.noise)]
    limit = noise_of_mean(known)
    ties = [line.step for line in valid if _ties(line, best.step, best.loss + limit)]
    what = "The mean over tasks" if len(found) > 1 else "The validation loss"
    tied = (
        f"; {_steps(ties)} {'is' if len(ties) == 1 else 'are'} within noise of it ({limit:.3f} nats)"
        if ties
        else ""
    )
    yield f"{what} is lowest at step {whole(best.step)}: {nats(best.loss)} nats per token{tied}."
    at = next(line for line in valid if line.step == best.step)
    other = [one for one in known if _loss_at(at, one) - one.best > one.noise and one.best_step != best.step]
    if other and len(found) > 1:
        listed = _listed(other, lambda one: f"step {whole(one.best_step)}, {nats(one.best)}")
        yield f"Better beyond noise at another step: {listed}."


def _ties(line: ValidLine, step: int, limit: float) -> bool:
    return line.step > 0 and line.step != step and line.loss is not None and line.loss <= limit


def _loss_at(line: ValidLine, one: Finding) -> float:
    task = line.tasks.get(one.task)
    return math.nan if task is None or task.loss is None else task.loss


def _training_loss(run: RunRecord, index: int) -> float | None:
    return run.train[index].loss if run.train else None


def _rising(found: Sequence[Finding]) -> Iterable[str]:
    overfit = sorted((one for one in found if one.state == "overfits"), key=lambda one: one.before - one.last)
    for one in overfit[:FULLY]:
        before, after = one.training or (math.nan, math.nan)
        yield (
            f"{one.task} overfits since step {whole(one.since)}: its validation loss rose from {nats(one.before)} to "
            f"{nats(one.last)} while its training loss kept falling ({nats(before)} to {nats(after)})."
        )
    if overfit[FULLY:]:
        rest = _listed(overfit[FULLY:], lambda one: f"since step {whole(one.since)}")
        yield f"Also overfitting: {rest}."
    if rising := [one for one in found if one.state == "rises"]:
        listed = _listed(
            rising, lambda one: f"{nats(one.before)} at step {whole(one.since)}, {nats(one.last)} at the end"
        )
        yield (
            f"Validation loss rises without a falling training loss, which is not overfitting: {listed}. The learning "
            "rate may be too high, or other tasks may hinder these."
        )


def _falling(found: Sequence[Finding], run: RunRecord) -> Iterable[str]:
    if falling := [one for one in found if one.state == "falls"]:
        falling.sort(key=lambda one: one.last - one.before)
        ended = run.end is not None and run.end.is_complete
        last = "at the end" if ended else "in the last validation"
        listed = _listed(
            falling, lambda one: f"{nats(one.before)} at step {whole(one.since)}, {nats(one.last)} {last}"
        )
        hint = " More epochs may help." if ended else ""
        yield f"Still falling {'at the end' if ended else 'so far'}: {listed}.{hint}"


def _rest(found: Sequence[Finding]) -> Iterable[str]:
    if level := [one for one in found if one.state == "level"]:
        listed = _listed(level, lambda one: f"since step {whole(one.since)}")
        yield f"Level, with no difference beyond noise: {listed}."
    if no_gain := [one for one in found if one.state == "no gain"]:
        listed = _listed(no_gain, lambda one: f"{nats(one.before)} before training, {nats(one.best)} at best")
        yield f"No gain beyond noise over the model before training: {listed}."
    if once := [one for one in found if one.state == "once"]:
        yield (
            f"Validated only once after training started: {_listed(once)}. One validation cannot show whether a loss "
            "still falls or overfits; set training.evaluate_every lower."
        )
    without = [one for one in found if one.state in ("none", "untrained")]
    if without and len(without) < len(found):
        yield f"Without validation of the trained model, so nothing can be said: {_listed(without)}."


def _starved(run: RunRecord) -> Iterable[str]:
    tokens = {
        task: sum(line.tasks[task].tokens for line in run.train if task in line.tasks) for task in run.tasks
    }
    total, steps = sum(tokens.values()), run.train[-1].step if run.train else 0
    if not total or not steps:
        return
    if absent := [task for task, count in tokens.items() if not count]:
        yield f"Not trained at all, with 0 loss tokens: {_names(absent)}."
    equal = 1 / len(tokens)
    starved = [task for task, count in tokens.items() if 0 < count < STARVED * equal * total]
    if starved:
        listed = _names(
            starved,
            lambda task: (
                f"{_part(tokens[task] / total)} of the loss tokens, {_per_step(tokens[task] / steps)}"
            ),
        )
        yield f"Starved of tokens, where an equal share is {share(equal)}: {listed}."
    few = [task for task, count in tokens.items() if 0 < count < FEW_TOKENS * steps and task not in starved]
    if few:
        listed = _names(few, lambda task: _per_step(tokens[task] / steps))
        yield f"Few loss tokens per step, so the gradient is noisy: {listed}. A larger batch_size may help."


def _part(part: float) -> str:
    return share(part) if part >= 0.001 else "under 0.1%"


def _per_step(tokens: float) -> str:
    return f"{number(tokens, '.1f') if tokens < 10 else whole(tokens)} per step"


def _not_finite(run: RunRecord) -> Iterable[str]:
    lost = [
        task
        for task in run.tasks
        if any(task in line.tasks and line.tasks[task].loss is None for line in run.valid)
    ]
    if lost:
        yield f"A validation loss was not a finite number, and was left out: {_names(lost)}."


def _noise(found: Sequence[Finding]) -> Iterable[str]:
    wide = [one for one in found if math.isfinite(one.noise) and one.noise >= WIDE]
    if wide:
        wide.sort(key=lambda one: -one.noise)
        listed = _listed(
            wide,
            lambda one: (
                f"{one.noise:.2f} nats" + (f", {whole(one.tokens)} loss tokens" if one.tokens else "")
            ),
        )
        yield f"Validation is noisy: smaller differences than these are no differences. {listed}."


def _listed(found: Sequence[Finding], detail: Callable[[Finding], str] | None = None) -> str:
    details = {one.task: detail(one) for one in found} if detail is not None else {}
    return _names([one.task for one in found], details.__getitem__ if details else None)


def _names(names: Sequence[str], detail: Callable[[str], str] | None = None) -> str:
    """The first names with their details, and the number of others."""
    shown = [name if detail is None else f"{name} ({detail(name)})" for name in names[:NAMED]]
    more = len(names) - NAMED
    return ", ".join(shown) + (f" and {whole(more)} more" if more > 0 else "")


def _steps(steps: Sequence[int]) -> str:
    if len(steps) == 1:
        return f"step {whole(steps[0])}"
    if len(steps) <= NAMED:
        return f"steps {', '.join(map(whole, steps[:-1]))} and {whole(steps[-1])}"
    return f"{whole(len(steps))} other validations from step {whole(steps[0])} to {whole(steps[-1])}"
