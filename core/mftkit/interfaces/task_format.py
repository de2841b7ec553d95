"""The interface of a task format: makes samples of a task's rows, and says which of their tokens are in the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.conversation import Conversation

InLoss = Literal["none", "all", "first"]


class Piece(NamedTuple):
    """A stretch of text."""

    text: str
    content: bool
    """Whether it comes from a row: a control token's text in it may then be plain text (``data.special_tokens``).
    Otherwise it is the format's own, in which every token's text is that token."""


class Segment(NamedTuple):
    """Pieces that are encoded together."""

    pieces: tuple[Piece, ...]
    in_loss: InLoss
    """Which of its tokens are in the loss: none, all, or only the first."""
    inside: bool = False
    """Whether its text is encoded as if it stood inside a text, even after a control token: without the space that
    some tokenizers put before each text, and with all its white space."""

    @property
    def text(self) -> str:
        """The pieces' text."""
        return "".join(piece.text for piece in self.pieces)


@documented
@dataclass(frozen=True)
class FormattedSample:
    """One sample as text. Segments are encoded separately, so that no token crosses from one into the next."""

    segments: tuple[Segment, ...]
    adds_start: bool = False
    """Whether the tokens come first that the tokenizer adds before a text by itself (often a bos token); they are
    not in the loss. Chat templates write them as text."""
    weight: float = 1.0
    """Factor of the sample's tokens in the loss; the row's own weight is multiplied by it."""
    stops: tuple[tuple[str, str], ...] = ()
    """For each segment that is in the loss, in order: the kind of answer and the token (as text) that must end it.
    Core checks that this token is the segment's last one and in the loss. Empty: nothing is checked."""


@documented
@dataclass(frozen=True)
class RowContent:
    """A row that was read and found good."""

    value: object
    """What ``TaskFormat.samples`` makes samples of."""
    texts: tuple[str, ...]
    """All texts of the row: a tokenizer may be trained on them."""
    identity: object
    """JSON: rows of a task with equal identities are repeats of each other, and stay on the same side of a split."""
    used_keys: frozenset[str]
    """The keys of the row that were used; users get a report of the others."""
    unused: frozenset[str] = frozenset()
    """Parts of the used keys that were not used, such as "messages[].id"; reported, too."""


def no_note(text: str, example: str = "") -> None:
    """Discard what is reported of a row (see ``Note``)."""
    del text, example


class ChatRenderer(Protocol):
    """Renders conversations in the chat format of the run."""

    def render(self, conversation: Conversation, note: Note) -> Sequence[FormattedSample]:
        """The samples of a conversation: usually one. Raises BadRow if the chat format rejects it."""


class Note(Protocol):
    """Reports something about a row to the user: once per task, with the number of rows and an example."""

    def __call__(self, text: str, example: str = "") -> None:
        """``text`` has "{rows}" where the number of rows stands: "the template strips the contents of {rows}"."""


@documented
@dataclass(frozen=True)
class FormatContext:
    """The arguments of a task format, for one row."""

    task: str
    """Name of the task."""
    seed: int
    """For random choices, which should depend on it and on the row's content alone, not on the order of rows."""
    note: Note
    """``context.note("the last turn of {rows} was cut off")``: reports something about this row."""
    repairs: bool = False
    """Whether a row that can be used in part should be (``data.on_bad_row`` "skip"), with a note; otherwise it is
    an error."""
    variant: int = 0
    """Which of the format's ``variants`` of the row is made."""
    chat: ChatRenderer | None = None
    """The chat format of the run; None unless ``uses_chat``, and while rows are read without a tokenizer."""
    eos: str = ""
    """Text of the token that ends a text; "" if the tokenizer has none."""
    vocabulary: Collection[str] = frozenset()
    """Texts of the tokenizer's added tokens: control tokens such as those of fill-in-the-middle."""
    max_length: int | None = None
    """Tokens that a sample may have, for a format that ``uses_length``; None if long rows are not to be cut
    (``data.overlong`` "drop" or "error"), and while rows are read without a tokenizer."""
    token_starts: Callable[[str], Sequence[int]] | None = None
    """Returns the place in a text, in characters, at which each of its tokens begins, for a format that
    ``uses_length``; None while rows are read without a tokenizer."""


@documented
class TaskFormat(Component[OptionsT]):
    """Makes samples of rows; in the spec ``tasks[].format``.

    ``read`` checks a row and says what it contains; ``samples`` says how the model reads it. A row is read once, and
    its samples are made with the run's tokenizer.
    """

    version: ClassVar[str] = "1"
    """Increase it when the samples of given rows and options change: cached tokens are then made again."""
    keys: ClassVar[frozenset[str]] = frozenset()
    """Keys of rows that it reads beside those of the built-in formats: ``tasks[].columns`` may map columns to them."""
    uses_chat: ClassVar[bool] = False
    """Whether ``samples`` uses ``context.chat``: the tokens then depend on the run's chat format."""
    uses_seed: ClassVar[bool] = False
    """Whether ``samples`` uses ``context.seed``: the tokens are then made for each seed."""
    uses_length: ClassVar[bool] = False
    """Whether ``samples`` uses ``context.max_length``: the tokens are then made for each maximum length."""

    @property
    def variants(self) -> int:
        """How many different versions of each row there are; epoch e trains version e modulo this number.

        Each version of a row has equally many samples. Validation uses version 0.
        """
        return 1

    @required
    def read(self, row: JsonObject, context: FormatContext) -> RowContent:
        """Check a row and return its content. Raises BadRow (what is wrong and how to fix it) for one it cannot use."""
        raise NotImplementedError

    @required
    def samples(self, content: RowContent, context: FormatContext) -> Iterable[FormattedSample]:
        """The samples of a row. Raises BadRow for a row that cannot be used with this tokenizer or chat format."""
        raise NotImplementedError

    def control_texts(self, context: FormatContext) -> Iterable[str]:  # noqa: ARG002
        """Texts of the format's own (not a chat format's): in contents, the tokens in them are plain text."""
        return ()

    def infill_prompt(self, prefix: str, suffix: str, context: FormatContext) -> FormattedSample | None:  # noqa: ARG002
        """The prompt after which a model that was trained with this format writes what stands between two texts.

        Its segments are those before an answer; its ``stops`` say what ends the answer. None: the format has no such
        prompt. Raises MftError if the tokenizer lacks tokens that it needs.
        """
        return None
