"""Families with mixtures of experts: the loss that keeps their routers in balance."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mftkit.interfaces import component
from mftkit.models.native import NativeAdapter, decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.tokenization import Batch


class MixtureOptions(component.Options):
    """What a spec may set of a family that has experts."""

    router_loss: float | None = Field(default=None, ge=0)
    """Coefficient of the router's balance loss; null: the checkpoint's own, 0: without it."""


@dataclass
class RouterOutputs:
    """What the routers of a model gave in one forward pass, a layer each, for B * S positions."""

    logits: list[Tensor] = field(default_factory=list)
    """[B * S, experts] each, with gradient."""
    chosen: list[Tensor | None] = field(default_factory=list)
    """[B * S, k] int64: the experts that each position went to; None where the router does not say."""


class MoEAdapter(NativeAdapter):
    """A family some of whose models have experts; those without are served as by ``NativeAdapter``.

    The loss is the family's own function in transformers, times the coefficient in the config; padding counts for
    nothing. Other losses: ``balance_loss``.
    """

    Options = MixtureOptions
    options: MixtureOptions
    coefficient_key: ClassVar[str] = "router_aux_loss_coef"
    """The key of the config that holds the loss's coefficient."""
    usual_coefficient: ClassVar[float] = 0.0
    """Where the config has none."""

    def coefficient(self, model: PreTrainedModel) -> float:
        """Of the balance loss: the spec's, else the config's."""
        if self.options.router_loss is not None:
            return self.options.router_loss
        kept = getattr(model.config.get_text_config(), self.coefficient_key, None)
        return self.usual_coefficient if kept is None else float(kept)

    def outputs(self, model: PreTrainedModel, batch: Batch) -> Any:
        """The decoder's outputs, with ``router_loss``: a scalar, None where there is none."""
        coefficient = self.coefficient(model)
        router = router_class(model) if coefficient else None
        if router is None:
            return super().outputs(model, batch)
        with recorded(model, router) as routed:
            outputs = super().outputs(model, batch)
        outputs.router_loss = None
        if routed.logits:
            loss = self.balance_loss(model, batch, routed)
            outputs.router_loss = None if loss is None else coefficient * loss
        return outputs

    def auxiliary_loss(self, outputs: Any) -> Tensor | None:
        """The router's balance loss times its coefficient."""
        loss: Tensor | None = getattr(outputs, "router_loss", None)
        return loss

    def balance_loss(self, model: PreTrainedModel, batch: Batch, routed: RouterOutputs) -> Tensor | None:
        """A scalar, before the coefficient (Switch, arXiv 2101.03961, Eq. 4-6).

        It is k, the number of experts that a token goes to, where all experts get equally much, and more else. By
        the function of the family's module in transformers; None where it has none.
        """
        family = getattr(sys.modules[type(model).__module__], "load_balancing_loss_func", None)
        chosen = getattr(model.config.get_text_config(), "num_experts_per_tok", None)
        if family is None or chosen is None:
            return None
        if batch.real_tokens == 0:  # a mean over nothing: no loss, but a gradient as of every other batch
            return sum_of(routed) * 0.0
        loss: Tensor = family(tuple(routed.logits), routed.logits[0].shape[-1], chosen, batch.token_mask)
        return loss

    def notes(self, model: PreTrainedModel) -> list[str]:
        """That experts are not balanced, where nothing does it."""
        family = getattr(sys.modules[type(model).__module__], "load_balancing_loss_func", None)
        if router_class(model) is None or not self.lora_parameters(model):
            return []
        if type(self).balance_loss is MoEAdapter.balance_loss and family is None:
            return [f"nothing balances the experts of {type(model).__name__}: no loss of its router is known"]
        if not self.coefficient(model):
            return [
                f"nothing balances the experts of {type(model).__name__}: the coefficient of its loss is 0"
            ]
        return []


def router_class(model: PreTrainedModel) -> type[nn.Module] | None:
    """The class of the modules that choose experts, where the model has any."""
    recorders = getattr(decoder(model), "_can_record_outputs", None) or {}
    recorder = recorders.get("router_logits")
    found = getattr(recorder, "target_class", recorder)
    return found if isinstance(found, type) else None


@contextmanager
def recorded(model: PreTrainedModel, router: type[nn.Module]) -> Iterator[RouterOutputs]:
    """Keeps what the routers give in the forward pass within; not in its repetition for gradients."""
    routed = RouterOutputs()

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        several = isinstance(output, tuple)
        logits = output[0] if several else output
        chosen = output[-1] if several and not output[-1].is_floating_point() else None
        routed.logits.append(logits.flatten(0, -2))
        routed.chosen.append(None if chosen is None else chosen.flatten(0, -2))

    handles = [m.register_forward_hook(keep) for m in decoder(model).modules() if isinstance(m, router)]
    try:
        yield routed
    finally:
        for handle in handles:
            handle.remove()


def sum_of(routed: RouterOutputs) -> Tensor:
    """A scalar that every router has a part in."""
    total = routed.logits[0].sum()
    for logits in routed.logits[1:]:
        total = total + logits.sum()
    return total
