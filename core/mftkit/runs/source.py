"""Weights that a reference stands for, as something that can be loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

from mftkit.models.vocabulary import guard_vocabulary

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.interfaces.model import LoadRequest, ModelAdapter
    from mftkit.runs.reference import Weights


class Source(ABC):
    """Weights that can be loaded: a whole model, or a base and an adapter to attach to it."""

    weights: Weights
    place: str
    """Where the weights are."""
    adapter: ModelAdapter
    request: LoadRequest
    """Loads the model without the adapter, in its own dtype."""
    is_adapter: bool
    """Whether there is an adapter to attach to what ``request`` loads."""

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Return the tokenizer, with the chat template of training; None if there is none."""

    @abstractmethod
    def tokenizer_place(self) -> str | None:
        """Return the directory or hub id of the tokenizer; None if it is beside the model that ``request`` loads."""

    @abstractmethod
    def load_base(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        dtype: torch.dtype | None = None,
        attention: str = "auto",
    ) -> PreTrainedModel:
        """Return the whole model, or the base of an adapter.

        ``dtype`` of the weights; None: their own.
        """

    def fingerprint(self) -> str | None:
        """Return what the weights are recognized by wherever they lie; None if only their files can say it."""
        return None

    @property
    def pinned(self) -> str:
        """The reference, with the step that it means now."""
        return self.place

    def config(self) -> JsonObject:
        """Return the config of the model that ``request`` loads."""
        return self.request.config

    def model_section(self) -> JsonObject:
        """Return the model that ``request`` loads, as the ``model`` section of a spec names it."""
        if self.request.path is None:
            return {"path": None, "config": self.request.config}
        return {"path": self.request.path, "revision": self.request.revision}

    @abstractmethod
    def attach(self, base: PreTrainedModel) -> nn.Module:
        """Return the base with the adapter in place."""

    def load(self, tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedModel:
        """Return the model with all that belongs to it, in evaluation mode."""
        model = self.load_base(tokenizer)
        if tokenizer is not None:
            guard_vocabulary(tokenizer, model)
        if self.is_adapter:
            model = cast(
                "PreTrainedModel", self.attach(model)
            )  # peft passes on every attribute that it lacks
        model.train(False)
        return model
