"""The interface of a data filter: selects or repairs the rows of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.executor import Executor
    from mftkit.interfaces.references import ChatRef, ComponentRef


def _unknown_place(row: dict[str, Any]) -> str | None:
    del row
    return None


@documented
@dataclass(frozen=True)
class FilterContext:
    """The arguments of a filter, for one pass over the rows of one task."""

    seed: int
    """The run's seed: the same seed, options and rows give the same rows."""
    task: str
    """Name of the rows' task."""
    directory: Path
    """A directory for this filter, task, rows and options; it is kept after a kill."""
    drop: Callable[..., None]
    """``drop(row, reason, detail="")``: drops a row. Rows are counted by the reason, which is one of a few fixed
    texts; facts about this row alone (the similar row, the error) are its detail. A few rows per reason are kept
    with their details for the report."""
    report: Callable[..., None]
    """``report(repaired=1)``: adds to other counts that are shown to the user."""
    note: Callable[[str], None]
    """Shows a remark once, to the user and in the report."""
    chat: Callable[[ChatRef], Chat]
    """``with context.chat(options.model) as chat``: opens the chat model that an option of type ``ChatModelRef``
    names. Its replies are kept for this task and filter, whatever its other options: none is paid for twice."""
    executor: Callable[[ComponentRef], Executor]
    """``context.executor(options.isolation)``: runs programs, for an option of type ``ExecutorRef``; its name is
    reported. Raises MftError if none can be used, or only one that isolates weakly and the user has not allowed
    that."""
    locate: Callable[[dict[str, Any]], str | None] = _unknown_place
    """``context.locate(row)``: ``PATH:LINE`` of a row that came in, or None if that is not known."""


@documented
class DataFilter(Component[OptionsT]):
    """Drops or repairs rows of a task; in the spec one of ``tasks[].filters``.

    Rows come as a data file has them, in order; each can be read as a row of the task.
    """

    version: str = "1"
    """Increase it when the rows kept for given options change; anything else that they depend on belongs in it
    too, except the files that options of type ``mftkit.SpecPath`` name: core hashes these. Rows are then filtered
    again."""

    statistic: ClassVar[str | None] = None
    """The count of ``mft data stats`` that this filter provides, if any: its drops are then counted under this key.

    "exact_repeats" needs no options. "near_repeats" needs the option ``threshold`` (``--near``), "contaminated" the
    options ``references`` and ``field`` (``--references``, ``--field``). Every other filter is counted on request
    (``--filter``)."""

    @required
    def apply(self, rows: Iterator[dict[str, Any]], context: FilterContext) -> Iterator[dict[str, Any]]:
        """Yield the kept rows in order, each as soon as it is known; pass the others to ``context.drop``.

        A repaired row is a new dict: the input rows must not be changed.
        """
        raise NotImplementedError
