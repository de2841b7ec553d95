"""What a GPU may compute differently from a CPU, checked by ``bench/gpu.py`` on the device itself."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from bench.figures import Figure
from bench.gpu_steps import Work, build, spec_of, steps_of
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

import mftkit
from mftkit.interfaces.model import Head
from mftkit.training.logprobs import token_logprobs
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ATTENTIONS = ("varlen", "sdpa", "eager", "flash_attention_2", "flash_attention_3")


def _work(tiny: bool, **changes: object) -> Work:
    """A model of head size 64 with two layers, or of 0.5B parameters."""
    small = {"max_length": 128, "rows": 4, "tiny": True} if tiny else {"max_length": 1024, "rows": 4}
    return Work(**{"shape": "Qwen2.5-0.5B", "tuning": "full", "micro_batch": 2, **small, **changes})  # type: ignore[arg-type]


def isolation(place: Path, *, tiny: bool) -> list[Figure]:
    """Whether packed samples are kept apart under each attention: the program's own check, made while a run starts."""
    figures = []
    for attention in ATTENTIONS:
        name, lacking = f"isolated under {attention}", _lacking(attention)
        if lacking:
            figures.append(Figure(name, float("nan"), at_least=1, note=lacking))
            continue
        half = attention.startswith("flash") or (attention == "varlen" and torch.cuda.is_available())
        dtype = "bfloat16" if half else "float32"
        try:
            build(_work(tiny, attention=attention, dtype=dtype), place / attention, 2)
            figures.append(Figure(name, 1, at_least=1))
        except MftError as error:
            figures.append(Figure(name, 0, at_least=1, note=str(error)[:160]))
    return figures


def _lacking(attention: str) -> str:
    """What an attention needs and is not there; "" if it can be tried."""
    packages = {
        "flash_attention_2": ("flash-attn", is_flash_attn_2_available),
        "flash_attention_3": ("flash-attn 3", is_flash_attn_3_available),
    }
    if attention not in packages:
        return ""
    package, available = packages[attention]
    return "" if available() else f"needs the package {package} and a GPU"


def bfloat16_loss(place: Path, *, tiny: bool) -> list[Figure]:
    """The relative difference of the first step's loss in bfloat16 from that in float32, of the same weights."""
    losses, dtypes = [], []
    for dtype in ("float32", "bfloat16"):
        run = build(_work(tiny, dtype=dtype), place / dtype, 2)
        losses.append(next(steps_of(run))[2])
        dtypes.append(run.checked.precision.autocast)
    name = "loss in bfloat16 against float32, relative"
    if dtypes[1] is None:
        return [Figure(name, float("nan"), at_most=2e-3, note="this device trains in float32")]
    return [Figure(name, abs(losses[1] - losses[0]) / losses[0], at_most=2e-3)]


def varlen_loss(place: Path, *, tiny: bool) -> list[Figure]:
    """The relative difference of the first step's loss under "varlen" from that of masked rows, of the same weights."""
    losses = {}
    for attention in ("sdpa", "varlen"):
        work = _work(tiny, attention=attention, dtype="bfloat16" if torch.cuda.is_available() else "float32")
        losses[attention] = next(steps_of(build(work, place / attention, 2)))[2]
    difference = abs(losses["varlen"] - losses["sdpa"]) / losses["sdpa"]
    return [Figure("loss under varlen against masked rows, relative", difference, at_most=2e-3)]


def compiled_head(place: Path, *, tiny: bool) -> list[Figure]:  # noqa: ARG001
    """Log-probabilities and gradients by the compiled softmax against those by chunks in place."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vocabulary, width, tokens = (500, 16, 50) if tiny else (151_936, 896, 2000)
    drawn = torch.Generator().manual_seed(0)
    found = []
    for compiled in (True, False):
        drawn.manual_seed(0)
        hidden, weight = (
            (torch.randn(n, width, generator=drawn) * 0.1).to(device, torch.bfloat16).requires_grad_()
            for n in (tokens, vocabulary)
        )
        targets = torch.randint(vocabulary, (tokens,), generator=drawn).to(device)
        values = token_logprobs(hidden, targets, Head(weight), compiled=compiled)
        found.append((values.detach(), *torch.autograd.grad(values.sum(), (hidden, weight))))
    names = ("log-probabilities", "gradients at hidden states", "gradients at the weight")
    return [
        Figure(
            f"compiled head, {name}, relative",
            float((one - other).double().norm() / other.double().norm()),
            at_most=2e-2,
        )
        for name, one, other in zip(names, *found, strict=True)
    ]


def four_bit(place: Path, *, tiny: bool) -> list[Figure]:
    """The 4-bit product against the product with the same weights dequantized, and a step of QLoRA."""
    import bitsandbytes as bnb

    run = build(_work(tiny, tuning="qlora", dtype="float32"), place, 2)
    layer = next(module for module in run.model.modules() if isinstance(module, bnb.nn.Linear4bit))
    device = layer.weight.device
    hidden = torch.randn(64, layer.in_features, device=device)
    with torch.no_grad():
        exact = (
            hidden @ bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).t().float()
        )
        bias = 0.0 if layer.bias is None else layer.bias
        difference = ((layer(hidden) - exact - bias).norm() / exact.norm()).item()
    losses = [loss for _, _, loss in steps_of(run)]
    return [
        Figure("4-bit product against dequantized weights, relative", difference, at_most=5e-3),
        Figure("QLoRA: steps with a finite loss", sum(map(_is_finite, losses)), at_least=len(losses)),
    ]


def resumption(place: Path, *, tiny: bool) -> list[Figure]:
    """Whether a run that ended after half of its steps and was made longer ends with the weights of an unbroken one."""
    # Products and sums of eager attention repeat to the bit; the backward passes of other kernels add in any order.
    spec = spec_of(_work(tiny, dtype="float32", attention="eager"), place, 6)
    fixed = {"learning_rate": 1e-4, "scheduler": "constant", "warmup": 1, "checkpoint_every": 3}
    spec["training"] = {**spec["training"], **fixed}
    (place / "spec.json").write_text(json.dumps(spec))
    hashes = []
    for name, ends in (("whole", (6,)), ("parts", (3, 6))):
        for end in ends:
            changes = [f"training.max_steps={end}", f"output={place / name}"]
            mftkit.run(mftkit.load_spec(place / "spec.json", changes))
        content = b"".join(
            file.read_bytes() for file in sorted((place / name / "model").glob("*.safetensors"))
        )
        hashes.append(hashlib.sha256(content).hexdigest())
    same = hashes[0] == hashes[1] != hashlib.sha256().hexdigest()
    return [Figure("weights of a resumed run equal to the bit", same, at_least=1)]


def _is_finite(loss: float) -> bool:
    return loss == loss and abs(loss) != float("inf")


CHECKS: dict[str, Callable[..., list[Figure]]] = {
    "isolation": isolation,
    "bfloat16": bfloat16_loss,
    "varlen": varlen_loss,
    "compiled head": compiled_head,
    "four-bit": four_bit,
    "resumption": resumption,
}
