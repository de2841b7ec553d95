from typing import Any

import pytest

from data_path import tokenizer
from mftkit.data.text.encoder import Encoder
from mftkit.data.text.segments import Piece, Segment
from mftkit_registry.errors import MftError


def spans(encoded: Any) -> list[tuple[int, int]]:
    return list(zip(encoded.spans[::2], encoded.spans[1::2], strict=True))


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_text_counts_but_for_its_first_token(adds_bos: bool) -> None:
    tok = tokenizer(adds_bos=adds_bos)
    encoded = Encoder(tok).encode_texts(["def add(a, b):\n", "x </s> <s>"])
    ids = list(encoded.tokens)
    assert tok.decode(ids) == "".join(
        ("<s>" if adds_bos else "") + t + "</s>" for t in ("def add(a, b):\n", "x </s> <s>")
    )
    assert spans(encoded) == [(1, encoded.lengths[0]), (1, encoded.lengths[1])]
    assert ids.count(tok.eos_token_id) == 2


def test_a_text_needs_an_end() -> None:
    tok = tokenizer()
    tok.eos_token = None
    with pytest.raises(MftError, match="no end-of-text token"):
        Encoder(tok).encode_texts(["x"])


def test_the_first_token_of_a_sample_never_counts() -> None:
    tok = tokenizer()
    encoded = Encoder(tok).encode(
        [[Segment((Piece("ab cd", True),), "all")], [Segment((Piece("a", True),), "all")]]
    )
    assert spans(encoded) == [(1, encoded.lengths[0])]
    assert list(encoded.span_counts) == [1, 0]


def test_spans_that_touch_are_one() -> None:
    tok = tokenizer()
    parts = [("ask", "none"), ("answer", "all"), ("\nmore", "first"), ("last", "all")]
    encoded = Encoder(tok).encode([[Segment((Piece(text, False),), counting) for text, counting in parts]])  # type: ignore[arg-type]
    ask, answer, more = (
        len(tok.encode(text, add_special_tokens=False)) for text in ("ask", "answer", "\nmore")
    )
    assert spans(encoded) == [(ask, ask + answer + 1), (ask + answer + more, encoded.lengths[0])]


def test_a_tokenizer_that_cuts_and_pads_does_neither_here() -> None:
    tok = tokenizer()
    tok.backend_tokenizer.enable_truncation(3)
    tok.backend_tokenizer.enable_padding(length=50)
    encoded = Encoder(tok).encode_texts(["def add(a, b): return a"])
    assert tok.decode(encoded.tokens.tolist()) == "def add(a, b): return a</s>"


def test_special_tokens_that_are_words_of_the_vocabulary_too_are_taken_apart() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), *((letter, -5.0) for letter in "<s>/ab ")]
    backend = Tokenizer(models.Unigram(words, unk_id=0, byte_fallback=False))
    tok: Any = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    encoded = Encoder(tok).encode(
        [[Segment((Piece("<s>a", False), Piece("b</s>", True), Piece("</s>", False)), "all")]]
    )
    assert encoded.tokens.tolist().count(tok.bos_token_id) == 1
    assert encoded.tokens.tolist().count(tok.eos_token_id) == 1
    assert "".join(tok.convert_ids_to_tokens(encoded.tokens.tolist())) == "<s>ab</s></s>"


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        pass

    with pytest.raises(MftError, match="Slow is not a fast tokenizer"):
        Encoder(Slow())  # type: ignore[arg-type]
