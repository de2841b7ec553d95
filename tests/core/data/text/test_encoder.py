from typing import Any

import pytest

from data_path import text_encoder, text_samples, tokenizer
from mftkit.data.text.control_tokens import ControlTokens
from mftkit.data.text.encoder import Encoder, fast_backend
from mftkit.interfaces.task_format import FormattedSample, InLoss, Piece, Segment
from mftkit_registry.errors import MftError


def spans(encoded: Any) -> list[tuple[int, int]]:
    return list(zip(encoded.spans[::2], encoded.spans[1::2], strict=True))


@pytest.mark.parametrize("adds_bos", [False, True])
def test_a_text_counts_but_for_its_first_token(adds_bos: bool) -> None:
    tok = tokenizer(adds_bos=adds_bos)
    encoded = text_encoder(tok).encode(text_samples(tok, "def add(a, b):\n", "x </y> <s"))
    ids = list(encoded.tokens)
    assert tok.decode(ids) == "".join(
        ("<s>" if adds_bos else "") + t + "</s>" for t in ("def add(a, b):\n", "x </y> <s")
    )
    assert spans(encoded) == [(1, encoded.lengths[0]), (1, encoded.lengths[1])]
    assert ids.count(tok.eos_token_id) == 2


def test_a_batch_is_encoded_alike_in_any_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    tok = tokenizer()
    samples = text_samples(tok, *(f"def f{number}(a):\n    return a </y> {number}\n" for number in range(9)))
    together = text_encoder(tok).encode(samples)
    monkeypatch.setattr("mftkit.data.text.encoder._CALL", 2)
    assert text_encoder(tok).encode(samples) == together
    assert together.tokens.tolist() == [
        token for sample in samples for token in text_encoder(tok).encode([sample]).tokens
    ]


def test_a_text_needs_an_end() -> None:
    tok = tokenizer()
    tok.eos_token = None
    with pytest.raises(MftError, match="no end-of-text token"):
        text_encoder(tok).encode(text_samples(tok, "x"))


def test_the_first_token_of_a_sample_never_counts() -> None:
    tok = tokenizer()
    encoded = text_encoder(tok).encode(
        [FormattedSample((Segment((Piece(text, True),), "all"),)) for text in ("ab cd", "a")]
    )
    assert spans(encoded) == [(1, encoded.lengths[0])]
    assert list(encoded.span_counts) == [1, 0]


def test_spans_that_touch_are_one() -> None:
    tok = tokenizer()
    parts: list[tuple[str, InLoss]] = [
        ("ask", "none"),
        ("answer", "all"),
        ("\nmore", "first"),
        ("last", "all"),
    ]
    encoded = text_encoder(tok).encode(
        [FormattedSample(tuple(Segment((Piece(text, False),), in_loss) for text, in_loss in parts))]
    )
    ask, answer, more = (
        len(tok.encode(text, add_special_tokens=False)) for text in ("ask", "answer", "\nmore")
    )
    assert spans(encoded) == [(ask, ask + answer + 1), (ask + answer + more, encoded.lengths[0])]


def test_a_tokenizer_that_cuts_and_pads_does_neither_here() -> None:
    tok = tokenizer()
    tok.backend_tokenizer.enable_truncation(3)
    tok.backend_tokenizer.enable_padding(length=50)
    encoded = text_encoder(tok).encode(text_samples(tok, "def add(a, b): return a"))
    assert tok.decode(encoded.tokens.tolist()) == "def add(a, b): return a</s>"


def test_special_tokens_that_are_words_of_the_vocabulary_too_are_taken_apart() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), *((letter, -5.0) for letter in "<s>/ab ")]
    backend = Tokenizer(models.Unigram(words, unk_id=0, byte_fallback=False))
    tok: Any = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    segment = Segment((Piece("<s>a", False), Piece("b</s>", True), Piece("</s>", False)), "all")
    encoder = Encoder(tok, ControlTokens(tok, ["<s></s>"], "auto"))
    encoded = encoder.encode([FormattedSample((segment,))])
    assert encoded.tokens.tolist().count(tok.bos_token_id) == 1
    assert encoded.tokens.tolist().count(tok.eos_token_id) == 1
    assert "".join(tok.convert_ids_to_tokens(encoded.tokens.tolist())) == "<s>ab</s></s>"


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        pass

    with pytest.raises(MftError, match="Slow is not a fast tokenizer"):
        fast_backend(Slow())  # type: ignore[arg-type]


@pytest.mark.parametrize("special_tokens", ["auto", "text", "token"])
def test_the_text_of_a_special_token_in_a_content_is_what_the_spec_says(special_tokens: Any) -> None:
    tok = tokenizer()
    tok.add_special_tokens({"additional_special_tokens": ["<fim_middle>"]})
    content = Segment((Piece("a<fim_middle>b</s>", True),), "all")
    for own, as_text in (
        (["</s>"], {"auto": {"</s>"}, "text": {"</s>", "<fim_middle>"}, "token": set()}),
        ((), {}),
    ):
        expected: set[str] = as_text.get(
            special_tokens, {"</s>", "<fim_middle>"} if special_tokens == "text" else set()
        )
        encoder = Encoder(tok, ControlTokens(tok, own, special_tokens))
        ids = encoder.encode([FormattedSample((content,))]).tokens.tolist()
        tokens = {text for text in ("</s>", "<fim_middle>") if tok.convert_tokens_to_ids(text) in ids}
        assert tokens == {"</s>", "<fim_middle>"} - expected
        assert tok.decode(ids) == "a<fim_middle>b</s>"
