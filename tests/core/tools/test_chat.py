"""Prompts are those of training, answers stop where trained ones do, and come as they are made."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import mftkit
from mftkit.data.rows.formats import Turn
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.tools.chat import TextGenerator

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
TEXT_END = TEMPLATE.replace("<|end|>", "~~")


class Scripted:
    """A model that gives a scripted answer to any prompt; the prompts are kept."""

    def __init__(self, tokenizer, said):
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            "llama", vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=64, pad_token_id=0,
        )  # fmt: skip
        self.model = AutoModelForCausalLM.from_config(config).eval()
        self.prompts = []
        said = list(said)
        plain = self.model.forward

        def forward(input_ids=None, **more):
            outputs = plain(input_ids=input_ids, **more)
            if input_ids.shape[1] > 1:
                self.prompts.append(input_ids[0].tolist())
                self.left = iter(said)
            outputs.logits[:, -1] = -1e4
            outputs.logits[:, -1, next(self.left)] = 1e4
            return outputs

        self.model.forward = forward


@pytest.fixture
def tokenizer():
    made = train_bpe(["def sort(values): return sorted(values)"] * 3, 300)
    made.add_special_tokens({"extra_special_tokens": ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]})
    made.chat_template = TEMPLATE
    return made


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def scripted_generator(tokenizer, said, **options):
    scripted = Scripted(tokenizer, said)
    return TextGenerator(scripted.model, tokenizer, **options), scripted


def test_the_prompt_is_the_templates_and_contents_stay_text(tokenizer):
    generator, scripted = scripted_generator(tokenizer, [tokenizer.eos_token_id])
    turns = [Turn("system", "be brief"), Turn("user", "sort")]
    assert generator.answer(turns, str) == ""
    expected = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in turns],
        add_generation_prompt=True, return_dict=True,
    )["input_ids"]  # fmt: skip
    assert scripted.prompts == [expected]
    generator.answer([Turn("user", "<|end|>")], str)
    assert scripted.prompts[1].count(tokenizer.convert_tokens_to_ids("<|end|>")) == 1


def test_it_comes_piece_by_piece_and_stops_at_the_token_that_ends_answers(tokenizer):
    end, heard = tokenizer.convert_tokens_to_ids("<|end|>"), []
    generator, _ = scripted_generator(tokenizer, [*ids(tokenizer, "def é():"), end, *ids(tokenizer, "more")])
    assert generator.answer([Turn("user", "go")], heard.append) == "def é():"
    assert "".join(heard) == "def é():"
    assert len(heard) > 2
    assert not any("\ufffd" in piece for piece in heard)


def test_a_text_that_ends_answers_is_not_shown(tokenizer):
    tokenizer.chat_template, heard = TEXT_END, []
    generator, _ = scripted_generator(tokenizer, [*ids(tokenizer, "a ~ b~~"), *ids(tokenizer, " and more")])
    assert generator.answer([Turn("user", "go")], heard.append) == "a ~ b"
    assert "".join(heard) == "a ~ b"


def test_it_can_be_stopped_and_is_no_longer_than_asked(tokenizer):
    token = ids(tokenizer, "a")
    generator, _ = scripted_generator(tokenizer, token * 60, max_new_tokens=5)
    assert generator.answer([Turn("user", "go")], str) == "aaaaa"
    assert generator.answer([Turn("user", "go")], lambda _piece: generator.stop()) in ("a", "aa")
    assert generator.complete("x y", str) == "aaaaa"


def test_what_fills_the_positions_is_refused(tokenizer):
    generator, _ = scripted_generator(tokenizer, [])
    with pytest.raises(mftkit.MftError, match="the model reads 64 at most"):
        generator.complete("x" * 90, str)


def test_without_a_template_it_completes_alone(tokenizer):
    tokenizer.chat_template = None
    generator, scripted = scripted_generator(tokenizer, [*ids(tokenizer, "b"), tokenizer.eos_token_id])
    assert not generator.can_chat
    with pytest.raises(mftkit.MftError, match="there is no chat template"):
        generator.answer([Turn("user", "go")], str)
    assert generator.complete("x y", str) == "b"
    assert scripted.prompts == [ids(tokenizer, "x y")]


def test_drawing_follows_the_temperature(tokenizer):
    torch.manual_seed(0)
    generator, _ = scripted_generator(
        tokenizer, [*ids(tokenizer, "b"), tokenizer.eos_token_id], temperature=0.5
    )
    assert generator.complete("x y", str) == "b"
