r"""Role markers as the chat format: those of the paper (MFTCoder, section 4), or the spec's own.

A conversation is ``<s>system\n`` content ``\n<s>human\n`` content ``\n<s>bot\n`` answer, end, and so on, with a line
break before each further turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from mftkit.data.rows.faults import BadRow
from mftkit.data.text.control_tokens import ControlTokens
from mftkit.data.text.encoder import Encoder
from mftkit.interfaces.task_format import FormattedSample, Piece, Segment, no_note
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.control_tokens import SpecialTokens
    from mftkit.interfaces.conversation import AnswerKind, Conversation, Turn
    from mftkit.interfaces.task_format import InLoss, Note

PAPER = {"system": "<s>system\n", "user": "<s>human\n", "assistant": "<s>bot\n"}
_NEXT = "\n"
"""Between turns."""
_TESTS = (
    ("if message['role'] in ['system', 'developer']", "system"),
    ("elif message['role'] in ['user', 'human']", "user"),
    ("elif message['role'] in ['assistant', 'bot']", "assistant"),
)
_HINT = 'use a model with a chat template that renders them (chat.format "template"), or write them into the content'


@dataclass(frozen=True)
class Markers:
    """The chat format of role markers."""

    system: str
    user: str
    assistant: str
    end: str
    """Text that ends an answer; it is in the loss."""
    encoder: Encoder
    bos: str = ""
    """Text that the tokenizer would add before a text by itself."""

    @staticmethod
    def of(
        markers: Mapping[str, str | None] | None,
        tokenizer: PreTrainedTokenizerBase,
        bos: str,
        special_tokens: SpecialTokens = "auto",
    ) -> Markers:
        """Return the spec's ``chat.markers`` over the paper's; the default end is the tokenizer's end of text.

        ``bos`` is the token that the tokenizer adds by itself, "" for none.
        """
        chosen = {
            **PAPER,
            "end": tokenizer.eos_token,
            **{k: v for k, v in (markers or {}).items() if v is not None},
        }
        if unknown := set(chosen) - {*PAPER, "end"}:
            raise MftError(
                f"chat.markers: unknown keys {sorted(unknown)} (known: system, user, assistant, end)"
            )
        if not chosen["end"]:
            raise MftError(
                "chat.markers.end: required, because the tokenizer has no end-of-text token that could end an answer"
            )
        for key, text in chosen.items():
            if not text:
                raise MftError(f"chat.markers.{key}: must not be empty")
        controls = ControlTokens(tokenizer, [bos, *chosen.values()], special_tokens, chat=True)
        return Markers(
            chosen["system"],
            chosen["user"],
            chosen["assistant"],
            chosen["end"],
            Encoder(tokenizer, controls),
            bos,
        )

    def opening(self, role: str) -> str:
        """Return the beginning of a conversation whose first turn has this role: exactly one bos, if any."""
        marker = self._marker(role)
        return marker if marker.startswith(self.bos) else self.bos + marker

    @property
    def controls(self) -> ControlTokens:
        """See ``ChatFormat``."""
        return self.encoder.controls

    @property
    def jinja(self) -> str:
        """See ``chat_template``."""
        return chat_template(self)

    def describe(self) -> dict[str, object]:
        """See ``ChatFormat``."""
        texts = {key: getattr(self, key) for key in (*PAPER, "end", "bos")}
        return {"format": "markers", **texts, "controls": self.controls.describe()}

    def render(self, conversation: Conversation, note: Note = no_note) -> Sequence[FormattedSample]:
        """See ``ChatFormat``: one sample, or several if the answers' weights differ."""
        del note  # markers change nothing
        weights = sorted({turn.weight for turn in conversation.turns if turn.trained}, reverse=True)
        return [self._sample(conversation, weight) for weight in weights]

    def prompt(self, conversation: Conversation) -> tuple[Segment, ...]:
        """See ``ChatFormat``."""
        pieces = [
            piece for number, turn in enumerate(conversation.turns) for piece in self._turn(number, turn)
        ]
        return (Segment((*pieces, Piece(_NEXT + self.assistant, False)), "none"),)

    def stop_texts(self) -> Mapping[AnswerKind, str]:
        """See ``ChatFormat``."""
        return {"answer": self.end}

    def _sample(self, conversation: Conversation, weight: float) -> FormattedSample:
        _check(conversation)
        segments: list[Segment] = []
        waiting: list[Piece] = []
        last = max(
            number for number, turn in enumerate(conversation.turns) if turn.weight == weight and turn.trained
        )
        for number, turn in enumerate(conversation.turns[: last + 1]):
            opening, *rest = self._turn(number, turn)
            waiting.append(opening)
            if turn.trained and turn.weight == weight:
                segments += [_segment(waiting, "none"), _segment(rest, "all")]
                waiting = []
            else:
                waiting += rest
        stops = tuple(("answer", self.end) for segment in segments if segment.in_loss == "all")
        return FormattedSample(tuple(segments), weight=weight, stops=stops)

    def _turn(self, number: int, turn: Turn) -> list[Piece]:
        """Return a turn's marker, its content and, for an answer, its end."""
        marker = _NEXT + self._marker(turn.role) if number else self.opening(turn.role)
        ending = [Piece(self.end, False)] if turn.role == "assistant" else []
        return [Piece(marker, False), Piece(turn.content, True), *ending]

    def _marker(self, role: str) -> str:
        marker: str = getattr(self, "system" if role == "developer" else role)
        return marker


def _segment(pieces: Sequence[Piece], in_loss: InLoss) -> Segment:
    return Segment(tuple(piece for piece in pieces if piece.text), in_loss)


def _check(conversation: Conversation) -> None:
    """Refuse what markers have no place for."""
    if conversation.tools:
        raise BadRow(f"role markers (chat.format) cannot render 'tools': {_HINT}")
    for number, (one, two) in enumerate(pairwise(conversation.turns), 1):
        if one.role == two.role == "user":
            raise BadRow(
                f"turns must alternate: turns {number} and {number + 1} are both the user's, which only a chat "
                "template may take"
            )
    for number, turn in enumerate(conversation.turns, 1):
        if turn.role == "tool" or turn.tool_calls:
            raise BadRow(
                f"turn {number}: role markers (chat.format) cannot render calls of tools or their results: {_HINT}"
            )
        if turn.reasoning:
            raise BadRow(
                f"turn {number}: role markers (chat.format) cannot render reasoning in a separate key: {_HINT}"
            )


def chat_template(markers: Markers) -> str:
    """Return a Jinja chat template that renders exactly what is trained with these markers."""
    branches = ""
    for test, role in _TESTS:
        first, later = _literal(markers.opening(role)), _literal(_NEXT + getattr(markers, role))
        branches += (
            f"{{%- {test} -%}}{{{{ {first} if loop.first else {later} }}}}{{{{ message['content'] }}}}"
        )
    return (
        "{%- for message in messages -%}"
        + branches
        + f"{{{{ {_literal(markers.end)} }}}}"
        + "{%- else -%}{{ raise_exception('unknown role ' ~ message['role']) }}{%- endif -%}{%- endfor -%}"
        + f"{{%- if add_generation_prompt -%}}{{{{ {_literal(_NEXT + markers.assistant)} }}}}{{%- endif -%}}"
    )


def _literal(text: str) -> str:
    """Return a Jinja string literal: JSON's escapes, but no surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)
