"""Activations in host memory: the same gradients, parameters never copied, small tensors left where they are."""

from __future__ import annotations

import pytest
import torch

from mftkit_plugins.engines import offloading


def test_gradients_are_the_same_and_only_large_activations_are_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.Linear(64, 8))
    inputs = torch.randn(32, 64)
    model(inputs).square().sum().backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad()

    copied: list[tuple[int, ...]] = []
    kept: list[tuple[int, ...]] = []
    pack = offloading._pack

    def watched(tensor: torch.Tensor, least: int) -> tuple[torch.Tensor, torch.device]:
        host, device = pack(tensor, least)
        (kept if host is tensor else copied).append(tuple(tensor.shape))
        return host, device

    monkeypatch.setattr(offloading, "_pack", watched)
    with offloading.offloaded_activations(least=2048):
        loss = model(inputs).square().sum()
    loss.backward()
    # The inputs of both layers and of the activation; neither a weight nor the 1,024 bytes before the sum.
    assert copied == [(32, 64)] * 3
    assert kept == [(64, 8), (32, 8)]
    found = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(found) == 4
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, expected, strict=True))
