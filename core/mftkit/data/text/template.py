"""The tokenizer's own Jinja chat template as the chat format.

A template is a program, and a prompt is what it renders *at the time of an answer*: ``add_generation_prompt`` after the
turns before. So every answer is placed behind exactly that text. Most templates render earlier turns later as they did
then; all answers of a conversation then stand in one sample. Others move or drop what came before (a system turn that
stands with the last question): an answer whose prompt does not begin the later one becomes a separate sample.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from mftkit.data.rows.faults import BadRow
from mftkit.data.text.control_tokens import ControlTokens
from mftkit.data.text.encoder import Encoder
from mftkit.data.text.left_out import LeftOut
from mftkit.data.text.rendered_conversation import RenderedConversation
from mftkit.data.text.template_program import MARK, USER, TemplateProgram
from mftkit.interfaces.task_format import no_note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.chat_protocol import Split
    from mftkit.data.text.control_tokens import SpecialTokens
    from mftkit.interfaces.conversation import AnswerKind, Conversation
    from mftkit.interfaces.task_format import FormattedSample, Note, Segment


class Template:
    """The chat format of a tokenizer that has a chat template."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        split: Split = "auto",
        special_tokens: SpecialTokens = "auto",
    ) -> None:
        self._tokenizer = tokenizer
        self._program = TemplateProgram(tokenizer)
        self._left_out = LeftOut(self._program)
        self._split: Split = split
        self._special_tokens: SpecialTokens = special_tokens

    @property
    def jinja(self) -> str | dict[str, str]:
        """See ``ChatFormat``: the tokenizer's own."""
        own: str | dict[str, str] = self._tokenizer.chat_template
        return own

    def describe(self) -> dict[str, object]:
        """See ``ChatFormat``."""
        return {
            "format": "template",
            "template": self.jinja,
            "split": self._split,
            "controls": self.controls.describe(),
            **{key: str(token) for key, token in self._tokenizer.special_tokens_map.items()},
        }

    @cached_property
    def controls(self) -> ControlTokens:
        """See ``ChatFormat``: the tokens around the turns of small conversations, and special ones in the template."""
        own = self.jinja
        source = own if isinstance(own, str) else "\0".join(own.values())
        texts = [
            token.text for token in self._program.added.values() if token.special and token.text in source
        ]
        system = {"role": "system", "content": "mftprobesystem"}
        answer = {"role": "assistant", "content": MARK}
        for before in ([USER], [system, USER], [USER, answer, USER]):
            try:
                texts.append(self._program.rendered(before, (), prompt=True))
            except BadRow:
                continue
        with suppress(BadRow):
            texts.append(self._program.stop(calls=False, tools=False).text)
        return ControlTokens(self._tokenizer, texts, self._special_tokens, source, chat=True)

    @cached_property
    def encoder(self) -> Encoder:
        """See ``ChatFormat``."""
        return Encoder(self._tokenizer, self.controls)

    def render(self, conversation: Conversation, note: Note = no_note) -> Sequence[FormattedSample]:
        """See ``ChatFormat``."""
        return RenderedConversation(self._program, self._left_out, self.encoder, conversation, note).samples(
            self._split
        )

    def prompt(self, conversation: Conversation) -> tuple[Segment, ...]:
        """See ``ChatFormat``."""
        rendered = RenderedConversation(self._program, self._left_out, self.encoder, conversation, no_note)
        return (rendered.segment(rendered.prompt(len(conversation.turns)), "none"),)

    def stop_texts(self) -> Mapping[AnswerKind, str]:
        """See ``ChatFormat``."""
        found: dict[AnswerKind, str] = {}
        if self._program.tools(given=True) is not None:
            stop = self._program.stop(calls=True, tools=True)
            found["tool call"] = stop.before + stop.text
        try:
            stop = self._program.stop(calls=False, tools=False)
            found["answer"] = stop.before + stop.text
        except BadRow:
            return found
        return found
