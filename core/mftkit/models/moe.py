"""Families with mixtures of experts (MoE): the loss that keeps the load of their experts balanced."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from pydantic import Field

from mftkit.interfaces import component
from mftkit.models.native import DecoderOutputs, NativeAdapter, decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from mftkit.interfaces.tokenization import Batch

    BalanceLoss = Callable[[tuple[Tensor, ...], int, int, Tensor | None], Tensor]
    """``load_balancing_loss_func`` of a family in transformers: router logits, experts, experts per token, mask."""


class MoEOptions(component.Options):
    """Options of a family that has models with experts."""

    router_loss: float | None = Field(default=None, ge=0)
    """Coefficient of the router's balance loss; null: the checkpoint's own; 0: no such loss."""


class MoEOutputs(DecoderOutputs, Protocol):
    """Outputs of a decoder with experts."""

    router_loss: Tensor | None
    """A scalar: the balance loss times its coefficient."""


@dataclass
class RouterOutputs:
    """What the routers of a model gave in one forward pass over B * S positions, one entry per layer."""

    logits: list[Tensor] = field(default_factory=list)
    """[B * S, experts] each, with gradient."""
    chosen: list[Tensor | None] = field(default_factory=list)
    """[B * S, k] int64: the experts that each position was sent to; None if the router does not return them."""


class MoEAdapter(NativeAdapter):
    """A family in which some models have experts; the others are served as by ``NativeAdapter``.

    The loss is the family's own function in transformers, times the coefficient in the config; padding is left out of
    it. Override ``balance_loss`` for another loss.
    """

    Options = MoEOptions
    options: MoEOptions
    coefficient_key: ClassVar[str] = "router_aux_loss_coef"
    """The key of the config with the loss's coefficient."""
    usual_coefficient: ClassVar[float] = 0.0
    """The coefficient if the config has none."""

    def coefficient(self, model: PreTrainedModel) -> float:
        """Return the coefficient of the balance loss: the spec's, else the config's."""
        if self.options.router_loss is not None:
            return self.options.router_loss
        value = getattr(model.config.get_text_config(), self.coefficient_key, None)
        return self.usual_coefficient if value is None else float(value)

    def outputs(self, model: PreTrainedModel, batch: Batch) -> DecoderOutputs:
        """Return the decoder's outputs; those of a model with experts have a ``router_loss``."""
        coefficient = self.coefficient(model)
        router = router_class(model) if coefficient else None
        if router is None:
            return super().outputs(model, batch)
        with record_routers(model, router) as routed:
            outputs = cast("MoEOutputs", super().outputs(model, batch))
        outputs.router_loss = None
        if routed.logits:
            loss = self.balance_loss(model, batch, routed)
            outputs.router_loss = None if loss is None else coefficient * loss
        return outputs

    def auxiliary_loss(self, outputs: object) -> Tensor | None:
        """Return the router's balance loss times its coefficient, None if there is none."""
        loss: Tensor | None = getattr(outputs, "router_loss", None)
        return loss

    def balance_loss(self, model: PreTrainedModel, batch: Batch, routed: RouterOutputs) -> Tensor | None:
        """Return a scalar, before the coefficient (Switch, arXiv 2101.03961, Eq. 4-6).

        It is k, the number of experts per token, if all experts get the same load, and larger otherwise. Computed by
        the function of the family's module in transformers; None if it has none.
        """
        family_loss = _family_loss(model)
        chosen = getattr(model.config.get_text_config(), "num_experts_per_tok", None)
        if family_loss is None or chosen is None:
            return None
        if batch.real_tokens == 0:  # a mean over nothing: 0, with a gradient so that every process has one
            return sum_of(routed) * 0.0
        return family_loss(tuple(routed.logits), routed.logits[0].shape[-1], chosen, batch.token_mask)

    def notes(self, model: PreTrainedModel) -> list[str]:
        """Return a note if nothing balances the experts."""
        if router_class(model) is None or not self.lora_parameters(model):
            return []
        name = type(model).__name__
        if type(self).balance_loss is MoEAdapter.balance_loss and _family_loss(model) is None:
            return [f"the experts of {name} are not balanced: no loss of its router is known"]
        if not self.coefficient(model):
            return [f"the experts of {name} are not balanced: the coefficient of its router's loss is 0"]
        return []


def _family_loss(model: PreTrainedModel) -> BalanceLoss | None:
    # Sharding derives a class of another module from the model's own.
    modules = (sys.modules[each.__module__] for each in type(model).__mro__)
    found = (getattr(module, "load_balancing_loss_func", None) for module in modules)
    return next((loss for loss in found if loss is not None), None)


def router_class(model: PreTrainedModel) -> type[nn.Module] | None:
    """Return the class of the modules that choose experts, None if the model has no experts."""
    # transformers declares here which modules its ``output_router_logits`` would record.
    recorders = getattr(decoder(model), "_can_record_outputs", None) or {}
    recorder = recorders.get("router_logits")
    found = getattr(recorder, "target_class", recorder)
    return found if isinstance(found, type) else _undeclared_router_class(model)


def _undeclared_router_class(model: PreTrainedModel) -> type[nn.Module] | None:
    """Return the class of the gates beside experts, which some families do not declare (below transformers 5.19)."""
    from torch.nn import Linear, Module

    for module in decoder(model).modules():
        gate = getattr(module, "gate", None)
        if isinstance(gate, Module) and type(gate) is not Linear and hasattr(module, "experts"):
            return type(gate)
    return None


@contextmanager
def record_routers(model: PreTrainedModel, router: type[nn.Module]) -> Iterator[RouterOutputs]:
    """Record what the routers return in the forward pass within.

    The hooks are gone by the backward pass, so that recomputed activations (gradient checkpointing) record nothing
    twice.
    """
    routed = RouterOutputs()

    def keep(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        # Routers return logits, or a tuple of logits, weights and (in most families) the chosen experts.
        parts = output if isinstance(output, tuple) else (output,)
        chosen = parts[-1] if len(parts) > 1 and not parts[-1].is_floating_point() else None
        routed.logits.append(parts[0].flatten(0, -2))
        routed.chosen.append(None if chosen is None else chosen.flatten(0, -2))

    handles = [m.register_forward_hook(keep) for m in decoder(model).modules() if isinstance(m, router)]
    try:
        yield routed
    finally:
        for handle in handles:
            handle.remove()


def sum_of(routed: RouterOutputs) -> Tensor:
    """Return a scalar that depends on every router."""
    total = routed.logits[0].sum()
    for logits in routed.logits[1:]:
        total = total + logits.sum()
    return total
