"""Tokenizer files that cannot be used: one message with the file and the cause, and no library that hangs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit_registry import MftError

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
Spoil = Callable[[Path], object]


def written(name: str, content: bytes) -> Spoil:
    return lambda at: (at / name).write_bytes(content)


def edited(change: Callable[[Any], object], name: str = TOKENIZER) -> Spoil:
    def spoil(at: Path) -> None:
        content = json.loads((at / name).read_text())
        change(content)
        (at / name).write_text(json.dumps(content))

    return spoil


def added(*tokens: tuple[int, str]) -> Spoil:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return edited(lambda it: it["added_tokens"].extend({"id": n, "content": t, **flags} for n, t in tokens))


def pipe(at: Path) -> None:
    (at / CONFIG).unlink()
    os.mkfifo(at / CONFIG)


def replacements(*each: tuple[dict[str, str], str]) -> Spoil:
    steps = [{"type": "Replace", "pattern": pattern, "content": content} for pattern, content in each]
    return edited(lambda it: it.update(normalizer={"type": "Sequence", "normalizers": steps}))


POST = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[N]", "type_id": 0}}], "pair": [],
    "special_tokens": {},
}  # fmt: skip
READ = "cannot be read: "
CASES: dict[str, tuple[Spoil, str]] = {
    "cut off": (lambda at: os.truncate(at / TOKENIZER, 900), f"{READ}tokenizer.json: .*; download it again"),
    "null": (written(TOKENIZER, b"null"), f"{READ}tokenizer.json: expected a JSON object, found NoneType"),
    "a list": (written(TOKENIZER, b"[]"), f"{READ}tokenizer.json: expected a JSON object, found list"),
    "deep": (written(TOKENIZER, b'{"a":' * 100000), f"{READ}tokenizer.json: it is nested too deeply"),
    "not UTF-8": (written(TOKENIZER, b"\xff{}"), f"{READ}tokenizer.json: 'utf-8' codec"),
    "a large id": (edited(lambda it: it["model"]["vocab"].update(z=2**31)), "the token 'z' has the id 2147483648, which no"),
    "a negative id": (edited(lambda it: it["model"]["vocab"].update(z=-1)), "the token 'z' has the id -1, which no"),
    "a large added id": (added((2**40, "<x>")), "the token '<x>' has the id 1099511627776, which no"),
    "an id of two": (added((900, "<x>"), (900, "<y>")), "the added tokens '<x>' and '<y>' have the same id, 900"),
    "a broken regular expression": (
        edited(lambda it: it.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False})),
        f"{READ}Oniguruma error",
    ),
    "a panic": (edited(lambda it: it.update(post_processor=POST)), "cannot be used: it cannot encode a text: no entry"),
    "a text that grows": (
        replacements(({"String": "e"}, "e" * 1000), ({"Regex": "e"}, "e" * 1000)),
        f"{READ}tokenizer.json: its normalizer can make a text 1,000,000 times as long; download it again",
    ),
    "a text that doubles": (
        replacements(*[({"Regex": "x*"}, "x")] * 20), "its normalizer can make a text 1,048,576 times as long"
    ),
    "config: a list": (written(CONFIG, b"[]"), f"{READ}tokenizer_config.json: expected a JSON object, found list"),
    "config: a length": (edited(lambda it: it.update(model_max_length="x"), CONFIG), r"model_max_length should be a number \(given: 'x'\)"),
    "config: a template": (edited(lambda it: it.update(chat_template=5), CONFIG), r"chat_template should be a text \(given: 5\)"),
    "config: a pipe": (pipe, "tokenizer_config.json is a pipe, a device or a socket"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_used_is_refused_in_one_message(case: str, tmp_path: Path) -> None:
    spoil, message = CASES[case]
    train_bpe(["def sort(value): return sort(value)"] * 9, 300).save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(MftError, match=message) as caught:
        load_tokenizer(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_replacements_that_hardly_lengthen_a_text_are_used(tmp_path: Path) -> None:
    train_bpe(["def sort(value): return sort(value)"] * 9, 300).save_pretrained(tmp_path)
    replacements(
        ({"String": " "}, "\u2581"), *[({"Regex": r"\p{Zs}+"}, " ")] * 30, ({"String": "\t"}, "    ")
    )(tmp_path)
    assert load_tokenizer(str(tmp_path)) is not None


def test_the_tokenizer_unspoilt_is_read(tmp_path: Path) -> None:
    train_bpe(["def sort(value): return sort(value)"] * 9, 300).save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)) is not None
