from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

TINY = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": 0,
}
WORDS = ["def", "return", "if", "else", "for", "in", "x", "y", "(", ")"]


@pytest.fixture
def make_model() -> Callable[..., PreTrainedModel]:
    """A tiny model of a family, random and always the same."""

    def make(family: str = "llama", **changes: Any) -> PreTrainedModel:
        torch.manual_seed(0)
        config = AutoConfig.for_model(family, **(TINY | changes))
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        return model

    return make


@pytest.fixture
def make_tokenizer() -> Callable[..., PreTrainedTokenizerBase]:
    """A tokenizer of the special tokens given (the first ends a text) and a few words."""

    def make(*special: str, template: str | None = None, **roles: Any) -> PreTrainedTokenizerBase:
        special = special or ("<eos>",)
        tokens = [*special, *WORDS]
        backend = Tokenizer(
            models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=special[0])
        )
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **({"eos_token": special[0]} | roles))
        tokenizer.add_special_tokens({"extra_special_tokens": list(special)})
        tokenizer.chat_template = template
        return tokenizer

    return make


@pytest.fixture
def checkpoint(
    tmp_path: Path,
    make_model: Callable[..., PreTrainedModel],
    make_tokenizer: Callable[..., PreTrainedTokenizerBase],
) -> tuple[Path, PreTrainedModel]:
    """A whole checkpoint: its directory and the model in it."""
    model = make_model()
    directory = tmp_path / "checkpoint"
    model.save_pretrained(directory)
    make_tokenizer().save_pretrained(directory)
    return directory, model
