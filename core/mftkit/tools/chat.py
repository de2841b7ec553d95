"""Talking to a result: prompts as in training, answers as they come, and where they stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from mftkit.data.rows.formats import BadRow, Conversation, Turn
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.encoder import Encoder
from mftkit.models.result import load_result
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from mftkit.data.text.segments import Segment
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter

POSITIONS = ("max_position_embeddings", "n_positions")
"""Keys of configs that say how long a text may be."""


class TextGenerator:
    """A model with its tokenizer, to be prompted.

    ``stop()``, from a signal handler too, ends the answer that is being given within a token or two.
    """

    def __init__(
        self,
        model: Any,
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
        self._encoder = Encoder(tokenizer, self._chat.control_texts() if self._chat else ())
        self._ends = self._endings(adapter)
        self.stopping = False

    @staticmethod
    def load(path: Path, reporter: Reporter | None = None, **options: Any) -> TextGenerator:
        """Of a run or of a directory of weights, on the graphics processor where there is one."""
        adapter, model, tokenizer = load_result(path, reporter)
        if torch.cuda.is_available():
            model.to("cuda")
        return TextGenerator(model, tokenizer, adapter, **options)

    @property
    def can_chat(self) -> bool:
        """Whether there is a chat template: a model that learned texts alone has none."""
        return self._chat is not None

    def stop(self) -> None:
        """End the answer that is being given."""
        self.stopping = True

    def answer(self, turns: Sequence[Turn], write: Callable[[str], None]) -> str:
        """The answer to turns of which the last is the user's, also given to ``write`` as it comes.

        The prompt is made as in training: a content that looks like a control token stays text. Raises MftError where
        the template refuses the turns, or they fill all positions of the model.
        """
        if self._chat is None:
            raise MftError("RUN: there is no chat template: the model learned texts alone (see mft complete)")
        try:
            rendered = self._chat.render(Conversation((*turns, Turn("assistant", "x"))))
        except BadRow as error:
            raise MftError(str(error)) from error
        asked = _before_last_answer(rendered.segments)
        ids = list(self._encoder.encode([asked]).tokens)
        return self._generate(ids, write, self._ends[0], self._ends[1])

    def complete(self, text: str, write: Callable[[str], None]) -> str:
        """What follows a text, also given to ``write`` as it comes, up to the end of text."""
        ids = list(self._encoder.encode_texts([text]).tokens)[:-1]
        if not ids:
            raise MftError("PROMPT: is empty, and this tokenizer has no token that begins a text")
        return self._generate(ids, write, self._eos(), ())

    def _generate(
        self, ids: list[int], write: Callable[[str], None], ends: set[int], texts: tuple[str, ...]
    ) -> str:
        room = self._room(len(ids))
        self.stopping = False
        stream = _Stream(self._tokenizer, write, ends, texts)
        prompt = torch.tensor([ids], device=self._model.device)
        drawn = {"do_sample": True, "temperature": self._temperature, "top_p": 1.0, "top_k": 0}
        settings = GenerationConfig(
            max_new_tokens=min(self._max_new_tokens, room),
            **(drawn if self._temperature > 0 else {"do_sample": False}),
            eos_token_id=sorted(ends) or None,
            pad_token_id=self._tokenizer.pad_token_id,
        )  # type: ignore[no-untyped-call]
        self._model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=settings,
            streamer=stream,
            stopping_criteria=StoppingCriteriaList([_Asked(lambda: self.stopping or stream.stopped)]),
        )
        return stream.text

    def _room(self, used: int) -> int:
        """Tokens that may still follow; MftError where there are none."""
        config = self._model.config.get_text_config()
        limits = [getattr(config, key, None) for key in POSITIONS]
        limit = min((n for n in limits if isinstance(n, int) and n > 0), default=2**31)
        if used >= limit:
            raise MftError(
                f"the prompt has {used} tokens, and the model reads {limit} at most: make it shorter"
            )
        return limit - used

    def _eos(self) -> set[int]:
        """Ids that end a text: the tokenizer's, and those of the model's own generation settings."""
        kept = getattr(self._model.generation_config, "eos_token_id", None)
        ids = [self._tokenizer.eos_token_id, *(kept if isinstance(kept, list) else [kept])]
        return {int(i) for i in ids if i is not None}

    def _endings(self, adapter: ModelAdapter | None) -> tuple[set[int], tuple[str, ...]]:
        """Ids and texts that end an answer: what follows answers in the template, and what ends a text."""
        ids, texts = self._eos(), []
        last = str(self._tokenizer.eos_token or "")
        for end in self._trained_ends(adapter):
            end = end if end == last else end.removesuffix(last)
            encoded = self._encoder.backend.encode(end, add_special_tokens=False).ids
            if len(encoded) == 1:
                ids.add(encoded[0])
            elif end.strip():
                texts.append(end.rstrip())
        return ids, tuple(texts)

    def _trained_ends(self, adapter: ModelAdapter | None) -> set[str]:
        if self._chat is None:
            return set()
        ends: set[str] = set()
        for count in (1, 2):
            turns = (Turn("user", "x"), Turn("assistant", "x")) * count
            try:
                parts = self._chat.render(Conversation(turns)).segments
            except BadRow:
                continue
            ends |= {part.pieces[-1].text for part in parts if part.in_loss == "all"}
        known = adapter.instruct_format(self._tokenizer) if adapter else None
        if known is not None and known.template == self._tokenizer.chat_template:
            ends.add(known.end)
        return {end for end in ends if end}


def _before_last_answer(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """What the model reads before its last answer."""
    last = max(i for i, segment in enumerate(segments) if segment.in_loss == "all")
    return tuple(segments[:last])


class _Asked(StoppingCriteria):
    """Stops when it is asked to."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_more: Any) -> Any:  # noqa: ARG002
        return torch.full((len(input_ids),), self._asked(), dtype=torch.bool, device=input_ids.device)


class _Stream(BaseStreamer):
    """Writes an answer as it comes: whole characters, up to what ends it."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        write: Callable[[str], None],
        ends: set[int],
        texts: tuple[str, ...],
    ) -> None:
        self._tokenizer = tokenizer
        self._write = write
        self._ends = ends
        self._texts = texts
        self._ids: list[int] = []
        self._prompted = False
        self._written = 0
        self.text = ""
        self.stopped = False

    def put(self, value: torch.Tensor) -> None:
        """The prompt first, and then a token at a time."""
        if not self._prompted:
            self._prompted = True
            return
        self._ids += [i for i in value.flatten().tolist() if i not in self._ends]
        text = str(self._tokenizer.decode(self._ids, skip_special_tokens=True))
        found = [at for end in self._texts if (at := text.find(end)) >= 0]
        if found:
            self.stopped, text = True, text[: min(found)]
        self.text = text
        self._show(len(text) if found else len(text) - self._held(text))

    def end(self) -> None:
        """The rest, whatever was held back."""
        self._show(len(self.text))

    def _show(self, until: int) -> None:
        if until > self._written:
            self._write(self.text[self._written : until])
            self._written = until

    def _held(self, text: str) -> int:
        """How many characters at the end may still change: part of a character, or of what ends an answer."""
        broken = len(text) - len(text.rstrip("\ufffd"))
        begun = [n for end in self._texts for n in range(1, len(end)) if text.endswith(end[:n])]
        return max([broken, *begun])
