"""Question and answer about a function, for each kind of task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from mftkit_plugins.generators.python_source.mutations import mutate
from mftkit_plugins.python_code import TooDeepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mftkit_plugins.generators.python_source.functions import Function

Kind = Literal["completion", "comment", "text-to-code", "repair"]

_INSTRUCTIONS: dict[Kind, tuple[str, ...]] = {
    "completion": (
        "Complete this Python function.",
        "Write the body of this Python function.",
        "Continue this Python function after its docstring.",
    ),
    "comment": (
        "Write a one-sentence comment for this Python function.",
        "Summarise in one sentence what this Python function does.",
        "What does this Python function do? Answer in one sentence.",
    ),
    "text-to-code": (
        "Write a Python function `{name}` to this description.",
        "Write the Python function `{name}` that does the following.",
        "Implement `{name}` in Python as described.",
    ),
    "repair": (
        "Fix the bug in this Python function.",
        "This Python function has a bug. Write it without the bug.",
        "Find the mistake in this Python function and correct it.",
    ),
}

_SENTENCE = re.compile(r"(.+?(?<!e\.g)(?<!i\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)[.!?])(?=\s|$)")
_SIGNATURE = re.compile(r"[\w.]+\s*\(.*\)\s*(->|--?|:|$)")


@dataclass(frozen=True)
class Pair:
    """A turn of the user and a turn of the assistant."""

    prompt: str
    answer: str


def pair(kind: Kind, function: Function, seed: int, longest: int) -> Pair | str:
    """Return the function's task of this kind, or the reason why it has none within ``longest`` characters."""
    # Inserting a bug takes the most time, and every such pair is at least this long: rule out long ones first.
    if kind == "repair" and 2 * len(function.text) > longest:
        return "overlong"
    made = _MAKERS[kind](function, f"{seed}:{function.group}")
    if isinstance(made, str):
        return made
    phrasings = _INSTRUCTIONS[kind]
    draw = int(sha256(f"{seed}:{kind}:{function.group}".encode()).hexdigest(), 16)
    instruction = phrasings[draw % len(phrasings)].format(name=function.name)
    prompt = f"{instruction}\n{made.prompt}"
    return Pair(prompt, made.answer) if len(prompt) + len(made.answer) <= longest else "overlong"


def summary(docstring: str) -> str | None:
    r"""Return the first sentence of a docstring on one line; None if it says nothing about the function.

    >>> summary("Return the name, e.g. of a file.  Raises\nOSError.")
    'Return the name, e.g. of a file.'
    >>> summary("read(n) -> bytes") is None
    True
    """
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    found = _SENTENCE.match(paragraph)
    sentence = found.group(1) if found else paragraph
    usable = len(sentence.split()) >= 3 and sentence[:1].isalpha() and not sentence.endswith(":")
    return sentence if usable and not _SIGNATURE.match(sentence) else None


def _completion(function: Function, _seed: str) -> Pair | str:
    if function.docstring is None:
        return "no_docstring"
    return Pair(function.head, function.body)


def _comment(function: Function, _seed: str) -> Pair | str:
    if function.docstring is None:
        return "no_docstring"
    sentence = summary(function.docstring)
    if sentence is None:
        return "no_summary"
    if sentence in function.text_without_docstring:
        return "answer_in_prompt"
    return Pair(function.text_without_docstring, sentence)


def _text_to_code(function: Function, _seed: str) -> Pair | str:
    if function.docstring is None:
        return "no_docstring"
    if summary(function.docstring) is None:
        return "no_summary"
    return Pair(function.docstring, function.text_without_docstring)


def _repair(function: Function, seed: str) -> Pair | str:
    try:
        mutated = mutate(function.text, seed)
    except TooDeepError:
        return "too_deep"
    return "no_place_for_a_bug" if mutated is None else Pair(mutated, function.text)


_MAKERS: dict[Kind, Callable[[Function, str], Pair | str]] = {
    "completion": _completion,
    "comment": _comment,
    "text-to-code": _text_to_code,
    "repair": _repair,
}
