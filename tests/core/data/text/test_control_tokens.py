"""Which tokens in contents are text, and which are reported."""

import pytest

from data_path import CHATML, tokenizer
from mftkit.data.text.control_tokens import ControlTokens

PLAIN = ("<|fim_prefix|>", "<tool_call>", "[IMG]", "|pad|")
"""Marks that are no special tokens of the tokenizer."""


def controls(mode: str) -> ControlTokens:
    made = tokenizer(CHATML)
    made.add_tokens([*PLAIN, "word"])
    return ControlTokens(made, ["<|im_start|><|im_end|>"], mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", PLAIN)
def test_a_mark_is_reported_and_can_be_text_although_it_is_no_special_token(text: str) -> None:
    assert controls("auto").noticed.search(text)
    assert text not in controls("auto").texts
    assert text in controls("text").texts
    assert text not in controls("token").texts


@pytest.mark.parametrize("text", ["word", "<think>", "</think>"])
def test_words_and_marks_of_reasoning_are_neither(text: str) -> None:
    assert not controls("auto").noticed.search(text)
    assert text not in controls("text").texts
