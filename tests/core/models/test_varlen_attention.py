"""The attention "varlen" against the formula, with a mask of the whole row, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import varlen

from mftkit.models.varlen_attention import register, varlen_attention

LENGTHS = (5, 1, 7, 2)


def inputs(
    heads: int = 4,
    key_heads: int = 2,
    width: int = 8,
    value_width: int = 8,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    total = sum(LENGTHS)
    shapes = ((heads, width), (key_heads, width), (key_heads, value_width))
    query, key, value = (torch.randn(1, n, total, d, dtype=dtype).requires_grad_() for n, d in shapes)
    return query, key, value


def borders() -> dict[str, Any]:
    starts = torch.tensor([0, *LENGTHS]).cumsum(0).int()
    return {"cu_seq_lens_q": starts, "max_length_q": max(LENGTHS)}


def by_formula(
    query: Tensor, key: Tensor, value: Tensor, window: int | None = None, scaling: float | None = None
) -> Tensor:
    """softmax(Q K^T * scaling + mask) V, [1, S, heads, D of values]."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    sample = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    place = torch.arange(len(sample))
    behind = place[:, None] - place[None, :]
    seen = (sample[:, None] == sample[None, :]) & (behind >= 0) & (behind < (window or len(sample)))
    scores = query @ key.transpose(2, 3) * (scaling or 1 / math.sqrt(query.shape[-1]))
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 1, 3, 7])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("shape", [{}, {"key_heads": 4}, {"key_heads": 1, "value_width": 4}])
def test_results_and_gradients_are_those_of_the_formula(
    window: int | None, scaling: float | None, shape: dict[str, Any]
) -> None:
    given = inputs(**shape)
    found, weights = varlen_attention(
        nn.Module(), *given, None, scaling=scaling, sliding_window=window, **borders()
    )
    expected = by_formula(*given, window, scaling)
    assert weights is None
    assert torch.allclose(found, expected, atol=1e-12)
    direction = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad((found * direction).sum(), given),
        torch.autograd.grad((expected * direction).sum(), given),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-12)


def test_each_row_is_a_sequence_without_borders() -> None:
    query, key, value = (torch.randn(3, 2, 6, 4, dtype=torch.float64) for _ in range(3))
    found, _ = varlen_attention(nn.Module(), query, key, value, None, sliding_window=2)
    place = torch.arange(6)
    behind = place[:, None] - place[None, :]
    scores = (query @ key.transpose(2, 3) / 2).masked_fill((behind < 0) | (behind > 1), -torch.inf)
    assert torch.allclose(found, (scores.softmax(-1) @ value).transpose(1, 2), atol=1e-12)


def test_a_mask_that_transformers_made_is_obeyed() -> None:
    query, key, value = (torch.randn(1, 2, 6, 4, dtype=torch.float64) for _ in range(3))
    seen = torch.rand(1, 1, 6, 6) < 0.5
    seen |= torch.eye(6, dtype=torch.bool)
    found, _ = varlen_attention(nn.Module(), query, key, value, seen)
    scores = (query @ key.transpose(2, 3) / 2).masked_fill(~seen, -torch.inf)
    assert torch.allclose(found, (scores.softmax(-1) @ value).transpose(1, 2), atol=1e-12)


def test_a_mask_beside_borders_is_refused() -> None:
    """A model made it by itself, so it holds more than the borders: the biases of ALiBi, for example."""
    query, key, value = inputs()
    with pytest.raises(ValueError, match="cannot compute with the model's own mask"):
        varlen_attention(nn.Module(), query, key, value, torch.zeros(1, 1, 15, 15), **borders())


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_scores_that_the_kernel_lacks_are_refused(name: str) -> None:
    asked: dict[str, Any] = {name: 3.0}
    query, key, value = inputs()
    with pytest.raises(ValueError, match=f"attention varlen cannot compute {name}"):
        varlen_attention(nn.Module(), query, key, value, None, **borders(), **asked)


def test_what_is_not_causal_is_refused() -> None:
    module = nn.Module()
    module.is_causal = False  # type: ignore[assignment]
    query, key, value = inputs()
    with pytest.raises(ValueError, match="cannot compute what is not causal"):
        varlen_attention(module, query, key, value, None)
    with pytest.raises(ValueError, match="cannot compute what is not causal"):
        varlen_attention(nn.Module(), query, key, value, None, is_causal=False)


def test_dropout_is_that_of_sdpa() -> None:
    given = inputs()
    torch.manual_seed(3)
    found, _ = varlen_attention(nn.Module(), *given, None, dropout=0.5, **borders())
    assert not torch.allclose(found, by_formula(*given), atol=1e-3)


class Kernel:
    """In the place of torch's kernel, which needs CUDA: computes what its documentation says, from the formula."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, starts: Tensor, starts_of_keys: Tensor, most: int,
        most_keys: int, **options: Any,
    ) -> Tensor:  # fmt: skip
        assert torch.equal(starts, starts_of_keys)
        assert starts.dtype == torch.int32
        assert most == most_keys == max(LENGTHS)
        assert query.shape[-1] == key.shape[-1] == value.shape[-1]
        assert options["enable_gqa"] or query.shape[1] == key.shape[1]
        left, right = options["window_size"]
        assert right == 0
        self.calls.append(options)
        q, k, v = (each.transpose(0, 1).unsqueeze(0) for each in (query, key, value))
        # Of a window of size (W, 0), each token sees W before it and itself.
        return by_formula(q, k, v, None if left < 0 else left + 1, options["scale"]).squeeze(0)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("shape", [{}, {"key_heads": 4}, {"value_width": 4}])
def test_the_kernel_is_given_what_it_expects(
    monkeypatch: pytest.MonkeyPatch, window: int | None, shape: dict[str, Any]
) -> None:
    from mftkit.models.varlen_attention import _kernel

    kernel = Kernel()
    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    given = inputs(**shape, dtype=torch.bfloat16)
    starts, longest = borders().values()
    found = _kernel(*given, starts, longest, 0.0, 0.3, window)
    assert torch.equal(found, by_formula(*given, window, 0.3))
    assert len(kernel.calls) == 1


@pytest.mark.parametrize(
    ("changes", "dropout", "message"),
    [
        ({"dtype": torch.float32}, 0.0, "needs bfloat16 or float16 on CUDA .* 8 of float32"),
        ({"dtype": torch.bfloat16, "width": 264}, 0.0, "at most 256 channels; these have 264"),
        ({"dtype": torch.bfloat16}, 0.1, "has no dropout on CUDA"),
    ],
)
def test_what_the_kernel_lacks_is_refused(changes: dict[str, Any], dropout: float, message: str) -> None:
    from mftkit.models.varlen_attention import _kernel

    starts, longest = borders().values()
    with pytest.raises(ValueError, match=message):
        _kernel(*inputs(**changes), starts, longest, dropout, None, None)


def test_registration_may_be_repeated() -> None:
    from transformers import AttentionInterface

    register()
    register()
    assert AttentionInterface()["varlen"] is varlen_attention
