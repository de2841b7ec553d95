"""What of an answer and of a reference is compared: white space, and the code of fenced blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import mftkit

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NAMED = 3
"""Rows that a message names; others are counted."""


class ComparedText(mftkit.Options):
    """Which differences between texts do not count."""

    whitespace: Literal["keep", "ends", "collapse"] = "ends"
    """White space that counts: "keep": all of it; "ends": not at the ends of lines, nor blank lines before and after
    the text; "collapse": any run of white space is one blank."""
    code: str | None = None
    """Compare only the code in fenced blocks, of the answer and of the reference: a language such as "python". A text
    without such a block is compared whole. Null: always the whole text, fences included."""

    def compared(self, text: str) -> str:
        """Return the part of a text that counts."""
        if self.code is not None:
            text = mftkit.answer_code(text, self.code) or text
        if self.whitespace == "keep":
            return text
        if self.whitespace == "collapse":
            return " ".join(text.split())
        # Not by an expression for spaces before a line's end: it takes the square of the time for a long run of them.
        text = "\n".join(line.rstrip() for line in text.split("\n")).rstrip()
        return re.sub(r"^\s*\n", "", text)


def require_references(rows: Sequence[mftkit.EvaluationRow], name: str) -> None:
    """Raise MftError if a row has no answer to compare with; ``name`` is the evaluator's."""
    bare = [row.source or row.id for row in rows if not row.reference]
    if bare:
        more = f" and {len(bare) - MOST_NAMED} more" if len(bare) > MOST_NAMED else ""
        raise mftkit.MftError(
            f"{name}: these rows have no answer to compare with: {', '.join(bare[:MOST_NAMED])}{more}; give each an "
            'answer (such as "output", or a last turn of the assistant), or take the evaluator away from the task'
        )


def reference_of(answered: mftkit.Answered) -> str:
    """Return the row's reference, which ``check`` made sure of."""
    assert answered.row.reference, "check() refuses rows without a reference"
    return answered.row.reference
