"""Kernels of liger-kernel: where they are refused, and the comparison, with stand-ins for the package.

No test here runs the package's own kernels: they need a GPU.
"""

from __future__ import annotations

import sys
from types import MethodType, ModuleType
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mftkit.models import fused_kernels
from mftkit.models.fused_kernels import check_fused_kernels, use_fused_kernels
from mftkit.models.native import NativeAdapter
from mftkit_registry import MftError

CUDA = torch.device("cuda", 0)


def stand_in(monkeypatch: pytest.MonkeyPatch, factor: float) -> list[dict[str, Any]]:
    """A package whose norms multiply by ``factor`` times the weight; returns the options it is called with."""
    calls: list[dict[str, Any]] = []

    def norm(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight * factor, self.variance_epsilon)

    def apply(model: Any, **options: Any) -> None:
        calls.append(options)
        for module in model.modules():
            if type(module).__name__ == "LlamaRMSNorm":
                module.forward = MethodType(norm, module)

    patches: Any = ModuleType("liger_kernel.transformers.monkey_patch")
    patches.MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": None, "qwen2": None}
    patches._apply_liger_kernel_to_instance = apply
    for name in ("liger_kernel", "liger_kernel.transformers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, patches.__name__, patches)
    return calls


def tiny(dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_attention_heads=2, vocab_size=64))
    torch.nn.Module.to(model, dtype)
    return model


def adapter() -> NativeAdapter:
    return NativeAdapter(NativeAdapter.Options())


def test_right_kernels_are_kept_without_those_of_head_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in(monkeypatch, 1.0)
    model = tiny()
    use_fused_kernels(adapter(), model)
    assert model.model.norm.forward.__name__ == "norm"
    (options,) = calls
    assert {name for name, on in options.items() if not on} == {"cross_entropy", "fused_linear_cross_entropy"}


def test_wrong_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, 1.01)
    with pytest.raises(
        MftError, match="hidden states of LlamaForCausalLM differ by 0.0.*fused_kernels to false"
    ):
        use_fused_kernels(adapter(), tiny())


def test_a_wrong_backward_pass_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, 1.0)
    patches = sys.modules["liger_kernel.transformers.monkey_patch"]

    def apply(model: Any, **_options: Any) -> None:
        model.model.norm.register_full_backward_pre_hook(lambda _module, grads: tuple(g * 2 for g in grads))

    monkeypatch.setattr(patches, "_apply_liger_kernel_to_instance", apply)
    with pytest.raises(MftError, match="the gradients of LlamaForCausalLM differ by 1 "):
        use_fused_kernels(adapter(), tiny())


@pytest.mark.parametrize(("half", "dtype"), [(True, torch.float32), (False, torch.bfloat16)])
def test_products_in_16_bits_may_differ_more(
    monkeypatch: pytest.MonkeyPatch, half: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(fused_kernels, "lacks_float32", lambda _model: half)
    stand_in(monkeypatch, 1.01)
    use_fused_kernels(adapter(), tiny(dtype))
    stand_in(monkeypatch, 1.2)
    with pytest.raises(MftError, match=r"hidden states .* differ by 0\.2.*rounding explains 0\.06"):
        use_fused_kernels(adapter(), tiny(dtype))


def test_where_they_cannot_run_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MftError, match="run on CUDA, and this run trains on cpu"):
        check_fused_kernels(torch.device("cpu"), {"model_type": "llama"})
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(MftError, match=r'needs the package liger-kernel .*pip install "mftkit\[liger\]"'):
        check_fused_kernels(CUDA, {"model_type": "llama"})
    stand_in(monkeypatch, 1.0)
    check_fused_kernels(CUDA, {"model_type": "llama"})
    with pytest.raises(MftError, match="no kernels for model_type gpt_neox .*llama, qwen2"):
        check_fused_kernels(CUDA, {"model_type": "gpt_neox"})
