"""Rows that repeat what the model will be evaluated on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

import mftkit
from mftkit_plugins.filters.text.contamination import Contamination
from mftkit_plugins.filters.text.optional_packages import is_installed, missing_text
from mftkit_plugins.filters.text.references import read_references

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 3
"""Names of short references that are reported."""


class Decontamination(mftkit.DataFilter):
    """Drops a row that repeats a reference, such as a problem of HumanEval, in one of three ways.

    The row shares a run of words with the reference's docstring; or it contains much of its code, whatever the layout
    and the names are; or a part of the row has a BLEU above the limit with the docstring.
    """

    class Options(mftkit.Options):
        """Options of ``decontamination``."""

        references: tuple[mftkit.SpecPath, ...] = Field(min_length=1)
        """Files of references, .jsonl or .jsonl.gz."""
        field: str | None = None
        """Key of a reference's text (or code). Null: the references are in HumanEval's format, with "prompt" and
        "canonical_solution"."""
        bleu: float | None = Field(default=0.5, gt=0, lt=1)
        """BLEU above which a part of a row repeats a reference; null: BLEU is not measured."""
        words: int | None = Field(default=13, ge=5)
        """Length, in words, of a run that a row may not share with a reference; null: words are not compared."""
        code: int | None = Field(default=10, ge=5)
        """Length, in tokens, of the runs of code that are compared, with names numbered in order of appearance; null:
        code is not compared."""
        code_share: float = Field(default=0.5, gt=0, le=1)
        """Share of a reference's runs of code at or above which a row repeats it."""

    options: Options
    version = "2"
    statistic = "contaminated"

    def preflight(self) -> list[str]:
        """See ``mftkit.Component``: the files of references, and the package that measures BLEU."""
        missing = [f"{path} does not exist" for path in self.options.references if not path.exists()]
        if self.options.bleu is not None and not is_installed("sacrebleu"):
            missing.append(missing_text("sacrebleu", "comparing texts by BLEU"))
        return missing

    def apply(
        self, rows: Iterator[mftkit.JsonObject], context: mftkit.FilterContext
    ) -> Iterator[mftkit.JsonObject]:
        """Yield rows in order."""
        options = self.options
        contamination = Contamination(
            read_references(options.references, options.field),
            options.bleu,
            options.words,
            options.code,
            options.code_share,
        )
        context.report(references=len(contamination))
        if contamination.too_short:
            some = ", ".join(contamination.too_short[:_SHOWN])
            context.note(f"{len(contamination.too_short)} references are too short to be found ({some})")
        for row in rows:
            repeat = contamination.find(mftkit.row_texts(row))
            if repeat is None:
                yield row
            else:
                context.drop(row, repeat.reason, detail=f"{repeat.reference}, {repeat.detail}")
