"""The context that generators get; their chats keep replies in the generator's directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.chat_client.opening import open_chat
from mftkit.interfaces import generator

if TYPE_CHECKING:
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.references import ChatRef


@dataclass(frozen=True)
class GenerationContext(generator.GenerationContext):
    """Context of a generator: the seed, the task, a directory, and chats with the models that its options name."""

    def chat(self, model: ChatRef) -> Chat:
        """Open a chat with the model that an option names, for a ``with`` statement; see ``mftkit.ChatModelRef``.

        Its replies are kept on the disk: requests that were sent before, in the same order, are not sent again.
        """
        return open_chat(model, self.directory) if self.open_chat is None else super().chat(model)
