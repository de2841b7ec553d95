"""Rows whose texts are of the right length, and whose code is code."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

import mftkit
from mftkit.data.rows.row_texts import RowTexts, said
from mftkit.similarity.code import blocks, code_of, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

Language = Literal["python", "json"]
_SPELLINGS = {"python": ("python", "py", "python3"), "json": ("json",)}


class WellFormed(mftkit.DataFilter):
    """Drops rows by plain checks: length, repetition, and code that does not parse."""

    class Options(mftkit.Options):
        """Options of ``well-formed``."""

        min_question: int = Field(default=0, ge=0)
        """Least characters of what is asked, all turns together."""
        max_question: int | None = Field(default=None, ge=1)
        """Most characters of what is asked; null: any number."""
        min_answer: int = Field(default=1, ge=0)
        """Least characters of what is answered, all turns together."""
        max_answer: int | None = Field(default=None, ge=1)
        """Most characters of what is answered; null: any number."""
        code: Language | None = "python"
        """Language of code that must parse where an answer's fences name it; null: code is not looked at."""
        needs_code: bool = False
        """Whether every last answer must be code of that language: what its fences hold, or all of it without any."""
        max_repeated_lines: float = Field(default=1.0, gt=0, le=1)
        """Share of an answer's lines that may be one and the same line, in answers of eight lines or more: models that
        get stuck repeat themselves."""

        @model_validator(mode="after")
        def _can_be_met(self) -> Self:
            for part in ("question", "answer"):
                least, most = getattr(self, f"min_{part}"), getattr(self, f"max_{part}")
                if most is not None and most < least:
                    raise ValueError(f"max_{part} is less than min_{part}: no row could stay")
            if self.needs_code and self.code is None:
                raise ValueError("needs_code needs the language in code")
            return self

    options: Options

    def apply(
        self, rows: Iterator[dict[str, Any]], context: mftkit.FilterContext
    ) -> Iterator[dict[str, Any]]:
        """Rows in order."""
        for row in rows:
            wrong = self._wrong(said(row))
            if wrong is None:
                yield row
            else:
                context.drop(row, wrong)

    def _wrong(self, row: RowTexts) -> str | None:
        options = self.options
        for what, texts, least, most in (
            ("question", row.asked, options.min_question, options.max_question),
            ("answer", row.answered, options.min_answer, options.max_answer),
        ):
            length = sum(map(len, texts))
            if length < least and (texts or what == "answer"):
                return f"the {what} is too short"
            if most is not None and length > most:
                return f"the {what} is too long"
        if any(_repeated(text) > options.max_repeated_lines for text in row.answered):
            return "the answer repeats itself"
        return None if options.code is None else self._wrong_code(row.answered, options.code)

    def _wrong_code(self, answers: tuple[str, ...], language: Language) -> str | None:
        for text in answers:
            codes = [block.code for block in blocks(text) if block.language in _SPELLINGS[language]]
            if not all(_parses(code, language) for code in codes):
                return f"the code does not parse as {language}"
        if self.options.needs_code and not _parses(code_of(answers[-1], *_SPELLINGS[language]), language):
            return f"the answer is no code that parses as {language}"
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
"""Lines under which repetition says nothing."""


def _repeated(text: str) -> float:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return max(Counter(lines).values()) / len(lines) if len(lines) >= _FEW else 0.0
