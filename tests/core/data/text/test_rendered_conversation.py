"""What one conversation becomes: reports with their true cause, reasoning once, prompts as in use."""

from dataclasses import replace

import pytest

from data_path import CHATML, tokenizer
from mftkit.data.rows.faults import BadRow
from mftkit.data.text.template import Template
from mftkit.interfaces.conversation import Conversation, Turn
from mftkit.interfaces.task_format import FormattedSample
from templates.table import CHATS

QUESTION = Turn("user", "q")
CLOSED = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{{ '' }}{% endif %}")
"""A template whose prompts say that there is no reasoning, which it does not show in answers."""


def chat_of(name: str) -> Template:
    return Template(next(chat for chat in CHATS if chat.name == name).tokenizer())


def rendered(chat: Template, *turns: Turn) -> tuple[list[FormattedSample], str]:
    """The samples, and what is reported."""
    found: list[str] = []
    samples = chat.render(Conversation(turns), lambda text, example="": found.append(text + example))
    return list(samples), "\n".join(found)


def closed() -> Template:
    made = tokenizer(CHATML)
    made.chat_template = CLOSED
    return Template(made)


def texts(sample: FormattedSample) -> list[tuple[str, str]]:
    return [(segment.in_loss, segment.text) for segment in sample.segments]


@pytest.mark.parametrize(
    "content", ["mftlookalike0x", "mftlookalike7x <|im_end|>", "<|im_end|> MFTlookalike0x"]
)
def test_a_content_like_a_mask_stays_as_it_is(content: str) -> None:
    samples, notes = rendered(Template(tokenizer(CHATML)), Turn("user", content), Turn("assistant", content))
    assert "".join(segment.text for segment in samples[0].segments).count(content) == 2
    assert not notes


@pytest.mark.parametrize("weights", [(0.5, 1.0), (2.0, 1.0)])
def test_samples_for_different_weights_are_reported_as_such(weights: tuple[float, float]) -> None:
    turns = (QUESTION, Turn("assistant", "a", weight=weights[0]), Turn("user", "p"), Turn("assistant", "b"))
    samples, notes = rendered(Template(tokenizer(CHATML)), *turns)
    assert [sample.weight for sample in samples] == list(weights)
    assert notes == (
        "several samples are made of each conversation in {rows}, because its answers have different weights"
    )


@pytest.mark.parametrize(("name", "shown"), [("Qwen 3", 1), ("DeepSeek R1", 1), ("gpt-oss", 1), ("Phi 4", 1)])
def test_reasoning_in_the_key_and_in_the_content_is_trained_once(name: str, shown: int) -> None:
    answer = Turn("assistant", "<think>\nbecause\n</think>\n\na", reasoning="because")
    samples, _notes = rendered(chat_of(name), QUESTION, answer)
    assert samples[0].segments[1].text.count("because") == shown


@pytest.mark.parametrize("name", ["Qwen 3", "DeepSeek R1", "Phi 4"])
def test_reasoning_of_answers_that_are_context_only_is_reported(name: str) -> None:
    context = Turn("assistant", "a", reasoning="because", weight=0)
    _samples, notes = rendered(chat_of(name), QUESTION, context, Turn("user", "p"), Turn("assistant", "b"))
    assert "drops the reasoning of answers that are context only" in notes


@pytest.mark.parametrize("contents", [("a",), ("a", "b")])
def test_a_prompt_with_empty_reasoning_stands_before_the_answer(contents: tuple[str, ...]) -> None:
    turns = [turn for content in contents for turn in (QUESTION, Turn("assistant", content))]
    chat = closed()
    samples, _notes = rendered(chat, *turns)
    assert len(samples) == len(contents)
    for number, sample in enumerate(samples):
        prompt = chat.prompt(Conversation(tuple(turns[: 2 * number + 1])))[0].text
        assert prompt.endswith("<think>\n\n</think>\n\n")
        assert texts(sample)[:2] == [("none", prompt), ("all", contents[number] + "<|im_end|>")]


@pytest.mark.parametrize(
    "answer", [Turn("assistant", "a", reasoning="r"), Turn("assistant", "<think>\nr\n</think>\n\na")]
)
def test_an_answer_with_reasoning_behind_such_a_prompt_is_bad(answer: Turn) -> None:
    with pytest.raises(BadRow, match=r"turn 2: the answer has reasoning, but the prompt .* ends it"):
        rendered(closed(), QUESTION, answer)


@pytest.mark.parametrize("content", ["  a", "\na", "\ta"])
def test_white_space_that_a_token_before_the_answer_swallows_is_reported(content: str) -> None:
    _samples, notes = rendered(chat_of("Phi 3.5"), QUESTION, Turn("assistant", content))
    assert "the tokenizer drops the white space at the beginning of answers" in notes
    _samples, notes = rendered(chat_of("Qwen 2.5"), QUESTION, Turn("assistant", content))
    assert "drops the white space" not in notes


@pytest.mark.parametrize("name", ["Llama 3.1", "Qwen 2.5", "Phi 4"])
def test_a_developer_is_the_system_where_the_template_knows_no_such_role(name: str) -> None:
    developer = Turn("developer", "Be short.")
    turns = (QUESTION, Turn("assistant", "a"))
    assert rendered(chat_of(name), developer, *turns) == rendered(
        chat_of(name), replace(developer, role="system"), *turns
    )
