"""Two sandboxed processes, one with the program and one with its tests; this process relays between them."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import mftkit

_SANDBOX = Path(__file__).with_name("sandbox")
_COMMON = ("plain", "operations", "proxies", "crossing", "peer")
_LINE = 1 << 24
"""Bytes that the processes may say to each other; the program's own output has its own limit."""
_SAID: dict[str, type] = {
    **dict.fromkeys(("cannot", "dead"), str),
    **dict.fromkeys(("loaded", "too_deep", "objects"), bool),
    **dict.fromkeys(("failed", "passed"), int),
    **dict.fromkeys(("errors", "not_run"), list),
    "assertions": dict,
}
"""What the tests' process says at its end, ``Trial.run``."""
_WRITES = "it writes to the line of its process"
ENDED = {"time": "it takes too long", "memory": "it takes too much memory", "output": "it prints too much"}


def converse(given: dict[str, Any], executor: mftkit.Executor, limits: mftkit.Limits) -> dict[str, Any]:
    """Run tests with a program; return what the tests' process says, or why it says nothing."""
    wide = replace(limits, output=max(limits.output, _LINE))
    # The same in every repetition of a session, and nothing that the program's process holds.
    word = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:24]
    with ExitStack() as stack:
        program = stack.enter_context(executor.open(_process("program_side"), wide))
        tests = stack.enter_context(executor.open(_process("tests_side"), wide))
        tests.send(json.dumps({**given, "word": word}))
        printed = 0
        while (line := tests.receive()) is not None:
            if line[:1] == "V":
                return _said(line[1:])
            program.send(line[1:])
            answer = program.receive()
            if answer is None:
                tests.send(json.dumps({"dead": _end(program)}))
                continue
            printed += _printed(answer)
            tests.send(json.dumps({"dead": ENDED["output"]}) if printed > limits.output else _clean(answer))
        return {"ended": _end(tests)}


def _said(line: str) -> dict[str, Any]:
    """Return what the tests' process says; tests that write to its line themselves are as tests that end it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    return found if _is_verdict(found) else {"ended": _WRITES}


def _is_verdict(found: Any) -> bool:
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), kind) for key, kind in _SAID.items()
    ):
        return False
    texts = (*found["errors"], *found["not_run"])
    numbers = [found["assertions"].get(key) for key in ("all", "held", "failed")]
    return all(isinstance(text, str) for text in texts) and all(isinstance(one, int) for one in numbers)


def _end(session: mftkit.Session) -> str:
    done = session.close()
    lines = done.stderr.strip().splitlines()
    last = lines[-1][:300] if lines else f"it ends with exit code {done.code}"
    return ENDED.get(done.how, last)


def _clean(answer: str) -> str:
    """Return a line of the program's process as JSON of one object, whatever the program wrote there."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "dead" in found:
        return json.dumps({"dead": _WRITES})
    return answer if answer.isascii() else json.dumps(found)


def _printed(answer: str) -> int:
    if '"o": ' not in answer and '"e": ' not in answer:
        return 0
    try:
        found = json.loads(answer)
        return len(str(found.get("o", ""))) + len(str(found.get("e", "")))
    except (ValueError, AttributeError, RecursionError):
        return 0


@cache
def _process(main: str) -> mftkit.Program:
    names = (*_COMMON, *(() if main == "program_side" else ("accounting", "under_pytest", "forms")), main)
    sources = {name: _SANDBOX.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in names}
    bootstrap = _SANDBOX.joinpath("bootstrap.py").read_text(encoding="utf-8")
    first = json.dumps({"sources": sources, "main": main})
    return mftkit.Program({}, command=(mftkit.PYTHON, "-c", bootstrap), stdin=first + "\n")
