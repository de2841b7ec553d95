"""A chat template as a program: what it renders, and what is found out about it by rendering small conversations."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateError

from mftkit.data.rows.faults import BadRow
from mftkit.data.text.bounded import SECONDS, OutOfTimeError, bounded
from mftkit.data.text.control_tokens import AddedToken, added_tokens, any_of
from mftkit.data.text.template_traits import (
    PROBE_TOOL,
    developer_role,
    probe_call,
    reasoning_key,
    tool_traits,
)
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.data.text.template_traits import ToolTraits

HINT = 'chat.format "markers" works with any conversation of questions and answers'
USER: JsonObject = {"role": "user", "content": "mftprobequestion"}
MARK = "mftprobeanswer"
TRIED = 32
"""Texts that are rendered within limits of time and memory, before a template is trusted to end."""
LONGEST = 256 << 20
"""Characters of the longest text; a row has at most 32 MiB."""
_BY_SIZE = (OverflowError, RecursionError)
"""What Jinja's sandbox raises for loops that are too long, and Python for macros that call themselves."""
_CLOSERS = "\"'}]) \n"
"""What closes the arguments of a call."""


class Stop(NamedTuple):
    """What ends a kind of answer."""

    text: str
    tail: str
    """What the template writes after an answer, from the stop on."""
    appended: bool
    """Whether the template does not write it: it belongs to the turn that follows, or ends a text."""
    before: str = ""
    """What the template itself writes after an answer, before a stop that is appended."""


class TemplateProgram:
    """The tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.added: dict[str, AddedToken] = {token.text: token for token in added_tokens(tokenizer)}
        self.tokens = any_of(self.added.values())
        """Matches every added token."""
        self.eos: str | None = tokenizer.eos_token
        self.name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self._left_to_try = TRIED
        self._stops: dict[tuple[bool, bool], Stop] = {}
        self._traits: dict[bool, ToolTraits | None] = {}

    def rendered(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], *, prompt: bool = False
    ) -> str:
        """Return what the template renders. Raises BadRow if it rejects the messages."""
        self._left_to_try -= 1
        try:
            with bounded() if self._left_to_try >= 0 else nullcontext():
                text = self._tokenizer.apply_chat_template(
                    list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=prompt
                )
        except (OutOfTimeError, MemoryError) as error:
            what = (
                f"ends within {SECONDS:g} s" if isinstance(error, OutOfTimeError) else "fits into the memory"
            )
            raise MftError(
                f"chat: nothing that the chat template of {self.name} renders {what}; {HINT}"
            ) from None
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError, *_BY_SIZE) as error:
            raise BadRow(f"the chat template rejects this conversation: {error}; {HINT}") from None
        if len(text) > LONGEST:
            raise MftError(f"chat: the chat template of {self.name} renders {len(text):,} characters; {HINT}")
        return str(text)

    def tools(self, *, given: bool) -> ToolTraits | None:
        """Return how the template takes tool calls, in rows that name tools or in others; None if it has none."""
        if given not in self._traits:
            self._traits[given] = tool_traits(self.rendered, (PROBE_TOOL,) if given else ())
        return self._traits[given]

    @cached_property
    def reasoning(self) -> str | None:
        """The key of an answer's reasoning; None if the template renders none."""
        return reasoning_key(self.rendered)

    @cached_property
    def developer(self) -> str:
        """The role of a developer's turn."""
        return developer_role(self.rendered)

    def stop(self, *, calls: bool, tools: bool) -> Stop:
        """Return what ends an answer that calls tools, or one that does not. Raises MftError if nothing does."""
        key = (calls, tools)
        if key not in self._stops:
            self._stops[key] = self._found_stop(calls, tools)
        return self._stops[key]

    def _found_stop(self, calls: bool, tools: bool) -> Stop:
        given = (PROBE_TOOL,) if tools else ()
        if calls:
            traits = self.tools(given=tools)
            assert traits is not None, "the caller checks that the template renders calls"
            answer, following = probe_call(traits)
            mark = "mftprobevalue"
        else:
            answer, following, mark = {"role": "assistant", "content": MARK}, USER, MARK
        whole = self.rendered([USER, answer], given)
        tail = whole[whole.rindex(mark) + len(mark) :] if mark in whole else ""
        ends = {str(self.eos)} | ({self.stop(calls=False, tools=tools).text} if calls else set())
        stop = self._first_end(tail, ends, plain=not calls)
        if stop is not None:
            return Stop(stop, tail[tail.index(stop) :], appended=False)
        messages = [USER, answer, following]
        written = tail.strip().strip(_CLOSERS)
        text = None if written else self._opening_of(messages, given, mark, tail)
        if text is None and calls and self.tokens.search(tail):
            raise BadRow(
                f"the chat template of {self.name} ends a tool call with {tail.strip()!r}, which does not end a turn, "
                "so the model would not learn to stop; fix the template"
            )
        text = text or self.eos
        if not text:
            raise MftError(
                f"chat: neither the chat template of {self.name} nor its tokenizer ends an answer; "
                'use chat.format "markers"'
            )
        return Stop(text, "", appended=True, before=tail)

    def _first_end(self, tail: str, ends: set[str], *, plain: bool) -> str | None:
        """Return the token in ``tail`` that ends the answer.

        After a plain answer it is the first one. After a call, tokens that end the call alone come before it: it is a
        token that also ends plain answers or texts, otherwise a special one.
        """
        found = [match[0] for match in self.tokens.finditer(tail)]
        known = [token for token in found if token in ends]
        special = [token for token in found if self.added[token].special]
        choices = found if plain else [*known, *special]
        return choices[0] if choices else None

    def _opening_of(
        self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], mark: str, tail: str
    ) -> str | None:
        """Return the token that begins the turn after an answer, if nothing but it ends the answer."""
        try:
            text = self.rendered(messages, tools)
        except BadRow:
            return None
        after = text[text.rindex(mark) + len(mark) :].removeprefix(tail) if mark in text else ""
        found = self.tokens.match(after.lstrip())
        return found[0] if found and self.added[found[0]].special else None
