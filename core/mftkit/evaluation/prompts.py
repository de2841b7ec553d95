"""Prompts of rows: those with which they would be trained, or those that an evaluator makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mftkit.data.rows.faults import BadRow
from mftkit.data.tokens.token_cache import TableSource, TokenCache
from mftkit.generation.stops import Stops, answer_stops, named_stops, text_stops
from mftkit.interfaces.task_format import FormattedSample, Piece, Segment
from mftkit.plugins import installed, kinds
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.data.rows.source import Source
    from mftkit.evaluation.tasks import TaskToEvaluate
    from mftkit.interfaces.conversation import Conversation
    from mftkit.interfaces.evaluator import EvaluationPrompt, EvaluationRow
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.spec import Spec


class EncodedPrompt(NamedTuple):
    """A prompt as text and as tokens."""

    text: str
    ids: tuple[int, ...]
    stops: Stops


class Prompts:
    """Makes the prompts of one task's rows for one model."""

    def __init__(
        self,
        spec: Spec,
        task: TaskToEvaluate,
        sources: tuple[Source, ...],
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: ModelAdapter,
        reporter: Reporter,
    ) -> None:
        self._task = task
        self._cache = TokenCache(spec, tokenizer, reporter)
        task_format = installed.build(kinds.TASK_FORMAT, task.format.name, task.format.options)
        self.source = TableSource(task.name, task.format.name, task_format, sources, groups=False)
        self._has_template = bool(tokenizer.chat_template)
        self._text_stops = text_stops(model, tokenizer)
        uses_chat = task_format.uses_chat or self._has_template
        self._chat_stops = (
            answer_stops(model, tokenizer, self._cache.chat, adapter) if uses_chat else self._text_stops
        )

    @property
    def has_template(self) -> bool:
        """Whether the model can be asked in a chat."""
        return self._has_template

    def own(self, row: EvaluationRow) -> EncodedPrompt:
        """The row's own prompt, as it is trained: what stands before its last answer. Raises MftError for a bad row."""
        try:
            _content, samples = self._cache.texts(self.source, row.row)
        except BadRow as bad:
            raise MftError(f"{row.source}: {bad}") from bad
        sample = samples[-1]
        encoder = self._cache.encoder(self.source)
        ends = [stop for _kind, stop in sample.stops]
        base = self._chat_stops if self.source.task_format.uses_chat else self._text_stops
        segments = _before_answer(sample.segments)
        if not any(segment.text for segment in segments):
            raise MftError(
                f"{row.source}: the row has no prompt, only text that is trained; nothing can be asked"
            )
        prompt = FormattedSample(segments, adds_start=sample.adds_start)
        return EncodedPrompt(
            "".join(segment.text for segment in segments),
            tuple(encoder.encode([prompt]).tokens),
            named_stops(base, encoder, ends),
        )

    def of(self, row: EvaluationRow, given: EvaluationPrompt) -> EncodedPrompt:
        """The prompt that an evaluator has made. Raises MftError where the model cannot be asked like that."""
        if given.conversation is not None:
            return self._in_chat(row, given.conversation, given.stop)
        segment = Segment((Piece(given.text or "", content=True),), "none")
        encoded = self._cache.encoder(self.source).encode([FormattedSample((segment,), adds_start=True)])
        return EncodedPrompt(given.text or "", tuple(encoded.tokens), self._text_stops.also(given.stop))

    def _in_chat(self, row: EvaluationRow, conversation: Conversation, stop: Sequence[str]) -> EncodedPrompt:
        if not self._has_template:
            raise MftError(
                f"{self._task.where}: the model has no chat template, so it cannot be asked a question; "
                "evaluate a model that has one, or choose an evaluator that has texts continued"
            )
        try:
            segments = self._cache.chat.prompt(conversation)
        except BadRow as bad:
            raise MftError(f"{row.source}: {bad}") from bad
        encoded = self._cache.chat.encoder.encode([FormattedSample(segments)])
        text = "".join(segment.text for segment in segments)
        return EncodedPrompt(text, tuple(encoded.tokens), self._chat_stops.also(stop))


def _before_answer(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The segments before the last answer, which is the last stretch of segments in the loss."""
    last = max((i for i, segment in enumerate(segments) if segment.in_loss == "all"), default=len(segments))
    while last > 0 and segments[last - 1].in_loss != "none":
        last -= 1
    return tuple(segments[:last])
