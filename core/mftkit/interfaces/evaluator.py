"""The interface of an evaluator: measures what a model can do with the rows of a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar, Literal

from mftkit.interfaces.attribute_docs import documented
from mftkit.interfaces.component import Component, OptionsT, required

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.chat import Chat
    from mftkit.interfaces.conversation import Conversation
    from mftkit.interfaces.executor import Executor
    from mftkit.interfaces.references import ChatRef, ComponentRef


@documented
@dataclass(frozen=True)
class Metric:
    """A number that an evaluator measures."""

    name: str
    """Such as "accuracy" or "pass@1": its key in metrics.jsonl, unique within the evaluator."""
    higher_is_better: bool = True
    scale: Literal["share", "points", "nats"] = "share"
    """How it is shown: a share from 0 to 1 as a percentage, points as they are, nats per token."""


@documented
@dataclass(frozen=True)
class EvaluationRow:
    """A row that a model is evaluated on."""

    id: str
    """Unique within the task: the row's ``task_id`` or ``id``, else its place in the data."""
    row: JsonObject
    """As the data file has it, with renamed columns."""
    reference: str | None = None
    """The last answer of the row, if it has one: what a perfect model would write."""
    question: str = ""
    """The last question of the row, for messages and for judges."""
    source: str = ""
    """``PATH:LINE``, for messages."""


@documented
@dataclass(frozen=True)
class EvaluationPrompt:
    """What a model is asked, if it is not the prompt that the task's format makes of the row."""

    conversation: Conversation | None = None
    """Turns of which the last is the user's; needs a model with a chat template."""
    text: str | None = None
    """A text to be continued, instead."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer besides the stop tokens; they are no part of it."""


@documented
@dataclass(frozen=True)
class Answer:
    """A generated answer."""

    text: str
    """Without the stop token, and without reasoning."""
    complete: bool = True
    """Whether it ended by itself, not at ``max_new_tokens``."""
    tokens: int = 0
    reasoning: str = ""
    """What a reasoning model wrote before it, without marks; it is not scored."""


@documented
@dataclass(frozen=True)
class Answered:
    """A row with the model's answers to it, or with its loss."""

    row: EvaluationRow
    answers: tuple[Answer, ...] = ()
    """As many as are sampled per row; empty for evaluators that read losses."""
    nll: float = 0.0
    """Sum of -log p over the row's loss tokens in nats, for evaluators that read losses."""
    loss_tokens: int = 0


@documented
@dataclass(frozen=True)
class Verdict:
    """What one answer is worth."""

    scores: Mapping[str, float]
    """By the name of a metric; finite. A metric that only ``summary`` knows, such as pass@k, may be missing."""
    passed: bool | None = None
    """Whether the answer is right, for evaluators that can say so: comparisons pair verdicts by row."""
    note: str = ""
    """Why, in one line, such as the error of a program; for the page."""
    more: JsonObject = field(default_factory=dict)
    """What else belongs in the file of verdicts, as JSON."""


@documented
@dataclass(frozen=True)
class EvaluationContext:
    """The arguments of an evaluator, for the rows of one task."""

    task: str
    seed: int
    directory: Path
    """A directory for this evaluator and task; it is kept after a kill."""
    note: Callable[[str], None]
    """Shows a remark once, to the user and on the page."""
    chat: Callable[[ChatRef], Chat]
    """``with context.chat(options.model) as chat``: opens the chat model that an option of type ``ChatModelRef`` names.
    Its replies are kept: none is paid for twice."""
    executor: Callable[[ComponentRef], Executor]
    """``context.executor(options.isolation)``: runs programs, for an option of type ``ExecutorRef``."""
    has_chat_template: bool = True
    """Whether the model can be asked with ``EvaluationPrompt.conversation``."""
    samples: int = 1
    """Answers per row."""


@documented
class Evaluator(Component[OptionsT]):
    """Measures a model by its answers, or by its losses; in the spec one of ``tasks[].evaluate.evaluators``.

    All rows are checked before anything is generated; then answers are generated in batches and scored. Whatever is
    random depends on ``context.seed`` alone.
    """

    version: str = "1"
    """Increase it when verdicts change for given options: verdicts on disk are then made again."""
    reads: ClassVar[Literal["answers", "losses"]] = "answers"
    """"answers": the model generates; "losses": the rows' losses are measured, and ``prompt`` is not called."""

    @required
    def metrics(self) -> Sequence[Metric]:
        """The numbers that it measures, with these options; the first is its main one."""
        raise NotImplementedError

    def check(self, rows: Sequence[EvaluationRow], context: EvaluationContext) -> None:
        """Raise MftError if these rows cannot be evaluated on this machine: called before anything is generated.

        The message names a row by its ``source``, and says which key, toolchain or file is missing.
        """

    def prompt(self, row: EvaluationRow, context: EvaluationContext) -> EvaluationPrompt | None:
        """What the model is asked; None: the row's own question, in the very form in which it would be trained."""

    @required
    def score(self, answered: Sequence[Answered], context: EvaluationContext) -> Sequence[Sequence[Verdict]]:
        """One verdict for each answer of each row; for losses, one for each row. Called for parts of the rows, too."""
        raise NotImplementedError

    def summary(self, verdicts: Sequence[Sequence[Verdict]]) -> dict[str, float]:
        """Each metric over all rows; by default the mean over rows of the mean over a row's answers.

        It is called again for resampled rows, which gives the confidence interval.
        """
        return {
            metric.name: fmean(fmean(each.scores[metric.name] for each in row) for row in verdicts)
            for metric in self.metrics()
        }
