"""What ``mft data show SPEC`` shows, for the terminal, the page and JSON alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShownToken:
    """A token as it is shown; several where only all of them are a whole character."""

    ids: tuple[int, ...]
    text: str
    added: bool
    """Whether it is an added token, such as a control token of the chat format."""
    in_loss: bool
    look_alikes: tuple[int, ...] = ()
    """Where in ``text`` the text of an added token begins that is not this token here."""


@dataclass(frozen=True)
class Answer:
    """A stretch of tokens in the loss."""

    turn: int | None
    """The turn of the conversation, from 1; None if the row is none."""
    kind: str
    """The kind of answer; "" if the task's format names none."""
    ends_with: str
    """The last token in the loss; if ``stop_is_cut``, the one that would end it."""
    tokens: int
    stop_is_cut: bool
    """Whether ``max_length`` cuts off its end, so that the model does not learn to stop here."""


@dataclass(frozen=True)
class Turn:
    """A turn of a conversation."""

    number: int
    role: str
    in_loss: bool
    """Whether its tokens are in the loss in this sample."""
    weight: float | None
    """Of an answer; 0: context only."""


@dataclass(frozen=True)
class SampleView:
    """A sample, as the model reads it."""

    place: str
    """``PATH:LINE``."""
    number: int
    """Which of the row's samples it is, from 1."""
    of: int
    """Samples of the row."""
    use: str
    """What the run does with it: "training", "validation", or why it is dropped."""
    tokens: tuple[ShownToken, ...]
    """Up to ``max_length``."""
    length: int
    """Tokens that are read."""
    loss_tokens: int
    cut: int
    """Tokens that ``max_length`` cuts off."""
    cut_text: str
    """The beginning of what is cut off."""
    weight: float
    turns: tuple[Turn, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class TaskView:
    """A task and some of its samples."""

    name: str
    format: str
    chat: str
    """The chat format; "" if the task does not use it."""
    rows: int
    """Data rows of ``train`` that became samples."""
    train_samples: int
    valid_samples: int
    variants: int
    """Versions of each training sample, one for each epoch in turn; the first epoch's are shown."""
    stops: tuple[str, ...]
    """What ends each kind of answer of the training files, with the number of answers."""
    reports: tuple[str, ...]
    """What the preparation of its data reported."""
    samples: tuple[SampleView, ...]


@dataclass(frozen=True)
class PackedSample:
    """A sample in a packed row."""

    task: str
    place: str
    start: int
    """Its first position in the row."""
    length: int
    first_position: int
    """Position id of its first token: 0 if positions restart at each sample."""
    tokens: tuple[ShownToken, ...]

    @property
    def end(self) -> int:
        """Its last position in the row."""
        return self.start + self.length - 1


@dataclass(frozen=True)
class PackedRow:
    """A packed row of the first epoch."""

    number: int
    """From 1."""
    rows: int
    """Rows of the epoch."""
    length: int
    """Tokens of its samples."""
    restarts: bool
    """Whether positions restart at each sample: none sees another."""
    samples: tuple[PackedSample, ...]


@dataclass(frozen=True)
class DataView:
    """What the model reads of a spec's data."""

    name: str
    spec: str
    """Path of the spec."""
    tokenizer: str
    tokenization: str
    """The tokenization mode."""
    max_length: int
    reports: tuple[str, ...]
    """What was reported of no single task."""
    tasks: tuple[TaskView, ...]
    packed: PackedRow | None
    """None: each row holds one sample."""
