"""Fenced code in answers: the blocks, the prose around them, and the code that answers.

The code that answers is chosen by one rule, for generators and filters alike (see ``answer_code``).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mftkit.base.fenced_code import LINE_END, fenced_code
from mftkit.base.reasoning import split_reasoning

_SPELLINGS = (
    frozenset({"python", "py", "python3", "py3"}),
    frozenset({"javascript", "js", "node", "jsx", "mjs"}),
    frozenset({"typescript", "ts", "tsx"}),
    frozenset({"c++", "cpp", "cxx", "cc"}),
    frozenset({"c#", "csharp", "cs"}),
    frozenset({"rust", "rs"}),
    frozenset({"go", "golang"}),
    frozenset({"ruby", "rb"}),
    frozenset({"kotlin", "kt"}),
    frozenset({"bash", "sh", "shell", "zsh"}),
)
"""Names of one language after an opening fence."""
_DEFINED = re.compile(
    r"\b(?:def|class|func|fn|fun|function|struct|enum|trait|interface|record|module)[ \t]+(\w{1,200})"
    r"|\b(\w{1,200})[ \t]{0,8}\([^(){};]{0,400}\)[ \t\w]{0,80}\s{0,80}\{"
    r"|^[ \t]{0,80}(?:const|let|var)[ \t]+(\w{1,200})[ \t]*=[ \t]*(?:async[ \t]*)?(?:function\b|\(|\w{1,80}[ \t]*=>)",
    re.MULTILINE,
)
_NO_NAMES = frozenset({"if", "for", "while", "switch", "catch", "match", "else", "return", "with"})
_TEST = re.compile(r"_*test", re.IGNORECASE)


class CodeBlock(NamedTuple):
    """Code between fences of three or more backticks or tildes."""

    language: str
    """The first word after the opening fence, in lower case; empty if nothing is written there."""
    code: str
    closed: bool = True
    """False for a block that runs to the end of the text without a closing fence."""

    def is_in(self, *languages: str) -> bool:
        """Return True if the block is labelled with one of the languages, in any spelling: "py" is "python"."""
        return self.language in {spelling for name in languages for spelling in _spellings(name)}


def code_blocks(text: str) -> list[CodeBlock]:
    r"""Return the fenced blocks of a text in order, as CommonMark reads them, with ``\n`` at the ends of lines.

    >>> code_blocks("Here:\n```Python\nx = 1\n```\nThat is all.")
    [CodeBlock(language='python', code='x = 1\n', closed=True)]
    """
    return [CodeBlock(block.language, block.code, block.closed) for block in fenced_code(text)]


def without_code_blocks(text: str) -> str:
    """Return the prose around the fenced blocks."""
    blocks = fenced_code(text)
    if not blocks:
        return text
    lines = LINE_END.split(text)
    for block in reversed(blocks):
        lines[slice(*block.lines)] = [""]
    return "\n".join(lines)


def answer_code(text: str, *languages: str, other_languages: bool = False) -> str | None:
    r"""Return the code that answers, or None if the text has no fenced code that could.

    Reasoning at the start of the text is left out. Of the fenced blocks, those are taken that

    1. are labelled with one of ``languages``; if there are none, those without a label;
    2. are closed, if any is;
    3. define a function, a class or the like, if any does: an example of use, its output or a list of assertions is
       no answer; nor are tests beside what they test;
    4. are not replaced by later ones that define all of their names again: a draft gives way to the final version.

    Blocks that are left are parts of one program, and are joined in their order. If none defines anything, the longest
    block is taken, the later one of equals.

    Args:
        text: an answer or a reply.
        languages: names after opening fences; each stands for its other spellings, too ("python" for "py").
        other_languages: take blocks with any label if none has a label of ``languages`` or none at all.

    >>> answer_code("```py\ndef f(): return 1\n```\nIt gives:\n```\n1\n```", "python")
    'def f(): return 1\n'
    """
    blocks = [block for block in code_blocks(split_reasoning(text).answer) if block.code.strip()]
    chosen = (
        [block for block in blocks if block.is_in(*languages)]
        or [block for block in blocks if not block.language]
        or (blocks if other_languages else [])
    )
    chosen = [block for block in chosen if block.closed] or chosen
    if not chosen:
        return None
    defined = [(block.code, _names(block.code)) for block in chosen]
    defining = [(code, names) for code, names in defined if names]
    if not defining:
        return max(reversed([code for code, _ in defined]), key=len)
    solutions = [(code, names) for code, names in defining if not all(map(_TEST.match, names))] or defining
    later: set[str] = set()
    kept = []
    for code, names in reversed(solutions):
        if not names <= later:
            kept.append(code.rstrip("\n"))
        later |= names
    return "\n\n".join(reversed(kept)) + "\n"


def _names(code: str) -> set[str]:
    """Return the names of what code defines, in any of the usual languages."""
    found = {name for match in _DEFINED.finditer(code) for name in match.groups() if name}
    return found - _NO_NAMES


def _spellings(language: str) -> frozenset[str]:
    name = language.lower()
    return next((names for names in _SPELLINGS if name in names), frozenset({name}))
