"""Tokens as lines of a terminal.

White space and control characters are visible, and so is what is in the loss: in color and by a bar beside the line,
and by brackets where there is no color.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from mftkit.base.formatting import SPACE, visible_character

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from mftkit.tools.data_show.view import ShownToken

IN_LOSS = "green"
ADDED = "cyan"
ADDED_IN_LOSS = "bold underline green"
BORDER = "bold yellow"
_BAR, _NO_BAR = "▌ ", "  "


class Cell(NamedTuple):
    """A character as it is shown."""

    text: str
    added: bool
    in_loss: bool
    token: int
    ends_line: bool = False


@dataclass(frozen=True)
class TokenLines:
    """The tokens of a sample."""

    tokens: Sequence[ShownToken]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lines as wide as there is room, with a bar beside those that are in the loss."""
        brackets = console.no_color or console.color_system is None
        for line in _folded(cells(self.tokens), options.max_width - len(_BAR), brackets=brackets):
            in_loss = any(cell.in_loss for cell in line)
            text = Text.assemble((_BAR, IN_LOSS) if in_loss else _NO_BAR)
            for style, run in groupby(line, _style):
                text.append("".join(cell.text for cell in run), style)
            yield text


def cells(tokens: Sequence[ShownToken]) -> list[Cell]:
    """Return the characters of tokens, made visible."""
    found: list[Cell] = []
    for number, token in enumerate(tokens):
        for place, c in enumerate(token.text):
            mark = "\\" if place in token.look_alikes else ""
            found.append(Cell(mark + visible_character(c), token.added, token.in_loss, number, c == "\n"))
    return _with_spaces(found)


def _with_spaces(line: list[Cell]) -> list[Cell]:
    """Make spaces visible that end a line, or stand where the loss or an added token begins or ends.

    An indentation is seen anyway.
    """
    start = 0
    for (is_space, _in_loss), run in groupby(
        line, lambda cell: (cell.text == " " and not cell.added, cell.in_loss)
    ):
        end = start + len(list(run))
        before = line[start - 1] if start else None
        after = line[end] if end < len(line) else None
        if is_space and (
            _is_border(line[start], after)
            or (after is not None and after.ends_line)
            or (_is_border(line[start], before) and not (before is not None and before.ends_line))
        ):
            line[start:end] = [cell._replace(text=SPACE) for cell in line[start:end]]
        start = end
    return line


def _is_border(cell: Cell, other: Cell | None) -> bool:
    return other is None or other.added or other.in_loss != cell.in_loss


def _folded(line: Sequence[Cell], width: int, *, brackets: bool) -> Iterator[list[Cell]]:
    """Yield lines of at most ``width`` columns; a line ends at a line break of the text."""
    current: list[Cell] = []
    used = 0
    for place, cell in enumerate(line):
        opens = cell.in_loss and (place == 0 or not line[place - 1].in_loss)
        closes = cell.in_loss and (place == len(line) - 1 or not line[place + 1].in_loss)
        if brackets and (opens or closes):
            cell = cell._replace(text="⟦" * opens + cell.text + "⟧" * closes)
        wide = cell_len(cell.text)
        if current and used + wide > max(width, 8):
            yield current
            current, used = [], 0
        current.append(cell)
        used += wide
        if cell.ends_line:
            yield current
            current, used = [], 0
    if current:
        yield current


def _style(cell: Cell) -> str:
    if cell.in_loss:
        return ADDED_IN_LOSS if cell.added else IN_LOSS
    return ADDED if cell.added else ""
