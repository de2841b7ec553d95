"""Adapters and tunings that break their promises."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import mftkit
from mftkit.plugins import kinds
from mftkit.testing import ConformanceError, ModelAdapterConformance, TuningConformance
from mftkit.testing.running import suite_for
from mftkit_plugins.models.llama import Llama
from mftkit_plugins.tunings.full import Full

TINY = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


class MatchesAll(Llama):
    def matches(self, config: dict[str, Any]) -> int:
        return 2


class Float32Always(Llama):
    def load(self, request: mftkit.LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        model, tokenizer = super().load(request)
        return model.float(), tokenizer


class AddsNoise(Llama):
    def load(self, request: mftkit.LoadRequest) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | None]:
        model, tokenizer = super().load(request)
        if request.path:
            torch.nn.init.zeros_(model.lm_head.weight)
        return model, tokenizer


class HeadOfTheWrongScale(Llama):
    def head(self, model: PreTrainedModel) -> mftkit.Head:
        return mftkit.Head(super().head(model).weight, scale=2.0)


class Leaks(Llama):
    def outputs(self, model: PreTrainedModel, batch: mftkit.Batch) -> Any:
        return model.model(input_ids=batch.input_ids, use_cache=False)


class TargetsThatAreNotThere(Llama):
    def lora_targets(self, model: PreTrainedModel) -> list[str]:
        return ["q_proj", "queries"]


@pytest.mark.parametrize(
    ("component", "check", "error", "message"),
    [
        (MatchesAll, "matches", ConformanceError, "returns 2 for {}"),
        (Float32Always, "loads_in_the_dtype_asked", ConformanceError, "expected torch.bfloat16"),
        (AddsNoise, "round_trip_through_a_checkpoint", ConformanceError, "after saving and loading"),
        (HeadOfTheWrongScale, "head", mftkit.MftError, "do not give the logits"),
        (Leaks, "isolation", mftkit.MftError, "see each other"),
        (TargetsThatAreNotThere, "lora_targets", ConformanceError, "no module is named queries"),
    ],
)
def test_an_adapter_that_is_broken_is_caught(
    component: type[Any], check: str, error: type[Any], message: str
) -> None:
    suite = suite_for(kinds.MODEL_ADAPTER, component, config=TINY)()
    with pytest.raises(error, match=message):
        getattr(suite, f"test_{check}")()


def test_without_a_config_one_of_the_adapters_own_family_is_made() -> None:
    suite = ModelAdapterConformance()
    suite.component = Llama  # type: ignore[misc]
    assert suite.family()["model_type"] == "llama"
    suite.component = type("OfNoKnownFamily", (Llama,), {"model_types": ("no-such-family",)})  # type: ignore[misc]
    with pytest.raises(ConformanceError, match="--config"):
        suite.family()


class TrainsNothing(Full):
    def apply(self, model: PreTrainedModel, adapter: mftkit.ModelAdapter) -> PreTrainedModel:
        return model.requires_grad_(False)


class ForgetsTheHead(Full):
    def state_dict(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {name: t for name, t in super().state_dict(model).items() if "lm_head" not in name}


class ExportsTheBase(Full):
    def export(self, model: torch.nn.Module, directory: Path, base: str | None) -> None:
        from transformers import AutoModelForCausalLM

        AutoModelForCausalLM.from_pretrained(str(base)).save_pretrained(directory)


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (TrainsNothing, "some_parameters_train", "no parameter has requires_grad"),
        (ForgetsTheHead, "state_round_trip", "after state_dict and load_state_dict"),
        (ExportsTheBase, "export_loads", "logits of the exported model differ"),
        (
            type("Adapts", (Full,), {"saves_adapter": True}),
            "export_loads",
            "saves_adapter is True, but export writes a whole model",
        ),
    ],
)
def test_a_tuning_that_is_broken_is_caught(component: type[Any], check: str, message: str) -> None:
    suite = suite_for(kinds.TUNING, component, config=TINY)()
    assert isinstance(suite, TuningConformance)
    with pytest.raises(ConformanceError, match=message):
        getattr(suite, f"test_{check}")()
