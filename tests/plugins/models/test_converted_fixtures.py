"""Converted checkpoints against what the families' own code gave for them."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import mftkit
from checkpoints import CHECKPOINTS, FAMILIES, WITH_TOKENIZER, read
from mftkit_plugins.models.command_tokenizer import CommandTokenizer
from mftkit_registry import MftWarning
from original_models import original_logits

BOUND = 2e-5
"""A right conversion is off by 1e-5 at most, a wrong norm epsilon by 1e-3."""


def off(given: torch.Tensor, wanted: torch.Tensor, mask: torch.Tensor | None = None) -> float:
    difference = (given - wanted).abs()
    return float((difference if mask is None else difference[mask.bool()]).max())


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]]:
    model, tokenizer = mftkit.load_model(CHECKPOINTS / request.param)
    return request.param, model, tokenizer, load_file(CHECKPOINTS / request.param / "expected.safetensors")


def test_logits_states_and_loss_are_the_originals(
    case: tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]],
) -> None:
    name, model, tokenizer, expected = case
    assert type(model).__name__ == FAMILIES[name]
    assert (tokenizer is not None) == (name in WITH_TOKENIZER)
    ids = expected["input_ids"]
    with torch.no_grad():
        outputs = model(input_ids=ids, labels=ids, output_hidden_states=True)
    assert off(outputs.logits, expected["logits"]) < BOUND
    assert off(outputs.hidden_states[1], expected["layer0_output"]) < BOUND
    assert off(outputs.hidden_states[-1], expected["last_hidden_state"]) < BOUND
    assert float(outputs.loss) == pytest.approx(float(expected["loss"]), abs=1e-5)


def test_padded_rows_are_the_originals(
    case: tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]],
) -> None:
    _, model, _, expected = case
    for side in ("right_padded", "left_padded"):
        given = {k.partition(".")[2]: v for k, v in expected.items() if k.startswith(f"{side}.")}
        if not given:
            continue
        wanted = given.pop("logits")
        with torch.no_grad():
            logits = model(**given).logits
        assert off(logits, wanted, given["attention_mask"]) < BOUND


def test_the_reference_that_other_shapes_are_tried_against_is_right(
    case: tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]],
) -> None:
    name, _, _, expected = case
    assert off(original_logits(CHECKPOINTS / name, expected["input_ids"]), expected["logits"]) < BOUND


def test_a_cache_changes_nothing(case: tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]]) -> None:
    model: Any = case[1]
    expected = case[3]
    ids = expected["right_padded.input_ids"].flip(1)  # padded on the left
    mask = expected["right_padded.attention_mask"].flip(1)
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        past, parts = None, []
        for start, end in ((0, 16), (16, 17), (17, 24)):
            step = model(
                input_ids=ids[:, start:end],
                attention_mask=mask[:, :end],
                past_key_values=past,
                use_cache=True,
            )
            past = step.past_key_values
            parts.append(step.logits)
    assert off(torch.cat(parts, 1), whole, mask) < BOUND
    made = model.generate(
        ids, attention_mask=mask, max_new_tokens=3, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    with torch.no_grad():
        for row, (made_ids, kept) in enumerate(zip(made, mask, strict=True)):
            alone = made_ids[int((kept == 0).sum()) :]
            choices = model(input_ids=alone[None], use_cache=False).logits[0, -4:-1].argmax(-1)
            assert choices.tolist() == alone[-3:].tolist(), row


def test_what_is_saved_needs_no_mftkit(
    case: tuple[str, PreTrainedModel, Any, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    name, model, tokenizer, expected = case
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [FAMILIES[name]]
    assert "auto_map" not in config
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    again, _ = mftkit.load_model(tmp_path)
    ids = expected["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits
        assert torch.equal(again(input_ids=ids).logits, logits)
        apart = off(plain(input_ids=ids).logits, logits)
    # A plain Llama has no ALiBi: the docs say what it needs.
    assert apart > 0.1 if name == "baichuan2-13b" else apart == 0
    if tokenizer is not None:
        tokenizer.save_pretrained(tmp_path)
        _check_texts(
            name, AutoTokenizer.from_pretrained(tmp_path), split_special_tokens="glm" in name or "gee" in name
        )


@pytest.mark.parametrize("name", WITH_TOKENIZER)
def test_tokens_are_the_originals(name: str) -> None:
    tokenizer: Any = mftkit.load_model(CHECKPOINTS / name)[1]
    _check_texts(name, tokenizer)
    info = read(name, "expected_tokenizer_info.json")
    assert len(tokenizer) == tokenizer.vocab_size == info["vocab_size"]
    assert tokenizer.padding_side == info["padding_side"]
    for key in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(tokenizer, key) == info.get(key, getattr(tokenizer, key)), key
    special = info.get("special_ids", {})
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in special} == special
    for case in info.get("no_special_parsing", []):
        assert tokenizer(case["text"], split_special_tokens=True).input_ids == case["ids"]
    if pair := info.get("pair"):
        assert tokenizer(*pair["texts"]).input_ids == pair["ids"]
    if padded := info.get("padded_batch"):
        made = tokenizer(padded["texts"], padding=True)
        assert made.input_ids == padded["input_ids"]
        assert made.attention_mask == padded["attention_mask"]


def _check_texts(name: str, tokenizer: CommandTokenizer | PreTrainedTokenizerBase, **options: Any) -> None:
    cases = read(name, "expected_tokenization.json")
    assert len(cases) > 10
    for case in cases:
        text = case["text"]
        assert tokenizer(text, **options).input_ids == case["ids"], text
        assert tokenizer(text, add_special_tokens=False, **options).input_ids == case["ids_plain"], text
        assert tokenizer.decode(case["ids_plain"]) == case["decoded_plain"], text


@pytest.mark.parametrize("name", ["chatglm2", "chatglm3", "codegeex2"])
def test_chat_prompts_are_the_originals(name: str, tmp_path: Path) -> None:
    tokenizer: Any = mftkit.load_model(CHECKPOINTS / name)[1]
    chat = read(name, "expected_tokenizer_info.json")["chat"]
    turns = chat["history"]
    if isinstance(turns[0], list):  # rounds
        turns = [
            {"role": r, "content": c}
            for pair in turns
            for r, c in zip(("user", "assistant"), pair, strict=True)
        ]
        assert tokenizer(chat["prompt"]).input_ids == chat["ids"]
    turns = [*turns, {"role": "user", "content": chat["query"]}]
    tokenizer.save_pretrained(tmp_path)
    each: Any
    for each in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert each.apply_chat_template(turns, add_generation_prompt=True)["input_ids"] == chat["ids"]
    # Afterwards text is text again; and a word that has a command in it always was.
    assert (
        tokenizer.convert_tokens_to_ids("sop") not in tokenizer("a sop", add_special_tokens=False).input_ids
    )
    assert each.convert_tokens_to_ids("eop") not in each("people", add_special_tokens=False).input_ids


@pytest.mark.parametrize(
    ("place", "name", "third"),
    [
        ("chatglm3-6b/model", None, True),
        ("chatglm3/chatglm2", None, False),
        ("chatglm2", "/home/me/base", False),
        ("chatglm3", "/home/me/base", True),
        ("chatglm3", "THUDM/chatglm2-6b", False),
        ("any", None, False),
    ],
)
def test_chatglm_3_is_known_by_the_nearest_name_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str | None, third: bool
) -> None:
    directory = tmp_path / place
    shutil.copytree(CHECKPOINTS / "chatglm2", directory)
    for file in ("config.json", "tokenizer_config.json"):
        values = {
            k: v for k, v in json.loads((directory / file).read_text()).items() if "name_or_path" not in k
        }
        (directory / file).write_text(json.dumps(values | ({"_name_or_path": name} if name else {})))
    monkeypatch.chdir(directory)
    tokenizer: Any = mftkit.load_model(".")[1]
    assert ("<|user|>" in tokenizer.get_vocab()) is third


def test_chatml_of_qwen() -> None:
    tokenizer: Any = mftkit.load_model(CHECKPOINTS / "qwen1")[1]
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "so?"},
    ]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
        "<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nso?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_qwen_beyond_its_length_is_as_in_training_and_warned_of() -> None:
    model, tokenizer = mftkit.load_model(CHECKPOINTS / "qwen1")
    assert tokenizer is not None
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|im_end|>"]
    )
    expected = load_file(CHECKPOINTS / "qwen1" / "expected.safetensors")
    ids = expected["long.input_ids"]
    with torch.no_grad():
        model(input_ids=ids[:, :64])
        with pytest.warns(MftWarning, match="more than seq_length 64 tokens"):
            logits = model(input_ids=ids).logits
        model(input_ids=ids)  # warned of once
        model.train()
        assert off(model(input_ids=ids).logits, expected["long.logits_train_mode"]) < BOUND
    assert off(logits, expected["long.logits_train_mode"]) < BOUND


def test_nothing_of_a_conversion_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """A native Llama loads as ever after a Baichuan, and a Baichuan after that."""
    caplog.set_level(logging.WARNING)
    first, _ = mftkit.load_model(CHECKPOINTS / "baichuan2-13b")
    plain, _ = mftkit.load_model(CHECKPOINTS / "aquila2")
    second, _ = mftkit.load_model(CHECKPOINTS / "baichuan-7b")
    assert type(first) is type(plain) is type(second)
    assert not plain.model._forward_pre_hooks
    assert not second.model._forward_pre_hooks
    expected = load_file(CHECKPOINTS / "aquila2" / "expected.safetensors")
    with torch.no_grad():
        assert off(plain(input_ids=expected["input_ids"]).logits, expected["logits"]) < BOUND
