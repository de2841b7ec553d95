"""Results of queries, many in one sandboxed process."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mftkit
from mftkit_plugins.evaluators.sql import runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mftkit_plugins.evaluators.execution.sandbox import Sandbox

_RUNNER = Path(runner.__file__)
TOGETHER = 32
"""Queries of one process."""
START_SECONDS = 10.0
_MIB = 1 << 20
_ENDS = {"time": "it takes too long", "memory": "it takes too much memory", "output": "it returns too much"}
Row = tuple[Any, ...]


class Result(NamedTuple):
    """What a query returned."""

    rows: list[Row]
    error: str | None = None


@dataclass(frozen=True)
class Database:
    """A database: a file of SQLite, or statements that make it."""

    file: Path | None = None
    schema: str | None = None

    @cached_property
    def _files(self) -> dict[str, str]:
        if self.file is None:
            return {}
        return {runner.ENCODED: base64.b64encode(self.file.read_bytes()).decode()}

    @cached_property
    def size(self) -> int:
        """Bytes of the file, or of the statements."""
        return len(self.schema or "") if self.file is None else self.file.stat().st_size

    def program(self, queries: Sequence[str], sandbox: Sandbox) -> mftkit.Program:
        """Return the program that answers queries."""
        asked = {
            "schema": self.schema if self.file is None else None,
            "queries": list(queries),
            "seconds": sandbox.limits.seconds,
            "most": sandbox.limits.output,
        }
        files = {"runner.py": _RUNNER.read_text(encoding="utf-8"), **self._files}
        return mftkit.Program(files, (mftkit.PYTHON, "runner.py"), json.dumps(asked) + "\n")


class Queries:
    """Answers queries, each once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Database, str], Result] = {}

    def results(
        self, asked: Iterable[tuple[Database, str]], sandbox: Sandbox
    ) -> dict[tuple[Database, str], Result]:
        """Return the result of each query on its database; several processes run at a time."""
        by_database: dict[Database, list[str]] = {}
        for database, query in dict.fromkeys(asked):
            if (database, query) not in self._known:
                by_database.setdefault(database, []).append(query)
        batches = [
            (database, queries[first : first + TOGETHER])
            for database, queries in by_database.items()
            for first in range(0, len(queries), TOGETHER)
        ]
        found = sandbox.each(lambda batch: _answered(*batch, sandbox), batches)
        for (database, queries), results in zip(batches, found, strict=True):
            self._known.update(
                ((database, query), result) for query, result in zip(queries, results, strict=True)
            )
        return self._known


def _answered(database: Database, queries: Sequence[str], sandbox: Sandbox) -> list[Result]:
    """Run queries in one process; if one of them ends it, the others run in a new one."""
    found: list[Result] = []
    while len(found) < len(queries):
        left = queries[len(found) :]
        done = _run(database, left, sandbox)
        said = [_read(line) for line in done.stdout.split("\n")[:-1]]
        if said and said[0].error is not None and said[0].error.startswith("the database"):
            return [said[0]] * len(queries)
        found += said[: len(left)]
        if len(said) < len(left):
            lines = done.stderr.strip().splitlines()
            found.append(Result([], _ENDS.get(done.how) or (lines[-1] if lines else "it ends its process")))
    return found


def _run(database: Database, queries: Sequence[str], sandbox: Sandbox) -> mftkit.Execution:
    limits = sandbox.limits
    seconds = START_SECONDS + limits.seconds * len(queries)
    wide = replace(
        limits,
        seconds=seconds,
        cpu_seconds=round(seconds),
        output=(limits.output + 4096) * len(queries) + 4096,
        # In base64 and decoded, with what SQLite reads ahead.
        disk=max(limits.disk, 3 * database.size + _MIB),
    )
    return sandbox.executor.run(database.program(queries, sandbox), wide)


def _read(line: str) -> Result:
    said = json.loads(line)
    if "database" in said:
        return Result([], f"the database cannot be made: {said['database']}")
    if "error" in said:
        return Result([], " ".join(str(said["error"]).split()))
    return Result([tuple(map(_value, row)) for row in said["rows"]])


def _value(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
