"""Intervals in a spec: numbers of steps, "epoch", and times such as "20 min"."""

import re
from typing import Annotated, Literal

from pydantic import PlainValidator, WithJsonSchema

from mftkit.spec.problems import Problem, refuse, refuse_one

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Units of time, in seconds."""
_TIME = r"(\d+(?:\.\d+)?) *(s|min|h)"


def _every(value: object) -> int | Literal["epoch"]:
    if value == "epoch":
        return "epoch"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse_one('should be an integer number of steps, at least 1, or "epoch"', value)
    return value


def _interval(value: object, at: tuple[int, ...] = ()) -> int | str | Problem:
    """Return a number of steps, "epoch", or a time as it is written in a spec; for anything else the problem."""
    if isinstance(value, str) and (time := re.fullmatch(_TIME, value.strip())) and float(time[1]) > 0:
        return f"{time[1]} {time[2]}"
    if value == "epoch":
        return "epoch"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        what = 'should be a number of steps, at least 1, or "epoch", or a time such as "20 min" (units: s, min, h)'
        return Problem(at, what, value)
    return value


def _intervals(value: object) -> int | str | list[int | str]:
    if isinstance(value, list | tuple) and not value:
        refuse_one('is empty; name at least one interval, such as "epoch"', value)
    if isinstance(value, list | tuple):
        found = [_interval(each, (i,)) for i, each in enumerate(value)]
    else:
        found = [_interval(value)]
    problems = [each for each in found if isinstance(each, Problem)]
    if problems:
        refuse(problems)
    intervals = [each for each in found if not isinstance(each, Problem)]
    return intervals if isinstance(value, list | tuple) else intervals[0]


def _time(value: object) -> str | None:
    interval = None if value is None else _interval(value)
    if isinstance(interval, int | Problem) or interval == "epoch":
        refuse_one('should be a time such as "10 min" (units: s, min, h), or null', value)
    return interval


def time_in_seconds(interval: int | str) -> float | None:
    """Return the seconds of an interval that is a time; None for steps and "epoch".

    >>> time_in_seconds("1.5 min"), time_in_seconds("epoch"), time_in_seconds(20)
    (90.0, None, None)
    """
    time = re.fullmatch(_TIME, interval) if isinstance(interval, str) else None
    return None if time is None else float(time[1]) * SECONDS[time[2]]


_STEPS = [{"type": "integer", "minimum": 1}, {"const": "epoch"}]
_INTERVAL = {"anyOf": [*_STEPS, {"type": "string", "pattern": f"^{_TIME}$"}]}
Time = Annotated[
    str | None,
    PlainValidator(_time),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_TIME}$"}, {"type": "null"}]}),
]
"""A time such as "10 min", or null."""
Every = Annotated[int | Literal["epoch"], PlainValidator(_every), WithJsonSchema({"anyOf": _STEPS})]
"""Steps, or "epoch"."""
Intervals = Annotated[
    int | str | list[int | str],
    PlainValidator(_intervals),
    WithJsonSchema({"anyOf": [*_INTERVAL["anyOf"], {"type": "array", "items": _INTERVAL, "minItems": 1}]}),
]
"""Steps, "epoch" or a time, or a list of these."""
