"""Prompts are those of training, answers stop where trained ones do, and come as they are made."""

from typing import Any, cast

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase

import mftkit
from mftkit.data.tokens.train_tokenizer import train_bpe
from mftkit.interfaces.conversation import Turn
from mftkit.plugins import installed, kinds
from mftkit.tools.chat import TextGenerator
from mftkit.tools.infill_formats import InfillFormat

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
TEXT_END = TEMPLATE.replace("<|end|>", "~~")


class Scripted:
    """A model that gives a scripted answer to any prompt; the prompts are kept."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, said: list[int]) -> None:
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            "llama", vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=64, pad_token_id=0,
        )  # fmt: skip
        self.model = AutoModelForCausalLM.from_config(config).eval()
        self.prompts: list[list[int]] = []
        said = list(said)
        plain = self.model.forward

        def forward(input_ids: torch.Tensor, **more: Any) -> Any:
            outputs = plain(input_ids=input_ids, **more)
            if input_ids.shape[1] > 1:
                self.prompts.append(input_ids[0].tolist())
                self.left = iter(said)
            outputs.logits[:, -1] = -1e4
            outputs.logits[:, -1, next(self.left)] = 1e4
            return outputs

        self.model.forward = forward


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    made = train_bpe(["def sort(values): return sorted(values)"] * 3, 300)
    made.add_special_tokens({"extra_special_tokens": ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]})
    made.chat_template = TEMPLATE
    return made


def ignore(_piece: str) -> None:
    """For what is shown piece by piece."""


def ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def scripted_generator(
    tokenizer: PreTrainedTokenizerBase, said: list[int], **options: Any
) -> tuple[TextGenerator, Scripted]:
    scripted = Scripted(tokenizer, said)
    return TextGenerator(scripted.model, tokenizer, **options), scripted


def test_the_prompt_is_the_templates_and_contents_stay_text(tokenizer: PreTrainedTokenizerBase) -> None:
    generator, scripted = scripted_generator(tokenizer, [tokenizer.eos_token_id])
    turns = [Turn("system", "be brief"), Turn("user", "sort")]
    assert generator.answer(turns, ignore) == ""
    expected = cast(Any, tokenizer).apply_chat_template(
        [{"role": turn.role, "content": turn.content} for turn in turns],
        add_generation_prompt=True, return_dict=True,
    )["input_ids"]  # fmt: skip
    assert scripted.prompts == [expected]
    generator.answer([Turn("user", "<|end|>")], ignore)
    assert scripted.prompts[1].count(ids(tokenizer, "<|end|>")[0]) == 1


def test_it_comes_piece_by_piece_and_stops_at_the_token_that_ends_answers(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    pieces: list[str] = []
    [end] = ids(tokenizer, "<|end|>")
    generator, _ = scripted_generator(tokenizer, [*ids(tokenizer, "def é():"), end, *ids(tokenizer, "more")])
    assert generator.answer([Turn("user", "go")], pieces.append) == "def é():"
    assert "".join(pieces) == "def é():"
    assert len(pieces) > 2
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_text_that_ends_answers_is_not_shown(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces: list[str] = []
    tokenizer.chat_template = TEXT_END
    generator, _ = scripted_generator(tokenizer, [*ids(tokenizer, "a ~ b~~"), *ids(tokenizer, " and more")])
    assert generator.answer([Turn("user", "go")], pieces.append) == "a ~ b"
    assert "".join(pieces) == "a ~ b"


def test_it_can_be_stopped_and_is_no_longer_than_asked(tokenizer: PreTrainedTokenizerBase) -> None:
    token = ids(tokenizer, "a")
    generator, _ = scripted_generator(tokenizer, token * 60, max_new_tokens=5)
    assert generator.answer([Turn("user", "go")], ignore) == "aaaaa"
    assert generator.answer([Turn("user", "go")], lambda _piece: generator.stop()) in ("a", "aa")
    assert generator.complete("x y", ignore) == "aaaaa"


def test_what_fills_the_positions_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    generator, _ = scripted_generator(tokenizer, [])
    with pytest.raises(mftkit.MftError, match="the model reads 64 at most"):
        generator.complete("x" * 90, ignore)


def test_without_a_template_it_completes_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    generator, scripted = scripted_generator(tokenizer, [*ids(tokenizer, "b"), tokenizer.eos_token_id])
    assert not generator.can_chat
    with pytest.raises(mftkit.MftError, match="there is no chat template"):
        generator.answer([Turn("user", "go")], ignore)
    assert generator.complete("x y", ignore) == "b"
    assert scripted.prompts == [ids(tokenizer, "x y")]


def test_drawing_follows_the_temperature(tokenizer: PreTrainedTokenizerBase) -> None:
    torch.manual_seed(0)
    generator, _ = scripted_generator(
        tokenizer, [*ids(tokenizer, "b"), tokenizer.eos_token_id], temperature=0.5
    )
    assert generator.complete("x y", ignore) == "b"


FIM = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]


def fim_formats(**options: Any) -> list[InfillFormat]:
    return [
        InfillFormat("chat", installed.build(kinds.TASK_FORMAT, "chat", {})),
        InfillFormat("fill", installed.build(kinds.TASK_FORMAT, "fim", options)),
    ]


def test_a_middle_is_asked_for_as_in_training_and_ends_where_trained_ones_do(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    tokenizer.add_special_tokens({"extra_special_tokens": [*FIM, "<|endoftext|>"]})
    end = cast(int, tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    generator, scripted = scripted_generator(tokenizer, [*ids(tokenizer, "(values)"), end])
    shown: list[str] = []
    assert generator.infill("def sort", ": return", fim_formats(), shown.append) == "(values)"
    assert "".join(shown) == "(values)"
    assert scripted.prompts == [ids(tokenizer, "<fim_prefix>def sort<fim_suffix>: return<fim_middle>")]
    generator.infill("def", "", fim_formats(spm=1.0), ignore)
    assert scripted.prompts[-1] == ids(tokenizer, "<fim_prefix><fim_suffix><fim_middle>def")
    names = {"prefix": "<|user|>", "suffix": "<|assistant|>", "middle": "<|system|>", "end": "<|endoftext|>"}
    generator.infill("def", "):", fim_formats(tokens=names), ignore)
    assert scripted.prompts[-1] == ids(tokenizer, "<|user|>def<|assistant|>):<|system|>")


def test_a_look_alike_in_the_text_around_a_gap_is_text(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.add_special_tokens({"extra_special_tokens": FIM})
    generator, scripted = scripted_generator(tokenizer, [tokenizer.eos_token_id])
    generator.infill("'<fim_middle>' + ", "", fim_formats(), ignore)
    assert scripted.prompts[0].count(cast(int, tokenizer.convert_tokens_to_ids("<fim_middle>"))) == 1


def test_a_model_without_the_tokens_gets_one_message(tokenizer: PreTrainedTokenizerBase) -> None:
    generator, _ = scripted_generator(tokenizer, [])
    with pytest.raises(mftkit.MftError, match=r"RUN: task fill: .*needs tokens that mark prefix"):
        generator.infill("a", "b", fim_formats(), ignore)
    with pytest.raises(mftkit.MftError, match="no task format fills in a middle"):
        generator.infill("a", "b", fim_formats()[:1], ignore)
