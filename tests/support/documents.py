"""The documents' fenced blocks and commands, for the tests that hold them against the program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import typer.main

from mftkit.cli.app import with_commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDER = "..."
"""A word that stands for arguments that are left out."""
SHELLS = ("sh", "bash", "console")
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"into `([^`]+)`:[^`]*$")
_NOTE = re.compile(r"<!-- ([^>]*) -->\s*$")
_INLINE = re.compile(r"`(mft [^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    file: str | None
    """The file that the block is, if "into `FILE`:" stands before it."""
    note: str
    """An HTML comment right before it, which readers do not see: how a test runs it."""


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text, end = page.read_text("utf-8"), 0
    for found in _FENCE.finditer(text):
        before = text[end : found.start()]
        note, file = _NOTE.search(before), _FILE.search(before)
        yield Block(found[2], found[3], file[1] if file else None, note[1] if note else "")
        end = found.end()


def commands(block: Block) -> list[list[str]]:
    """The commands of a shell block, each as words; redirections and comments are left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)
        command: list[str] = []
        for word in [*words, "&&"]:
            if word in ("&&", "|", ";", "&"):
                found.append(command)
                command = []
            else:
                command.append(word)
    return [command for command in found if command]


def mft_commands(page: Path) -> Iterator[list[str]]:
    """Yield each ``mft`` command of a page without its first word: in shell blocks, and in the text as code."""
    for block in blocks(page):
        if block.language in SHELLS:
            for words in commands(block):
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words and words[0] == "mft":
                    yield words[1:]
    prose = _FENCE.sub("", page.read_text("utf-8"))
    for span in _INLINE.findall(prose):
        words = shlex.split(re.sub(r"[\[\]]", "", span))[1:]  # brackets: what may be left out
        yield list(takewhile(lambda word: word != ">", words))


def parse(words: list[str]) -> None:
    """Raise the command line's own error for a command or an option of ``mft`` that it does not have."""
    command: Any = typer.main.get_command(with_commands())
    rest = [word for word in words if word != PLACEHOLDER]
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        assert rest[0] in command.commands, f"mft has no command {' '.join(words)}"
        command = command.commands[rest.pop(0)]
    context = command.context_class(command)
    _, left, _ = command.make_parser(context).parse_args(args=rest)
    assert not left, f"more arguments than the command takes: {' '.join(left)}"
