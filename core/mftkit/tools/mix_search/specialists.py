"""The specialists of a search: a model of each task, trained for it or found in a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.runs.record import read_run
from mftkit.tools.compare.arms import Baseline, BudgetUnit, CompareOptions, make_arms
from mftkit.tools.compare.planning import plan_runs
from mftkit.tools.mix_search.directory import GivenComparison
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison
    from mftkit.tools.mix_search.options import SearchOptions


@dataclass(frozen=True)
class Specialist:
    """A model of one task."""

    task: str
    seed: int
    run: Path

    def to_json(self, steps: int) -> JsonObject:
        """As in the result's file; ``steps`` is the step of its weights."""
        return {"task": self.task, "seed": self.seed, "directory": str(self.run), "step": steps}

    @property
    def step(self) -> int:
        """The step of its weights. Raises MftError if it has no result."""
        record = read_run(self.run)
        if record.end is None or not record.is_complete:
            raise MftError(f"{self.run}: this model of {self.task} is not finished, so it cannot be merged")
        return record.end.best_step or record.last_step


def plan_specialists(
    base: Spec, options: SearchOptions, directory: ComparisonDirectory, reporter: Reporter
) -> Comparison:
    """The runs of the specialists, checked, as the single models of a comparison. Raises MftError as it does."""
    chosen = CompareOptions(baselines=(Baseline.SINGLE,), budget=options.budget)
    arms = [arm for arm in make_arms(base, chosen) if arm.is_single]
    return plan_runs(base, chosen, arms, seeds_of(base, options.seeds), directory, reporter)


def trained(planned: Comparison) -> list[Specialist]:
    """The specialists that were trained."""
    return [Specialist(str(run.task), run.seed, run.spec.output) for run in planned.runs]


def find_specialists(base: Spec, comparison: Path, seeds: int) -> list[Specialist]:
    """The single models of a comparison of this spec: those of equal steps, if it has them.

    Raises MftError if it is another spec's comparison, or if models are missing.
    """
    directory = GivenComparison(comparison.expanduser().absolute())
    if directory.spec_before() is None:
        raise MftError(f"--singles: {comparison} holds no comparison; give the output of mft compare")
    directory.check_spec(base)
    tasks = [task.name for task in base.tasks]
    for budget in (BudgetUnit.STEPS, BudgetUnit.EPOCHS):
        arm = directory.runs / f"{Baseline.SINGLE}-{budget}"
        found = [
            Specialist(task, seed, arm / f"seed-{seed}" / task)
            for seed in seeds_of(base, seeds)
            for task in tasks
        ]
        lacking = [one for one in found if not (one.run / "model").is_dir()]
        if not lacking:
            return found
        if len(lacking) < len(found):
            missing = ", ".join(f"{one.task} (seed {one.seed})" for one in lacking)
            raise MftError(
                f"--singles: {comparison} has no finished single model of {missing}; finish it with mft compare, "
                "with as many --seeds"
            )
    raise MftError(
        f"--singles: {comparison} has no single models; train them with mft compare SPEC --baselines single "
        "--budget steps"
    )


def seeds_of(base: Spec, count: int) -> list[int]:
    """The seeds of a search."""
    return [base.seed + number for number in range(count)]


def uneven_steps(steps: Sequence[int]) -> bool:
    """Whether the specialists' numbers of steps differ by more than a tenth of the largest."""
    return max(steps) - min(steps) > max(steps) / 10
