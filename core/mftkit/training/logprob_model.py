"""The module that is trained: from a batch to the log-probabilities of its loss tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import nn

from mftkit.interfaces.model import ModelAdapter
from mftkit.training.logprobs import draw_tokens, token_logprobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PreTrainedModel

    from mftkit.interfaces.model import Head
    from mftkit.interfaces.tokenization import Batch
    from mftkit.interfaces.tuning import Tuning


Work = TypeVar("Work")


class Within(Protocol):
    """Calls a function with the weights of a model in place."""

    def __call__(self, model: PreTrainedModel, work: Callable[[], Work], /) -> Work:
        """Return what ``work`` returns."""


def _at_once(_model: PreTrainedModel, work: Callable[[], Work], /) -> Work:
    return work()


class LogprobModel(nn.Module):
    """Hidden states, head and log-probabilities in one forward pass.

    No part of the model may be used outside of this module: if the head were applied outside, a data-parallel wrapper
    would not reduce the head's gradient, and a sharding one would raise.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: ModelAdapter,
        tuning: Tuning,
        autocast: torch.dtype | None = None,
        within: Within | None = None,
        *,
        caches_casts: bool = True,
        compiles_head: bool = False,
    ) -> None:
        """``within`` calls a function that uses parts of the model, with their weights in place (``Engine.within``).

        ``caches_casts``: whether autocast keeps its copies of weights until the forward pass ends. Of weights that are
        gathered layer by layer it would keep all, so that the complete model would be in memory.

        ``compiles_head``: whether the softmax over the head's logits is computed by compiled kernels in training.
        """
        super().__init__()
        self._caches_casts = caches_casts
        self._compiles_head = compiles_head
        self._within = within or _at_once
        self.model = model
        self._adapter = adapter
        self._tuning = tuning
        self._autocast = autocast
        self._has_auxiliary_loss = type(adapter).auxiliary_loss is not ModelAdapter.auxiliary_loss

    def forward(self, batch: Batch, factors: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities [V] of the loss tokens (nats), and the auxiliary loss, if the model has one.

        ``factors`` [V]: the gradient that will come back to the log-probabilities, up to a factor, if it is known.
        """

        def work() -> tuple[Tensor, Tensor | None]:
            scored, head, auxiliary = self._scored(batch)
            compiled = self._compiles_head and self.model.training
            return token_logprobs(scored, batch.targets, head, factors=factors, compiled=compiled), auxiliary

        with self._precision(batch):
            return self._within(self._tuning.base_model(self.model), work)

    @torch.no_grad()
    def draw_targets(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Tokens [V] int64 drawn from the model's own distribution in the place of the loss tokens."""

        def work() -> Tensor:
            scored, head, _ = self._scored(batch)
            return draw_tokens(scored, head, random)

        with self._precision(batch):
            return self._within(self._tuning.base_model(self.model), work)

    def _precision(self, batch: Batch) -> torch.autocast:
        device = batch.input_ids.device.type
        return torch.autocast(
            device,
            dtype=self._autocast,
            enabled=self._autocast is not None,
            cache_enabled=self._caches_casts,
        )

    def _scored(self, batch: Batch) -> tuple[Tensor, Head, Tensor | None]:
        """The hidden states [V, H] that predict the loss tokens, the output head, and the auxiliary loss."""
        base = self._tuning.base_model(self.model)
        auxiliary = None
        if self._has_auxiliary_loss:
            outputs = self._adapter.outputs(base, batch)
            hidden, auxiliary = outputs.last_hidden_state, self._adapter.auxiliary_loss(outputs)
        else:
            hidden = self._adapter.hidden_states(base, batch)
        scored = hidden.flatten(0, 1).index_select(0, batch.predictor_index)
        return scored, self._adapter.head(base), auxiliary
