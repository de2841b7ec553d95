"""``mft mix search``, from a spec to proportions.

MergeMix (arXiv 2601.17858): the model that training with proportions p would give is approximated by merging models of
single tasks, all trained from the same start with the same number of steps, with weights p. To first order in the
updates both are the start plus the sum of p_i times the update of task i. A candidate then costs one validation.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mftkit.reporting.reporter import Reporter
from mftkit.spec import load_spec
from mftkit.spec.local_plugins import with_own_plugins
from mftkit.tools.compare.directory import ComparisonDirectory
from mftkit.tools.compare.runner import train_all
from mftkit.tools.mix_search.directory import SearchDirectory
from mftkit.tools.mix_search.measuring import measure_candidates
from mftkit.tools.mix_search.options import SearchOptions, check_options
from mftkit.tools.mix_search.page import write_page
from mftkit.tools.mix_search.result import SearchResult, named_candidates, write_result
from mftkit.tools.mix_search.specialists import find_specialists, plan_specialists, trained
from mftkit.tools.mix_search.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from signal import Signals

    from mftkit.spec import Spec


@dataclass(frozen=True)
class Searched:
    """A search that ended or was stopped."""

    path: Path
    result: SearchResult | None
    """None if it was stopped before all candidates were measured."""
    signal: Signals | None
    has_failed_run: bool = False
    """Whether a model that was to verify the result could not be trained."""


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
        result = measure_candidates(base, options, found, directory, reporter)
        _write(directory, result, reporter)
        if options.verify:
            loading = load or (lambda changes: load_spec(base.dump(), changes))
            done, signal = verify(base, result, training, directory.evaluation, reporter, loading)
            result = replace(result, verified=done)
            _write(directory, result, reporter)
            lacking = len(named_candidates(result, options.verify)) - len(done.mixings)
            return Searched(directory.path, result, signal, signal is None and lacking > 0)
    return Searched(directory.path, result, signal)


def _write(directory: SearchDirectory, result: SearchResult, reporter: Reporter) -> None:
    directory.check_in_place()
    write_result(directory.path, result)
    write_page(directory.path, result, reporter)


def search_path(base: Spec, output: Path | None) -> Path:
    """The directory of a search: ``output``, or the default beside the output of the spec."""
    return (output or base.output.with_name(f"{base.output.name}-mix")).absolute()
