"""The texts of tokens: joined they are the text of the sample, and no character is shown in halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from data_path import CHATML, LLAMA3, legacy_llama, tokenizer
from mftkit.data.text.token_texts import TokenTexts
from templates.table import CHATS

if TYPE_CHECKING:
    from templates.chat import Chat

TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "  two spaces, é, 漢字 and 😀😀\n\n\t<|im_start|>x",
    "",
    " ",
    "broken \N{REPLACEMENT CHARACTER} character\N{REPLACEMENT CHARACTER}",
]


def decoded(tok: Any, ids: list[int]) -> str:
    text: str = tok.backend_tokenizer.decode(ids, skip_special_tokens=False)
    return text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chat", CHATS, ids=str)
def test_joined_texts_are_the_decoded_text(chat: Chat, text: str) -> None:
    tok = chat.tokenizer()
    ids = tok(text, add_special_tokens=True)["input_ids"]
    found = TokenTexts(tok).split(ids)
    assert [number for token in found for number in token.ids] == ids
    assert [token.start for token in found] == [
        sum(len(before.ids) for before in found[:place]) for place in range(len(found))
    ]
    shown = "".join(token.text for token in found)
    assert shown.replace(" ", "") == decoded(tok, ids).replace(
        " ", ""
    )  # decoders put spaces between added tokens
    if not any(token.added for token in found):
        assert shown == decoded(tok, ids)


@pytest.mark.parametrize("tok", [tokenizer(CHATML), tokenizer(LLAMA3), legacy_llama()], ids=["a", "b", "c"])
def test_a_character_of_several_tokens_is_shown_once(tok: Any) -> None:
    ids = tok("a 😀 b", add_special_tokens=False)["input_ids"]
    found = TokenTexts(tok).split(ids)
    [face] = [token for token in found if "😀" in token.text]
    assert len(face.ids) > 1
    assert not any("\N{REPLACEMENT CHARACTER}" in token.text for token in found)


def test_added_tokens_are_shown_by_their_own_text_and_a_space_after_them_stays() -> None:
    tok = legacy_llama()
    ids = [tok.bos_token_id, *tok("hello", add_special_tokens=False)["input_ids"], tok.eos_token_id]
    found = TokenTexts(tok).split(ids)
    assert [(token.text, token.added) for token in (found[0], found[-1])] == [("<s>", True), ("</s>", True)]
    assert "".join(token.text for token in found) == "<s> hello</s>"


def test_half_a_character_before_an_added_token_is_shown_as_such() -> None:
    tok = tokenizer(CHATML)
    half = tok("😀", add_special_tokens=False)["input_ids"][:1]
    end = tok.convert_tokens_to_ids("<|im_end|>")
    found = TokenTexts(tok).split([*half, end, *half])
    assert [token.ids for token in found] == [tuple(half), (end,), tuple(half)]
    assert [token.text for token in found] == [
        "\N{REPLACEMENT CHARACTER}",
        "<|im_end|>",
        "\N{REPLACEMENT CHARACTER}",
    ]


def test_a_border_parts_a_character() -> None:
    tok = tokenizer(CHATML)
    ids = tok("😀", add_special_tokens=False)["input_ids"]
    found = TokenTexts(tok).split(ids, {1})
    assert (len(TokenTexts(tok).split(ids)), found[0].ids) == (1, tuple(ids[:1]))
    assert [number for token in found for number in token.ids] == ids
