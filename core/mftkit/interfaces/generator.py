"""The interface of a data generator: rows of one task, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.references import ChatRef


@documented
@dataclass(frozen=True)
class GenerationContext:
    """What a generator is given; in the program one that knows how to open chats."""

    seed: int
    """The run's seed: the same seed and options give the same rows."""
    task: str
    """Name of the task that the rows are for."""
    directory: Path
    """A directory of the generator's own, for this task and these options; it survives a kill."""
    report: Callable[..., None]
    """``report(kept=1, dropped=2)``: adds to counts that the user is shown."""
    open_chat: Callable[[ChatRef], Chat] | None = None
    """What ``chat`` opens chats by; ``mftkit.open_chat`` does, given the directory. None: as the subclass does it."""

    def chat(self, model: ChatRef) -> Chat:
        """A chat with the model that an option names, for a ``with`` statement; see ``mftkit.ChatModelRef``.

        Its replies are kept on the disk: what was asked before, in the same order, is not asked again.
        """
        if self.open_chat is None:
            raise MftError("This context cannot open chats: use mftkit.GenerationContext, or pass open_chat.")
        return self.open_chat(model)


@documented
class DataGenerator(Component[OptionsT]):
    """Makes the rows of a task."""

    version: str = "1"
    """Raise it when the rows for given options change: rows made before are then made anew."""

    @property
    def goal(self) -> int | None:
        """How many rows it is to make, where that is known: for the progress that is shown, and nothing else."""
        return None

    @property
    def prompts(self) -> Mapping[str, str]:
        """The texts that it asks a chat model with, by what they are for; kept with the rows."""
        return {}

    @required
    def rows(self, context: GenerationContext) -> Iterator[dict[str, Any]]:
        """Rows as a data file has them: ``chat_rounds``, ``messages``, ``text``, ... (see the data docs)."""
        raise NotImplementedError
