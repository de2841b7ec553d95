"""Formats of instruct models: what they render, and when they are a tokenizer's."""

from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

import mftkit
from mftkit.data.text.chat_format import chat_format
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.interfaces.conversation import Conversation, Turn
from mftkit.plugins import installed, kinds

TURNS: list[tuple[Any, str]] = [
    ("system", "SYS"),
    ("user", "ASK"),
    ("assistant", "SAY"),
    ("user", "MORE"),
    ("assistant", "DONE"),
]
RENDERED = {
    ("qwen", "ChatML"): "<|im_start|>system\nSYS<|im_end|>\n<|im_start|>user\nASK<|im_end|>\n"
    "<|im_start|>assistant\nSAY<|im_end|>\n<|im_start|>user\nMORE<|im_end|>\n<|im_start|>assistant\nDONE<|im_end|>\n",
    ("llama", "Llama 3 Instruct"): "<s><|start_header_id|>system<|end_header_id|>\n\nSYS<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nASK<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nSAY<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nMORE<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nDONE<|eot_id|>",
    ("llama", "DeepSeek-Coder Instruct"): "<s>SYS\n### Instruction:\nASK\n### Response:\nSAY\n<|EOT|>\n"
    "### Instruction:\nMORE\n### Response:\nDONE\n<|EOT|>\n",
    ("deepseek", "DeepSeek-V2.5 and V3 Chat"): "<s>SYS<｜User｜>ASK<｜Assistant｜>SAY<｜end▁of▁sentence｜>"
    "<｜User｜>MORE<｜Assistant｜>DONE<｜end▁of▁sentence｜>",
    ("mistral", "Mistral Instruct"): "<s>[INST] SYS\n\nASK[/INST] SAY</s>[INST] MORE[/INST] DONE</s>",
    ("starcoder", "StarChat"): "<|system|>\nSYS<|end|>\n<|user|>\nASK<|end|>\n<|assistant|>\nSAY<|end|>\n"
    "<|user|>\nMORE<|end|>\n<|assistant|>\nDONE<|end|>\n",
    ("phi", "Phi-3 Instruct"): "<|system|>\nSYS<|end|>\n<|user|>\nASK<|end|>\n<|assistant|>\nSAY<|end|>\n"
    "<|user|>\nMORE<|end|>\n<|assistant|>\nDONE<|end|>\n",
    ("gemma", "Gemma Instruct"): "<s><start_of_turn>user\nSYS\n\nASK<end_of_turn>\n<start_of_turn>model\nSAY<end_of_turn>\n"
    "<start_of_turn>user\nMORE<end_of_turn>\n<start_of_turn>model\nDONE<end_of_turn>\n",
    ("glm", "GLM-4 Chat"): "[gMASK]<sop><|system|>\nSYS<|user|>\nASK<|assistant|>\nSAY<|user|>\nMORE<|assistant|>\nDONE",
    ("gpt-neox", "CodeFuse-13B"): "<|role_start|>system<|role_end|>SYS<|role_start|>human<|role_end|>ASK"
    "<|role_start|>bot<|role_end|>SAY<|endoftext|><|role_start|>human<|role_end|>MORE<|role_start|>bot<|role_end|>DONE"
    "<|endoftext|>",
}  # fmt: skip


def found(adapter: str, name: str) -> mftkit.InstructFormat:
    [known] = [
        each
        for each in installed.build(kinds.MODEL_ADAPTER, adapter, {}).instruct_formats
        if each.name == name
    ]
    found: mftkit.InstructFormat = known
    return found


def tokenizer_of(known: mftkit.InstructFormat, leave_out: str | None = None) -> PreTrainedTokenizerBase:
    tokenizer = train_bpe(["SYS ASK SAY MORE DONE"], 300)
    tokens = [token for token in (*known.tokens, known.end) if token not in ("</s>", leave_out)]
    tokenizer.add_special_tokens({"extra_special_tokens": tokens})
    return tokenizer


@pytest.mark.parametrize(("adapter", "name"), RENDERED)
def test_it_renders_what_was_published_and_answers_with_their_end_count(adapter: str, name: str) -> None:
    known = found(adapter, name)
    tokenizer = tokenizer_of(known)
    tokenizer.chat_template = installed.build(kinds.MODEL_ADAPTER, adapter, {}).chat_template(tokenizer)
    assert tokenizer.chat_template == known.template
    messages = [{"role": role, "content": content} for role, content in TURNS]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == RENDERED[adapter, name]
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    assert isinstance(prompt, str)
    assert RENDERED[adapter, name].startswith(prompt)
    [sample] = chat_format("auto", None, tokenizer).render(Conversation(tuple(Turn(*turn) for turn in TURNS)))
    segments = sample.segments
    assert "".join(piece.text for segment in segments for piece in segment.pieces).startswith(
        RENDERED[adapter, name]
    )
    answers = [
        "".join(piece.text for piece in segment.pieces) for segment in segments if segment.in_loss == "all"
    ]
    assert [known.end in answer for answer in answers] in ([True, True], [True, False])
    assert [content in answer for content, answer in zip(("SAY", "DONE"), answers, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(("adapter", "name"), RENDERED)
def test_without_one_of_its_control_tokens_it_is_nobodys(adapter: str, name: str) -> None:
    known = found(adapter, name)
    for token in {*known.tokens, known.end} - {"</s>"}:
        assert (
            installed.build(kinds.MODEL_ADAPTER, adapter, {}).instruct_format(tokenizer_of(known, token))
            is None
        )


def test_a_tokenizers_own_template_stays() -> None:
    tokenizer = tokenizer_of(found("qwen", "ChatML"))
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    assert (
        installed.build(kinds.MODEL_ADAPTER, "qwen", {}).chat_template(tokenizer) == tokenizer.chat_template
    )
