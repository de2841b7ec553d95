"""What a template leaves out is found although its text, a short one, stands elsewhere."""

from typing import Any

import pytest

from data_path import CHATML, tokenizer
from mftkit.data.rows.faults import BadRow
from mftkit.data.text.template import Template
from mftkit.interfaces.conversation import Conversation, ToolCall, Turn
from templates.table import CHATS

QUESTION, ANSWER = Turn("user", "the user's question"), Turn("assistant", "a full answer")


def tool(name: str) -> dict[str, Any]:
    function = {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}}
    return {"type": "function", "function": function}


def chat_of(name: str) -> Template:
    return Template(next(chat for chat in CHATS if chat.name == name).tokenizer())


def templated(template: str) -> Template:
    made = tokenizer(CHATML)
    made.chat_template = template
    return Template(made)


@pytest.mark.parametrize("chat", ["Gemma 2", "Gemma 3", "Phi 3.5", "Phi 4"])
@pytest.mark.parametrize("name", ["f", "user", "question"])
def test_tools_that_are_not_rendered(chat: str, name: str) -> None:
    with pytest.raises(BadRow, match="does not render 'tools'"):
        chat_of(chat).render(Conversation((QUESTION, ANSWER), (tool(name),)))


@pytest.mark.parametrize("chat", ["Qwen 2.5", "Qwen 3", "GLM-4", "gpt-oss", "Llama 3.1", "Mistral v0.3"])
def test_tools_that_are_rendered(chat: str) -> None:
    assert chat_of(chat).render(Conversation((QUESTION, ANSWER), (tool("f"), tool("user"))))


@pytest.mark.parametrize("calls", [2, 3])
def test_a_template_that_renders_only_the_first_call(calls: int) -> None:
    turns = (QUESTION, Turn("assistant", "", tuple(ToolCall("f", {"a": n}) for n in range(calls))))
    with pytest.raises(BadRow, match=r"turn 2: the chat template drops call 2 \(f\)"):
        chat_of("gpt-oss").render(Conversation(turns, (tool("f"),)))
    assert chat_of("Qwen 3").render(Conversation(turns, (tool("f"),)))


@pytest.mark.parametrize("content", ["user", "start", "a"])
def test_a_dropped_turn_with_a_short_content(content: str) -> None:
    without_system = CHATML.replace("messages %}", "messages if m['role'] != 'system' %}")
    with pytest.raises(BadRow, match=r"drops turn 1 \(system\)"):
        templated(without_system).render(Conversation((Turn("system", content), QUESTION, ANSWER)))
    assert templated(CHATML).render(Conversation((Turn("system", content), QUESTION, ANSWER)))


@pytest.mark.parametrize("reasoning", ["a", "full", "answer"])
def test_reasoning_that_stands_in_the_answer_by_chance(reasoning: str) -> None:
    turns = (QUESTION, Turn("assistant", ANSWER.content, reasoning=reasoning))
    with pytest.raises(BadRow, match="does not render reasoning in a separate key"):
        templated(CHATML).render(Conversation(turns))
    assert chat_of("DeepSeek R1").render(Conversation(turns))
