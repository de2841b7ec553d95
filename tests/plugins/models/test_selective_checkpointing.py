"""Selective checkpointing trains every declared family exactly as without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import torch

from mftkit.models.recomputation import recompute_activations
from mftkit.testing.tiny import SIZES, from_random
from model_families import declared_families

if TYPE_CHECKING:
    from mftkit import Family, ModelAdapter

FAMILIES = [pytest.param(adapter, family, id=family.name) for _, adapter, family in declared_families()]


def step(
    adapter: ModelAdapter, family: Family, how: Literal[False, "selective"]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss and the gradients of one batch, with weights none of which are 0, as biases are at the start."""
    model = from_random(adapter, dict(family.config)).train()
    recompute_activations(model, how)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    ids = (torch.arange(48) * 7 + 3).remainder(SIZES["vocab_size"]).view(2, 24)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)  # of dropout
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("adapter", "family"), FAMILIES)
def test_a_family_trains_the_same_under_selective_checkpointing(
    adapter: ModelAdapter, family: Family
) -> None:
    expected_loss, expected = step(adapter, family, False)
    loss, gradients = step(adapter, family, "selective")
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradients, expected)
