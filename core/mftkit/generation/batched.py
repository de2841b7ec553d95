"""Generates answers to many prompts in batches."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from mftkit.base.reasoning import REASONING_TOKENS, opened_reasoning, split_reasoning
from mftkit.generation.sampling import GumbelSampling
from mftkit.models.context_length import context_length
from mftkit.models.eval_contexts import evaluation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.generation.sampling import Sampling
    from mftkit.generation.stops import Stops

_TAIL = 48
"""Last tokens of an answer in which a text that ends it is looked for."""
_CLOSE = 1e-3
"""Largest difference of log-probabilities that padding may make, relative to the largest of them."""


@dataclass(frozen=True)
class Prompt:
    """The tokens of a prompt, and what ends its answer."""

    key: str
    """Names the answer: random choices depend on it."""
    ids: tuple[int, ...]
    stops: Stops


@dataclass(frozen=True)
class Generated:
    """An answer."""

    text: str
    """Without what ended it, and without reasoning."""
    reasoning: str
    complete: bool
    """Whether it ended by itself."""
    tokens: int


class BatchedGenerator:
    """A model that answers prompts in batches, padded on the left.

    Where padding changes a model's results (tried once, on two short prompts), only prompts of equal length share a
    batch. An answer ends where the model's positions end, if that is before ``max_new_tokens``. The model is in
    evaluation mode meanwhile, and its state and the random state are as before afterwards.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        autocast: torch.dtype | None = None,
    ) -> None:
        """``autocast``: the dtype of products, where it differs from that of the weights."""
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._autocast = autocast
        self._skipped = _skipped_tokens(tokenizer)
        self._context = context_length(model)

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Generated]]:
        """Yield the number of each prompt with its answer, batch by batch, the longest prompts first.

        Raises ValueError for a prompt that leaves no room for an answer.
        """
        for prompt in prompts:
            if not prompt.ids or self._new_tokens(len(prompt.ids), 1) < 1:
                raise ValueError(f"{prompt.key}: {len(prompt.ids)} tokens leave no room for an answer")
        for batch in self._batches(prompts, sampling.max_new_tokens):
            yield from zip(batch, self._answers([prompts[i] for i in batch], sampling), strict=True)

    def room(self, prompt_tokens: int) -> int | None:
        """The number of tokens that an answer may have after a prompt; None if the model has no limit."""
        return None if self._context is None else self._context - prompt_tokens

    def _batches(self, prompts: Sequence[Prompt], most: int) -> Iterator[list[int]]:
        def length(i: int) -> int:
            return len(prompts[i].ids)

        order = sorted(range(len(prompts)), key=lambda i: (-length(i), prompts[i].stops.texts, i))
        # No answer can continue beside one that ends with the model's positions: such prompts share no batch with
        # shorter ones.
        tight = [i for i in order if self._new_tokens(length(i), most) < most]
        loose = order[len(tight) :]
        groups = [list(same) for _n, same in groupby(tight, key=length)]
        if len({length(i) for i in loose}) > 1 and not self._padding_is_safe:
            groups += [list(same) for _n, same in groupby(loose, key=length)]
        else:
            groups.append(loose)
        for group in groups:
            for first in range(0, len(group), self._batch_size):
                yield group[first : first + self._batch_size]

    def _new_tokens(self, prompt_tokens: int, most: int) -> int:
        room = self.room(prompt_tokens)
        return most if room is None else min(most, room)

    @property
    def _pad(self) -> int:
        pad = self._tokenizer.pad_token_id
        return int(pad if pad is not None else self._tokenizer.eos_token_id or 0)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask [prompts, longest], padded on the left."""
        width = max(map(len, rows))
        ids = torch.tensor([[self._pad] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return ids.to(self._model.device), mask.to(self._model.device)

    def _under(self) -> Any:
        device = self._model.device.type
        return nullcontext() if self._autocast is None else torch.autocast(device, self._autocast)

    @torch.no_grad()
    def _answers(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generated]:
        ids, mask = self._padded([prompt.ids for prompt in prompts])
        stop = _Stop(prompts, self._tokenizer, self._skipped, ids.shape[1])
        noise = [GumbelSampling(sampling, [prompt.key for prompt in prompts])]
        settings = GenerationConfig(
            max_new_tokens=self._new_tokens(ids.shape[1], sampling.max_new_tokens),
            do_sample=False,  # noise makes the largest score a sample
            use_cache=True,
            eos_token_id=None,
            pad_token_id=self._pad,
        )  # type: ignore[no-untyped-call]
        module = cast("torch.nn.Module", self._model)
        with evaluation(module), self._under():
            output = cast("Any", self._model).generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=settings,
                logits_processor=LogitsProcessorList(noise if sampling.temperature > 0 else []),
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        return [stop.answer(i, row) for i, row in enumerate(output[:, ids.shape[1] :].tolist())]

    @cached_property
    def _padding_is_safe(self) -> bool:
        """Whether a prompt has the same log-probabilities beside a longer one."""
        vocabulary = int(self._model.config.get_text_config().vocab_size)
        short, long = [3 % vocabulary, 5 % vocabulary, 4 % vocabulary], list(range(2, 2 + 9))
        long = [i % vocabulary for i in long]
        module = cast("torch.nn.Module", self._model)
        with evaluation(module), self._under(), torch.no_grad():
            alone = self._last_logprobs([short])[0]
            padded = self._last_logprobs([short, long])[0]
        return bool((alone - padded).abs().max() <= _CLOSE * (1 + alone.abs().max()))

    def _last_logprobs(self, rows: list[list[int]]) -> Tensor:
        ids, mask = self._padded(rows)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        try:
            output = cast("Any", self._model)(**inputs, position_ids=positions)
        except TypeError:  # this model has no positions
            output = cast("Any", self._model)(**inputs)
        return torch.log_softmax(output.logits[:, -1].float(), -1)


class _Stop(StoppingCriteria):
    """Ends each answer of a batch by its own stop tokens and texts."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        tokenizer: PreTrainedTokenizerBase,
        skipped: frozenset[int],
        width: int,
    ) -> None:
        self._prompts = prompts
        self._tokenizer = tokenizer
        self._skipped = skipped
        self._width = width

    def __call__(self, input_ids: Tensor, scores: object, **_more: object) -> Tensor:  # noqa: ARG002
        rows = input_ids[:, self._width :].tolist()
        done = [
            row[-1] in prompt.stops.ids or self._has_text(row, prompt)
            for row, prompt in zip(rows, self._prompts, strict=True)
        ]
        return torch.tensor(done, device=input_ids.device)

    def _has_text(self, row: list[int], prompt: Prompt) -> bool:
        if not prompt.stops.texts:
            return False
        text = self._decoded(row[-_TAIL:])
        return any(stop in text for stop in prompt.stops.texts)

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode([i for i in ids if i not in self._skipped]))

    def answer(self, number: int, row: list[int]) -> Generated:
        """The answer of a prompt, from the tokens after it: its own, and padding once it has ended."""
        prompt = self._prompts[number]
        end = next((place for place, token in enumerate(row) if token in prompt.stops.ids), None)
        text = self._decoded(row[:end])
        cuts = [at for stop in prompt.stops.texts if (at := text.find(stop)) >= 0]
        text = text[: min(cuts)] if cuts else text
        opened = opened_reasoning(str(self._tokenizer.decode(list(prompt.ids[-16:]))))
        reply = split_reasoning(opened + text, may_lack_opening=False)
        tokens = len(row) if end is None else end + 1
        complete = end is not None or bool(cuts)
        if not opened and not reply.reasoning:
            return Generated(text, "", complete, tokens)  # as it is: white space of an answer matters
        return Generated(reply.answer, reply.reasoning, complete, tokens)


def _skipped_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The special tokens that are no part of an answer; marks of reasoning are, until it is split off."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    special |= set(tokenizer.all_special_ids)
    names = dict(zip(special, tokenizer.convert_ids_to_tokens(list(special)), strict=True))
    return frozenset(token for token, name in names.items() if name not in REASONING_TOKENS)
