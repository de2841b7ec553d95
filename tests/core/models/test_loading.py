import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mftkit import LoadRequest, MftError, MftWarning, load_model
from mftkit.models.native import NativeAdapter
from mftkit.models.vocabulary import describe_surplus

IDS = torch.arange(3, 12).unsqueeze(0)


def edit_weights(directory: Path, change: Callable[..., Any]) -> None:
    file = directory / "model.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file, metadata={"format": "pt"})


def edit_config(directory: Path, **changes: Any) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refused(directory: Path) -> str:
    with pytest.raises(MftError) as caught:
        load_model(str(directory))
    return str(caught.value)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_comes_back_with_equal_logits(
    family: str, tied: bool, tmp_path: Path, make_model: Callable[..., PreTrainedModel]
) -> None:
    model = make_model(family, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path)
    loaded, tokenizer = load_model(str(tmp_path))
    assert tokenizer is None
    assert not loaded.training
    assert torch.equal(loaded(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_the_tokenizer_comes_with_it(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    _, tokenizer = load_model(str(checkpoint[0]))
    assert tokenizer is not None
    assert tokenizer("def x")["input_ids"] == [1, 7]


def test_the_dtype_is_the_checkpoints(tmp_path: Path, make_model: Callable[..., PreTrainedModel]) -> None:
    make_model().bfloat16().save_pretrained(tmp_path)
    model, _ = load_model(str(tmp_path))
    assert model.dtype == torch.bfloat16


def test_several_shards_are_one_model(tmp_path: Path, make_model: Callable[..., PreTrainedModel]) -> None:
    model = make_model()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    loaded, _ = load_model(str(tmp_path))
    assert torch.equal(loaded(input_ids=IDS).logits, model(input_ids=IDS).logits)


def test_a_missing_weight_is_named(
    checkpoint: tuple[Path, PreTrainedModel], capfd: pytest.CaptureFixture[str]
) -> None:
    edit_weights(checkpoint[0], lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    assert "lacks weights that the model needs: model.layers.1.mlp.up_proj.weight" in refused(checkpoint[0])
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_a_missing_head_is_named_unless_it_is_tied(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    edit_weights(checkpoint[0], lambda weights: weights.pop("lm_head.weight"))
    assert "lacks weights that the model needs: lm_head.weight" in refused(checkpoint[0])
    edit_config(checkpoint[0], tie_word_embeddings=True)
    model, _ = load_model(str(checkpoint[0]))
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def test_a_weight_without_use_is_named(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    edit_weights(checkpoint[0], lambda weights: weights.update({"model.tower.weight": torch.ones(2)}))
    assert "has weights that the model does not use: model.tower.weight" in refused(checkpoint[0])


def test_a_weight_of_another_shape_is_named(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    edit_weights(checkpoint[0], lambda weights: weights.update({"model.norm.weight": torch.ones(5)}))
    assert (
        "weights whose shape does not follow from config.json: model.norm.weight ((5,) instead of (32,))"
        in refused(checkpoint[0])
    )


def test_many_faults_are_counted(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    edit_config(checkpoint[0], num_hidden_layers=1)
    assert refused(checkpoint[0]).endswith("and 4 more")


def test_missing_weights_and_shards_are_reported(
    tmp_path: Path, make_model: Callable[..., PreTrainedModel]
) -> None:
    make_model().save_pretrained(tmp_path, max_shard_size="20KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    assert shard.name in refused(tmp_path)
    for rest in tmp_path.glob("*.safetensors*"):
        rest.unlink()
    assert "cannot be loaded" in refused(tmp_path)


def test_a_truncated_file_is_reported(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    file = checkpoint[0] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    message = refused(checkpoint[0])
    assert "cannot be loaded: model.safetensors is truncated or corrupt; download it again" in message
    assert "\n" not in message


def test_a_missing_vocabulary_gives_no_tokenizer(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    """transformers would make an empty one from tokenizer_config.json, and say nothing."""
    (checkpoint[0] / "tokenizer.json").unlink()
    assert (checkpoint[0] / "tokenizer_config.json").exists()
    assert load_model(str(checkpoint[0]))[1] is None


def test_a_broken_tokenizer_is_reported(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    file = checkpoint[0] / "tokenizer.json"
    file.write_text(file.read_text()[:200])
    assert "the tokenizer of" in refused(checkpoint[0])


def test_a_vocabulary_larger_than_the_embedding_is_reported(
    checkpoint: tuple[Path, PreTrainedModel],
    make_model: Callable[..., PreTrainedModel],
    make_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> None:
    message = describe_surplus(make_tokenizer(), make_model(vocab_size=8))
    assert message.startswith(
        "the embedding has 8 rows, and so none for 3 tokens of the tokenizer: y (id 8), ( (id 9)"
    )
    assert describe_surplus(make_tokenizer(), make_model(vocab_size=12)) == ""
    make_tokenizer(*(f"<{i}>" for i in range(60))).save_pretrained(checkpoint[0])
    with pytest.warns(
        MftWarning, match=r"48 rows, and so none for 22 tokens of the tokenizer: <48> \(id 48\)"
    ):
        model, tokenizer = load_model(checkpoint[0])
    assert tokenizer is not None
    model(input_ids=torch.tensor([tokenizer("<2> <47>")["input_ids"]]))
    with pytest.raises(MftError, match=r"contains <50> \(id 50\), but the model's embedding has 48 rows"):
        model(input_ids=torch.tensor([tokenizer("<2> <50>")["input_ids"]]))


def test_remote_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "modeling_strange.Strange"}}
        )
    )
    (tmp_path / "modeling_strange.py").write_text("raise SystemExit('was run')")
    assert "set model.trust_remote_code to true if you trust it" in refused(tmp_path)


def test_an_unknown_dtype_is_reported(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    edit_config(checkpoint[0], dtype="int4")
    assert "dtype: 'int4' is not a floating-point dtype" in refused(checkpoint[0])


def request(directory: Path | None, **changes: Any) -> LoadRequest:
    return LoadRequest(
        **{"path": str(directory), "config": {}, "dtype": torch.float32, "attention": "auto", **changes}
    )


def test_dtype_and_attention_are_as_asked(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    adapter = NativeAdapter(NativeAdapter.Options())
    model, _ = adapter.load(request(checkpoint[0], attention="eager", dtype=torch.float64))
    assert model.config._attn_implementation == "eager"
    assert model.dtype == torch.float64
    for unknown in ("nonsense", "flash_attention_2"):
        with pytest.raises(MftError, match=f"model.attention: {unknown} cannot be used here"):
            adapter.load(request(checkpoint[0], attention=unknown))


CONFIG = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def from_random(**changes: Any) -> Any:
    adapter = NativeAdapter(NativeAdapter.Options())
    return adapter.load(request(None, path=None, config=CONFIG | changes, init="random"))


def test_a_random_start_is_the_configs_and_the_seeds() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        model, tokenizer = from_random()
        weights.append(model.lm_head.weight)
    assert tokenizer is None
    assert model.config.hidden_size == 16
    assert torch.equal(*weights)


def test_a_random_starts_config_is_checked() -> None:
    with pytest.raises(MftError, match=r"model.config.hiden_size: .* did you mean hidden_size\?"):
        from_random(hiden_size=8)
    with pytest.raises(MftError, match=r"model.config: .*hidden_size"):
        from_random(hidden_size="large")
    with pytest.raises(MftError, match=r"no model type 'lama' \(did you mean llama"):
        from_random(model_type="lama")


def test_a_checkpoints_config_may_hold_keys_of_its_own(checkpoint: tuple[Path, PreTrainedModel]) -> None:
    """A plan is made from it without its weights."""
    config = json.loads((checkpoint[0] / "config.json").read_text()) | {"published_by": "somebody"}
    adapter = NativeAdapter(NativeAdapter.Options())
    with torch.device("meta"):
        model, _ = adapter.load(request(checkpoint[0], config=config, init="random"))
    assert model.lm_head.weight.is_meta


def test_a_random_start_refuses_what_only_loading_does() -> None:
    adapter = NativeAdapter(NativeAdapter.Options())
    options = {"init": "random", "load_options": {"device_map": "cpu"}}
    with pytest.raises(
        MftError, match=r"model\.init: a randomly initialized model cannot be loaded with device_map"
    ):
        adapter.load(request(None, path=None, config=CONFIG, **options))
