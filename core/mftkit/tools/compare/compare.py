"""``mft compare``, from a spec to a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mftkit.reporting.reporter import Reporter
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.compare.arms import CompareOptions, make_arms
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit.tools.compare.made_arms import make_made_arms
from mftkit.tools.compare.merge_runner import merge_all
from mftkit.tools.compare.outcomes import collect_result
from mftkit.tools.compare.page import report_comparison
from mftkit.tools.compare.planning import plan_runs
from mftkit.tools.compare.result import write_result
from mftkit.tools.compare.runner import train_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import Signals

    from mftkit.spec import Spec
    from mftkit.tools.compare.planning import Comparison
    from mftkit.tools.compare.result import ComparisonResult


@dataclass(frozen=True)
class Compared:
    """A comparison that ended or was stopped."""

    path: Path
    result: ComparisonResult
    signal: Signals | None
    """The signal that stopped it; None if every run has ended."""


@with_own_plugins
def compare(
    base: Spec,
    options: CompareOptions,
    *,
    seeds: int = 1,
    output: Path | None = None,
    fresh: bool = False,
    reporter: Reporter | None = None,
    load: Callable[[list[str]], Spec] | None = None,
) -> Compared:
    """Train ``base`` in every way that ``options`` name, or resume that.

    Args:
        base: the spec; its output is not written.
        options: the arms and the budget.
        seeds: number of seeds, counted up from the spec's own.
        output: the directory; by default beside the spec's output, with "-compare" after its name.
        fresh: start over, removing the files of the comparison before.
        reporter: receives messages and progress.
        load: the spec with overrides, for arms that change its keys; None: ``base`` with its defaults filled in.

    Raises:
        MftError: something the user can fix; what is finished is kept.
    """
    reporter = reporter or Reporter()
    directory = ComparisonDirectory(comparison_path(base, output))
    arms = make_arms(base, options, load)
    for arm in arms:
        if arm.also:
            same = ", ".join(arm.also)
            reporter.note(f"{arm.label} stands for {same} too, which would train the very same")
    directory.check(base, fresh=fresh)
    with directory:
        directory.begin(base, fresh=fresh)
        every = [base.seed + number for number in range(seeds)]
        made = make_made_arms(base, options, arms, seeds)
        comparison = plan_runs(base, options, arms, every, directory, reporter, made)

        def record(*, tests: bool = False) -> ComparisonResult:
            directory.check_in_place()
            result = collect_result(comparison, directory, tests=tests)
            write_result(directory.path, result)
            return result

        try:
            signal = train_all(comparison, directory, reporter, record)
            if signal is None:
                merge_all(comparison, directory, reporter, record)
        finally:  # whatever stops it, what is known is written
            result = record(tests=True)
            _write_page(directory.path, reporter)
    return Compared(directory.path, result, signal)


@with_own_plugins
def plan_comparison(
    base: Spec,
    options: CompareOptions,
    *,
    seeds: int = 1,
    reporter: Reporter | None = None,
    load: Callable[[list[str]], Spec] | None = None,
) -> Comparison:
    """Check all arms, and plan their runs without training; nothing but the cache of the data is written.

    Raises MftError as ``compare`` does.
    """
    arms = make_arms(base, options, load)
    every = [base.seed + number for number in range(seeds)]
    with TemporaryDirectory() as place, ComparisonDirectory(Path(place)) as directory:
        directory.begin(base, fresh=False)
        made = make_made_arms(base, options, arms, seeds)
        return plan_runs(base, options, arms, every, directory, reporter or Reporter(), made)


def comparison_path(base: Spec, output: Path | None) -> Path:
    """The directory of a comparison: ``output``, or the default beside the output of the spec."""
    return (output or base.output.with_name(f"{base.output.name}-compare")).absolute()


def _write_page(path: Path, reporter: Reporter) -> None:
    """Write compare.html; warn of a page that cannot be written."""
    try:
        report_comparison(path)
    except Exception as error:
        reporter.warn(f"could not write compare.html: {type(error).__name__}: {error}")
