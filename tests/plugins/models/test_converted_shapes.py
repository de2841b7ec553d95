"""Converted checkpoints of shapes that no fixture has, against the arithmetic written once more."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import mftkit
from checkpoints import read
from mftkit.interfaces.model import LoadRequest
from mftkit.models import read_config, select_adapter
from original_models import original_logits, write_original


def glm(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = (
        read("chatglm2", "config.json")
        | {
            "hidden_size": 48,
            "num_layers": 3,
            "num_attention_heads": 6,
            "kv_channels": 12,
            "ffn_hidden_size": 56,
            "multi_query_group_num": 3,
            "padded_vocab_size": 96,
            "layernorm_epsilon": 3e-3,
            "rope_ratio": 5.0,
        }
        | changes
    )
    return found


def qwen(**changes: Any) -> Any:
    return read("qwen1", "config.json") | {
        "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "kv_channels": 8,
        "intermediate_size": 80, "vocab_size": 96, "layer_norm_epsilon": 3e-3, "rotary_emb_base": 500,
    } | changes  # fmt: skip


def baichuan(name: Any, **changes: Any) -> Any:
    return read(name, "config.json") | {
        "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 56,
        "vocab_size": 96, "rms_norm_eps": 3e-3,
    } | changes  # fmt: skip


CASES = {
    "grouped": glm(),
    "one-group": glm(multi_query_group_num=1, add_qkv_bias=False),
    "head-by-head": glm(multi_query_attention=False),
    "wide-heads": glm(kv_channels=20),
    "qwen": qwen(),
    "first-7b": baichuan("baichuan-7b", rope_theta=700.0),
    "second-7b": baichuan("baichuan2-7b"),
    "second-13b-six-heads": baichuan("baichuan2-13b"),
    "second-13b-twelve-heads": baichuan("baichuan2-13b", num_attention_heads=12),
    "first-13b": baichuan("baichuan2-13b", vocab_size=64000, hidden_size=12, num_attention_heads=3),
    "aquila": baichuan("aquila2", num_key_value_heads=2, rope_theta=333.0),
}


@pytest.mark.parametrize(
    ("name", "form"), [*zip(CASES, itertools.cycle([(1, False), (2, True), (3, False)]))]
)
def test_every_number_is_the_configs(name: str, form: tuple[int, bool], tmp_path: Path) -> None:
    shards, pickled = form
    write_original(tmp_path / "it", CASES[name], shards=shards, pickled=pickled)
    model, tokenizer = mftkit.load_model(tmp_path / "it")
    assert tokenizer is None
    ids = torch.randint(0, 96, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (model(input_ids=ids).logits - original_logits(tmp_path / "it", ids)).abs().max()
    assert difference < 2e-5
    assert mftkit.load_model(tmp_path / "it")[0].num_parameters() == model.num_parameters()


@pytest.mark.parametrize("name", ["head-by-head", "qwen", "second-13b-six-heads"])
def test_other_dtypes(name: str, tmp_path: Path) -> None:
    write_original(tmp_path / "it", CASES[name], shards=2)
    config = read_config(str(tmp_path / "it"))
    _, adapter = select_adapter(config)
    model, _ = adapter.load(LoadRequest(str(tmp_path / "it"), config, torch.bfloat16, "eager"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    ids = torch.arange(30)[None]
    with torch.no_grad():
        wanted = original_logits(tmp_path / "it", ids)
        difference = (model(input_ids=ids).logits.float() - wanted).abs().max()
    assert difference < 0.05 * wanted.abs().max()


def test_alibi_of_packed_samples_is_that_of_each_alone(tmp_path: Path) -> None:
    write_original(tmp_path / "it", CASES["second-13b-six-heads"])
    model, _ = mftkit.load_model(tmp_path / "it")
    ids = torch.randint(0, 96, (1, 20))
    positions = torch.cat([torch.arange(12), torch.arange(8)])[None]
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        alone = [model(input_ids=part).logits for part in ids.split([12, 8], 1)]
    assert (packed - torch.cat(alone, 1)).abs().max() < 2e-5


def test_alibi_takes_masks_of_four_dimensions(tmp_path: Path) -> None:
    write_original(tmp_path / "it", CASES["second-13b-six-heads"])
    model, _ = mftkit.load_model(tmp_path / "it")
    ids, mask = torch.randint(0, 96, (2, 20)), torch.ones(2, 20, dtype=torch.long)
    mask[1, :6] = 0
    square = mask[:, None, None, :].bool().expand(2, 1, 20, 20)
    added = torch.zeros(2, 1, 20, 20).masked_fill(~square, torch.finfo(torch.float32).min)
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=mask).logits[:, 6:]
        for given in (square, added):
            assert torch.equal(model(input_ids=ids, attention_mask=given).logits[:, 6:], wanted)


def test_a_static_cache_may_be_longer_than_the_text(tmp_path: Path) -> None:
    from transformers import StaticCache

    write_original(tmp_path / "it", CASES["second-13b-six-heads"])
    model, _ = mftkit.load_model(tmp_path / "it")
    ids = torch.randint(0, 96, (1, 12))
    cache = StaticCache(model.config, max_cache_len=32)
    with torch.no_grad():
        parts = [
            model(input_ids=part, past_key_values=cache, use_cache=True).logits for part in ids.split(6, 1)
        ]
        assert (torch.cat(parts, 1) - model(input_ids=ids).logits).abs().max() < 2e-5


def test_what_the_docs_say_a_plain_llama_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_original(tmp_path / "it", CASES["second-13b-six-heads"])
    model, _ = mftkit.load_model(tmp_path / "it")
    model.save_pretrained(tmp_path / "model")
    document = (Path(__file__).parents[3] / "docs" / "converted.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", document, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(code, made)
    with torch.no_grad():
        assert (model(input_ids=made["ids"]).logits - made["logits"]).abs().max() < 2e-5


def test_four_bits_come_with_the_loader(tmp_path: Path) -> None:
    """Straight from an original, q, k and v quantized each by itself."""
    from transformers import BitsAndBytesConfig

    write_original(
        tmp_path / "it", glm(hidden_size=64, num_attention_heads=4, kv_channels=16, multi_query_group_num=2)
    )
    config = read_config(str(tmp_path / "it"))
    _, adapter = select_adapter(config)
    four = {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")}
    request = LoadRequest(str(tmp_path / "it"), config, torch.float32, "auto", load_options=four)
    model, _ = adapter.load(request)
    model.train()
    ids = torch.arange(30)[None]
    wanted = original_logits(tmp_path / "it", ids)
    with torch.no_grad():
        found = model(input_ids=ids).logits
    assert type(model.model.layers[0].self_attn.k_proj).__name__ == "Linear4bit"
    assert torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.9
