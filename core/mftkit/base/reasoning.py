"""The reasoning that a model writes before its answer, and the answer."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import islice
from typing import NamedTuple

from mftkit.base.fenced_code import LINE_END, fenced_code

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reason", "scratchpad", "seed:think")
"""Names of tags in use: ``<think> ... </think>``."""
_TOKENS = (
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>", "<channel|>"),
    ("<unused94>", "<unused95>"),
)
"""Other marks before and after reasoning, most of them special tokens."""
_ANSWERS = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
"""Marks around an answer that follows reasoning."""
_CHANNELS = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>", "<|call|>")
REASONING_TOKENS = frozenset({*(mark for pair in (*_TOKENS, *_ANSWERS) for mark in pair), *_CHANNELS})
"""Special tokens that separate reasoning from an answer: text decoded from tokens must keep them."""

_NAME = rf"(?P<name>{'|'.join(_NAMES)})\s*>"
_START, _END = ("|".join(map(re.escape, marks)) for marks in zip(*_TOKENS, strict=True))
_OPENING = re.compile(rf"\s*(?:<{_NAME}|(?P<token>{_START}))", re.IGNORECASE)
_OPENED = re.compile(rf"(?:{_OPENING.pattern})\s*\Z", re.IGNORECASE)
_CLOSING = re.compile(rf"</{_NAME}|(?P<token>{_END})", re.IGNORECASE)
_MESSAGE = re.compile(
    r"<\|channel\|>\s*(?P<channel>\w+)[^<]*<\|message\|>(?P<content>.*?)"
    r"(?:<\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
_MOST = 64
"""Parts of reasoning, and tags, that are looked at: a model that repeats a tag for ever costs no time."""
_SENTENCE_END = (".", "!", "?", "…", "。", ":")
_LEADING_SPACE = re.compile(r"\A\s*\n|\A[ \t]+")


class SplitReply(NamedTuple):
    """A model's text, divided."""

    reasoning: str
    """Empty if there is none."""
    answer: str
    """Empty if the text ends in its reasoning."""


def split_reasoning(text: str, *, may_lack_opening: bool = True) -> SplitReply:
    r"""Divide a model's text into its reasoning and its answer.

    Only reasoning at the start of the text is taken: in tags such as ``<think>``, ``<thinking>`` and ``[THINK]``, or
    in the channels of gpt-oss. A text that opens a tag and never closes it has no answer.

    If the prompt has opened the tag, the text has only the closing one. It is taken for one if it stands outside of
    code, no opening tag stands before it, and it starts a line, is joined to the text before it, or ends a line after
    a sentence. A mention of the tag in a sentence does none of this.

    Args:
        text: as the model wrote it.
        may_lack_opening: False if the prompt is known not to have opened the tag.

    >>> split_reasoning("<think>\n1 + 1?\n</think>\n\n2")
    SplitReply(reasoning='1 + 1?', answer='2')
    >>> split_reasoning("Write `</think>` after it.").reasoning
    ''
    """
    if "<|channel|>" in text[:200] and (messages := _channels(text)) is not None:
        return messages
    parts: list[str] = []
    rest = text
    for _ in range(_MOST):
        opening = _OPENING.match(rest)
        if opening is None:
            break
        inner = rest[opening.end() :]
        closing = _closing_of(opening, inner)
        if closing is None:
            return SplitReply(_joined([*parts, inner]), "")
        parts.append(inner[: closing.start()])
        rest = inner[closing.end() :]
    if not parts and may_lack_opening and (closing := _closing_alone(rest)) is not None:
        parts, rest = [rest[: closing.start()]], rest[closing.end() :]
    return SplitReply(_joined(parts), _answer(rest)) if parts else SplitReply("", text)


def opened_reasoning(prompt: str) -> str:
    r"""Return the tag of reasoning that a prompt ends with, which a template put there; empty if there is none.

    >>> opened_reasoning("<|im_start|>assistant\n<think>\n")
    '<think>'
    """
    found = _OPENED.search(prompt[-100:])
    return found.group().strip() if found else ""


def _channels(text: str) -> SplitReply | None:
    """Divide messages in the format of gpt-oss; None if the text does not start with one."""
    start = text.lstrip().removeprefix("<|start|>assistant")
    if not start.startswith("<|channel|>"):
        return None
    found = [(match["channel"], match["content"]) for match in _MESSAGE.finditer(start)]
    final = "".join(content for channel, content in found if channel == "final")
    return SplitReply(_joined([content for channel, content in found if channel != "final"]), final)


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _answer(rest: str) -> str:
    """Return the text after reasoning without the space around it and the tags that name it an answer."""
    bare = rest.strip()
    for start, end in _ANSWERS:
        if bare.startswith(start) and start not in bare[1:]:
            return bare.removeprefix(start).removesuffix(end).strip()
    return _LEADING_SPACE.sub("", rest)


def _closing_of(opening: re.Match[str], inner: str) -> re.Match[str] | None:
    """Return the tag that closes the reasoning: the first one outside of code, or else the first one.

    A tag that is opened again at the start of a line has to be closed, too.
    """
    mark = _partner(opening)
    same = (match for match in _CLOSING.finditer(inner) if match.group().lower().replace(" ", "") == mark)
    closings = list(islice(same, _MOST))
    if len(closings) < 2:
        return closings[0] if closings else None
    code = _CodeLines(inner)
    outside = [match for match in closings if not code.has(match)] or closings[:1]
    opened = re.compile(rf"^[ \t]*{re.escape(opening.group().strip())}[ \t]*$", re.MULTILINE | re.IGNORECASE)
    again = [match.end() for match in islice(opened.finditer(inner), _MOST) if not code.has(match)]
    for number, match in enumerate(outside):
        if sum(place < match.start() for place in again) <= number:
            return match
    return outside[0]


def _partner(opening: re.Match[str]) -> str:
    if opening["name"] is not None:
        return f"</{opening['name'].lower()}>"
    token = opening["token"].lower()
    return next(end.lower() for start, end in _TOKENS if start.lower() == token)


def _closing_alone(text: str) -> re.Match[str] | None:
    """Return a closing tag that ends reasoning whose opening tag was in the prompt, or None."""
    closings = list(islice(_CLOSING.finditer(text), _MOST))
    if not closings:
        return None
    code = _CodeLines(text)
    first = next((match for match in closings if not code.has(match)), None)
    if first is None or _opened_before(text, first) or not _stands_alone(text, first):
        return None
    return first


def _opened_before(text: str, closing: re.Match[str]) -> bool:
    before = text[: closing.start()].lower()
    if closing["name"] is not None:
        return f"<{closing['name'].lower()}>" in before
    token = closing["token"].lower()
    return next(start.lower() for start, end in _TOKENS if end.lower() == token) in before


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    """Return True if a tag starts a line, follows a word without a space, or follows a sentence and ends the line."""
    before, after = text[: match.start()].rstrip(" \t"), text[match.end() :].lstrip(" \t")
    if not before or before.endswith(("\n", "\r")) or match["token"] is not None:
        return True
    if len(before) == match.start():  # nothing between the tag and the text before it
        return before[-1] not in "`'\"([{<>“‘"
    return before.endswith(_SENTENCE_END) and after.startswith(("\n", "\r"))


class _CodeLines:
    """Finds out whether a place in a text is in code: between fences, or between backticks in a line."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(end.end() for end in LINE_END.finditer(text))]
        self._fenced = {number for block in fenced_code(text) for number in range(*block.lines)}

    def has(self, match: re.Match[str]) -> bool:
        """Return True if a match is in code."""
        number = bisect_right(self._starts, match.start()) - 1
        in_line = self._text.count("`", self._starts[number], match.start())
        return number in self._fenced or in_line % 2 == 1
