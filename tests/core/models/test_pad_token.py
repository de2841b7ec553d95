from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from mftkit.models import choose_pad


def test_the_tokenizers_own_is_kept(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    tokenizer, model = make_tokenizer("<eos>", "<mine>", pad_token="<mine>"), make_model()
    assert "tokenizer's own, <mine> (id 1)" in choose_pad(tokenizer, model)
    assert tokenizer.pad_token == "<mine>"
    assert model.config.pad_token_id == model.generation_config.pad_token_id == 1


@pytest.mark.parametrize(
    ("special", "chosen"),
    [
        (("<eos>", "<|fim_pad|>", "<|reserved_special_token_0|>", "<pad>"), "<pad>"),
        (("<eos>", "<|fim_pad|>", "<|finetune_right_pad_id|>"), "<|finetune_right_pad_id|>"),
        (("<eos>", "<|image_pad|>", "<unused0>"), "<unused0>"),
        (("<eos>", "<|fim_pad|>", "<|vision_pad|>"), "<|vision_pad|>"),
        (("<eos>", "<|fim_pad|>"), "<|fim_pad|>"),
    ],
)
def test_else_the_likeliest_special_token(
    special: tuple[str, ...],
    chosen: str,
    make_model: Callable[..., PreTrainedModel],
    make_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> None:
    for pad in (None, "<eos>"):
        tokenizer = make_tokenizer(*special, pad_token=pad)
        sentence = choose_pad(tokenizer, make_model())
        assert tokenizer.pad_token == chosen
        assert chosen in sentence
        assert ("the tokenizer has none" if pad is None else "<eos> must be learned") in sentence


def test_an_embedding_that_may_not_grow_stays_and_the_end_pads(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    tokenizer, model = make_tokenizer("<eos>"), make_model(vocab_size=11)
    sentence = choose_pad(tokenizer, model, may_grow=False)
    assert (
        sentence
        == "the pad token is <eos> (id 0), which also ends a text: an adapter cannot hold a new token"
    )
    assert model.get_input_embeddings().num_embeddings == len(tokenizer) == 11
    tokenizer, model = make_tokenizer("<eos>"), make_model(vocab_size=12)
    assert "an unused row of the embedding" in choose_pad(tokenizer, model, may_grow=False)


def test_unknown_is_better_than_a_new_one_but_not_if_it_ends_the_text(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    tokenizer = make_tokenizer("<eos>", "<unk>", unk_token="<unk>")
    choose_pad(tokenizer, make_model())
    assert tokenizer.pad_token == "<unk>"
    tokenizer = make_tokenizer("<eos>", unk_token="<eos>")
    choose_pad(tokenizer, make_model())
    assert tokenizer.pad_token == "<|pad|>"


@pytest.mark.parametrize(
    "how", ["ends a turn in the template", "ends a generation", "is said to be learned", "begins a text"]
)
def test_a_token_that_must_be_learned_is_not_kept(
    how: str,
    make_model: Callable[..., PreTrainedModel],
    make_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> None:
    template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}" if "template" in how else None
    roles = {"bos_token": "<end>"} if "begins" in how else {}
    tokenizer, model = make_tokenizer("<eos>", "<end>", "<unused>", template=template, **roles), make_model()
    if "template" in how or "said" in how:
        tokenizer.pad_token = "<end>"
    else:
        tokenizer.pad_token = "<eos>"
        model.generation_config.eos_token_id = [0, 2]
    choose_pad(tokenizer, model, learned=[1] if "said" in how else [])
    if "generation" in how or "begins" in how:
        assert tokenizer.pad_token == ("<|pad|>" if "begins" in how else tokenizer.pad_token)
        assert tokenizer.pad_token not in ("<eos>", "<unused>")
    else:
        assert tokenizer.pad_token == "<unused>"


def test_a_pad_token_among_the_ends_of_a_generation_is_kept(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    """As Qwen's instruct models have it: <|im_end|> ends a turn, <|endoftext|> pads and is listed too."""
    template = "{{ messages[0].content }}<|im_end|>"
    tokenizer = make_tokenizer("<|im_end|>", "<|endoftext|>", template=template, pad_token="<|endoftext|>")
    model = make_model()
    model.generation_config.eos_token_id = [0, 1]
    choose_pad(tokenizer, model)
    assert tokenizer.pad_token == "<|endoftext|>"


def test_a_new_token_takes_a_spare_row(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    tokenizer, model = make_tokenizer(), make_model()
    assert "<|pad|> was added as id 11, an unused row of the embedding" in choose_pad(tokenizer, model)
    assert tokenizer.convert_tokens_to_ids("<|pad|>") == 11
    assert model.get_input_embeddings().num_embeddings == 48


@pytest.mark.parametrize("tied", [False, True])
def test_without_a_spare_row_the_embedding_grows(
    tied: bool,
    make_model: Callable[..., PreTrainedModel],
    make_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> None:
    tokenizer = make_tokenizer()
    model = make_model(vocab_size=len(tokenizer), tie_word_embeddings=tied)
    before = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert "the embedding grew from 11 to 12 rows" in choose_pad(tokenizer, model)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == 12
    after = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert torch.allclose(after[..., :11], before, atol=1e-6)


def test_no_token_is_left_without_a_gradient(
    make_model: Callable[..., PreTrainedModel], make_tokenizer: Callable[..., PreTrainedTokenizerBase]
) -> None:
    """A checkpoint with pad_token_id at the end-of-text token builds an embedding that never trains it."""
    tokenizer, model = make_tokenizer(pad_token="<eos>"), make_model(pad_token_id=0)
    assert model.get_input_embeddings().padding_idx == 0
    choose_pad(tokenizer, model)
    model(input_ids=torch.tensor([[0, 1, 2]])).logits.square().sum().backward()
    gradient = model.get_input_embeddings().weight.grad
    assert isinstance(gradient, torch.Tensor)
    assert float(gradient[0].abs().max()) > 0
