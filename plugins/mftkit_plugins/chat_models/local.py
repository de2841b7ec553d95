"""A chat model loaded in this process by its family's adapter, for machines without a server."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import Field

import mftkit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Local(mftkit.ChatModel):
    """Generates in batches; sampling is seeded by the requests themselves, so runs are reproducible."""

    options_without_effect_on_replies = mftkit.ChatModel.options_without_effect_on_replies | {"device"}

    class Options(mftkit.ChatOptions):
        """Options of ``local``."""

        path: mftkit.SpecPathOrHubId
        """The checkpoint: a directory, such as ``model/`` of a run, or a hub id."""
        adapter: str = "auto"
        """The adapter for the model's family; "auto": chosen by the checkpoint's config."""
        batch: int = Field(default=8, ge=1)
        """Prompts per batch; larger batches are faster and take more memory."""
        device: str | None = None
        """Device, as torch names it; null: a GPU if there is one, otherwise the CPU."""

    options: Options

    @property
    def batch_size(self) -> int:
        """See ``mftkit.ChatModel``."""
        return self.options.batch

    def start(self, tell: Callable[[str], None]) -> None:
        """See ``mftkit.ChatModel``; loads the model."""
        import torch

        device = self.options.device or ("cuda" if torch.cuda.is_available() else "cpu")
        tell(f"loading {self.options.path} on {device}")
        model: Any
        model, tokenizer = mftkit.load_model(self.options.path, self.options.adapter)
        if tokenizer is None:
            raise mftkit.ChatError(
                f"{self.options.path} has no tokenizer files, so it cannot be used as a chat model"
            )
        self._model = model.to(device)
        self._tokenizer = _with_template_and_padding(tokenizer)
        self._skipped = _skipped_tokens(self._tokenizer)
        self._window = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)

    def replies(self, requests: Sequence[mftkit.ChatRequest]) -> list[mftkit.Reply]:
        """See ``mftkit.ChatModel``; requests with different sampling go into separate batches."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.sampling.items())), []).append(index)
        found: dict[int, mftkit.Reply] = {}
        for indices in groups.values():
            found.update(zip(indices, self._generated([requests[i] for i in indices]), strict=True))
        return [found[index] for index in range(len(requests))]

    def close(self) -> None:
        """See ``mftkit.ChatModel``; frees the memory."""
        self.__dict__.pop("_model", None)

    def _generated(self, requests: Sequence[mftkit.ChatRequest]) -> list[mftkit.Reply]:
        prompts = [self._prompt(request) for request in requests]
        most = self._most(requests[0])
        fits = [i for i, ids in enumerate(prompts) if self._window is None or len(ids) < self._window]
        replies = [mftkit.Reply("", 0, 0, "context") for _ in requests]
        if fits:
            longest = max(len(prompts[i]) for i in fits)
            room = most if self._window is None else min(most, self._window - longest)
            answers = self._continued([requests[i] for i in fits], [prompts[i] for i in fits], room)
            for i, answer in zip(fits, answers, strict=True):
                replies[i] = answer
        return replies

    def _prompt(self, request: mftkit.ChatRequest) -> list[int]:
        messages = [dict(message) for message in request.messages]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _most(self, request: mftkit.ChatRequest) -> int:
        return int(request.sampling.get("reply_tokens", self.options.reply_tokens))

    def _continued(
        self, requests: Sequence[mftkit.ChatRequest], prompts: list[list[int]], room: int
    ) -> list[mftkit.Reply]:
        import torch

        batch = self._tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        batch = batch.to(self._model.device)
        ends = _ends(self._model, self._tokenizer)
        settings = self._settings(requests[0])
        digest = hashlib.sha256(repr([request.seed for request in requests]).encode()).digest()
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(int.from_bytes(digest[:7]))
            output = self._model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=room,
                eos_token_id=ends,
                pad_token_id=self._tokenizer.pad_token_id,
                **settings,
            )
        width = batch["input_ids"].shape[1]
        stops = requests[0].sampling.get("stop") or []
        return [
            self._answer(ids, prompt, ends, [stops] if isinstance(stops, str) else stops)
            for ids, prompt in zip(output[:, width:].tolist(), prompts, strict=True)
        ]

    def _settings(self, request: mftkit.ChatRequest) -> dict[str, object]:
        temperature = request.sampling.get("temperature", self.options.temperature)
        top_p = request.sampling.get("top_p", self.options.top_p)
        if temperature == 0:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        given = {"do_sample": True, "temperature": temperature, "top_p": top_p}
        return {key: value for key, value in given.items() if value is not None}

    def _answer(
        self, ids: list[int], prompt: list[int], ends: list[int], stops: Sequence[str]
    ) -> mftkit.Reply:
        # Reasoning that the template has opened: without its tag, all of a reply that is cut off would be an answer.
        opened = mftkit.opened_reasoning(str(self._tokenizer.decode(prompt[-16:])))
        end = next((place for place, token in enumerate(ids) if token in ends), None)
        kept = [token for token in ids[:end] if token not in self._skipped]
        text = opened + str(self._tokenizer.decode(kept))
        cut = min((text.find(stop) for stop in stops if stop in text), default=None)
        reason = "length" if end is None and cut is None else "stop"
        return mftkit.Reply(text[:cut], len(prompt), len(ids) if end is None else end + 1, reason)


def _with_template_and_padding(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return the tokenizer with a chat template and a padding token; padding is masked."""
    if not getattr(tokenizer, "chat_template", None):
        tokenizer.chat_template = mftkit.chat_format("auto", None, tokenizer).jinja
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _skipped_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the special tokens that are no part of a reply; marks of reasoning are, until core has split it."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    special |= set(tokenizer.all_special_ids)
    names = dict(zip(special, tokenizer.convert_ids_to_tokens(list(special)), strict=True))
    return {token for token, name in names.items() if name not in mftkit.REASONING_TOKENS}


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that end a reply: those of the checkpoint and the tokenizer's end of text."""
    own = model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own]
    return sorted({end for end in (*listed, tokenizer.eos_token_id) if end is not None})
