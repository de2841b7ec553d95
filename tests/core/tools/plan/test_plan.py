"""The plan of real specs: activations against real steps, sizes, arithmetic, and what is printed."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import mftkit
from commands import mft
from mftkit.interfaces.sharding import Sharding
from mftkit.tools.plan import fake_step, resource_plan
from mftkit.tools.plan.arithmetic import flop_per_token
from mftkit.tools.plan.devices import DEVICES, host
from mftkit.tools.plan.fake_step import full_batch, moments
from mftkit.tools.plan.live_bytes import LiveBytes
from mftkit.tools.plan.outline import Outline, outline, planned_precision
from mftkit.tools.plan.resource_plan import plan_resources
from mftkit.tools.plan.sizes import NF4_DOUBLE_BITS, measure
from mftkit.training.logprob_model import LogprobModel

if TYPE_CHECKING:
    from mftkit.spec import Spec

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "vocab_size": 512,
    "tie_word_embeddings": False,
}  # fmt: skip
EXPERTS = {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}


class Divided(mftkit.Engine):
    """Divides everything."""

    def sharding(self, devices: int, *, frozen_base: bool) -> Sharding:
        return Sharding(
            trained=devices, gradients=devices, optimizer=devices, gathered_units=2 * (devices > 1)
        )


REPLICATED: dict[str, mftkit.Engine] = {"replicated": mftkit.Engine(mftkit.Options())}
ROWS = 2


def written(
    directory: Path, tuning: object = "full", config: dict[str, Any] | None = None, **training: Any
) -> Path:
    """A spec whose data does not exist."""
    spec = {
        "model": {"init": "random", "config": CONFIG | (config or {}), "tokenizer": {"train_bpe": 400}},
        "tasks": [{"name": "a", "train": "missing.jsonl"}],
        "max_length": 256,
        "tuning": tuning,
        "training": {"batch_size": ROWS, "micro_batch_size": ROWS, **training},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec))
    return path


def spec(directory: Path, *arguments: Any, **training: Any) -> Spec:
    return mftkit.load_spec(written(directory, *arguments, **training))


def real(outlined: Outline) -> LogprobModel:
    """The outlined model with values, all of them small."""
    model = LogprobModel(outlined.model, outlined.adapter, outlined.tuning, None)
    for module in model.modules():
        for held in (cast("dict[str, Any]", module._parameters), cast("dict[str, Any]", module._buffers)):
            for name, tensor in held.items():
                if tensor is not None:
                    filled = torch.rand(tensor.shape).mul(0.01).to(tensor.dtype)
                    held[name] = (
                        torch.nn.Parameter(filled, tensor.requires_grad)
                        if held is module._parameters
                        else filled
                    )
    return model


@pytest.mark.parametrize("recomputes", [False, True, "selective"])
@pytest.mark.parametrize("tuning", ["full", {"method": "lora", "rank": 8}])
@pytest.mark.parametrize("config", [{}, EXPERTS], ids=["dense", "experts"])
def test_a_step_without_values_takes_the_memory_of_a_real_one(
    config: dict[str, Any], tuning: object, recomputes: object, tmp_path: Path
) -> None:
    read = spec(tmp_path, tuning, config, gradient_checkpointing=recomputes)
    outlined = outline(read, planned_precision("float32", bfloat16=False))
    found = moments(outlined, ROWS, fused_dropout=False)
    predicted = max(each.gradients + each.activations + each.casts + each.logits for each in found)
    model = real(outlined)
    live = LiveBytes(chain(model.parameters(), model.buffers()))
    with live:
        logprobs, auxiliary = model(full_batch(outlined.mode, ROWS, read.max_length))
        loss = logprobs.sum() if auxiliary is None else logprobs.sum() + auxiliary
        del logprobs, auxiliary
        loss.backward()
    assert predicted == pytest.approx(live.peak, rel=0.05)


def test_a_deep_model_is_extended_from_few_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlined = outline(
        spec(tmp_path, "full", {"num_hidden_layers": 9}), planned_precision("auto", bfloat16=True)
    )
    extended = moments(outlined, 1, fused_dropout=True)
    monkeypatch.setattr(fake_step, "MORE", 100)
    for line, exact in zip(extended, moments(outlined, 1, fused_dropout=True), strict=True):
        totals = [each.gradients + each.activations + each.casts + each.logits for each in (line, exact)]
        assert totals[0] == pytest.approx(totals[1], rel=0.01)


def test_autocast_keeps_copies_of_trained_weights_in_16_bits(tmp_path: Path) -> None:
    outlined = outline(spec(tmp_path), planned_precision("auto", bfloat16=True))
    forward, _, _ = moments(outlined, 1, fused_dropout=True)
    sizes = measure(outlined)
    in_layers = (sizes.layer_products) * 2
    assert in_layers <= forward.casts <= sizes.trained * 2


def test_a_dropout_of_a_gpu_keeps_a_byte_per_number(tmp_path: Path) -> None:
    outlined = outline(spec(tmp_path, "lora"), planned_precision("auto", bfloat16=True))
    fused, plain = (moments(outlined, 1, fused_dropout=each)[0].activations for each in (True, False))
    assert fused < plain


def test_sizes_of_a_quantized_base_and_of_experts(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    dense = measure(outline(spec(tmp_path, "qlora"), planned_precision("auto", bfloat16=True)))
    rows, width, inner = 512, 64, 192
    linear = 2 * (2 * width * width + 2 * width * width // 2 + 3 * width * inner)
    others = 2 * rows * width + (2 * 2 + 1) * width
    assert dense.frozen_bytes == linear * NF4_DOUBLE_BITS / 8 + others * 2
    assert dense.largest_dequantized == width * inner * 2
    experts = measure(outline(spec(tmp_path, "full", EXPERTS), planned_precision("auto", bfloat16=True)))
    assert experts.total - experts.active == 2 * (4 - 2) * 3 * width * inner


def test_the_flop_of_a_step_are_those_that_torch_counts(tmp_path: Path) -> None:
    outlined = outline(
        spec(tmp_path, {"method": "lora", "rank": 8}), planned_precision("float32", bfloat16=False)
    )
    model = real(outlined)
    batch = full_batch(outlined.mode, 1, 256)
    with FlopCounterMode(display=False) as counter:
        logprobs, _ = model(batch)
        logprobs.sum().backward()
    config = outlined.tuning.base_model(outlined.model).config
    sizes = measure(outlined)
    # torch does not count attention on a CPU, and the first layer's input needs no gradient.
    products = 256 * flop_per_token(sizes, config, 0, recomputes=False)
    assert products == pytest.approx(counter.get_total_flops(), rel=0.05)
    attention = flop_per_token(sizes, config, 256, recomputes=False) * 256 - products
    assert attention == 256 * 3 * 4 * 256 * 64 * 2 / 2, (
        "3 passes of 4 FLOP per pair and channel in 2 layers, halved"
    )


def test_the_fewest_devices_and_what_fits(tmp_path: Path) -> None:
    device = DEVICES["4090-24g"]
    tight = type(device)("tight", 3_000_000, device.flops, device.bandwidth)
    divided = Divided(mftkit.Options())
    plan = plan_resources(spec(tmp_path, batch_size=64), {**REPLICATED, "divided": divided}, tight)
    by_name = {row.engine: row for row in plan.engines}
    assert not by_name["replicated"].fits
    assert by_name["replicated"].fewest_devices is None
    roomy = plan_resources(spec(tmp_path), REPLICATED, device)
    assert roomy.engines[0].fits
    assert roomy.engines[0].fewest_devices == 1
    assert roomy.engines[0].time is not None
    assert roomy.checkpoint.bytes == 3 * 4 * roomy.trained
    assert roomy.checkpoint.least_interval == pytest.approx(49 * roomy.checkpoint.seconds)


def test_a_model_that_does_not_run_without_values_gets_a_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("data-dependent")

    exact = plan_resources(spec(tmp_path), REPLICATED, host()).engines[0].memory.total
    monkeypatch.setattr(resource_plan, "moments", fail)
    plan = plan_resources(spec(tmp_path), REPLICATED, host())
    assert any("formula" in note and "data-dependent" in note for note in plan.notes)
    assert plan.engines[0].memory.total == pytest.approx(exact, rel=0.5)


def test_the_command_prints_a_table_without_reading_data(tmp_path: Path) -> None:
    written(tmp_path, {"method": "lora", "rank": 8})
    done = mft("plan", "spec.json", "--device", "a10-24g", "--devices", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "on 4 x a10-24g" in done.stdout
    assert "taken as full" in done.stdout
    assert "adapters" in done.stdout
    assert "training.batch_size is 2 rows, fewer than the 4 devices" in done.stdout
    again = mft("plan", "spec.json", "--device", "cpu", "--json", cwd=tmp_path)
    plan = json.loads(again.stdout)
    assert plan["dtype"] == "float32"
    assert plan["engines"][0]["time"] is None
    memory = plan["engines"][0]["memory"]
    total = memory.pop("total") + memory.pop("host")
    assert total == pytest.approx(sum(memory.values()))


def test_a_tokenizer_that_is_not_here_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    given = json.loads(path.read_text())
    del given["model"]["config"]["vocab_size"]
    given["model"]["tokenizer"] = "./nowhere"
    path.write_text(json.dumps(given))
    done = mft("plan", "spec.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "model.config.vocab_size: required for a plan" in done.stderr


@pytest.mark.parametrize("attention", ["varlen", "flash_attention_2"])
def test_attention_without_masks_is_planned_as_sdpa_and_the_plan_says_so(
    tmp_path: Path, attention: str
) -> None:
    given = mftkit.load_spec(written(tmp_path), [f"model.attention={attention}"])
    plan = plan_resources(given, REPLICATED, DEVICES["4090-24g"])
    assert f"activations are those of sdpa, which takes no less memory than {attention}" in plan.notes
