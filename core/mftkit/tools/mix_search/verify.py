"""Trains models with the proportions that a search found, to compare them with what merging predicted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mftkit.runs.record import read_run
from mftkit.tools.compare.arms import CompareOptions, changed_arms
from mftkit.tools.compare.outcomes import task_outcomes
from mftkit.tools.compare.planning import plan_runs
from mftkit.tools.compare.runner import train_all
from mftkit.tools.compare.settings import variant
from mftkit.tools.evaluate.evaluate import evaluate
from mftkit.tools.mix_search.candidates import Candidate, score, values
from mftkit.tools.mix_search.meter import Measured
from mftkit.tools.mix_search.options import LOSS
from mftkit.tools.mix_search.proportions import mixing_section
from mftkit.tools.mix_search.result import named_candidates
from mftkit.tools.mix_search.specialists import seeds_of
from mftkit.tools.mix_search.verified import VerifiedMixing, VerifiedMixings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from signal import Signals

    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.compare.directory import ComparisonDirectory
    from mftkit.tools.compare.planning import Comparison, PlannedRun
    from mftkit.tools.mix_search.options import SearchOptions
    from mftkit.tools.mix_search.result import SearchResult


def verify(
    base: Spec,
    result: SearchResult,
    directory: ComparisonDirectory,
    evaluation: Path,
    reporter: Reporter,
    load: Callable[[list[str]], Spec],
) -> tuple[VerifiedMixings, Signals | None]:
    """Train the best proportions and the baselines, as ordinary runs, and measure them as candidates were measured.

    Args:
        base: the spec.
        result: of the search; its options say how many are trained.
        directory: receives the runs; those that are finished are not trained again.
        evaluation: receives answers, if metrics are measured.
        reporter: receives messages and progress.
        load: the spec with overrides.

    Returns what is finished, and the signal that stopped it, if one did. Raises MftError as runs do.
    """
    options = result.options
    chosen = named_candidates(result, options.verify)
    arms = tuple(
        variant({"mixing": mixing_section(base, each.shares)}, name, "--verify") for name, each in chosen
    )
    wish = CompareOptions(baselines=(), arms=arms, budget=options.budget)
    planned = plan_runs(
        base, wish, changed_arms(base, wish, load), seeds_of(base, options.seeds), directory, reporter
    )
    signal = train_all(planned, directory, reporter, lambda: None)
    found = []
    for (name, candidate), arm in zip(chosen, planned.arms, strict=True):
        runs = [run for run in planned.runs if run.arm is arm]
        if all(_is_complete(run) for run in runs):
            measured = [_measured(planned, run, options, evaluation, reporter) for run in runs]
            places = [str(run.spec.output) for run in runs]
            found.append(_verified(name, candidate, measured, options, places))
    return VerifiedMixings(found), signal


def _is_complete(run: PlannedRun) -> bool:
    return (run.spec.output / "metrics.jsonl").is_file() and read_run(run.spec.output).is_complete


def _verified(
    name: str, candidate: Candidate, measured: Sequence[Measured], options: SearchOptions, places: list[str]
) -> VerifiedMixing:
    by, weights = options.by, options.weights
    by_seed = [Candidate.of_seeds(candidate.shares, name, [one]) for one in measured]
    return VerifiedMixing(
        name=name,
        shares=candidate.shares,
        predicted=values(candidate, by),
        measured=values(Candidate.of_seeds(candidate.shares, name, measured), by),
        predicted_score=score(candidate, by, weights),
        measured_by_seed=[score(one, by, weights) for one in by_seed],
        runs=places,
    )


def _measured(
    planned: Comparison, run: PlannedRun, options: SearchOptions, evaluation: Path, reporter: Reporter
) -> Measured:
    """Losses at the step of the run's model, which the run has measured itself; metrics of its result."""
    outcomes = task_outcomes(read_run(run.spec.output))
    losses = {
        task.name: outcomes[task.name].best if (at := outcomes[task.name].at_model) is None else at
        for task in planned.base.tasks
    }
    if options.by == LOSS:
        return Measured(losses, {})
    place = evaluation / hashlib.sha256(run.key.encode()).hexdigest()[:12]
    return Measured(losses, evaluate(run.spec, run.spec.output, reporter, output=place).results.to_json())
