"""Colors that can be distinguished on white and on black, in the order of their use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PALETTE = (
    "#3b82c4", "#e07b24", "#2f9e5b", "#d6475b", "#8e67c9",
    "#1c9fa8", "#b06f45", "#d466a6", "#8f9326", "#7d8794",
)  # fmt: skip
"""Medium lightness: a contrast of at least 3:1 against white and against the dark page."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""plotly's names; with the palette, 60 curves can be distinguished."""


@dataclass(frozen=True)
class Pen:
    """Color and dash of one task, run or arm, in every plot of the page."""

    color: str
    dash: str


def pen(index: int) -> Pen:
    """The pen with this index; after the palette, colors repeat with other dashes.

    >>> pen(0), pen(10).color == pen(0).color, pen(10).dash
    (Pen(color='#3b82c4', dash='solid'), True, 'dash')
    """
    repeat = index // len(PALETTE)
    return Pen(PALETTE[index % len(PALETTE)], DASHES[repeat % len(DASHES)])


@dataclass(frozen=True)
class Entry:
    """One line of a legend."""

    name: str
    pen: Pen | None
    """None: the color of text, dashed."""


def legend(names: Sequence[str]) -> list[Entry]:
    """Names with their pens, in order."""
    return [Entry(name, pen(index)) for index, name in enumerate(names)]
