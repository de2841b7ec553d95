"""Merged models on disk, against the papers' formulas in float64."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import mftkit
from merge_formulas import flat, ties
from mftkit.reporting.reporter import Reporter
from mftkit.tools.merging.merging import ToMerge, merge_models
from mftkit.tools.merging.options import MergeOptions

TINY = {
    "vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start and three models that were trained from it, in several files each."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **TINY))
    begun = {name: each.clone() for name, each in model.state_dict().items()}
    model.save_pretrained(root / "start", max_shard_size="8KB")
    for number in range(3):
        model.load_state_dict({name: each + 0.01 * torch.randn_like(each) for name, each in begun.items()})
        model.save_pretrained(root / f"model{number}", max_shard_size="8KB")
    return root


def weights(path: Path) -> dict[str, Any]:
    return dict(mftkit.load_model(path)[0].state_dict())


def copy_start(models: Path, target: Path) -> None:
    AutoModelForCausalLM.from_pretrained(models / "start").save_pretrained(target)


def merged(models: Path, output: Path, options: MergeOptions, seed: int = 1) -> dict[str, Any]:
    given = ToMerge([models / f"model{number}" for number in range(3)], options, seed)
    assert merge_models(given, output, Reporter(), partial(copy_start, models))
    assert not merge_models(given, output, Reporter(), partial(copy_start, models))  # it is there
    assert not (output / "start").exists()
    assert len(list(output.glob("*.safetensors"))) == len(list((models / "model0").glob("*.safetensors"))) > 1
    return weights(output)


def vectors(models: Path) -> tuple[list[str], Any, list[Any]]:
    begun = weights(models / "start")
    names = list(begun)
    start = flat(begun, names)
    return names, start, [flat(weights(models / f"model{n}"), names) - start for n in range(3)]


@pytest.mark.parametrize("weight", [None, 0.4])
def test_task_arithmetic_adds_the_weighted_sum_and_the_average_is_its_default(
    models: Path, tmp_path: Path, weight: float | None
) -> None:
    names, start, each = vectors(models)
    found = merged(models, tmp_path / "new", MergeOptions.from_json({"weight": weight}, "test"))
    expected = start + (1 / 3 if weight is None else weight) * np.sum(each, axis=0)
    assert np.abs(flat(found, names) - expected).max() < 3e-7


def test_ties_trims_the_whole_task_vector_and_averages_where_signs_agree(
    models: Path, tmp_path: Path
) -> None:
    names, start, each = vectors(models)
    options = MergeOptions.from_json({"method": "ties", "density": 0.3, "weight": 0.7}, "test")
    found = flat(merged(models, tmp_path / "new", options), names)
    assert np.abs(found - (start + ties(each, 0.3, 0.7))).max() < 3e-7
    by_tensor = [
        np.count_nonzero(found[part] != start[part]) / 256 for part in (slice(0, 256), slice(768, 1024))
    ]
    assert by_tensor[0] != by_tensor[1]  # one threshold for all tensors, not a share of each


def test_dare_drops_most_values_keeps_the_expectation_and_repeats_by_its_seed(
    models: Path, tmp_path: Path
) -> None:
    names, start, each = vectors(models)
    options = MergeOptions.from_json({"method": "dare", "density": 0.25}, "test")
    found = flat(merged(models, tmp_path / "one", options), names) - start
    values = np.stack([vector / 0.25 / 3 for vector in each])
    sums = np.stack([np.tensordot(mask, values, 1) for mask in np.ndindex(2, 2, 2)])
    assert np.abs(sums - found).min(axis=0).max() < 1e-6  # each is a sum of kept values, 4 times as large
    share = np.mean(np.abs(sums - found).argmin(axis=0) == 0)
    assert share == pytest.approx(0.75**3, abs=0.02)
    again = merged(models, tmp_path / "two", options)
    other = merged(models, tmp_path / "three", options, seed=2)
    assert np.array_equal(flat(again, names) - start, found)
    assert not np.array_equal(flat(other, names) - start, found)


def test_other_weights_are_merged_again_and_other_shapes_are_refused(models: Path, tmp_path: Path) -> None:
    options = MergeOptions()
    pair = [models / "model0", models / "model1"]
    assert merge_models(ToMerge(pair, options, 1), tmp_path / "new", Reporter())
    assert merge_models(ToMerge(pair[::-1], options, 1), tmp_path / "new", Reporter())
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model("llama", **(TINY | {"vocab_size": 50}))
    ).save_pretrained(tmp_path / "wide")
    with pytest.raises(mftkit.MftError, match="has different shapes, "):
        merge_models(
            ToMerge([models / "model0", tmp_path / "wide"], options, 1), tmp_path / "bad", Reporter()
        )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "wide"]
