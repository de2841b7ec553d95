"""Counts data files in one pass for rows, lengths and repeats, and one more pass per other filter."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.data.rows.faults import RowError
from mftkit.tools.data_stats.filters import CONTAMINATED, EXACT, NEAR, DropCount, provider, read_filter
from mftkit.tools.data_stats.rows import iter_located_rows
from mftkit.tools.data_stats.statistics import Statistics
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.data.rows.files import Source
    from mftkit.interfaces.references import ComponentRef
    from mftkit.reporting.reporter import Reporter


@dataclass(frozen=True)
class StatsRequest:
    """The options of ``mft data stats`` that concern filters."""

    filters: Sequence[str] = ()
    """Filters to count by name or as JSON."""
    near: float = 0.0
    """Similarity of near repeats; 0: they are not counted unless a filter for them is given."""
    references: Sequence[Path] = ()
    """Files of references that no row may repeat."""
    reference_field: str | None = None
    """Key of a reference's text."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.reference_field is not None and not self.references:
            raise MftError("--field names a key of the reference rows: give their files with --references")


def count(
    request: StatsRequest,
    sources: Sequence[Source],
    tokens_of: Callable[[str], int] | None,
    reporter: Reporter,
    *,
    skip_bad: bool = False,
) -> Statistics:
    """Count all rows of the sources and what filters would drop.

    Raises MftError for a filter that was asked for and cannot be used, and RowError for a bad row unless ``skip_bad``.
    """
    found = Statistics(tokens_of)
    with ExitStack() as stack:

        def start(ref: ComponentRef) -> DropCount:
            return DropCount(ref, stack, reporter)

        for ref in map(read_filter, request.filters):
            if ref.name in found.filters:
                raise MftError(f"--filter {ref.name} is given twice")
            search = found.filters[ref.name] = start(ref)
            if search.statistic is not None:
                found.searched.setdefault(search.statistic, search)
        _add_default_searches(request, found, start)
        repeats = [found.searched[statistic] for statistic in (EXACT, NEAR) if statistic in found.searched]
        with reporter.progress("reading rows", None) as advance:
            rows = _counted(sources, found, advance, skip_bad=skip_bad)
            for search in repeats:  # near repeats are searched among the rows that are no exact repeats
                rows = (
                    search.apply(rows)
                    if search in found.filters.values()
                    else _if_possible(rows, search, found)
                )
            for _row in rows:
                pass
        for search in {
            id(each): each for each in (*found.filters.values(), *found.searched.values())
        }.values():
            if search not in repeats:
                with reporter.progress(f"filter {search.name}", None) as advance:
                    search.drain(_placed_rows(sources, advance))
    return found


def _add_default_searches(
    request: StatsRequest, found: Statistics, start: Callable[[ComponentRef], DropCount]
) -> None:
    """Add the statistics that are counted without ``--filter``, each by the installed filter that provides it."""
    if EXACT not in found.searched and (ref := provider(EXACT, {}, "exact repeats")):
        found.searched[EXACT] = start(ref)
    if (
        NEAR not in found.searched
        and request.near
        and (ref := provider(NEAR, {"threshold": request.near}, "--near"))
    ):
        found.searched[NEAR] = start(ref)
    if CONTAMINATED not in found.searched and request.references:
        options = {"references": [str(path) for path in request.references], "field": request.reference_field}
        ref = provider(CONTAMINATED, options, "--references")
        if ref is None:
            raise MftError("--references: no installed filter compares rows with references")
        found.searched[CONTAMINATED] = start(ref)


def _counted(
    sources: Sequence[Source], found: Statistics, advance: Callable[[int], None], *, skip_bad: bool
) -> Iterator[JsonObject]:
    def keep(error: RowError) -> None:
        found.bad.append(str(error))

    for located in iter_located_rows(sources, keep if skip_bad else None):
        found.add(located)
        advance(1)
        yield located.placed()


def _if_possible(rows: Iterator[JsonObject], search: DropCount, found: Statistics) -> Iterator[JsonObject]:
    """Yield what a default search keeps; if it cannot be used (a package is missing), the rest is still counted."""
    try:
        yield from search.apply(rows)
    except RowError:  # a fault of the data, not of the filter
        raise
    except MftError as error:
        statistic = str(search.statistic)
        del found.searched[statistic]
        search.warn(f"{statistic.replace('_', ' ')} are not counted: {error}")
        yield from rows


def _placed_rows(sources: Sequence[Source], advance: Callable[[int], None]) -> Iterator[JsonObject]:
    for located in iter_located_rows(sources, lambda _counted_in_the_first_pass: None):
        advance(1)
        yield located.placed()
