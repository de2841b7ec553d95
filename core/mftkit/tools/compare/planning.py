"""All runs of a comparison, each with its spec, known to be good before the first one starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mftkit.base.atomic_files import new_directory
from mftkit.data.tokens.train_tokenizer import tokenizer_of_tasks
from mftkit.reporting.reporter import Reporter
from mftkit.tools.compare.arms import Budget
from mftkit.tools.compare.specs import run_spec, single_spec
from mftkit.training.setup import check_run
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mftkit.spec import Spec
    from mftkit.tools.compare.arms import Arm, CompareOptions
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.training.run_parts import CheckedRun

CADENCES = ("log_every", "evaluate_every", "checkpoint_every")


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
    """As planned; that of the first seed stands for the others."""

    @property
    def told(self) -> str:
        """What a person calls it."""
        return ", ".join(part for part in (self.arm.label, self.task, f"seed {self.seed}") if part)


@dataclass(frozen=True)
class Comparison:
    """What is compared, and all runs in their order: every arm of a seed before the next seed."""

    base: Spec
    asked: CompareOptions
    arms: list[Arm]
    seeds: list[int]
    runs: list[PlannedRun]
    steps: int
    """Of a run over all tasks, by the first seed."""
    single: dict[str, dict[str, float]] = field(default_factory=dict)
    """What each task's own model gets: its steps and epochs."""


def shared_tokenizer(base: Spec, directory: ComparisonDirectory, reporter: Reporter) -> Path | None:
    """Where the tokenizer that is trained on the text of all tasks lies; None where the spec names one.

    Without it the model of a single task would have one of its own, and losses per token could not be
    compared.
    """
    wanted = base.model.tokenizer
    if wanted is None or isinstance(wanted, str):
        return None
    tokenizer = tokenizer_of_tasks(base, wanted.train_bpe, reporter)
    if not directory.tokenizer.is_dir():
        with new_directory(directory.tokenizer) as partial:
            tokenizer.save_pretrained(partial)
    return directory.tokenizer


def plan_runs(
    base: Spec,
    asked: CompareOptions,
    arms: list[Arm],
    seeds: list[int],
    directory: ComparisonDirectory,
    reporter: Reporter,
) -> Comparison:
    """The specs of all runs; each arm is put together once, so that what is wrong with it is told now.

    Raises MftError, with the arm named, for an arm that cannot be run.
    """
    tokenizer = shared_tokenizer(base, directory, reporter)
    planner = _Planner(base, directory, tokenizer, seeds, reporter)
    runs = {
        arm.key: planner.single(arm, asked.budget) if arm.is_single else planner.whole(arm) for arm in arms
    }
    ordered = [run for seed in seeds for arm in arms for run in runs[arm.key] if run.seed == seed]
    return Comparison(base, asked, arms, seeds, ordered, planner.steps, planner.shares)


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
        self.shares: dict[str, dict[str, float]] = {}
        reference = base.model_copy(deep=True)
        if tokenizer is not None:
            reference = reference.model_copy(
                update={"model": base.model.model_copy(update={"tokenizer": str(tokenizer)})}
            )
        self.reference = check_run(reference, reporter)
        directory.settle_data(self.reference.corpus.fingerprint)
        lacking = [task.name for task in self.reference.corpus.tasks if not task.valid_samples]
        if lacking:
            raise MftError(
                f"tasks[].valid: a comparison is of validation losses, and {', '.join(lacking)} has no validation "
                "samples; set it."
            )

    @property
    def steps(self) -> int:
        return self.reference.sampler.total

    def whole(self, arm: Arm) -> list[PlannedRun]:
        made = []
        for seed in self.seeds:
            key = f"{arm.key}/seed-{seed}"
            spec = run_spec(self.base, arm, seed, self.directory.runs / key, self.tokenizer)
            made.append(PlannedRun(key, arm, seed, None, spec, self.steps))
        _checked(made[0])
        return made

    def single(self, arm: Arm, budget: Budget) -> list[PlannedRun]:
        made = []
        seen = self._samples_seen()
        for index, task in enumerate(self.reference.corpus.tasks):
            training: dict[str, Any] = {"max_steps": self.steps}
            if budget is Budget.EPOCHS:
                training = {"max_steps": None, "epochs": float(seen[index]) / task.samples}
            first = self._own(arm, self.seeds[0], task.name, training)
            steps = _checked(first).sampler.total
            training |= self._cadences(steps, budget)
            own = [self._own(arm, seed, task.name, training, steps) for seed in self.seeds]
            self.shares[task.name] = {"steps": steps, "epochs": _checked(own[0]).sampler.epochs_done(steps)}
            made += own
        return made

    def _own(self, arm: Arm, seed: int, task: str, training: dict[str, Any], steps: int = 0) -> PlannedRun:
        key = f"{arm.key}/seed-{seed}/{task}"
        output = self.directory.runs / key
        spec = single_spec(self.base, arm, seed, output, self.tokenizer, task, training)
        return PlannedRun(key, arm, seed, task, spec, steps)

    def _samples_seen(self) -> NDArray[np.float64]:
        """How many samples of each task [tasks] a run over all tasks trains on."""
        steps = self.reference.sampler
        seen: NDArray[np.float64] = np.zeros(len(self.base.tasks))
        for number in range(1, steps.total + 1):
            seen += steps[number].samples
        return seen

    def _cadences(self, steps: int, budget: Budget) -> dict[str, Any]:
        """As many validations, lines and checkpoints as a run over all tasks has: the best of as many."""
        training, found = self.base.training, {}
        for name in CADENCES:
            every = getattr(training, name)
            if every == "epoch":
                if budget is Budget.EPOCHS:
                    continue
                every = self.reference.sampler.steps_per_epoch
            found[name] = max(1, round(every * steps / self.steps))
        if training.warmup >= 1:  # a number of steps, and not a share
            found["warmup"] = max(1, round(training.warmup * steps / self.steps))
        return found


def _checked(run: PlannedRun) -> CheckedRun:
    """The run, put together as far as it goes without weights; what is wrong is told with its name."""
    try:
        return check_run(run.spec, Reporter())
    except MftError as error:
        raise MftError(f"arm {run.arm.label}{f', task {run.task}' if run.task else ''}: {error}") from error
