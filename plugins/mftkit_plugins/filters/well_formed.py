"""Rows whose texts have the right length, and whose code parses."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

import mftkit
from mftkit_plugins.filters.text.code import code_that_answers
from mftkit_plugins.python_code import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

Language = Literal["python", "json"]


class WellFormed(mftkit.DataFilter):
    """Drops rows by simple checks: length, repetition, and code that does not parse."""

    class Options(mftkit.Options):
        """Options of ``well-formed``."""

        min_question: int = Field(default=0, ge=0)
        """Minimum length of the question, in characters, all turns together."""
        max_question: int | None = Field(default=None, ge=1)
        """Maximum length of the question, in characters, all turns together; null: no limit."""
        min_answer: int = Field(default=1, ge=0)
        """Minimum length of the answer, in characters, all turns together."""
        max_answer: int | None = Field(default=None, ge=1)
        """Maximum length of the answer, in characters, all turns together; null: no limit."""
        code: Language | None = "python"
        """Language of fenced code in answers that must parse; null: code is not checked."""
        needs_code: bool = False
        """Whether every last answer must be code in that language: its fenced blocks, or the whole answer if it has
        none."""
        max_repeated_lines: float = Field(default=1.0, gt=0, le=1)
        """Maximum share of an answer's lines that may be the same line, in answers of eight lines or more. Models that
        get stuck repeat themselves."""

        @model_validator(mode="after")
        def _can_be_met(self) -> Self:
            for part in ("question", "answer"):
                least, most = getattr(self, f"min_{part}"), getattr(self, f"max_{part}")
                if most is not None and most < least:
                    raise ValueError(f"max_{part} is less than min_{part}, so every row would be dropped")
            if self.needs_code and self.code is None:
                raise ValueError("needs_code requires a language in code")
            return self

    options: Options
    version = "2"

    def apply(
        self, rows: Iterator[mftkit.JsonObject], context: mftkit.FilterContext
    ) -> Iterator[mftkit.JsonObject]:
        """Yield rows in order."""
        for row in rows:
            fault = self._fault(mftkit.row_texts(row))
            if fault is None:
                yield row
            else:
                context.drop(row, fault)

    def _fault(self, row: mftkit.RowTexts) -> str | None:
        options = self.options
        for what, texts, least, most in (
            ("question", row.prompts, options.min_question, options.max_question),
            ("answer", row.answers, options.min_answer, options.max_answer),
        ):
            length = sum(map(len, texts))
            if length < least and (texts or what == "answer"):
                return f"the {what} is too short"
            if most is not None and length > most:
                return f"the {what} is too long"
        if any(_repeated(text) > options.max_repeated_lines for text in row.answers):
            return "the answer repeats itself"
        return None if options.code is None else self._code_fault(row.answers, options.code)

    def _code_fault(self, answers: tuple[str, ...], language: Language) -> str | None:
        for text in answers:
            blocks = mftkit.code_blocks(mftkit.split_reasoning(text).answer)
            if not all(_parses(block.code, language) for block in blocks if block.is_in(language)):
                return f"the code does not parse as {language}"
        if self.options.needs_code and not _parses(code_that_answers(answers[-1], language), language):
            return f"the answer is not code that parses as {language}"
        return None


def _parses(code: str, language: Language) -> bool:
    if language == "python":
        return bool(code.strip()) and parsed(code) is not None
    try:
        json.loads(code)
    except (ValueError, RecursionError):
        return False
    return True


_FEW = 8
"""Below this many lines, repetition says nothing."""


def _repeated(text: str) -> float:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return max(Counter(lines).values()) / len(lines) if len(lines) >= _FEW else 0.0
