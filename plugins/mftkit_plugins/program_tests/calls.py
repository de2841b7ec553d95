"""Calls of a program's function with many inputs; results as plain data, to be compared outside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit_plugins.program_tests.relay import converse
from mftkit_plugins.program_tests.sandbox.plain import CannotCrossError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mftkit

_CALLS = """
import json as _json
from mftkit_plugins.program_tests.sandbox.plain import decode as _decode, encode as _encode

def _refuse(value):
    raise TypeError(f"a {type(value).__name__} is no plain data")

_results = []
for _given in _json.loads(_INPUTS):
    try:
        _results.append({"value": _encode(_FUNCTION(*_decode(_given, _refuse)), _refuse)})
    except Exception as _error:
        _results.append({"error": f"{type(_error).__name__}: {_error}"})
"""


@dataclass(frozen=True)
class CallResult:
    """What one call returned or raised."""

    value: object = None
    error: str | None = None
    """Class and text of what it raised, or why it gave no result; None if it returned ``value``."""


def call_function(
    solution: str,
    entry: str,
    inputs: Sequence[Sequence[object]],
    executor: mftkit.Executor,
    limits: mftkit.Limits,
) -> list[CallResult]:
    """Call ``entry`` of ``solution`` with each of ``inputs``, in order, in a process of its own."""
    sent = json.dumps([encode(list(given), _refuse) for given in inputs])
    tests = f"_INPUTS = {sent!r}\n_FUNCTION = {entry}\n{_CALLS}"
    given = {
        "solution": solution,
        "tests": tests,
        "entry": entry,
        "lenient": False,
        "stub": True,
        "results": True,
    }
    said = converse(given, executor, limits)
    error = next(iter(said.get("errors", [])), "") or said.get("ended", "") or said.get("cannot", "")
    return _results(said.get("results"), error, len(inputs))


def _results(found: Any, error: str, number: int) -> list[CallResult]:
    if found is None:
        lines = error.strip().splitlines()
        return [CallResult(error=lines[-1] if lines else "no result")] * number
    return [
        CallResult(error=one["error"]) if "error" in one else CallResult(decode(one["value"], _refuse))
        for one in found
    ]


def _refuse(value: Any) -> Any:
    raise CannotCrossError(f"{value!r:.80} is no plain data")
