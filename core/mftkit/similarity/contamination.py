"""Whether a row repeats a reference: the problem of a benchmark in it, as it is, laid out or named anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.similarity.bleu import BleuIndex
from mftkit.similarity.code import blocks, code_of, docstrings, without_blocks
from mftkit.similarity.overlap import CodeIndex, WordIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mftkit.data.rows.row_texts import RowTexts
    from mftkit.similarity.references import Reference

_PYTHON = ("python", "py", "python3")


class Repeats(NamedTuple):
    """How a row repeats a reference."""

    how: str
    reference: str
    detail: str


class Contamination:
    """References, to be asked whether a row repeats one of them. Each measure can be left out by None.

    Args:
        references: what no row may repeat.
        bleu: a row repeats a reference whose docstring (or text) has a BLEU over this with a part of the row: a
            content, the prose of it, a paragraph, a docstring. The rule of MFTCoder's section 4 with 0.5.
        words: a row repeats a reference with which it shares a run of this many words.
        code: a row repeats a reference of which it has the share ``share`` of the runs of this many tokens of
            code, names being numbered as they come.
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
        """References of which every measure in use finds nothing, as they are too short."""
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

    def repeats(self, row: RowTexts) -> Repeats | None:
        """The reference that a row repeats, by the first measure that finds one."""
        for text in row.all:
            if self._words and (shared := self._words.most(text)):
                run = (
                    f"a run of {self._words.size} words"
                    if shared.runs == 1
                    else f"{shared.runs} runs of words"
                )
                return Repeats("shares a run of words with a reference", self._names[shared.reference], run)
        for code in _codes(row):
            if self._code and (shared := self._code.most(code)) and shared.share >= self._share:
                told = f"{shared.share:.0%} of its code"
                return Repeats("has the code of a reference", self._names[shared.reference], told)
        for part in dict.fromkeys(_parts(row)):
            if self._bleu and (likest := self._bleu.likest(part)):
                told = f"BLEU {likest.bleu:.2f}"
                return Repeats("is like the text of a reference", self._names[likest.reference], told)
        return None


def _codes(row: RowTexts) -> Iterator[str]:
    """Each content's code, and question and answer together, as where a function is to be completed."""
    for text in row.all:
        yield code_of(text, *_PYTHON)
    if row.asked:
        yield code_of(row.asked[-1], *_PYTHON) + "\n" + code_of(row.answered[0], *_PYTHON)


def _parts(row: RowTexts) -> Iterator[str]:
    for text in row.all:
        yield text
        yield without_blocks(text)
        yield from text.split("\n\n")
        for code in [block.code for block in blocks(text)] or [text]:
            yield from docstrings(code)
