"""The tokenizer's own Jinja chat template as the chat format.

A template is a program, so the text around the contents is found by rendering it with marks in their place, once for
each sequence of roles; every row is then compared with what the template really renders. In rows whose contents the
template rewrites, the contents are located by marking one at a time.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from jinja2 import TemplateError

from mftkit.data.rows.formats import BadRow
from mftkit.data.text.segments import Outline, Rendering, Slot, segments
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.rows.formats import Conversation, Role

Messages = list[dict[str, str]]

_HINT = 'chat.format "markers" works with any conversation'


class Template:
    """The chat format of a tokenizer that has a chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._outlines: dict[tuple[Role, ...], Outline] = {}
        self._tokens = _any_of(added_texts(tokenizer))

    @property
    def jinja(self) -> str:
        """See ``ChatFormat``: the tokenizer's own."""
        return str(self._tokenizer.get_chat_template())

    def describe(self) -> dict[str, str]:
        """See ``ChatFormat``."""
        tokens = {key: str(token) for key, token in self._tokenizer.special_tokens_map.items()}
        return {"format": "template", "template": self.jinja, **tokens}

    def control_texts(self) -> Iterable[str]:
        """See ``ChatFormat``: the text before a user's turn and after an answer.

        The text before an answer is left out: a template may put tokens there that answers contain too (``<think>``).
        """
        for roles in (("user", "assistant", "user", "assistant"), ("system", "user", "assistant")):
            try:
                outline = self._outline(roles)
            except BadRow:
                continue
            for number, literal in enumerate(outline.literals):
                if number == len(outline.slots) or outline.slots[number].role != "assistant":
                    yield literal

    def render(self, conversation: Conversation) -> Rendering:
        """See ``ChatFormat``."""
        roles = tuple(turn.role for turn in conversation.turns)
        given = [turn.content for turn in conversation.turns]
        messages: Messages = [{"role": turn.role, "content": turn.content} for turn in conversation.turns]
        whole = self._rendered(messages)
        outline = self._outlines.get(roles)
        if outline is None:
            outline = self._outlines[roles] = self._outline(roles)
        stripped = [content.strip() for content in given]
        for contents in (given, stripped):
            if outline.fill(contents) == whole:
                return Rendering(segments(outline, contents, self._ending), contents != given)
        outline, contents = self._located(messages, whole)
        return Rendering(segments(outline, contents, self._ending), contents != given)

    def _rendered(self, messages: Messages, *, prompt: bool = False) -> str:
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise BadRow(f"the chat template rejects this conversation: {error}; {_HINT}") from None
        return str(text)

    def _outline(self, roles: Sequence[Role]) -> Outline:
        marks = [_mark(turn) for turn in range(len(roles))]
        messages: Messages = [
            {"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)
        ]
        whole = self._rendered(messages)
        if any(whole.count(mark) != 1 for mark in marks):
            raise BadRow(f"the chat template drops or repeats a turn of this conversation; {_HINT}")
        spans = [(whole.index(mark), whole.index(mark) + len(mark)) for mark in marks]
        return self._split(messages, whole, spans)

    def _split(self, messages: Messages, whole: str, spans: Sequence[tuple[int, int]]) -> Outline:
        """Return the outline of a rendering in which the turns' contents stand at these spans."""
        literals: list[str] = []
        slots: list[Slot] = []
        done = 0
        for turn in sorted(range(len(spans)), key=lambda turn: spans[turn]):
            start, end = spans[turn]
            role = cast("Role", messages[turn]["role"])
            begin = self._answer_start(messages[:turn], whole, done, start) if role == "assistant" else start
            literals.append(whole[done:begin])
            slots.append(Slot(turn, role, whole[begin:start]))
            done = end
        return Outline((*literals, whole[done:]), tuple(slots))

    def _answer_start(self, before: Messages, whole: str, low: int, high: int) -> int:
        """Return where the prompt for this answer ends, if the rendering continues it; otherwise ``high``."""
        try:
            prompt = self._rendered(before, prompt=True)
        except BadRow:
            return high
        return len(prompt) if whole.startswith(prompt) and low <= len(prompt) <= high else high

    def _located(self, messages: Messages, whole: str) -> tuple[Outline, list[str]]:
        """Return outline and contents of a rendering whose contents the template has rewritten."""
        spans: list[tuple[int, int]] = []
        for turn, message in enumerate(messages):
            marked = [*messages[:turn], {**message, "content": _mark(turn)}, *messages[turn + 1 :]]
            before, found, after = self._rendered(marked).partition(_mark(turn))
            start, end = len(before), len(whole) - len(after)
            if not whole.startswith(before) and message["role"] == "assistant":
                start = self._answer_start(messages[:turn], whole, 0, end)
                before = whole[:start] if start < end else before
            if not (found and whole.startswith(before) and whole.endswith(after) and start <= end):
                raise BadRow(f"the chat template rewrites turn {turn + 1} beyond recognition; {_HINT}")
            spans.append((start, end))
        ordered = sorted(spans)
        if any(one[1] > two[0] for one, two in pairwise(ordered)):
            raise BadRow(f"the chat template mixes the turns of this conversation; {_HINT}")
        return self._split(messages, whole, spans), [whole[start:end] for start, end in spans]

    def _ending(self, literal: str, *, last: bool) -> tuple[str, str, bool]:
        """Split what follows an answer after its first added token; if there is none, the end of text ends it."""
        token = self._tokens.search(literal) if self._tokens else None
        if token and (last or not literal[: token.start()].strip()):
            return literal[: token.end()], literal[token.end() :], True
        if not last:
            return "", literal, not literal
        if not self._tokenizer.eos_token:
            raise MftError(
                'chat: neither the chat template nor the tokenizer ends an answer; use chat.format "markers"'
            )
        return literal + str(self._tokenizer.eos_token), "", True


def added_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the texts of the tokenizer's added tokens, except white space, which some vocabularies add."""
    texts = {str(token.content) for token in tokenizer.added_tokens_decoder.values()}
    return sorted(text for text in texts if text.strip())


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(texts, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _mark(turn: int) -> str:
    return f"mftcontentmark{turn}endmark"
