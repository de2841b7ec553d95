"""Where a text is split, and which part of a long text is split."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from mftkit_plugins.task_formats.fim.rendering import Parts
from mftkit_plugins.task_formats.fim.syntax import Span, syntax_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from mftkit import Note

    TokenStarts = Callable[[str], Sequence[int]]

Spans = Literal["characters", "lines", "syntax"]
_LINE = re.compile(r"\r\n|\r|\n")


def choose_window(text: str, limit: int, token_starts: TokenStarts, random: Random) -> Span:
    """Return a stretch of at most ``limit`` tokens of a text, at random; the whole text if it has no more."""
    if 2 * len(text.encode()) <= limit:  # more tokens than bytes would be very odd
        return Span(0, len(text))
    starts = [*token_starts(text), len(text)]
    tokens = len(starts) - 1
    if tokens <= limit:
        return Span(0, len(text))
    first = random.randrange(tokens - limit + 1)
    return Span(starts[first], max(starts[first + limit], starts[first] + 1))


def choose_middle(text: str, window: Span, spans: Spans, random: Random, note: Note) -> Span:
    """Return the middle, inside the window; where the text has no such spans, characters are chosen.

    Characters: both ends are uniformly distributed, as in the paper (section 3). Lines: the same, at the starts of
    lines. Syntax: first a kind of node, then one of the nodes of this kind, each uniformly.
    """
    if spans == "syntax":
        kinds = {
            kind: inside
            for kind, found in syntax_spans(text).items()
            if (
                inside := [
                    s for s in found if window.start <= s.start and s.end <= window.end and s != window
                ]
            )
        }
        if kinds:
            return random.choice(kinds[random.choice(sorted(kinds))])
        note('{rows} do not parse as Python or hold no node that can be a middle (spans: "syntax"); they are split '
             "between any two characters")  # fmt: skip
    if spans == "lines":
        starts = [found.end() for found in _LINE.finditer(text, window.start, window.end)]
        bounds = sorted({window.start, *starts, window.end})
        if len(bounds) > 2:
            start, end = sorted(random.sample(bounds, 2))
            return Span(start, end)
        note('{rows} have a single line (spans: "lines"); they are split between any two characters')
    start, end = sorted(random.sample(range(window.start, window.end + 1), 2))
    return Span(start, end)


def fit(parts: Parts, limit: int, token_starts: TokenStarts) -> Parts:
    """Return the parts with at most ``limit`` tokens: what is farthest from the middle is left out.

    Parts have more tokens than the text that they are parts of, where a split is inside of a token.
    """
    prefix, middle, suffix = parts
    while 2 * sum(len(part.encode()) for part in (prefix, middle, suffix)) > limit:
        before, inside, after = (token_starts(part) if part else () for part in (prefix, middle, suffix))
        excess = len(before) + len(inside) + len(after) - limit
        if excess <= 0:
            break
        if len(before) >= len(after) and prefix:
            prefix = prefix[max(before[excess], 1) :] if excess < len(before) else ""
        elif suffix:
            suffix = suffix[: after[len(after) - excess]] if excess < len(after) else ""
        else:
            middle = middle[: max(inside[len(inside) - excess], 1)]
            if len(middle) == 1:
                break
    return Parts(prefix, middle, suffix)
