"""Rotary scalings that follow the batch: fixed as at max_length, the same for every sample, and not saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from mftkit import MftError
from mftkit.models import check_independence, check_isolation
from mftkit.models.native import NativeAdapter
from mftkit.models.rotary import fix_rotary

TINY = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
}  # fmt: skip
LONGROPE = {"short_factor": [1.0] * 4, "long_factor": [1.5, 2.0, 4.0, 8.0]}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
SCALED: dict[str, tuple[str, dict[str, Any], int]] = {
    "Phi 3": (
        "phi3",
        {"max_position_embeddings": 256, "original_max_position_embeddings": 32,
         "rope_scaling": {"type": "longrope", **LONGROPE}},
        32,
    ),
    "LongRoPE in Llama": (
        "llama",
        {"max_position_embeddings": 128, "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 500.0, "original_max_position_embeddings": 24, "factor": 4.0, **LONGROPE}},
        24,
    ),
    "dynamic NTK in Llama": ("llama", {"max_position_embeddings": 32, "rope_parameters": DYNAMIC}, 32),
    "dynamic NTK in Qwen": ("qwen2", {"max_position_embeddings": 40, "rope_parameters": DYNAMIC}, 40),
    "one kind of layers": (
        "gemma3_text",
        {"max_position_embeddings": 32, "head_dim": 8, "sliding_window": 16, "rope_parameters": {
            "full_attention": DYNAMIC, "sliding_attention": PLAIN},
         "layer_types": ["full_attention", "sliding_attention"]},
        32,
    ),
}  # fmt: skip


def tiny(family: str, changes: dict[str, Any]) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(TINY | changes))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float64)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6)
    model.train(False)
    return model


def logits(model: PreTrainedModel, length: int, beside: int = 0) -> torch.Tensor:
    """Of the first ``length`` tokens of a text, alone or beside a longer row."""
    text = (torch.arange(max(length, beside)) * 7 + 3) % 64
    ids = text[:length].unsqueeze(0)
    if beside:
        ids = torch.stack([torch.nn.functional.pad(ids[0], (0, beside - length)), text])
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0, :length]
    return found


@pytest.mark.parametrize("name", SCALED)
def test_frequencies_are_those_of_a_text_of_max_length(name: str) -> None:
    family, changes, threshold = SCALED[name]
    for length in (threshold - 4, threshold, threshold + 1, 2 * threshold):
        model = tiny(family, changes)
        assert "is fixed for the run as at max_length" in fix_rotary(model, length)
        # transformers computes the base in float32 for some lengths.
        torch.testing.assert_close(
            logits(model, length), logits(tiny(family, changes), length), rtol=1e-4, atol=1e-5
        )
        assert fix_rotary(model, length) == ""  # nothing is left to fix


@pytest.mark.parametrize("name", SCALED)
def test_a_short_sample_no_longer_depends_on_its_batch(name: str, tmp_path: Path) -> None:
    family, changes, threshold = SCALED[name]
    model, adapter = tiny(family, changes), NativeAdapter(NativeAdapter.Options())
    assert not torch.allclose(logits(model, 9), logits(model, 9, beside=2 * threshold))
    with pytest.raises(
        MftError, match=rf"a sample of {threshold - 1} tokens change if a sample of {2 * threshold} tokens"
    ):
        check_independence(adapter, model, 2 * threshold)
    with pytest.raises(
        MftError, match=rf"a sample of {threshold - 1} tokens depend on one of {2 * threshold} tokens"
    ):
        check_isolation(adapter, model, 2 * threshold)
    before = model.config.to_dict()
    fix_rotary(model, 2 * threshold)
    torch.testing.assert_close(logits(model, 9), logits(model, 9, beside=2 * threshold))
    check_independence(adapter, model, 2 * threshold)
    check_isolation(adapter, model, 2 * threshold)
    assert model.config.to_dict() == before
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    torch.testing.assert_close(logits(again, 9), logits(tiny(family, changes), 9))


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {"max_position_embeddings": 32}),
        ("llama", {"max_position_embeddings": 64, "rope_parameters": {
            "rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4, "original_max_position_embeddings": 32}}),
        ("gpt_neox", {"max_position_embeddings": 32}),
        ("mistral", {"max_position_embeddings": 64, "sliding_window": 20}),
    ],
)  # fmt: skip
def test_other_models_are_left_alone(family: str, changes: dict[str, Any]) -> None:
    model = tiny(family, changes)
    assert fix_rotary(model, 128) == ""
    check_independence(NativeAdapter(NativeAdapter.Options()), model, 128)
    check_isolation(NativeAdapter(NativeAdapter.Options()), model, 128)


class FollowsRows(NativeAdapter):
    """As code of a checkpoint's own may do: attention is scaled by the longest row, above some length."""

    def outputs(self, model: PreTrainedModel, batch: Any) -> Any:
        outputs = super().outputs(model, batch)
        if batch.input_ids.shape[1] > 48:
            outputs.last_hidden_state = outputs.last_hidden_state * 1.1
        return outputs


def test_code_that_follows_the_batch_is_refused_where_a_row_is_long_enough() -> None:
    model, adapter = tiny("llama", {"max_position_embeddings": 48}), FollowsRows(FollowsRows.Options())
    check_independence(adapter, model, 48)
    with pytest.raises(MftError, match="set max_length to at most 47, or use another model"):
        check_independence(adapter, model, 60)


def test_a_threshold_that_would_cost_too_much_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model, adapter = tiny("llama", {"max_position_embeddings": 48}), FollowsRows(FollowsRows.Options())
    size = sum(p.numel() for p in model.parameters())
    monkeypatch.setattr("mftkit.models.model_checks.MOST_WORK", (48 * size, 48 * size))
    check_independence(adapter, model, 60)
