"""What DeepSpeed cannot do is refused by name, and its own messages do not reach users."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import mftkit
from forked import run_forked
from mftkit_plugins.engines.deepspeed import DeepSpeed
from mftkit_plugins.tunings.full import Full
from mftkit_plugins.tunings.qlora import QLora


def engine(**options: Any) -> DeepSpeed:
    return DeepSpeed(DeepSpeed.Options.model_validate(options))


def test_one_gradient_per_task_is_refused() -> None:
    with pytest.raises(mftkit.MftError, match="gradients: a gradient per task cannot be kept with DeepSpeed"):
        engine().check(Full(Full.Options()), per_task_gradients=True)


def test_quantized_weights_are_refused_where_weights_are_sharded() -> None:
    tuning = QLora(QLora.Options())
    engine(stage=2).check(tuning, per_task_gradients=False)
    with pytest.raises(
        mftkit.MftError, match=r"engine\.options\.stage: DeepSpeed cannot shard 4-bit weights"
    ):
        engine(stage=3).check(tuning, per_task_gradients=False)


def test_other_dtypes_of_trained_weights_are_refused() -> None:
    model = nn.Linear(2, 2, dtype=torch.float64)
    with pytest.raises(mftkit.MftError, match=r"model\.dtype: .* must be float32, not float64"):
        engine().wrap(model, torch.optim.AdamW(model.parameters()))


def test_experts_with_an_adapter_are_refused_where_weights_are_sharded() -> None:
    model = nn.Sequential(type("ParamWrapper", (nn.Linear,), {})(2, 2))
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.raises(mftkit.MftError, match="cannot shard experts that have an adapter"):
        engine(stage=3).wrap(model, optimizer)


def test_stages_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="Input should be 2 or 3"):
        engine(stage=1)


@pytest.mark.long
@pytest.mark.engines
def test_it_writes_nothing_and_compiles_nothing(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for compiler in ("gcc", "g++", "cc", "c++", "ninja"):
        (bin_ / compiler).write_text(f"#!/bin/sh\ntouch {tmp_path}/compiled\nexit 1\n")
        (bin_ / compiler).chmod(0o755)
    code = f"""
import os
os.environ["PATH"] = {str(bin_)!r} + ":" + os.environ["PATH"]
import torch, torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM
from mftkit import ProcessGroup
from mftkit_plugins.engines.deepspeed import DeepSpeed
dist.init_process_group("gloo")
model = LlamaForCausalLM(LlamaConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                                     num_attention_heads=2, vocab_size=64))
engine = DeepSpeed(DeepSpeed.Options(stage=3, cpu_offload=True))
engine.processes = ProcessGroup(2, dist.get_rank(), torch.device("cpu"))
wrapped = engine.wrap(engine.distribute(model, tuned=False), torch.optim.AdamW(model.parameters(), fused=True))
with engine.accumulate(last=True):
    engine.backward(wrapped(input_ids=torch.tensor([[1, 2, 3]])).logits.mean())
norm = engine.clip(engine.parameters, 1.0)
engine.update(torch.zeros(()))
assert norm > 0
print("done")
dist.barrier()
dist.destroy_process_group()
"""
    (tmp_path / "code.py").write_text(code)
    run_forked(
        f"""
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    exec(compile(open({str(tmp_path / "code.py")!r}).read(), "code", "exec"), {{"__name__": "__main__"}})
assert out.getvalue() == "done\\n", out.getvalue()
assert err.getvalue() == "", err.getvalue()
""",
        counts=[2],
        cwd=tmp_path,
    )
    assert not (tmp_path / "compiled").exists()
    assert os.environ.get("PATH", "").split(":")[0] != str(bin_)
