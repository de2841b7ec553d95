"""Measures the candidates of a search, and ranks them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.tools.mix_search.candidates import Candidate, CandidateFile, is_higher_better, score
from mftkit.tools.mix_search.meter import Meter
from mftkit.tools.mix_search.options import LOSS, SearchOptions
from mftkit.tools.mix_search.proportions import baselines, first_points, mixing_section, unit_of
from mftkit.tools.mix_search.result import SearchResult
from mftkit.tools.mix_search.search import Point, search
from mftkit.tools.mix_search.specialists import seeds_of, uneven_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec
    from mftkit.tools.mix_search.directory import SearchDirectory
    from mftkit.tools.mix_search.shares import Shares
    from mftkit.tools.mix_search.specialists import Specialist


def measure_candidates(
    base: Spec,
    options: SearchOptions,
    specialists: Sequence[Specialist],
    directory: SearchDirectory,
    reporter: Reporter,
) -> SearchResult:
    """Measure all candidates, as far as they are not in the directory; the result without models that verify it."""
    steps = [one.step for one in specialists]
    notes = _notes(base, specialists, steps)
    for note in notes:
        reporter.warn(note)
    given = baselines(base, specialists[0].run / "model")
    tasks = [task.name for task in base.tasks]
    with ExitStack() as stack:
        meters = list[Meter]()
        for seed in seeds_of(base, options.seeds):
            runs = [one.run for one in specialists if one.seed == seed]
            merged, evaluation = (
                place / f"seed-{seed}" for place in (directory.merged, directory.evaluation)
            )
            first = options.singles is not None and not meters
            meter = Meter(base, runs, merged, evaluation, options.by, reporter, reads_first=first)
            meters.append(stack.enter_context(meter))
        file = CandidateFile(directory.candidates, tasks, "-".join(meter.identity for meter in meters))
        found = _measure_all(_Session(meters, file, options, reporter), given, base.seed)
    best = found[0]
    return SearchResult(
        name=base.name,
        tasks=tasks,
        seeds=seeds_of(base, options.seeds),
        options=options,
        unit=unit_of(base),
        higher_is_better=is_higher_better(best, options.by),
        specialists=[one.to_json(step) for one, step in zip(specialists, steps, strict=True)],
        candidates=found,
        baselines={name: file.known[shares] for name, shares in given.items()},
        mixing=mixing_section(base, best.shares),
        notes=notes,
    )


@dataclass(frozen=True)
class _Session:
    meters: Sequence[Meter]
    file: CandidateFile
    options: SearchOptions
    reporter: Reporter

    def measured(self, point: Point) -> Candidate:
        """A candidate, from the file if it was measured before."""
        known = self.file.known.get(point.shares)
        if known is not None and (self.options.by == LOSS or known.metrics):
            return known
        measured = [meter.measure(point.shares) for meter in self.meters]
        candidate = Candidate.of_seeds(point.shares, point.origin, measured)
        self.file.add(candidate)
        return candidate


def _measure_all(session: _Session, given: dict[str, Shares], seed: int) -> list[Candidate]:
    """The candidates of a search, best first."""
    options, found = session.options, list[Candidate]()
    first = first_points(given)
    if before := len(session.file.known):
        session.reporter.note(f"{before} candidates were measured before and are not measured again")
    if session.file.others:
        session.reporter.note(
            f"{session.file.others} measured candidates are of other models, and are not used"
        )
    with session.reporter.progress("candidates", options.candidates) as advance:

        def value(point: Point) -> float:
            candidate = session.measured(point)
            found.append(candidate)
            advance(1)
            worth = score(candidate, options.by, options.weights)
            return -worth if is_higher_better(candidate, options.by) else worth

        values = search(value, first, options.candidates, seed)
    return sorted(found, key=lambda one: values[one.shares])


def _notes(base: Spec, specialists: Sequence[Specialist], steps: Sequence[int]) -> list[str]:
    """What makes merging a poor stand-in for training here."""
    found = []
    if uneven_steps(steps):
        shown = ", ".join(f"{one.task} {step:,}" for one, step in zip(specialists, steps, strict=True))
        found.append(
            f"the specialists' weights are of different numbers of steps ({shown}), so a share of one task moves the "
            "merged model less than the same share of another"
        )
    pooled = installed.names_with(kinds.LOSS, "pooled")
    if base.loss.name not in pooled:
        known = ", ".join(pooled) or "no installed one"
        found.append(
            f"the loss {base.loss.name} is not the mean over the tokens of all tasks (as {known} is): if it gives "
            "tasks equal weights whatever their shares are, training follows proportions less than merging predicts"
        )
    return found
