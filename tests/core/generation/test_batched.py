"""Answers in a batch are those of each prompt by itself, greedy and sampled, and nothing of the model's state changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from data_path import tokenizer as made_tokenizer
from mftkit.generation.batched import BatchedGenerator, Generated, Prompt
from mftkit.generation.sampling import GumbelSampling, Sampling
from mftkit.generation.stops import Stops

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
NAMES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 128},
    "qwen2": {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 128},
    "gpt2": {**NAMES, "n_positions": 128},  # learned positions
    "mixtral": {**SIZES, "num_key_value_heads": 2, "num_local_experts": 4, "max_position_embeddings": 128},
    "glm": {
        **SIZES,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
    },  # partly rotary
    "gemma2": {**SIZES, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4},  # windows, soft caps
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},  # ALiBi
}
NO_STOPS = Stops(frozenset())


def model(family: str, vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=vocabulary, pad_token_id=0, **FAMILIES[family])
    made = AutoModelForCausalLM.from_config(config)
    for parameter in made.parameters():  # so that answers differ
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def prompts(stops: Stops = NO_STOPS) -> list[Prompt]:
    return [
        Prompt(f"row {i}", tuple(range(5 + i, 5 + i + length)), stops)
        for i, length in enumerate((3, 9, 4, 9, 1))
    ]


def answers(made: Any, tok: Any, given: list[Prompt], sampling: Sampling, size: int) -> list[Generated]:
    found = dict(BatchedGenerator(made, tok, size).generate(given, sampling))
    return [found[i] for i in range(len(given))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_gives_what_each_prompt_gives_by_itself(family: str, temperature: float) -> None:
    tok = made_tokenizer()
    made = model(family, len(tok))
    sampling = Sampling(6, temperature, seed=3)
    alone = [answers(made, tok, [prompt], sampling, 1)[0] for prompt in prompts()]
    assert answers(made, tok, prompts(), sampling, 5) == alone
    assert answers(made, tok, prompts(), sampling, 2) == alone
    assert len({each.text for each in alone}) > 1


def test_greedy_answers_are_those_of_plain_transformers() -> None:
    tok = made_tokenizer()
    made = model("llama", len(tok)).eval()
    ours = answers(made, tok, prompts(), Sampling(6), 5)
    for prompt, answer in zip(prompts(), ours, strict=True):
        ids = torch.tensor([prompt.ids])
        plain = made.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=0
        )
        assert answer.text == tok.decode(plain[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_answers_end_with_the_positions_of_the_model_whatever_the_batch(family: str) -> None:
    tok = made_tokenizer()
    made = model(family, len(tok))
    given = [
        Prompt(f"row {length}", tuple(5 + i % 9 for i in range(length)), NO_STOPS)
        for length in (127, 126, 126, 120, 9)
    ]
    alone = [answers(made, tok, [prompt], Sampling(6), 1)[0] for prompt in given]
    assert [each.tokens for each in alone] == [1, 2, 2, 6, 6]
    assert answers(made, tok, given, Sampling(6), 5) == alone
    with pytest.raises(ValueError, match="leave no room"):
        answers(made, tok, [Prompt("long", (1,) * 128, NO_STOPS)], Sampling(6), 1)


def test_an_answer_ends_at_a_stop_token_and_at_a_stop_text() -> None:
    tok = made_tokenizer()
    made = model("llama", len(tok))
    whole = answers(made, tok, prompts()[:1], Sampling(8), 1)[0]
    assert not whole.complete
    assert whole.tokens == 8
    ids = made.generate(torch.tensor([prompts()[0].ids]), max_new_tokens=8, do_sample=False, pad_token_id=0)
    third = int(ids[0, 3 + 2])
    by_token = answers(made, tok, prompts(Stops(frozenset({third})))[:1], Sampling(8), 1)[0]
    assert by_token.complete
    assert by_token.tokens <= 3
    assert whole.text.startswith(by_token.text)
    mark = whole.text[2:4]
    by_text = answers(made, tok, prompts(NO_STOPS.also([mark]))[:1], Sampling(8), 1)[0]
    assert by_text.complete
    assert by_text.text == whole.text[: whole.text.index(mark)]


def test_the_random_state_and_the_modes_of_modules_are_as_before() -> None:
    tok = made_tokenizer()
    made = model("llama", len(tok)).train()
    made.model.layers[0].eval()
    before = torch.random.get_rng_state()
    modes = [module.training for module in made.modules()]
    answers(made, tok, prompts(), Sampling(3, 1.0), 2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert [module.training for module in made.modules()] == modes


def test_samples_have_the_probabilities_of_the_temperature_and_of_the_nucleus() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    drawn = [
        int(GumbelSampling(Sampling(1, 0.5, 0.9, seed), ["a"])(scores, scores).argmax())
        for seed in range(4000)
    ]
    expected = torch.softmax(scores[0].double() / 0.5, 0)
    kept = expected[:2] / expected[:2].sum()  # 0.867 alone is less than 0.9, with the second it is 0.984
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / len(drawn)
    assert float(shares[2:].sum()) == 0
    assert abs(float(shares[0] - kept[0])) < 0.02
