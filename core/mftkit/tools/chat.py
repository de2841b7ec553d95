"""Generate text with a result: prompts as in training, answers streamed, and stopped where trained answers stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from mftkit.data.rows.faults import BadRow
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.control_tokens import ControlTokens, added_tokens
from mftkit.data.text.encoder import Encoder
from mftkit.generation.stops import answer_stops, named_stops, text_stops
from mftkit.interfaces.conversation import Conversation, Turn
from mftkit.interfaces.task_format import FormatContext, FormattedSample, Piece, Segment, no_note
from mftkit.models.context_length import context_length
from mftkit.runs.reference_loading import load_reference
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.generation.stops import Stops
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.tools.infill_formats import InfillFormat


class TextGenerator:
    """A model with its tokenizer, to be prompted.

    ``stop()`` ends the current answer within a token or two; it may be called from a signal handler.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        adapter: ModelAdapter | None = None,
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._chat = chat_format("template", None, tokenizer) if tokenizer.chat_template else None
        self._encoder = (
            self._chat.encoder if self._chat else Encoder(tokenizer, ControlTokens(tokenizer, (), "auto"))
        )
        self._text_stops = text_stops(model, tokenizer)
        self._answer_stops = (
            answer_stops(model, tokenizer, self._chat, adapter) if self._chat else self._text_stops
        )
        self.stopping = False

    @staticmethod
    def load(
        reference: str | Path,
        reporter: Reporter | None = None,
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
    ) -> TextGenerator:
        """Load what a reference stands for, such as a run's result, onto the GPU if there is one."""
        adapter, model, tokenizer, _place = load_reference(reference, reporter)
        if torch.cuda.is_available():
            cast("torch.nn.Module", model).to("cuda")  # transformers' own ``to`` has no usable type
        return TextGenerator(
            model, tokenizer, adapter, max_new_tokens=max_new_tokens, temperature=temperature
        )

    @property
    def can_chat(self) -> bool:
        """Whether there is a chat template: a model trained on plain texts has none."""
        return self._chat is not None

    def stop(self) -> None:
        """End the current answer."""
        self.stopping = True

    def answer(self, turns: Sequence[Turn], write: Callable[[str], None]) -> str:
        """Return the answer to turns of which the last is the user's; ``write`` receives it piece by piece.

        The prompt is made as in training: content that looks like a control token stays text. Raises MftError if the
        template rejects the turns, or if they fill all positions of the model.
        """
        if self._chat is None:
            raise MftError(
                "RUN: there is no chat template: the model was trained on plain texts; use mft complete"
            )
        try:
            prompt = FormattedSample(self._chat.prompt(Conversation(tuple(turns))))
        except BadRow as error:
            raise MftError(str(error)) from error
        ids = list(self._encoder.encode([prompt]).tokens)
        return self._generate(ids, write, self._answer_stops)

    def complete(self, text: str, write: Callable[[str], None]) -> str:
        """Return the continuation of a text up to the end of text; ``write`` receives it piece by piece."""
        segment = Segment((Piece(text, content=True),), "none")
        ids = list(self._encoder.encode([FormattedSample((segment,), adds_start=True)]).tokens)
        if not ids:
            raise MftError(
                "PROMPT: is empty, and this tokenizer has no token that begins a text; give some text"
            )
        return self._generate(ids, write, self._text_stops)

    def infill(
        self,
        prefix: str,
        suffix: str,
        formats: Sequence[InfillFormat],
        write: Callable[[str], None],
    ) -> str:
        """Return what the model writes between two texts; ``write`` receives it piece by piece.

        The prompt is that of the first of ``formats`` that has one, as in training. Raises MftError if there is none.
        """
        vocabulary = frozenset(token.text for token in added_tokens(self._tokenizer))
        problems = []
        for used in formats:
            context = FormatContext(
                used.task, 0, no_note, eos=str(self._tokenizer.eos_token or ""), vocabulary=vocabulary
            )
            try:
                prompt = used.task_format.infill_prompt(prefix, suffix, context)
            except MftError as error:
                problems.append(str(error))
                continue
            if prompt is not None:
                own = used.task_format.control_texts(context)
                encoder = Encoder(self._tokenizer, ControlTokens(self._tokenizer, own, used.special_tokens))
                ids = list(encoder.encode([prompt]).tokens)
                stops = named_stops(self._text_stops, encoder, [stop for _kind, stop in prompt.stops])
                return self._generate(ids, write, stops)
        raise MftError(
            f"RUN: {problems[0]}" if problems else "RUN: no task format fills in a middle (mft plugins list)"
        )

    def _generate(self, ids: list[int], write: Callable[[str], None], stops: Stops) -> str:
        room = self._room(len(ids))
        self.stopping = False
        stream = _Stream(self._tokenizer, write, stops)
        prompt = torch.tensor([ids], device=self._model.device)
        sampling = {"do_sample": True, "temperature": self._temperature, "top_p": 1.0, "top_k": 0}
        settings = GenerationConfig(
            max_new_tokens=min(self._max_new_tokens, room),
            **(sampling if self._temperature > 0 else {"do_sample": False}),
            eos_token_id=sorted(stops.ids) or None,
            pad_token_id=self._tokenizer.pad_token_id,
        )  # type: ignore[no-untyped-call]
        cast("Callable[..., object]", self._model.generate)(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=settings,
            streamer=stream,
            stopping_criteria=StoppingCriteriaList([_StopIf(lambda: self.stopping or stream.stopped)]),
        )
        return stream.text

    def _room(self, used: int) -> int:
        """Return the number of tokens that may follow; raise MftError if there is no room left."""
        limit = context_length(self._model) or 2**31
        if used >= limit:
            raise MftError(
                f"the prompt has {used} tokens, and the model reads {limit} at most: make it shorter"
            )
        return limit - used


class _StopIf(StoppingCriteria):
    """Ends generation once a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, input_ids: torch.Tensor, scores: object, **_more: object) -> torch.Tensor:  # noqa: ARG002
        return torch.full((len(input_ids),), self._condition(), dtype=torch.bool, device=input_ids.device)


class _Stream(BaseStreamer):
    """Writes an answer as it is generated: only complete characters, and nothing of what ends it."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, write: Callable[[str], None], stops: Stops
    ) -> None:
        self._tokenizer = tokenizer
        self._write = write
        self._stops = stops
        self._ids: list[int] = []
        self._prompted = False
        self._written = 0
        self.text = ""
        self.stopped = False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt first, which is not written, and then one token at a time."""
        if not self._prompted:
            self._prompted = True
            return
        self._ids += [i for i in value.flatten().tolist() if i not in self._stops.ids]
        # All ids are decoded again each time: a character, or a space between words, may depend on several tokens.
        text = str(self._tokenizer.decode(self._ids, skip_special_tokens=True))
        found = [at for end in self._stops.texts if (at := text.find(end)) >= 0]
        if found:
            self.stopped, text = True, text[: min(found)]
        self.text = text
        self._write_until(len(text) if found else len(text) - self._undecided(text))

    def end(self) -> None:
        """Write the rest, whatever was held back."""
        self._write_until(len(self.text))

    def _write_until(self, length: int) -> None:
        if length > self._written:
            self._write(self.text[self._written : length])
            self._written = length

    def _undecided(self, text: str) -> int:
        """Return how many characters at the end may still change: part of a character, or of what ends an answer."""
        broken = len(text) - len(text.rstrip("\ufffd"))
        begun = [n for end in self._stops.texts for n in range(1, len(end)) if text.endswith(end[:n])]
        return max([broken, *begun])
