"""Rows that repeat what a model will be evaluated on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit
from mftkit.data.rows.row_texts import said
from mftkit.similarity.contamination import Contamination
from mftkit.similarity.references import read_references, references_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOLD = 3


class Decontamination(mftkit.DataFilter):
    """Drops a row that repeats a reference, such as a problem of HumanEval, in one of three ways.

    It shares a run of words with the reference's docstring; it has much of its code, whatever the layout and the names
    are; or a part of it has a BLEU over the limit with the docstring.
    """

    class Options(mftkit.Options):
        """Options of ``decontamination``."""

        references: tuple[mftkit.SpecPath, ...] = Field(min_length=1)
        """Files of references, .jsonl or .jsonl.gz."""
        field: str | None = None
        """Key of a reference's text (of its code, if it is code); null: rows are of HumanEval's format, with "prompt"
        and "canonical_solution"."""
        bleu: float | None = Field(default=0.5, gt=0, lt=1)
        """BLEU over which a part of a row repeats a reference; null: not looked at."""
        words: int | None = Field(default=13, ge=5)
        """Words of a run that a row may not share with a reference; null: not looked at."""
        code: int | None = Field(default=10, ge=5)
        """Tokens of a run of code, with names numbered as they come; null: not looked at."""
        code_share: float = Field(default=0.5, gt=0, le=1)
        """Share of a reference's runs of code from which on a row repeats it."""

    options: Options

    def __init__(self, options: mftkit.Options, tasks: tuple[mftkit.TaskInfo, ...] = ()) -> None:
        super().__init__(options, tasks)
        self.version = f"1, {references_digest(self.options.references)}"

    def apply(
        self, rows: Iterator[dict[str, Any]], context: mftkit.FilterContext
    ) -> Iterator[dict[str, Any]]:
        """Rows in order."""
        options = self.options
        found = Contamination(
            read_references(options.references, options.field),
            options.bleu,
            options.words,
            options.code,
            options.code_share,
        )
        context.report(references=len(found))
        if found.too_short:
            some = ", ".join(found.too_short[:_TOLD])
            context.note(f"{len(found.too_short)} references are too short to be looked for ({some})")
        for row in rows:
            repeats = found.repeats(said(row))
            if repeats is None:
                yield row
            else:
                context.drop(row, repeats.how, detail=f"{repeats.reference}, {repeats.detail}")
