"""A reply's reasoning, which is no part of its text: separated here for every chat model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mftkit.base.reasoning import split_reasoning

if TYPE_CHECKING:
    from mftkit.interfaces.chat import Reply


def without_reasoning(reply: Reply) -> Reply:
    """Return a reply as a chat model gave it, with the reasoning at the start of its text in ``reasoning``.

    A reply that ends in its reasoning has no text, so it is incomplete. If the chat model has separated the reasoning
    itself, the prompt did not open a tag that the text closes.
    """
    found = split_reasoning(reply.text, may_lack_opening=not reply.reasoning)
    if found.answer == reply.text:
        return reply
    parts = [part for part in (reply.reasoning, found.reasoning) if part]
    return replace(reply, text=found.answer, reasoning="\n\n".join(parts))
