"""The chats that the conformance test compares with: they are what they say, and cover the templates of the cases."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from references import SHARED
from templates.chat import Chat
from templates.conversations import (
    CONVERSATIONS,
    Conversation,
    look_alikes,
    look_alikes_in_calls,
    look_alikes_in_tools,
    turn,
)
from templates.reference import (
    REFUSALS,
    adapted,
    control_texts,
    encoded,
    ends_with_one_stop,
    expected_of,
    matches,
    rendered,
    shows_all,
)
from templates.table import CALLS_LEFT_OPEN, CHATS

BY_NAME = {chat.name: chat for chat in CHATS}


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
@pytest.mark.parametrize("chat", CHATS, ids=str)
def test_a_template_shows_what_the_table_says_that_it_supports(
    chat: Chat, conversation: Conversation
) -> None:
    assert shows_all(chat, conversation) == (conversation.needs <= chat.supports)


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
@pytest.mark.parametrize("chat", CHATS, ids=str)
def test_answers_follow_their_prompts_and_end_with_one_stop_token(
    chat: Chat, conversation: Conversation
) -> None:
    if not conversation.needs <= chat.supports:
        return
    for number in conversation.answers():
        content = conversation.messages[number]["content"]
        for expected in expected_of(chat, conversation, number):
            prompt, text = encoded(chat, expected.prompt), encoded(chat, expected.prompt + expected.answer)
            if text[: len(prompt)] == prompt:
                assert matches(chat, expected, text, len(prompt), len(text))
            else:  # an answer that begins with white space merges with its prompt
                assert content is not None
                assert content[0].isspace()
            assert ends_with_one_stop(chat, encoded(chat, expected.answer))
            assert not content or content.strip() in expected.answer
            assert not any(
                message["content"] and message["content"] in expected.answer
                for message in conversation.messages
                if message["role"] in ("user", "tool") and len(message["content"]) > 4
            )


ANSWERS = {
    ("Llama 3.1", "call as the last turn", 1): '{"name": "weather", "parameters": {"city": "Oslo", "days": 2}}'
    "<|eot_id|>",
    ("Qwen 2.5", "call as the last turn", 1): '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "days": '
    "2}}\n</tool_call><|im_end|>",
    ("Qwen 3", "reasoning", 1): "<think>\nTwo and two.\n</think>\n\nFour.<|im_end|>",
    ("Qwen 3", "plain", 1): "<think>\n\n</think>\n\nIt is four.<|im_end|>",
    ("Mistral v0.3", "system", 2): " Four.</s>",
    ("Mistral v0.3", "call as the last turn", 1): '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo", '
    '"days": 2}, "id": "call00001"}]</s>',
    ("Gemma 2", "plain", 1): "It is four.<end_of_turn>",
    ("Phi 3.5", "plain", 1): "It is four.<|end|>",
    ("Phi 4", "plain", 1): "It is four.<|im_end|>",
    ("Phi 4 mini", "plain", 1): "It is four.<|end|>",
    ("DeepSeek R1", "plain", 1): "It is four.<｜end▁of▁sentence｜>",
    ("DeepSeek R1", "calls without tools", 3): "It is cold.<｜end▁of▁sentence｜>",
    ("GLM-4", "plain", 1): "\nIt is four.<|user|>",
    ("GLM-4", "call as the last turn", 1): 'weather\n{"city": "Oslo", "days": 2}<|observation|>',
    ("gpt-oss", "reasoning", 1): "<|channel|>analysis<|message|>Two and two.<|end|><|start|>assistant<|channel|>final"
    "<|message|>Four.<|return|>",
    ("gpt-oss", "several turns", 1): "<|channel|>final<|message|>Four.<|return|>",
    ("gpt-oss", "reasoning beside calls", 1): "<|channel|>analysis<|message|>I must look.<|end|><|start|>assistant "
    'to=functions.weather<|channel|>commentary json<|message|>{"city": "Oslo", "days": 2}<|call|>',
    ("Command R", "call as the last turn", 1): 'Action:\n```json\n[\n    {\n        "tool_name": "weather",\n        '
    '"parameters": {"city": "Oslo", "days": 2}\n    }\n]\n```<|END_OF_TURN_TOKEN|>',
}  # fmt: skip


@pytest.mark.parametrize("key", ANSWERS, ids=lambda key: "-".join(map(str, key)))
def test_answers_of_each_family(key: tuple[str, str, int]) -> None:
    name, title, number = key
    [conversation] = [each for each in CONVERSATIONS if each.name == title]
    assert expected_of(BY_NAME[name], conversation, number)[0].answer == ANSWERS[key]


def test_prompts_that_the_text_with_the_answer_does_not_begin_with() -> None:
    talk = {each.name: each for each in CONVERSATIONS}
    mistral = expected_of(BY_NAME["Mistral v0.3"], talk["system and several turns"], 4)[0]
    assert mistral.prompt == "<s>[INST] Two plus two?[/INST] Four.</s>[INST] Be short.\n\nAnd three?[/INST]"
    assert expected_of(BY_NAME["DeepSeek R1"], talk["plain"], 1)[0].prompt.endswith(
        "<｜Assistant｜><think>\n"
    )
    called = expected_of(BY_NAME["gpt-oss"], talk["reasoning beside calls"], 3)[0]
    assert "I must look." in called.prompt
    used = expected_of(BY_NAME["Command R"], talk["tools"], 1)[0].prompt
    assert used.endswith("<|SYSTEM_TOKEN|>Write \"Action:\" and a list of calls as JSON.<|END_OF_TURN_TOKEN|>"
                         "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")  # fmt: skip


def test_reasoning_that_a_template_drops_from_earlier_answers_may_be_trained_or_not() -> None:
    [conversation] = [each for each in CONVERSATIONS if each.name == "reasoning in each of two answers"]
    answers = [expected.answer for expected in expected_of(BY_NAME["Qwen 3"], conversation, 1)]
    assert answers == ["<think>\nTwo and two.\n</think>\n\nFour.<|im_end|>", "Four.<|im_end|>"]
    [only] = expected_of(BY_NAME["gpt-oss"], conversation, 1)  # its stop token is another one there
    assert only.answer.endswith("Four.<|return|>")


@pytest.mark.parametrize("talk_with", [look_alikes, look_alikes_in_calls, look_alikes_in_tools])
@pytest.mark.parametrize("chat", CHATS, ids=str)
def test_there_are_look_alikes_of_the_control_tokens(
    chat: Chat, talk_with: Callable[[tuple[str, ...]], Conversation]
) -> None:
    harmless = talk_with(("a", "b"))
    assert shows_all(chat, harmless) == (harmless.needs <= chat.supports)
    if harmless.needs <= chat.supports:
        texts = control_texts(chat, harmless)
        assert len(texts) >= 2
        assert set(texts) & set(chat.stops)
        assert shows_all(chat, talk_with(texts))


CASES = {
    "empty-system": ("Phi 3.5", {}),
    "rstrip-newline": ("Phi 3.5", {}),
    "generation-prompt": ("DeepSeek R1", {"<|User|>": "<｜User｜>", "<|Assistant|>": "<｜Assistant｜>", "<|end|>": "<｜end▁of▁sentence｜>"}),
    "mistral-system": ("Mistral v0.3", {}),
    "reasoning-dropped": ("Qwen 3", {}),
}  # fmt: skip
SHOWN: dict[str, set[str]] = {
    **{case: {"system", "users in a row"} for case in CASES},
    "generation-prompt": {"users in a row"},
    "mistral-system": {"system"},
}


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="the inputs of the cases are not there")
@pytest.mark.parametrize("case", CASES)
def test_templates_of_the_cases_have_the_shape_of_one_of_these(case: str) -> None:
    name, renamed = CASES[case]
    chat = BY_NAME[name]
    text = (SHARED / "cases" / case / "template.jinja").read_text(encoding="utf-8").rstrip("\n")
    text = re.sub("|".join(map(re.escape, renamed)) or "$^", lambda found: renamed[found[0]], text)
    compared = 0
    for conversation in CONVERSATIONS:
        if not conversation.needs <= SHOWN[case]:
            continue
        for end in range(1, len(conversation.messages) + 1):
            messages = list(conversation.messages[:end])
            prompt = messages[-1]["role"] == "user"
            try:
                shown = chat.tokenizer().apply_chat_template(
                    [adapted(chat, message) for message in messages],
                    chat_template=text,
                    tokenize=False,
                    add_generation_prompt=prompt,
                )
            except REFUSALS:
                continue
            if prompt or messages[-1]["role"] == "assistant":
                assert shown == rendered(chat, messages, prompt=prompt)
                compared += 1
    assert compared >= 10


def test_every_template_of_a_case_is_compared() -> None:
    found = {path.parent.name for path in (SHARED / "cases").glob("*/template.jinja")}
    assert found <= set(CASES)


def test_the_first_version_of_deepseek_r1_ends_two_calls_but_not_one() -> None:
    talk = {each.name: each for each in CONVERSATIONS}
    with pytest.raises(AssertionError, match="nothing ends this answer"):
        expected_of(CALLS_LEFT_OPEN, talk["call as the last turn"], 1)
    [*_, last] = expected_of(CALLS_LEFT_OPEN, talk["parallel calls without tools"], 1)
    assert last.answer.endswith("<｜tool▁calls▁end｜><｜end▁of▁sentence｜>")


def test_every_file_here_is_a_template_of_the_table() -> None:
    directory = Path(str(turn.__code__.co_filename)).parent
    texts = [text for chat in CHATS for text in ([chat.template] if isinstance(chat.template, str) else chat.template.values())]  # fmt: skip
    assert len(texts) == len(list(directory.glob("*.jinja")))
