"""Suggestions for a misspelt name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, words: Iterable[str]) -> tuple[str, ...]:
    """The ``words`` that look like ``word``, the most similar first; case is ignored.

    >>> nearest("lerning_rate", ["learning_rate", "epochs", "warmup"])
    ('learning_rate',)
    """
    from difflib import get_close_matches  # few starts have a misspelt name

    folded: dict[str, str] = {}
    for candidate in words:
        folded.setdefault(candidate.lower().replace("_", "-"), candidate)
    close = get_close_matches(word.lower().replace("_", "-"), folded, n=3, cutoff=0.6)
    return tuple(folded[match] for match in close)
