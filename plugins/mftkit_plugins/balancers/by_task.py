"""Options that are one number for all tasks, or one number per task by name."""

from __future__ import annotations

from typing import cast

import mftkit
from mftkit import nearest


def by_task(
    option: str,
    given: float | dict[str, float],
    tasks: tuple[mftkit.TaskInfo, ...],
    *,
    default: float | None = None,
) -> list[float]:
    """Return an option as one number for each task.

    Args:
        option: its place in the spec, for messages.
        given: a number for all tasks, or numbers by name.
        tasks: the tasks of the run.
        default: the number of tasks that are not named; None: all must be named.

    Raises:
        MftError: a name that is not a task, or a task without a number.
    """
    names = [task.name for task in tasks]
    if not isinstance(given, dict):
        return [float(given)] * len(names)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise mftkit.MftError(
            f"{option}: no task is named {'; or '.join(_with_suggestion(name, names) for name in unknown)}; "
            f"the tasks are {', '.join(map(repr, names))}."
        )
    missing = [name for name in names if name not in given]
    if missing and default is None:
        raise mftkit.MftError(
            f"{option}: expected a number for each task, but {', '.join(map(repr, missing))} "
            f"{'has' if len(missing) == 1 else 'have'} none; add {'it' if len(missing) == 1 else 'them'}, "
            "or remove the option."
        )
    return [given[name] if name in given else cast("float", default) for name in names]


def _with_suggestion(name: str, names: list[str]) -> str:
    close = nearest(name, names)
    return f"{name!r} (did you mean {close[0]!r}?)" if close else repr(name)
