"""What cannot be converted is refused in one message with its name and a remedy."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mftkit
from checkpoints import CHECKPOINTS, read
from mftkit.cli import main
from original_models import write_original
from small_runs import rows, write_rows


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a checkpoint with other config keys; None takes a key away."""

    def copy(name: str, **changes: Any) -> Path:
        directory = tmp_path / name
        shutil.copytree(CHECKPOINTS / name, directory)
        config = read(name, "config.json") | changes
        (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        return directory

    return copy


def refused(directory: Path) -> str:
    with pytest.raises(mftkit.MftError) as caught:
        mftkit.load_model(directory)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("chatglm2", "add_bias_linear", True),
        ("chatglm2", "rmsnorm", False),
        ("chatglm2", "post_layer_norm", False),
        ("chatglm2", "apply_residual_connection_post_layernorm", True),
        ("chatglm2", "pre_seq_len", 128),
        ("qwen1", "no_bias", False),
        ("qwen1", "rotary_pct", 0.5),
        ("qwen1", "scale_attn_weights", False),
        ("baichuan2-7b", "tie_word_embeddings", True),
        ("baichuan2-7b", "rope_scaling", {"type": "linear", "factor": 2.0}),
        ("aquila2", "attention_bias", True),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    copied: Callable[..., Path], name: str, key: str, value: Any
) -> None:
    assert f"config.json: {key}: {value!r} is not supported: " in refused(copied(name, **{key: value}))


@pytest.mark.parametrize(("name", "key"), [("chatglm2", "rope_ratio"), ("qwen1", "rotary_emb_base")])
def test_a_rotary_embedding_of_base_0_is_refused(copied: Callable[..., Path], name: str, key: str) -> None:
    assert f"config.json: {key}: 0.0 must be above 0" in refused(copied(name, **{key: 0}))


def test_how_the_ratio_of_the_rotary_base_is_read_is_reported(
    copied: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(copied("chatglm2", rope_ratio=4)), "--output", str(tmp_path / "out")]) == 0
    assert "rope_ratio 4 multiplies the base of the rotary embedding" in capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert written["rope_parameters"]["rope_theta"] == 40000


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("chatglm2", "num_layers"),
        ("chatglm2", "layernorm_epsilon"),
        ("chatglm2", "kv_channels"),
        ("qwen1", "rotary_emb_base"),
        ("qwen1", "seq_length"),
        ("baichuan2-13b", "rms_norm_eps"),
        ("aquila2", "intermediate_size"),
    ],
)
def test_a_missing_key_is_named(copied: Callable[..., Path], name: str, key: str) -> None:
    assert f"config.json has no {key}, which " in refused(copied(name, **{key: None}))


def test_wrong_values_are_named(copied: Callable[..., Path]) -> None:
    assert "num_layers: '2' must be an integer above 0" in refused(copied("chatglm2", num_layers="2"))
    assert "times 4 heads is not hidden_size 64" in refused(copied("qwen1", kv_channels=8))
    assert "not a multiple of the number of attention heads" in refused(
        copied("baichuan-7b", num_attention_heads=7)
    )


def test_quantized_weights_and_another_architecture_under_the_name(copied: Callable[..., Path]) -> None:
    assert "contains quantized weights" in refused(copied("chatglm2", quantization_bit=4))
    assert "contains quantized weights" in refused(copied("qwen1", quantization_config={"bits": 4}))
    assert "first ChatGLM-6B" in refused(copied("chatglm3", position_encoding_2d=True))


def test_shapes_that_do_not_fit_are_named(copied: Callable[..., Path]) -> None:
    message = refused(copied("chatglm2", multi_query_group_num=4))
    assert (
        "weights whose shape does not follow from config.json: model.layers.0.self_attn.k_proj.bias ((128,) instead of (64,))"
        in message
    )
    message = refused(copied("qwen1", intermediate_size=100))
    assert "model.layers.0.mlp.down_proj.weight ((64, 96) instead of (64, 50))" in message
    assert "weights that the model does not use: model.layers.1." in refused(
        copied("aquila2", num_hidden_layers=1)
    )


def test_weights_that_lack_or_are_too_many(copied: Callable[..., Path]) -> None:
    directory = copied("baichuan2-7b")
    weights = load_file(directory / "model.safetensors")
    packed = weights.pop("model.layers.0.self_attn.W_pack.weight")
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    assert "lacks weights that the model needs: model.layers.0.self_attn.k_proj.weight" in refused(directory)
    weights |= {"model.layers.0.self_attn.W_pack.weight": packed, "strange": torch.ones(1)}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    assert refused(directory).endswith("has weights that the model does not use: strange")


@pytest.mark.parametrize("pickled", [False, True])
def test_a_shard_that_is_missing_or_cut_off_is_named(tmp_path: Path, pickled: bool) -> None:
    directory = write_original(tmp_path / "it", read("chatglm2", "config.json"), shards=3, pickled=pickled)
    name = "pytorch_model-00002-of-00003.bin" if pickled else "model-00002-of-00003.safetensors"
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(content[: len(content) // 2])
    assert refused(directory).endswith(f"cannot be loaded: {name} is truncated or corrupt; download it again")
    (directory / name).unlink()
    assert f"{name}" in refused(directory)


def test_code_in_a_pytorch_file_is_not_run(tmp_path: Path) -> None:
    class Strange:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
            return (open, (str(tmp_path / "ran"), "w"))

    directory = tmp_path / "it"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(read("chatglm2", "config.json")))
    torch.save({"a": Strange()}, directory / "pytorch_model.bin", pickle_module=pickle)
    assert "contains more than tensors" in refused(directory)
    assert not (tmp_path / "ran").exists()


def test_no_tokenizer_files_are_no_tokenizer(copied: Callable[..., Path]) -> None:
    for name, file in (
        ("chatglm2", "tokenizer.model"),
        ("qwen1", "qwen.tiktoken"),
        ("baichuan2-7b", "tokenizer.model"),
    ):
        directory = copied(name)
        (directory / file).unlink()
        assert mftkit.load_model(directory)[1] is None


def test_broken_tokenizer_files_are_named(copied: Callable[..., Path]) -> None:
    glm, qwen = copied("chatglm2"), copied("qwen1")
    content = (glm / "tokenizer.model").read_bytes()
    for corrupt, cause in ((content[:3000], "it is not a sentencepiece model"), (b"", "it has no pieces")):
        (glm / "tokenizer.model").write_bytes(corrupt)
        assert refused(glm).endswith(f"tokenizer.model cannot be read: {cause}")
    (glm / "tokenizer.model").write_bytes(content)
    (glm / "tokenizer_config.json").write_text("{")
    assert "tokenizer_config.json: Expecting" in refused(glm)
    ranks = (qwen / "qwen.tiktoken").read_text()
    (qwen / "qwen.tiktoken").write_text(ranks.split("\n", 1)[1])
    assert "expected the ranks 0, 1, 2 and so on: the file is incomplete" in refused(qwen)
    (qwen / "qwen.tiktoken").write_text(ranks + "oops")
    assert "qwen.tiktoken:407: expected a token in base64 and its rank" in refused(qwen)


def test_a_vocabulary_larger_than_the_embedding(tmp_path: Path) -> None:
    directory = write_original(tmp_path / "it", read("chatglm2", "config.json") | {"padded_vocab_size": 400})
    shutil.copy(CHECKPOINTS / "chatglm2" / "tokenizer.model", directory)
    with pytest.warns(mftkit.MftWarning, match=r"the embedding has 400 rows, and so none for 85 tokens"):
        loaded: Any = mftkit.load_model(directory)
    with pytest.raises(mftkit.MftError, match=r"\[gMASK\]|embedding"):
        loaded[0](torch.tensor([loaded[1]("people").input_ids]))  # begins with [gMASK] sop


def test_an_unknown_type_with_code_of_its_own(copied: Callable[..., Path]) -> None:
    message = refused(copied("chatglm2", model_type="other"))
    assert "running the checkpoint's own code is disabled; set model.trust_remote_code to true" in message
    assert "no installed adapter supports model type 'other'" in refused(
        copied("chatglm3", model_type="other", auto_map=None)
    )


def test_a_run_is_refused_before_the_tokenizer_is_asked_for(
    copied: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "rows.jsonl", rows("task", 20))
    spec = {
        "name": "refused",
        "model": {"path": str(copied("chatglm2", model_type="other"))},
        "tasks": [{"name": "task", "train": ["rows.jsonl"]}],
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert main(["run", str(tmp_path / "spec.json")]) == 2
    errors = capsys.readouterr().err
    assert "own code is disabled; set model.trust_remote_code to true if you trust it" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "runs").exists()
