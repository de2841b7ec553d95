"""Conversations in the model's chat format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import mftkit

if TYPE_CHECKING:
    from collections.abc import Iterable


class Chat(mftkit.TaskFormat["Chat.Options"]):
    """The answers of a conversation are in the loss; each stands behind the prompt that it gets in use."""

    class Options(mftkit.Options):
        """The options of "chat"."""

        train: Literal["all", "last"] = "all"
        """Which answers of a conversation are trained, unless a row or a turn says otherwise (its key ``train``)."""

    uses_chat = True

    def read(self, row: mftkit.JsonObject, context: mftkit.FormatContext) -> mftkit.RowContent:
        """See ``TaskFormat``."""
        given = row
        if self.options.train == "last" and isinstance(row, dict) and row.get("train") is None:
            given = {**row, "train": "last"}
        content = mftkit.read_conversation(given, note=context.note, cut_off=context.repairs)
        return replace(content, used_keys=content.used_keys & frozenset(row))

    def samples(
        self, content: mftkit.RowContent, context: mftkit.FormatContext
    ) -> Iterable[mftkit.FormattedSample]:
        """See ``TaskFormat``."""
        assert context.chat is not None, "a format that uses the chat format gets it"
        conversation = content.value
        assert isinstance(conversation, mftkit.Conversation), "it was read by this format"
        return context.chat.render(conversation, context.note)
