"""The interface of a data filter: rows in, those that are kept out."""

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
    """What a filter is given, for one pass over the rows of one task."""

    seed: int
    """The run's seed: the same seed, options and rows give the same rows."""
    task: str
    """Name of the task that the rows are of."""
    directory: Path
    """A directory of the filter's own, for this task, these rows and these options; it survives a kill."""
    drop: Callable[..., None]
    """``drop(row, reason, detail="")``: a row that is not given on. Counted by the reason, which is one of a
    few fixed texts; what is of this row alone (what it is like, the error) is its detail. A few rows of each
    reason are kept with their details for the report."""
    report: Callable[..., None]
    """``report(repaired=1)``: adds to other counts that the user is shown."""
    note: Callable[[str], None]
    """Something that the user and the report are told once."""
    chat: Callable[[ChatRef], Chat]
    """``with context.chat(options.model) as chat``: opens the chat model that an option of type ``ChatModelRef``
    names. Its replies are kept for this task and filter, whatever its other options: none is paid twice."""
    executor: Callable[[ComponentRef], Executor]
    """``context.executor(options.isolation)``: what runs programs, for an option of type ``ExecutorRef``; which
    one it is gets told. Raises MftError where none can be used, or only one that isolates weakly and the user has
    not allowed that."""
    locate: Callable[[dict[str, Any]], str | None] = _unknown_place
    """``context.locate(row)``: ``PATH:LINE`` of a row that came in, or None if that is not known."""


@documented
class DataFilter(Component[OptionsT]):
    """Takes rows out of a task's data, or mends them; in the spec one of ``tasks[].filters``.

    Rows come as a data file has them, in order, and every one of them can be read as a row of the task.
    """

    version: str = "1"
    """Raise it when the rows kept for given options change; what else they depend on (the content of a file that
    an option names) belongs in it too: rows filtered before are then filtered anew."""

    statistic: ClassVar[str | None] = None
    """The count of ``mft data stats`` that this filter provides, if any: its drops are then counted under this key.

    "exact_repeats" needs no options. "near_repeats" needs the option ``threshold`` (``--near``), "contaminated" the
    options ``references`` and ``field`` (``--references``, ``--field``). Every other filter is counted on request
    (``--filter``)."""

    @required
    def apply(self, rows: Iterator[dict[str, Any]], context: FilterContext) -> Iterator[dict[str, Any]]:
        """The rows that stay, in their order, each as soon as it is known; those that do not go to
        ``context.drop``. A row that is changed is a new one: what comes in is left as it is.
        """
        raise NotImplementedError
