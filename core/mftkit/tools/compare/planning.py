"""All runs of a comparison, each with a spec that is checked before the first one starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mftkit.base.atomic_files import new_directory
from mftkit.base.json_types import JsonObject
from mftkit.data.tokens.train_tokenizer import tokenizer_of_tasks
from mftkit.reporting.reporter import Reporter
from mftkit.spec.training import LOSS
from mftkit.tools.compare.arms import BudgetUnit, all_problems
from mftkit.tools.compare.made_arms import SOUP
from mftkit.tools.compare.result import TaskBudget
from mftkit.tools.compare.specs import run_spec, single_spec
from mftkit.training.setup import check_run
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mftkit.data.samples import Samples
    from mftkit.spec import Spec
    from mftkit.tools.compare.arms import Arm, CompareOptions
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.training.run_parts import CheckedRun

INTERVALS = ("log_every", "evaluate_every", "checkpoint_every")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison."""

    key: str
    """Its directory, relative to the comparison's runs."""
    arm: Arm
    seed: int
    task: str | None
    """The only task; None for all of them."""
    spec: Spec
    steps: int
    """As planned for the first seed, which stands for the others."""

    @property
    def title(self) -> str:
        """Arm, task and seed, for messages."""
        return ", ".join(part for part in (self.arm.label, self.task, f"seed {self.seed}") if part)


@dataclass(frozen=True)
class PlannedMerge:
    """One model that is merged of the models of runs."""

    key: str
    """Its directory, relative to the comparison's merges."""
    arm: Arm
    seed: int | None
    """None if it is made of all seeds."""
    runs: tuple[PlannedRun, ...]
    spec: Spec
    """Of the tasks that it is measured on, and of the weights that the runs started from."""

    @property
    def title(self) -> str:
        """Arm and seed, for messages."""
        return self.arm.label if self.seed is None else f"{self.arm.label}, seed {self.seed}"


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison in order: every arm of a seed before the next seed."""

    base: Spec
    options: CompareOptions
    arms: list[Arm]
    seeds: list[int]
    runs: list[PlannedRun]
    steps: int
    """Optimizer steps of a run over all tasks, with the first seed."""
    single: dict[str, TaskBudget] = field(default_factory=dict)
    """The budget of each task's own model."""
    merges: list[PlannedMerge] = field(default_factory=list)
    """Models that are made of those of the runs."""

    @property
    def made(self) -> list[Arm]:
        """The arms that are not trained."""
        return list({merge.arm.key: merge.arm for merge in self.merges}.values())


def shared_tokenizer(base: Spec, directory: ComparisonDirectory, reporter: Reporter) -> Path | None:
    """The path of the tokenizer that is trained on the text of all tasks; None if the spec names one.

    Without it the model of a single task would train its own, and losses per token could not be compared.
    """
    in_spec = base.model.tokenizer
    if in_spec is None or isinstance(in_spec, str):
        return None
    tokenizer = tokenizer_of_tasks(base, in_spec.train_bpe, reporter)
    if not directory.tokenizer.is_dir():
        with new_directory(directory.tokenizer) as partial:
            tokenizer.save_pretrained(partial)
    return directory.tokenizer


def plan_runs(
    base: Spec,
    options: CompareOptions,
    arms: list[Arm],
    seeds: list[int],
    directory: ComparisonDirectory,
    reporter: Reporter,
    made: Sequence[Arm] = (),
) -> Comparison:
    """The specs of all runs; each arm is built once without weights, so that an error in it is reported now.

    ``made`` are arms that are not trained but merged of the models of others.

    Raises MftError, with the arm named, for arms that cannot be run: for all of them at once.
    """
    tokenizer = shared_tokenizer(base, directory, reporter)
    planner = _Planner(base, directory, tokenizer, seeds, reporter)
    runs, problems = dict[str, list[PlannedRun]](), list[str]()
    for arm in arms:
        try:
            runs[arm.key] = planner.runs_of(arm, options.budget)
        except MftError as error:
            problems.append(str(error))
    if problems:
        raise MftError(all_problems(problems))
    ordered = [run for seed in seeds for arm in arms for run in runs[arm.key] if run.seed == seed]
    merges = [merge for arm in made for merge in planner.merges_of(arm, ordered)]
    _note_losses_that_decide(base, ordered, reporter)
    return Comparison(base, options, arms, seeds, ordered, planner.steps, planner.budgets, merges)


def _note_losses_that_decide(base: Spec, runs: Sequence[PlannedRun], reporter: Reporter) -> None:
    """Report single models whose best step cannot be by the metric of the spec."""
    lacking = dict.fromkeys(
        run.task
        for run in runs
        if run.task is not None
        and run.spec.training.best_by == LOSS
        and (run.arm.spec or base).training.best_by != LOSS
    )
    if lacking:
        reporter.note(
            f"single models of {', '.join(map(str, lacking))}: the loss decides which step is the best, because "
            "they lack the metric of training.best_by"
        )


class _Planner:
    def __init__(
        self,
        base: Spec,
        directory: ComparisonDirectory,
        tokenizer: Path | None,
        seeds: list[int],
        reporter: Reporter,
    ) -> None:
        self.base = base
        self.directory = directory
        self.tokenizer = tokenizer
        self.seeds = seeds
        self.budgets: dict[str, TaskBudget] = {}
        reference = base.model_copy(deep=True)
        if tokenizer is not None:
            reference = reference.model_copy(
                update={"model": base.model.model_copy(update={"tokenizer": str(tokenizer)})}
            )
        self.reference = check_run(reference, reporter)
        directory.record_data(self.reference.corpus.fingerprint)
        lacking = [task.name for task in self.reference.corpus.tasks if not task.valid_samples]
        if lacking:
            raise MftError(
                f"tasks[].valid: a comparison needs validation losses, and {', '.join(lacking)} has no validation "
                "samples; set valid for it."
            )

    @property
    def steps(self) -> int:
        return self.reference.sampler.total

    def runs_of(self, arm: Arm, budget: BudgetUnit) -> list[PlannedRun]:
        """The runs of an arm, checked. Raises MftError, with the arm named."""
        if arm.is_single:
            return self.runs_by_task(arm, budget)
        made = self.runs_of_all_tasks(arm)
        checked = _checked(made[0])
        if not arm.settings:
            return made
        self._check_validation(arm, checked)
        steps = checked.sampler.total
        if steps == self.steps:
            return made
        return self.runs_of_all_tasks(arm, steps, self._unset_intervals(arm, steps))

    def runs_of_all_tasks(
        self, arm: Arm, steps: int | None = None, training: JsonObject | None = None
    ) -> list[PlannedRun]:
        """A run per seed; ``steps`` and ``training`` are given if they are not those of the spec."""
        made = []
        for seed in self.seeds:
            key = f"{arm.key}/seed-{seed}"
            spec = run_spec(self.base, arm, seed, self.directory.runs / key, self.tokenizer, training)
            made.append(PlannedRun(key, arm, seed, None, spec, steps or self.steps))
        return made

    def merges_of(self, arm: Arm, runs: Sequence[PlannedRun]) -> list[PlannedMerge]:
        """A merge of the single models per seed, or one of all seeds' models of the arm that ``arm`` is a soup of."""
        if arm.kind == SOUP:
            own = tuple(run for run in runs if arm.key == f"{SOUP}-{run.arm.key}")
            return [self._merge(arm.key, arm, None, own)]
        return [
            self._merge(
                f"{arm.key}/seed-{seed}",
                arm,
                seed,
                tuple(run for run in runs if run.arm.is_single and run.seed == seed),
            )
            for seed in self.seeds
        ]

    def _merge(self, key: str, arm: Arm, seed: int | None, runs: tuple[PlannedRun, ...]) -> PlannedMerge:
        output = self.directory.merges / key
        spec = run_spec(self.base, arm, self.seeds[0] if seed is None else seed, output, self.tokenizer)
        return PlannedMerge(key, arm, seed, runs, spec)

    def _check_validation(self, arm: Arm, checked: CheckedRun) -> None:
        if self.validation_digest != samples_digest(checked.corpus.valid):
            raise MftError(
                f"arm {arm.label}: its settings change the validation samples (their rows, their text or their "
                "length), so its losses cannot be compared with those of the other arms. Set them for all arms, "
                "with --set."
            )

    @cached_property
    def validation_digest(self) -> str:
        """The identity of the validation samples that all arms have."""
        return samples_digest(self.reference.corpus.valid)

    def _unset_intervals(self, arm: Arm, steps: int) -> JsonObject:
        """Intervals for an arm with another number of steps, without those that it sets itself."""
        own = {setting.key for setting in arm.settings}
        found = self._intervals(steps, BudgetUnit.EPOCHS)
        return {
            key: value for key, value in found.items() if key in INTERVALS and f"training.{key}" not in own
        }

    def runs_by_task(self, arm: Arm, budget: BudgetUnit) -> list[PlannedRun]:
        made = []
        seen = self._samples_seen()
        for index, task in enumerate(self.reference.corpus.tasks):
            training: JsonObject = {"max_steps": self.steps}
            if budget is BudgetUnit.EPOCHS:
                training = {"max_steps": None, "epochs": float(seen[index]) / task.samples}
            first = self._own(arm, self.seeds[0], task.name, training)
            steps = _checked(first).sampler.total
            training |= self._intervals(steps, budget)
            own = [self._own(arm, seed, task.name, training, steps) for seed in self.seeds]
            self.budgets[task.name] = TaskBudget(steps, _checked(own[0]).sampler.epochs_done(steps))
            made += own
        return made

    def _own(self, arm: Arm, seed: int, task: str, training: JsonObject, steps: int = 0) -> PlannedRun:
        key = f"{arm.key}/seed-{seed}/{task}"
        output = self.directory.runs / key
        spec = single_spec(self.base, arm, seed, output, self.tokenizer, task, training)
        return PlannedRun(key, arm, seed, task, spec, steps)

    def _samples_seen(self) -> NDArray[np.float64]:
        """Number of samples of each task [tasks] that a run over all tasks trains on."""
        steps = self.reference.sampler
        seen: NDArray[np.float64] = np.zeros(len(self.base.tasks))
        for number in range(1, steps.total + 1):
            seen += steps[number].samples
        return seen

    def _intervals(self, steps: int, budget: BudgetUnit) -> JsonObject:
        """Intervals that give as many validations, lines and checkpoints as a run over all tasks has.

        The best of many validations is lower than the best of few, so every run has to have as many.
        """
        training, found = self.base.training, JsonObject()
        for name in INTERVALS:
            every = getattr(training, name)
            scaled = [
                self._scaled(each, steps, budget) for each in (every if isinstance(every, list) else [every])
            ]
            found[name] = scaled if isinstance(every, list) else scaled[0]
        if training.warmup >= 1:  # a number of steps, not a share
            found["warmup"] = max(1, round(training.warmup * steps / self.steps))
        return found

    def _scaled(self, every: int | str, steps: int, budget: BudgetUnit) -> int | str:
        """An interval of a run over all tasks as one of a run of ``steps`` steps; a time stays as it is."""
        if isinstance(every, str) and (every != "epoch" or budget is BudgetUnit.EPOCHS):
            return every
        in_steps = self.reference.sampler.steps_per_epoch if isinstance(every, str) else every
        return max(1, round(in_steps * steps / self.steps))


def samples_digest(samples: Samples) -> str:
    """The identity of samples: their tokens, and which of these are in the loss."""
    digest = hashlib.sha256()
    for index in range(len(samples)):
        sample = samples[index]
        digest.update(b"%d %d " % (sample.task, len(sample.tokens)))
        digest.update(sample.tokens.tobytes())
        digest.update(sample.loss_mask.tobytes())
    return digest.hexdigest()


def _checked(run: PlannedRun) -> CheckedRun:
    """The run, built as far as it goes without weights; an error names the arm."""
    try:
        return check_run(run.spec, Reporter())
    except MftError as error:
        raise MftError(f"arm {run.arm.label}{f', task {run.task}' if run.task else ''}: {error}") from error
