"""Raw texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mftkit

if TYPE_CHECKING:
    from collections.abc import Iterable


class Text(mftkit.TaskFormat):
    """The text as the tokenizer begins it, and the end of text; every token but those of a prompt is in the loss."""

    def read(self, row: mftkit.JsonObject, context: mftkit.FormatContext) -> mftkit.RowContent:  # noqa: ARG002
        """See ``TaskFormat``."""
        return mftkit.read_text(row)

    def samples(
        self, content: mftkit.RowContent, context: mftkit.FormatContext
    ) -> Iterable[mftkit.FormattedSample]:
        """See ``TaskFormat``."""
        if not context.eos:
            raise mftkit.MftError(
                'the tokenizer has no end-of-text token, which tasks with format "text" require'
            )
        text = content.value
        assert isinstance(text, mftkit.TextContent), "it was read by this format"
        segments = [
            mftkit.Segment((mftkit.Piece(text.prompt, content=True),), "none"),
            mftkit.Segment((mftkit.Piece(text.content, content=True),), "all"),
            mftkit.Segment((mftkit.Piece(context.eos, content=False),), "all"),
        ]
        return [mftkit.FormattedSample(tuple(s for s in segments if s.text), adds_start=True)]
