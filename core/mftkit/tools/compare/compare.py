"""``mft compare``, from a spec to a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.base.atomic_files import write_json
from mftkit.reporting.reporter import Reporter
from mftkit.tools.compare.arms import CompareOptions, make_arms
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit.tools.compare.outcomes import document
from mftkit.tools.compare.planning import plan_runs
from mftkit.tools.compare.runner import train_all

if TYPE_CHECKING:
    from pathlib import Path
    from signal import Signals

    from mftkit.spec import Spec


@dataclass(frozen=True)
class Compared:
    """How a comparison went."""

    path: Path
    document: dict[str, Any]
    """As in compare.json."""
    signal: Signals | None
    """What stopped it; None where every run has ended."""

    @property
    def failed(self) -> bool:
        """Whether a run failed."""
        return any(run["state"] == "failed" for arm in self.document["arms"] for run in arm["runs"])


def compare(
    base: Spec,
    asked: CompareOptions,
    *,
    seeds: int = 1,
    output: Path | None = None,
    fresh: bool = False,
    reporter: Reporter | None = None,
) -> Compared:
    """Train ``base`` in every way that is asked for, or go on with that.

    Args:
        base: the spec; its output is not written.
        asked: the arms and the budget.
        seeds: how many, from the spec's own on.
        output: the directory; by default beside the spec's output, with "-compare" after its name.
        fresh: start over, removing the files of the comparison before.
        reporter: receives messages and progress.

    Raises:
        MftError: something the user can mend; what is finished is kept.
    """
    reporter = reporter or Reporter()
    path = output or base.output.with_name(f"{base.output.name}-compare")
    directory = ComparisonDirectory(path.absolute())
    arms = make_arms(base, asked)
    directory.check(base, fresh=fresh)
    with directory:
        directory.begin(base, fresh=fresh)
        every = [base.seed + number for number in range(seeds)]
        comparison = plan_runs(base, asked, arms, every, directory, reporter)

        def record() -> dict[str, Any]:
            found = document(comparison, directory)
            write_json(directory.path / "compare.json", found)
            return found

        try:
            signal = train_all(comparison, directory, reporter, record)
        finally:  # whatever stops it, what is known is written
            found = record()
            _report(directory.path, reporter)
    return Compared(directory.path, found, signal)


def _report(path: Path, reporter: Reporter) -> None:
    """Write compare.html; a page that cannot be made is told."""
    try:
        from mftkit.tools.compare.page import report_comparison

        report_comparison(path)
    except Exception as error:
        reporter.warn(f"compare.html was not written: {type(error).__name__}: {error}")
