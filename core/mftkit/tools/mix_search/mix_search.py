"""``mft mix search``, from a spec to proportions.

MergeMix (arXiv 2601.17858): the model that training with proportions p would give is approximated by merging models of
single tasks, all trained from the same start with the same number of steps, with weights p. To first order in the
updates both are the start plus the sum of p_i times the update of task i. A candidate then costs one validation.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mftkit.plugins import installed, kinds
from mftkit.reporting.reporter import Reporter
from mftkit.spec import load_spec
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit.tools.compare.runner import train_all
from mftkit.tools.mix_search.candidates import Candidate, CandidateFile, is_higher_better, score
from mftkit.tools.mix_search.directory import SearchDirectory
from mftkit.tools.mix_search.meter import Meter
from mftkit.tools.mix_search.options import LOSS, SearchOptions, check_options
from mftkit.tools.mix_search.page import write_page
from mftkit.tools.mix_search.proportions import baselines, first_points, mixing_section, unit_of
from mftkit.tools.mix_search.result import SearchResult, write_result
from mftkit.tools.mix_search.search import Point, search
from mftkit.tools.mix_search.specialists import (
    find_specialists,
    plan_specialists,
    seeds_of,
    trained,
    uneven_steps,
)
from mftkit.tools.mix_search.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from signal import Signals

    from mftkit.spec import Spec
    from mftkit.tools.mix_search.shares import Shares
    from mftkit.tools.mix_search.specialists import Specialist


@dataclass(frozen=True)
class Searched:
    """A search that ended or was stopped."""

    path: Path
    result: SearchResult | None
    """None if it was stopped before all candidates were measured."""
    signal: Signals | None


@with_own_plugins
def search_mixing(
    base: Spec,
    options: SearchOptions,
    *,
    output: Path | None = None,
    fresh: bool = False,
    reporter: Reporter | None = None,
    load: Callable[[list[str]], Spec] | None = None,
) -> Searched:
    """Choose the proportions of the spec's tasks by merging specialists, or resume that.

    Args:
        base: the spec; its output is not written.
        options: the user's choices.
        output: the directory; by default beside the spec's output, with "-mix" after its name.
        fresh: start over, removing the files of the search before.
        reporter: receives messages and progress.
        load: the spec with overrides; None: ``base`` with its defaults filled in.

    Raises:
        MftError: something the user can fix; what is finished is kept.
    """
    check_options(base, options)
    reporter = reporter or Reporter()
    directory = SearchDirectory(search_path(base, output))
    directory.check_writable()
    found = None
    if options.singles is not None:
        found = find_specialists(base, options.singles, options.seeds)
    with ExitStack() as stack:
        stack.enter_context(directory)
        directory.begin(base, fresh=fresh)
        training = ComparisonDirectory(directory.training)
        if found is None or options.verify:
            stack.enter_context(training)
            training.begin(base, fresh=False)
        signal = None
        if found is None:
            planned = plan_specialists(base, options, training, reporter)
            signal = train_all(planned, training, reporter, lambda: None)
            found = trained(planned)
        if signal is not None:
            return Searched(directory.path, None, signal)
        result = _search(base, options, found, directory, reporter)
        if options.verify:
            loading = load or (lambda changes: load_spec(base.dump(), changes))
            done, signal = verify(base, result, training, directory.evaluation, reporter, loading)
            result = replace(result, verification=done)
        write_result(directory.path, result)
        write_page(directory.path, result, reporter)
    return Searched(directory.path, result, signal)


def search_path(base: Spec, output: Path | None) -> Path:
    """The directory of a search: ``output``, or the default beside the output of the spec."""
    return (output or base.output.with_name(f"{base.output.name}-mix")).absolute()


def _search(
    base: Spec,
    options: SearchOptions,
    specialists: Sequence[Specialist],
    directory: SearchDirectory,
    reporter: Reporter,
) -> SearchResult:
    """Measure all candidates, as far as they are not in the directory; the result without a verification."""
    steps = [one.step for one in specialists]
    notes = _notes(base, specialists, steps)
    for note in notes:
        reporter.warn(note)
    given = baselines(base, specialists[0].run / "model")
    tasks = [task.name for task in base.tasks]
    with ExitStack() as stack:
        meters = []
        for seed in seeds_of(base, options.seeds):
            runs = [one.run for one in specialists if one.seed == seed]
            merged, evaluation = (
                place / f"seed-{seed}" for place in (directory.merged, directory.evaluation)
            )
            meters.append(stack.enter_context(Meter(base, runs, merged, evaluation, options.by, reporter)))
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
