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
        if self.options.train != "last" or not isinstance(row, dict) or row.get("train") is not None:
            return mftkit.read_conversation(row, note=context.note, cut_off=context.repairs)
        content = mftkit.read_conversation(
            {**row, "train": "last"}, note=context.note, cut_off=context.repairs
        )
        return replace(content, used_keys=content.used_keys & frozenset(row))

    def samples(
        self, content: mftkit.RowContent, context: mftkit.FormatContext
    ) -> Iterable[mftkit.FormattedSample]:
        """See ``TaskFormat``."""
        assert context.chat is not None, "a format that uses the chat format gets it"
        conversation = content.value
        assert isinstance(conversation, mftkit.Conversation), "it was read by this format"
        return context.chat.render(conversation, context.note)
