r"""Role markers as the chat format: those of the paper (MFTCoder, section 4), or the spec's own.

A conversation is ``<s>system\n`` content ``\n<s>human\n`` content ``\n<s>bot\n`` answer, end, and so on, with a line
break before each further turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from mftkit.data.text.segments import Outline, Rendering, Slot, segments
from mftkit_registry.errors import MftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.rows.formats import Conversation, Role

PAPER = {"system": "<s>system\n", "user": "<s>human\n", "assistant": "<s>bot\n"}
_NEXT = "\n"
"""Between turns."""
_TESTS: tuple[tuple[str, Role], ...] = (
    ("if message['role'] == 'system'", "system"),
    ("elif message['role'] in ['user', 'human']", "user"),
    ("elif message['role'] in ['assistant', 'bot']", "assistant"),
)


@dataclass(frozen=True)
class Markers:
    """The chat format of role markers."""

    system: str
    user: str
    assistant: str
    end: str
    """Text that ends an answer; it is in the loss."""
    bos: str = ""
    """Text that the tokenizer would add before a text by itself."""
    _outlines: dict[tuple[Role, ...], Outline] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(markers: Mapping[str, str | None] | None, tokenizer: PreTrainedTokenizerBase, bos: str) -> Markers:
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
        return Markers(chosen["system"], chosen["user"], chosen["assistant"], chosen["end"], bos)

    def opening(self, role: Role) -> str:
        """Return the beginning of a conversation whose first turn has this role: exactly one bos, if any."""
        marker: str = getattr(self, role)
        return marker if marker.startswith(self.bos) else self.bos + marker

    @property
    def jinja(self) -> str:
        """See ``chat_template``."""
        return chat_template(self)

    def describe(self) -> dict[str, str]:
        """See ``ChatFormat``."""
        return {"format": "markers", **{k: getattr(self, k) for k in (*PAPER, "end", "bos")}}

    def control_texts(self) -> Iterable[str]:
        """See ``ChatFormat``."""
        return (self.bos, self.system, self.user, self.assistant, self.end)

    def render(self, conversation: Conversation) -> Rendering:
        """See ``ChatFormat``."""
        roles = tuple(turn.role for turn in conversation.turns)
        outline = self._outlines.get(roles)
        if outline is None:
            outline = self._outlines[roles] = self._outline(roles)
        return Rendering(
            segments(outline, [turn.content for turn in conversation.turns], self._ending), False
        )

    def _outline(self, roles: tuple[Role, ...]) -> Outline:
        literals = [self.opening(roles[0])]
        for role, following in pairwise(roles):
            literals.append((self.end if role == "assistant" else "") + _NEXT + getattr(self, following))
        return Outline((*literals, self.end), tuple(Slot(turn, role, "") for turn, role in enumerate(roles)))

    def _ending(self, literal: str, *, last: bool) -> tuple[str, str, bool]:
        del last
        return self.end, literal.removeprefix(self.end), True


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
