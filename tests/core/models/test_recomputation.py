"""What recomputing activations keeps, and that it changes no gradient."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from transformers import LlamaConfig, LlamaForCausalLM

from mftkit.models.recomputation import recompute_activations, selective_contexts
from mftkit.tools.plan.live_bytes import LiveBytes

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 64,
}  # fmt: skip


def step(
    attention: str, how: bool | Literal["selective"], dropout: float = 0.0
) -> tuple[list[torch.Tensor], int]:
    """The gradients of one step, and its peak of memory in bytes."""
    torch.manual_seed(0)
    config = LlamaConfig(**SHAPE, attention_dropout=dropout)
    config._attn_implementation = attention
    model = LlamaForCausalLM(config).train()
    recompute_activations(model, how)
    live = LiveBytes(model.parameters())
    ids = torch.randint(0, 64, (2, 64))
    with live:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None], live.peak


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_selective_recomputation_is_exact_and_between_both_in_memory(attention: str) -> None:
    kept, all_memory = step(attention, False, 0.1)
    selective, some = step(attention, "selective", 0.1)
    none, least = step(attention, True, 0.1)
    for found, also, expected in zip(selective, none, kept, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(also, expected, rtol=1e-6, atol=1e-7)
    assert least < 0.95 * some
    assert some < 0.95 * all_memory


class Changing(torch.nn.Module):
    """A layer that changes kept results in place, one of them through a view."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = torch.nn.Linear(8, 8, bias=False), torch.nn.Linear(8, 8)
        self.bias = torch.nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.up(x)
        hidden.add_(self.bias)
        out = self.down(torch.nn.functional.silu(hidden))
        out.view(-1)[:8].mul_(2)
        return torch.sin(out)


@pytest.mark.parametrize("compiled", [False, True])
def test_selective_recomputation_of_a_layer_that_changes_its_results(compiled: bool) -> None:
    def gradients(selective: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        layer, x = Changing(), torch.randn(4, 8, requires_grad=True)

        def forward(x: torch.Tensor) -> Any:
            if not selective:
                return layer(x)
            return checkpoint(layer, x, use_reentrant=False, context_fn=selective_contexts)

        if compiled:
            torch._dynamo.reset()
            forward = torch.compile(forward, backend="aot_eager")
        forward(x).sum().backward()
        return [tensor.grad for tensor in (x, *layer.parameters()) if tensor.grad is not None]

    torch.testing.assert_close(gradients(selective=True), gradients(selective=False))
