"""The interface of a data generator: makes the rows of one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
    """The arguments of a generator; in a run, it can open chats."""

    seed: int
    """The run's seed: the same seed and options give the same rows."""
    task: str
    """Name of the task that the rows are for."""
    directory: Path
    """A directory for this generator, task and options; it is kept after a kill."""
    report: Callable[..., None]
    """``report(kept=1, dropped=2)``: adds to counts that are shown to the user."""
    open_chat: Callable[[ChatRef], Chat] | None = None
    """The function that ``chat`` opens chats with; None: that of the subclass (``mftkit.open_chat``)."""

    def chat(self, model: ChatRef) -> Chat:
        """A chat with the model that an option names, for a ``with`` statement; see ``mftkit.ChatModelRef``.

        Its replies are kept on disk: a request that was made before, in the same order, is not repeated.
        """
        if self.open_chat is None:
            raise MftError("This context cannot open chats: use mftkit.GenerationContext, or pass open_chat.")
        return self.open_chat(model)


@documented
class DataGenerator(Component[OptionsT]):
    """Makes the rows of a task."""

    version: str = "1"
    """Increase it when the rows for given options change: cached rows are then generated again."""
    reads_seed: ClassVar[bool | None] = None
    """Read by the conformance suite only, where an attribute of the suite goes before it; None: nothing is stated."""

    @property
    def goal(self) -> int | None:
        """The number of rows it will make, if known; used for the progress display only."""
        return None

    @property
    def prompts(self) -> Mapping[str, str]:
        """The prompt templates that it sends to a chat model, by purpose; stored with the rows."""
        return {}

    @required
    def rows(self, context: GenerationContext) -> Iterator[dict[str, Any]]:
        """Rows as a data file has them: ``chat_rounds``, ``messages``, ``text``, ... (see the data docs)."""
        raise NotImplementedError
