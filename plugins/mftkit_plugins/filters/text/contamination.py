"""Finds rows that repeat a reference, such as a benchmark problem: verbatim, reformatted, or with other names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit import code_blocks, without_code_blocks
from mftkit_plugins.filters.text.bleu import BleuIndex
from mftkit_plugins.filters.text.code import all_code, docstrings
from mftkit_plugins.filters.text.overlap import CodeIndex, WordIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mftkit import RowTexts
    from mftkit_plugins.filters.text.references import Reference


class Repeat(NamedTuple):
    """How a row repeats a reference."""

    reason: str
    reference: str
    detail: str


class Contamination:
    """References, and whether a row repeats one of them. Each measure is turned off by None.

    Args:
        references: what no row may repeat.
        bleu: a row repeats a reference if a part of the row (a content, its prose, a paragraph, a docstring) has
            a BLEU above this with the reference's docstring or text. 0.5 is the rule of MFTCoder's section 4.
        words: a row repeats a reference if the two share a run of this many words.
        code: a row repeats a reference if it contains the share ``share`` of the reference's runs of this many
            tokens of code, with names numbered in order of appearance.
    """

    def __init__(
        self,
        references: Iterable[Reference],
        bleu: float | None = 0.5,
        words: int | None = 13,
        code: int | None = 10,
        share: float = 0.5,
    ) -> None:
        self._bleu = None if bleu is None else BleuIndex(bleu)
        self._words = None if words is None else WordIndex(words)
        self._code = None if code is None else CodeIndex(code)
        self._share = share
        self._names: list[str] = []
        self.too_short: list[str] = []
        """References that are too short for every measure in use, so that none of them can find a repeat."""
        for reference in references:
            self._add(reference)

    def __len__(self) -> int:
        return len(self._names)

    def _add(self, reference: Reference) -> None:
        key = len(self._names)
        self._names.append(reference.name)
        used = [
            index.add(key, text) for index in (self._bleu, self._words) if index for text in reference.prose
        ]
        if self._code is not None:
            used.append(self._code.add(key, reference.code))
        if not any(used):
            self.too_short.append(reference.name)

    def find(self, row: RowTexts) -> Repeat | None:
        """Return the reference that a row repeats, by the first measure that finds one."""
        for text in row.all:
            if self._words and (shared := self._words.best_match(text)):
                run = (
                    f"a run of {self._words.size} words"
                    if shared.runs == 1
                    else f"{shared.runs} runs of words"
                )
                return Repeat("shares a run of words with a reference", self._names[shared.reference], run)
        for code in _codes(row):
            if self._code and (shared := self._code.best_match(code)) and shared.share >= self._share:
                detail = f"{shared.share:.0%} of its code"
                return Repeat("has the code of a reference", self._names[shared.reference], detail)
        for part in dict.fromkeys(_parts(row)):
            if self._bleu and (likest := self._bleu.likest(part)):
                detail = f"BLEU {likest.bleu:.2f}"
                return Repeat("is like the text of a reference", self._names[likest.reference], detail)
        return None


def _codes(row: RowTexts) -> Iterator[str]:
    """Each content's code, and question with answer, as in a row that completes a function."""
    for text in row.all:
        yield all_code(text, "python")
    if row.prompts:
        yield all_code(row.prompts[-1], "python") + "\n" + all_code(row.answers[0], "python")


def _parts(row: RowTexts) -> Iterator[str]:
    for text in row.all:
        yield text
        yield without_code_blocks(text)
        yield from text.split("\n\n")
        for code in dict.fromkeys([block.code for block in code_blocks(text)] or [text]):
            yield from docstrings(code)
