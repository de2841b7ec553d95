"""The reference: for each answer, the prompt in use and the text that the model is expected to answer with.

Needs nothing of the program: texts come from ``apply_chat_template``, tokens from the tokenizer itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from templates.chat import Chat
from templates.conversations import Conversation, Message

REFUSALS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)
"""Errors of a template that rejects a conversation."""

_BREAK = "\n"
_MARK = "qzmarkzq"


@dataclass(frozen=True)
class Expected:
    """A correct pair for training: a prompt and the answer to it, whose last token is a stop token."""

    prompt: str
    answer: str


def rendered(
    chat: Chat,
    messages: Sequence[Message],
    tools: Sequence[Message] = (),
    *,
    prompt: bool = False,
    **options: Any,
) -> str:
    """Return the text of messages by the chat's own template. Raises one of ``REFUSALS``."""
    text = chat.tokenizer().apply_chat_template(
        [adapted(chat, message) for message in messages],
        tools=list(tools) or None,
        tokenize=False,
        add_generation_prompt=prompt,
        **options,
    )
    assert isinstance(text, str)
    return text


def adapted(chat: Chat, message: Message) -> Message:
    """Return a message with the keys and the form of arguments that the chat's template reads."""
    made = {key: value for key, value in message.items() if key != "reasoning_content"}
    if chat.reasoning and "reasoning_content" in message:
        made[chat.reasoning] = message["reasoning_content"]
    if calls := message.get("tool_calls"):
        made["tool_calls"] = [{**call, "function": _function(chat, call["function"])} for call in calls]
    return made


def _function(chat: Chat, function: Message) -> Message:
    arguments = function["arguments"]
    if chat.arguments == "object" and isinstance(arguments, str):
        arguments = json.loads(arguments)
    elif chat.arguments == "string" and not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {**function, "arguments": arguments}


def shows_all(chat: Chat, conversation: Conversation) -> bool:
    """Return True if the template takes the conversation and shows each content, call and tool of it.

    A system turn may be shown in the prompts only; reasoning does not matter.
    """
    texts = [message["content"] for message in conversation.messages if message["content"]]
    marks = [f"{_MARK}tool{number}x" for number in range(len(conversation.tools))]
    tools = [
        {**tool, "function": {**tool["function"], "name": mark}}
        for tool, mark in zip(conversation.tools, marks, strict=True)
    ]
    messages: list[Message] = []
    for message in conversation.messages:
        calls = []
        for call in message.get("tool_calls", ()):
            marks.append(f"{_MARK}{len(marks)}x")
            calls.append(
                {**call, "function": {**call["function"], "arguments": json.dumps({"a": marks[-1]})}}
            )
        messages.append({**message, "tool_calls": calls} if calls else message)
    try:
        shown = "".join(
            rendered(chat, messages[:end], tools, prompt=message["role"] != "assistant")
            for end, message in enumerate(messages, 1)
        )
    except REFUSALS:
        return False
    return all(
        text.strip() in shown or json.dumps(text.strip(), ensure_ascii=False)[1:-1] in shown
        for text in (*texts, *marks)
    )


def expected_of(chat: Chat, conversation: Conversation, number: int) -> list[Expected]:
    """Return what is correct for the answer in this message, first of all what is in use.

    The text of an answer is that of the rendering in which it is the last turn. Also correct are the rendering with
    the turns that follow, if it ends with the same stop token there, and the prompts under other options.
    """
    before, tools = list(conversation.messages[:number]), conversation.tools
    message = conversation.messages[number]
    prompt = rendered(chat, before, tools, prompt=True)
    whole = rendered(chat, [*before, message], tools)
    marked = rendered(chat, [*before, _marked(message)], tools)
    first, last = marked.index(_MARK), marked.rindex(_MARK) + len(_MARK)
    start = len(prompt) if whole.startswith(prompt) else marked[:first].rindex(chat.opening)
    if not whole.startswith(prompt):
        assert chat.opening, f"{chat}: the text with an answer does not begin with its prompt"
        start += len(chat.opening)
    stop = _stops(chat).search(marked, last)
    if stop:
        between, missing, end = marked[last : stop.start()], "", len(whole) - len(marked) + stop.end()
    else:
        assert chat.unclosed, f"{chat}: nothing ends this answer"
        between, missing, end = marked[last:], chat.unclosed["tool_calls" in message], len(whole)
    found = [Expected(prompt, whole[start:end] + missing)]
    if chat.prompt_end and prompt.endswith(chat.prompt_end):
        found.append(Expected(prompt.removesuffix(chat.prompt_end), whole[start:end] + missing))
        reasoning = message.get("reasoning_content", "")  # an answer without reasoning closes it at once
        found.append(Expected(prompt, f"{reasoning}\n</think>\n\n{whole[start:end].lstrip(_BREAK)}"))
    for options in chat.prompt_options:
        other = rendered(chat, before, tools, prompt=True, **options)
        if whole.startswith(other) and len(other) <= end:
            found.append(Expected(other, whole[len(other) : end] + missing))
    found += _in_history(chat, conversation, number, prompt, between)
    return list(dict.fromkeys(found))


def _in_history(
    chat: Chat, conversation: Conversation, number: int, prompt: str, between: str
) -> list[Expected]:
    """Return the answer as it is rendered with all turns that follow, if it ends in the same way there."""
    messages, tools = list(conversation.messages), conversation.tools
    whole = rendered(chat, messages, tools)
    marked = rendered(chat, [*messages[:number], _marked(messages[number]), *messages[number + 1 :]], tools)
    last = marked.rindex(_MARK) + len(_MARK)
    stop = _stops(chat).search(marked, last)
    if not whole.startswith(prompt) or not stop or marked[last : stop.start()] != between:
        return []
    answer = whole[len(prompt) : len(whole) - len(marked) + stop.end()]
    content = (messages[number]["content"] or "").strip()
    return [Expected(prompt, answer)] if content in answer else []


def _marked(message: Message) -> Message:
    """Return an answer with a mark in place of its texts."""
    made = dict(message)
    for key in ("content", "reasoning_content"):
        if made.get(key):
            made[key] = _MARK
    if calls := message.get("tool_calls"):
        arguments = json.dumps({"mark": _MARK})
        made["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": arguments}} for call in calls
        ]
    return made


def _stops(chat: Chat) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, chat.stops)))


def encoded(chat: Chat, text: str) -> list[int]:
    """Return the tokens of a rendered text, as the model is given it."""
    ids = chat.tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert isinstance(ids, list)
    return ids


def matches(chat: Chat, expected: Expected, ids: Sequence[int], start: int, end: int) -> bool:
    """Return True if the tokens before ``start`` are the prompt's, and those up to ``end`` are the answer's.

    The answer's tokens are those of the whole text, or others with the same text: where the text of an answer would
    merge with that of its prompt, the model answers with other tokens. White space that an added token swallows may be
    left out of an answer.
    """
    prompt = encoded(chat, expected.prompt)
    if list(ids[:start]) != prompt:
        return False
    answer = list(ids[start:end])
    if [*prompt, *answer] == encoded(chat, expected.prompt + expected.answer):
        return True
    shown, right = text_of(chat, answer, prompt), expected.answer
    if any(added.lstrip or added.rstrip for added in chat.added):
        space_before_stop = re.compile(rf"\s+(?={_stops(chat).pattern})")
        shown, right = (space_before_stop.sub("", text.lstrip()) for text in (shown, right))
    return shown == right


def text_of(chat: Chat, ids: Sequence[int], before: Sequence[int] = ()) -> str:
    """Return the text of tokens that stand behind others."""
    tokenizer = chat.tokenizer()
    left = str(tokenizer.decode(list(before)))
    return str(tokenizer.decode([*before, *ids])).removeprefix(left)


def ends_with_one_stop(chat: Chat, ids: Sequence[int]) -> bool:
    """Return True if the last of these tokens is a stop token, and none before it is."""
    known: dict[str, Any] = chat.tokenizer().get_added_vocab()
    stops = {known[stop] for stop in chat.stops if stop in known}
    return ids[-1] in stops and stops.isdisjoint(ids[:-1])


def control_texts(chat: Chat, conversation: Conversation) -> tuple[str, ...]:
    """Return the added tokens that the chat's format is made of, except those that answers have too."""
    texts = [
        expected.prompt + expected.answer
        for number in conversation.answers()
        for expected in expected_of(chat, conversation, number)
    ]
    used = {token for text in texts for token in encoded(chat, text)}
    return tuple(
        text
        for text, number in sorted(chat.tokenizer().get_added_vocab().items())
        if number in used and "think" not in text and text.strip()
    )
