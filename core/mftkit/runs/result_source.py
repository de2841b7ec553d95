"""Weights in a directory, of a whole model or a PEFT adapter, or on the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mftkit.base.tokenizer_files import has_vocabulary, load_tokenizer
from mftkit.interfaces.model import LoadRequest
from mftkit.models import result as results
from mftkit.models.config import dtype_of, read_config
from mftkit.models.selection import select_adapter
from mftkit.runs.base_checkpoint import base_fingerprint
from mftkit.runs.source import Source
from mftkit_registry import MftError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import ModelAdapter
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.reference import Weights


class ResultSource(Source):
    """A directory with a whole model or a PEFT adapter, or a model on the hub."""

    def __init__(
        self, weights: Weights, reporter: Reporter | None, model_adapter: ModelAdapter | None
    ) -> None:
        if weights.result is None:
            assert weights.hub_id is not None, "weights are in a directory or on the hub"
            self.result = results.Result(Path(weights.hub_id), None, None, {})
            self.adapter, self.request = _of_hub(weights, reporter, model_adapter)
        else:
            self.result = weights.result
            self.adapter, self.request = results.adapter_and_request(weights.result, reporter, model_adapter)
        self.weights, self.place = weights, str(weights)
        self.is_adapter = self.result.config is not None

    def fingerprint(self) -> str | None:
        """Return the size and checksum of the files of an adapter."""
        files = base_fingerprint(self.result.path) if self.is_adapter else {}
        return "-".join(str(number) for numbers in files.values() for number in numbers) or None

    def model_section(self) -> JsonObject:
        """Return the model that ``request`` loads, as the ``model`` section of a spec names it."""
        path = str(self.request.path)
        place = Path(path).absolute() if Path(path).is_dir() else path
        return {"path": str(place), "revision": self.request.revision}

    def tokenizer_place(self) -> str | None:
        """Return the adapter's directory if the tokenizer is there."""
        own = str(self.result.path)
        return own if self.is_adapter and has_vocabulary(own) else None

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Return the one beside the weights, or else that of an adapter's base."""
        own = load_tokenizer(str(self.result.path)) if self.is_adapter else None
        return own or self.adapter.load_tokenizer(self.request)

    def load_base(
        self,
        tokenizer: PreTrainedTokenizerBase | None,  # noqa: ARG002  # a result has a row for each of its tokens
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the whole model, or the base of an adapter."""
        request = replace(self.request, dtype=dtype or self.request.dtype, attention=attention)
        return results.load_weights(self.result, self.adapter, request)

    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return peft's model with the adapter in place."""
        return results.with_peft_adapter(self.result, base)


def _of_hub(
    weights: Weights, reporter: Reporter | None, model_adapter: ModelAdapter | None
) -> tuple[ModelAdapter, LoadRequest]:
    path = str(weights.hub_id)
    try:
        config = read_config(path, revision=weights.revision)
    except MftError as error:
        raise MftError(
            f"{path}: there is no such directory, and no model that can be loaded from the hub ({error})"
        ) from error
    model_adapter = model_adapter or select_adapter(config, reporter=reporter)[1]
    return model_adapter, LoadRequest(path, config, dtype_of(config), "auto", revision=weights.revision)
