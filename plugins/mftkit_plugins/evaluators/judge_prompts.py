"""The judge's prompt, and reading of its replies."""

from __future__ import annotations

import re
from typing import Literal

Choice = Literal["first", "second", "tie"]

PAIR = """\
Two assistants answered the same request. Judge which answer serves the user better. Look at correctness first, then \
at completeness, then at clarity; ignore length, style of greeting and the order in which the answers are shown.

[Request]
{question}

[Answer A]
{first}
[End of answer A]

[Answer B]
{second}
[End of answer B]

Give your reasons in at most three sentences. Then write as the last line exactly one of these: [[A]] if answer A is \
better, [[B]] if answer B is better, [[C]] if neither is."""

_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]", re.IGNORECASE)
_CHOICES: dict[str, Choice] = {"A": "first", "B": "second", "C": "tie"}


def pair_prompt(question: str, first: str, second: str) -> str:
    """Return the prompt about two answers."""
    return PAIR.format(question=question, first=first, second=second)


def read_choice(reply: str) -> Choice | None:
    """Return the last verdict of a reply (MT-bench's form, arXiv 2306.05685); None if it has none."""
    found = _VERDICT.findall(reply)
    return _CHOICES[found[-1].upper()] if found else None
