"""The generator ``python-source``: functions in a drawn order, one row each, until there are enough."""

from __future__ import annotations

import platform
from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import Field

import mftkit
from mftkit_plugins.generators.python_source.corpus import corpus
from mftkit_plugins.generators.python_source.tasks import Kind, Pair, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mftkit_plugins.generators.python_source.functions import Function


class PythonSource(mftkit.DataGenerator):
    """Makes rows from the functions of installed Python source, without data and without network.

    A row's ``group`` is its function's fingerprint, so that a split by group keeps a function on the same side in every
    kind of task.
    """

    class Options(mftkit.Options):
        """Options of ``python-source``."""

        kind: Kind = "completion"
        """Kind of task: completion (signature and docstring to body), comment (function to the first sentence of its
        docstring), text-to-code (docstring to function), repair (function with a bug to the original)."""
        samples: int | None = Field(default=None, ge=1)
        """Number of rows; null: all. Functions are taken in an order drawn from the seed, the same for every kind."""
        paths: tuple[mftkit.SpecPath, ...] = ()
        """Directories or files of Python source; empty: the standard library of the running Python."""
        max_characters: int = Field(default=1500, ge=1)
        """Maximum length of a row in characters, prompt and answer together; longer rows are dropped."""

    options: Options
    version = f"1, Python {platform.python_version()}"
    """What is Python source, and the standard library, depend on the running Python."""

    @property
    def goal(self) -> int | None:
        """See ``mftkit.DataGenerator``."""
        return self.options.samples

    def rows(self, context: mftkit.GenerationContext) -> Iterator[mftkit.JsonObject]:
        """Yield rows ``{"id", "data_name", "group", "messages"}`` in an order drawn from the seed."""
        source = corpus(self.options.paths)
        context.report(**source.dropped)
        samples = self.options.samples
        kept = 0
        for function in _drawn(source.functions, context.seed):
            if kept == samples:
                break
            made = pair(self.options.kind, function, context.seed, self.options.max_characters)
            if isinstance(made, str):
                context.report(**{made: 1})
                continue
            kept += 1
            context.report(kept=1)
            yield _row(function, made, context.task)
        if samples is not None and kept < samples:
            context.report(missing=samples - kept)


def _drawn(functions: tuple[Function, ...], seed: int) -> list[Function]:
    return sorted(functions, key=lambda function: sha256(f"{seed}:{function.group}".encode()).digest())


def _row(function: Function, made: Pair, task: str) -> mftkit.JsonObject:
    return {
        "id": function.id,
        "data_name": task,
        "group": function.group,
        "messages": [
            {"role": "user", "content": made.prompt},
            {"role": "assistant", "content": made.answer},
        ],
    }
