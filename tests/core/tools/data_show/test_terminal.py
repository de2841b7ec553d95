"""Tokens as lines: with colors and without, at any width."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from mftkit.tools.data_show.lines import TokenLines, cells
from mftkit.tools.data_show.view import ShownToken


def token(text: str, *, in_loss: bool = False, added: bool = False) -> ShownToken:
    return ShownToken((1,), text, added, in_loss)


def drawn(tokens: list[ShownToken], width: int, *, no_color: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system="standard", no_color=no_color, legacy_windows=False)  # fmt: skip
    console.print(TokenLines(tokens), highlight=False, markup=False, emoji=False)
    return file.getvalue()


TOKENS = [
    token("<|a|>", added=True),
    token("Say it "),
    token("x = 1\n", in_loss=True),
    token("<|e|>", in_loss=True, added=True),
    token("\n"),
]


def test_with_colors_the_loss_is_green_and_has_no_brackets() -> None:
    out = drawn(TOKENS, 80, no_color=False)
    assert "\x1b[32mx = 1⏎" in out
    assert "⟦" not in out
    assert "\x1b[36m<|a|>" in out
    assert "\x1b[1;4;32m<|e|>" in out


def test_no_color_brings_the_brackets_and_keeps_the_bar() -> None:
    out = drawn(TOKENS, 80, no_color=True)
    plain = out.replace("\x1b[1;4m", "").replace("\x1b[0m", "")
    assert plain == "▌ <|a|>Say it␣⟦x = 1⏎\n▌ <|e|>⟧⏎\n"
    assert "\x1b[3" not in out


@pytest.mark.parametrize("width", [12, 40, 80])
@pytest.mark.parametrize("letter", ["x", "漢", "é"])
def test_long_lines_are_folded_and_nothing_is_lost(width: int, letter: str) -> None:
    tokens = [token(letter * 100), token(letter * 50, in_loss=True)]
    out = drawn(tokens, width, no_color=True)
    lines = out.rstrip("\n").split("\n")
    assert max(map(cell_len, lines)) <= width
    assert out.count(letter) == 150
    assert out.count("⟦") == out.count("⟧") == 1
    assert all(line[0] in "▌ " for line in lines)


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        ([token("  a  \n  b ")], "␣␣a␣␣⏎  b␣"),
        ([token("a "), token(" b", in_loss=True)], "a␣␣b"),
        ([token("a", in_loss=True), token(" b", in_loss=True)], "a b"),
        ([token("\n"), token("  x", in_loss=True)], "⏎  x"),
        ([token("<t>", added=True), token(" a "), token("<t>", added=True)], "<t>␣a␣<t>"),
        ([token(" \n \n")], "␣⏎␣⏎"),
    ],
)
def test_spaces_that_nobody_would_see_are_visible(tokens: list[ShownToken], shown: str) -> None:
    assert "".join(cell.text for cell in cells(tokens)) == shown
