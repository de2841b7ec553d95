"""The first sample of each task in brief: around the place where the answer begins, with what ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from data_path import CHATML, chat_row, sections, tokenizer, write_lines
from mftkit.data.corpus import prepare
from mftkit.training.first_samples import first_samples
from recorder import Recorder

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("question", ["Add.", "Add two numbers. " * 40, "漢字 😀" * 50])
@pytest.mark.parametrize("answer", ["a", "a + b\n", "x = 1\n" * 90, "漢 😀" * 50])
def test_a_chat_and_a_text(tmp_path: Path, question: str, answer: str) -> None:
    chat = write_lines(tmp_path / "chat.jsonl", [chat_row(question, answer), chat_row("other", "more")])
    code = write_lines(tmp_path / "code.jsonl", [{"text": f"a{answer}"}])
    tok = tokenizer(CHATML)
    spec = sections(
        tmp_path / "cache",
        {"name": "chat", "train": [str(chat)], "valid": 0},
        {"name": "code", "train": [str(code)], "valid": 0, "format": "text"},
        max_length=4096,
    )
    corpus = prepare(spec, tok, Recorder())
    first, text = first_samples(corpus, tok)
    assert (first.task, first.place, text.task, text.place) == ("chat", f"{chat}:1", "code", f"{code}:1")
    assert (first.tokens, first.loss_tokens) == (corpus.train.lengths[0], corpus.train.loss_tokens[0])
    assert (first.stop, text.stop) == ("<|im_end|>", "</s>")
    for shown, whole in ((first.before[::-1], PROMPT.format(question)[::-1]), (first.answer, answer)):
        bare = shown.removesuffix("…")
        assert bare
        assert whole.startswith(bare.rstrip("\N{REPLACEMENT CHARACTER}"))
        assert (bare == whole) is (not shown.endswith("…"))
        assert len(shown) <= 81


def test_a_sample_that_max_length_cuts_ends_with_its_last_token(tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "chat.jsonl", [chat_row("a", "x = 1\n" * 90)])
    tok = tokenizer(CHATML)
    spec = sections(tmp_path / "cache", {"name": "chat", "train": [str(rows)], "valid": 0}, max_length=30)
    [first] = first_samples(prepare(spec, tok, Recorder()), tok)
    assert (first.tokens, first.before) == (30, PROMPT.format("a"))
    assert (first.answer + first.stop).startswith("x = 1\n")
    assert first.stop != "<|im_end|>"
