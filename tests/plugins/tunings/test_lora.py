"""What the tunings make of a model; whole runs are in tests/end_to_end/test_tunings.py."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import PreTrainedModel

import mftkit
from commands import environment
from mftkit.batches.collate import collate
from mftkit.interfaces.tokenization import MicroBatch, Sample
from mftkit.models.eval_contexts import evaluation
from mftkit.plugins import installed, kinds
from mftkit.training.logprob_model import LogprobModel
from mftkit.training.plan import parameter_size
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.tunings.lora import Lora
from mftkit_plugins.tunings.qlora import QLora
from small_runs import small_spec


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def batch(model: PreTrainedModel, n: int = 9) -> mftkit.Batch:
    import numpy as np

    tokens = np.arange(3, 3 + n, dtype=np.int32)
    return collate(MicroBatch(((Sample(0, 0, tokens, np.ones(n, np.bool_)),),), n, 0))


def test_the_base_is_frozen_in_its_dtype_and_adapters_are_float32(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    lora = tuning(alpha=8, dropout=0.1)
    tuned = lora.apply(model, adapter)
    assert {p.dtype for p in trained(tuned).values()} == {torch.float32}
    assert {p.dtype for p in tuned.parameters() if not p.requires_grad} == {torch.bfloat16}
    adapted = {name.split(".")[-4] for name in trained(tuned)}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    config = cast(Any, tuned).peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (4, 8, 0.1)
    assert lora.base_model(tuned) is model
    assert lora.state_dict(tuned).keys() == trained(tuned).keys()


def test_autocast_alone_casts_the_inputs_of_adapters(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    lora = tuning(dropout=0, lora={"init_lora_weights": False})
    tuned = lora.apply(model, adapter)
    seen: list[torch.dtype] = []
    adapters = [module for name, module in tuned.named_modules() if name.endswith("lora_A.default")]
    for module in adapters:
        module.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].dtype))
    ids = torch.arange(3, 12).unsqueeze(0)

    def logits() -> torch.Tensor:
        seen.clear()
        found: torch.Tensor = lora.base_model(tuned)(ids).logits
        return found

    with torch.no_grad():
        logits()
        assert set(seen) == {torch.float32}
        with torch.autocast("cpu", torch.bfloat16):
            ours = logits()
            assert set(seen) == {torch.bfloat16}
            for module in tuned.modules():
                vars(module).pop("_cast_input_dtype", None)
            assert torch.equal(ours, logits())  # as peft casts them
            assert set(seen) == {torch.float32}


@pytest.mark.parametrize(
    ("targets", "adapted"),
    [
        (["q_proj", "layers.0.mlp.up_proj"], {"q_proj", "up_proj"}),
        (r".*\.(k|v)_proj", {"k_proj", "v_proj"}),
    ],
)
def test_targets_are_names_or_their_ends_or_an_expression(
    model: PreTrainedModel,
    adapter: Llama,
    tuning: Callable[..., Lora | QLora],
    targets: list[str] | str,
    adapted: set[str],
) -> None:
    tuned = tuning(targets=targets).apply(model, adapter)
    assert {name.split(".")[-4] for name in trained(tuned)} == adapted


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_proj", "k_prj"], '"k_prj" (did you mean k_proj? linear modules are down_proj, gate_proj, '),
        (["proj"], '"proj" ('),
        (r"q_proj", 'the regular expression "q_proj" matches the full name of no module of LlamaForCausalLM'),
        ("(", "is not a valid regular expression"),
        (["mlp"], "peft cannot add adapters to these targets: Target module LlamaMLP"),
    ],
)
def test_targets_that_match_nothing_are_refused(
    model: PreTrainedModel,
    adapter: Llama,
    tuning: Callable[..., Lora | QLora],
    targets: list[str] | str,
    message: str,
) -> None:
    with pytest.raises(mftkit.MftError) as refused:
        tuning(targets=targets).apply(model, adapter)
    assert message in str(refused.value)


def test_other_fields_reach_peft(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    given = {
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"q_proj": 2},
        "modules_to_save": ["lm_head"],
    }
    tuned = tuning(lora=given).apply(model, adapter)
    config = cast(Any, tuned).peft_config["default"]
    assert (config.use_dora, config.use_rslora, config.rank_pattern) == (True, True, {"q_proj": 2})
    names = trained(tuned)
    assert any("lora_magnitude_vector" in name for name in names)
    assert any("lm_head.modules_to_save" in name for name in names)
    layer: Any = tuned.get_submodule("base_model.model.model.layers.0.self_attn.k_proj")
    assert layer.scaling["default"] == 32 / 4**0.5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("use_dorra", True, "did you mean use_dora?"),
        ("zzz", 1, "fields that may be set: alpha_pattern, bias,"),
        ("r", 8, "r is set by tuning.rank"),
        ("task_type", "CAUSAL_LM", "task_type is set by the program"),
        ("monteclora_config", {}, "monteclora_config adds a term to the loss"),
        ("init_lora_weights", "pissa", "init_lora_weights must be true, false"),
    ],
)
def test_fields_that_may_not_be_set_are_refused_by_name(
    tmp_path: Path, field: str, value: Any, message: str
) -> None:
    spec = small_spec(tuning={"method": "lora", "lora": {field: value}})
    with pytest.raises(mftkit.MftError) as refused:
        mftkit.load_spec(spec, directory=tmp_path)
    assert "tuning.lora: " in str(refused.value)
    assert message in str(refused.value)


def test_a_trained_copy_of_the_head_is_the_head(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    lora = tuning(lora={"modules_to_save": ["lm_head"]})
    tuned = lora.apply(model.float(), adapter)
    scorer = LogprobModel(tuned, adapter, lora)
    logprobs, _ = scorer(batch(model))
    logprobs.sum().backward()
    gradients = {name: p.grad for name, p in trained(tuned).items() if p.grad is not None}
    assert float(gradients["base_model.model.lm_head.modules_to_save.default.weight"].abs().max()) > 0


@pytest.mark.parametrize("lora", [{}, {"use_dora": True}, {"modules_to_save": ["lm_head", "embed_tokens"]}])
def test_a_bfloat16_base_trains_float32_adapters_under_autocast(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora], lora: dict[str, Any]
) -> None:
    tuned = tuning(lora=lora).apply(model, adapter)
    scorer = LogprobModel(tuned, adapter, tuning(), torch.bfloat16)
    logprobs, _ = scorer(batch(model))
    assert logprobs.dtype == torch.float32
    logprobs.sum().backward()
    for name, p in trained(tuned).items():
        assert p.grad is not None, name
        assert p.grad.dtype == torch.float32, name
        assert p.grad.isfinite().all(), name
        assert "lora_B" not in name or p.grad.abs().max() > 0


def test_a_state_goes_back_and_forth(
    model: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    lora = tuning()
    tuned = lora.apply(model, adapter)
    state = {name: torch.randn_like(value) for name, value in lora.state_dict(tuned).items()}
    lora.load_state_dict(tuned, state)
    for name, value in lora.state_dict(tuned).items():
        assert torch.equal(value, state[name])


@pytest.fixture
def quantized(model: PreTrainedModel, tuning: Callable[..., Lora | QLora], tmp_path: Path) -> PreTrainedModel:
    """A tiny model in 4 bits; its sizes do not fit what bitsandbytes repacks in evaluation mode."""
    from transformers import AutoModelForCausalLM

    model.float().save_pretrained(tmp_path / "base")
    options = tuning("qlora").load_options(torch.float32)
    return AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32, **options)


def test_a_quantized_base_counts_its_parameters_and_validates_on_the_cpu(
    model: PreTrainedModel, quantized: PreTrainedModel, adapter: Llama, tuning: Callable[..., Lora | QLora]
) -> None:
    import bitsandbytes

    layer: Any = quantized.model.layers[0].self_attn.q_proj
    assert isinstance(layer, bitsandbytes.nn.modules.Linear4bit)
    state = cast(Any, layer.weight).quant_state
    assert (state.quant_type, state.nested, layer.compute_dtype) == ("nf4", True, torch.float32)
    assert sum(map(parameter_size, quantized.parameters())) == sum(p.numel() for p in model.parameters())
    qlora = tuning("qlora")
    scorer = LogprobModel(qlora.apply(quantized, adapter), adapter, qlora)
    scorer.train()
    with evaluation(scorer), torch.no_grad():
        first, _ = scorer(batch(model))
        assert not scorer.model.training
    with evaluation(scorer), torch.no_grad():
        again, _ = scorer(batch(model))
    assert torch.equal(first, again), "dropout is off"
    assert scorer.model.training


def test_four_bits_are_not_for_float64(tuning: Callable[..., Lora | QLora]) -> None:
    with pytest.raises(mftkit.MftError, match="bfloat16 or float32, not float64"):
        tuning("qlora").load_options(torch.float64)


def test_a_missing_bitsandbytes_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mftkit_plugins.tunings.qlora.find_spec", lambda name: None)
    with pytest.raises(mftkit.MftError, match="tuning: requires bitsandbytes, which is not installed"):
        mftkit.load_spec(small_spec(tuning="qlora"), directory=tmp_path)


def test_reading_a_spec_imports_neither_peft_nor_torch() -> None:
    code = (
        "import sys; from mftkit.plugins import installed, kinds\n"
        "for name in ('full', 'lora', 'qlora'): installed.build(kinds.TUNING, name, {})\n"
        "assert not {'torch', 'peft', 'bitsandbytes'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_option_is_documented_with_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| `([^`]*)` \|", text, re.MULTILINE)
    options = installed.build(kinds.TUNING, "lora", {}).options.model_dump()
    assert {key: json.loads(default) for key, default in rows} == options
