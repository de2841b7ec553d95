"""Conversations by the templates of many models: the tokens, and what is in the loss, are those in use.

Each answer is looked for among the samples of its row. Before its first loss token stands, token for token, the prompt
that a user of the model sends; its loss tokens are the answer up to and including one stop token; and there is no loss
token beside the answers. ``templates.reference`` computes what is correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from mftkit import InstructFormat
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import read_conversation
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.encoder import Encoder
from mftkit.interfaces.conversation import Conversation
from mftkit.plugins import installed, kinds
from mftkit_registry.errors import MftError
from templates.chat import Added, Chat, Feature, special
from templates.conversations import (
    CONVERSATIONS,
    look_alikes,
    look_alikes_in_calls,
    look_alikes_in_tools,
)
from templates.conversations import Conversation as Talk
from templates.reference import (
    REFUSALS,
    Expected,
    control_texts,
    encoded,
    ends_with_one_stop,
    expected_of,
    matches,
    shows_all,
    text_of,
)
from templates.table import CALLS_LEFT_OPEN, CHATS


class Sample(NamedTuple):
    """Token ids, and which of them are in the loss."""

    ids: list[int]
    in_loss: list[bool]

    def runs(self) -> list[tuple[int, int]]:
        """The stretches of loss tokens: [start, end)."""
        edges = [
            number
            for number, (one, two) in enumerate(
                zip([False, *self.in_loss], [*self.in_loss, False], strict=True)
            )
            if one != two
        ]
        return list(zip(edges[::2], edges[1::2], strict=True))


def samples_of(chat: Chat, row: dict[str, Any]) -> list[Sample]:
    """The samples that are trained for a row, prepared by the program. Raises ``BadRow``."""
    tokenizer = chat.tokenizer()
    made = chat_format("auto", None, tokenizer)
    conversation = read_conversation(row).value
    assert isinstance(conversation, Conversation)
    formatted = made.render(conversation)
    result = Encoder(tokenizer, made.controls).encode(formatted)
    samples, token, span = [], 0, 0
    for length, spans in zip(result.lengths, result.span_counts, strict=True):
        in_loss = [False] * length
        for place in range(span, span + spans):
            start, end = result.spans[2 * place], result.spans[2 * place + 1]
            in_loss[start:end] = [True] * (end - start)
        samples.append(Sample(list(result.tokens[token : token + length]), in_loss))
        token, span = token + length, span + spans
    return samples


def known_formats() -> list[Chat]:
    """The chat formats that the built-in adapters know."""
    formats: dict[str, InstructFormat] = {}
    for row in installed.registry().plugins:
        if row.kind == kinds.MODEL_ADAPTER.name and row.distribution == "mftkit":
            adapter = installed.build(kinds.MODEL_ADAPTER, row.name, {})
            formats |= {known.name: known for known in adapter.instruct_formats}
    return [_chat(known) for known in formats.values()]


def _chat(known: InstructFormat) -> Chat:
    texts = dict.fromkeys((*known.tokens, known.end, "<s>", "</s>", "<pad>"))
    added: tuple[Added, ...] = special(*texts)
    features: set[Feature] = {"system", "users in a row"}
    return Chat(
        f"adapter's {known.name}",
        known.template,
        added,
        eos="</s>",
        stops=(known.end,),
        bos="<s>",
        pad="<pad>",
        supports=frozenset(features),
        unclosed=(known.end, known.end),
    )


ALL = [*CHATS, *known_formats()]


def loss_tokens_of(chat: Chat, talk: Talk) -> list[tuple[Sample, int, int]]:
    """Every stretch of loss tokens of the samples of a conversation."""
    return [(sample, *run) for sample in samples_of(chat, talk.row()) for run in sample.runs()]


def check(chat: Chat, talk: Talk) -> None:
    """Fails unless each answer is trained as it is in use, and nothing else is."""
    found = loss_tokens_of(chat, talk)
    right = {number: expected_of(chat, talk, number) for number in talk.answers()}
    trained = set()
    for sample, start, end in found:
        matching = [
            number
            for number, accepted in right.items()
            if any(matches(chat, expected, sample.ids, start, end) for expected in accepted)
        ]
        assert matching, _difference(chat, sample, start, end, right)
        assert ends_with_one_stop(chat, sample.ids[start:end])
        trained.update(matching)
    assert trained == set(right), f"not trained: the answers in the messages {sorted(set(right) - trained)}"


def _difference(chat: Chat, sample: Sample, start: int, end: int, right: dict[int, list[Expected]]) -> str:
    tokens = chat.tokenizer().convert_ids_to_tokens
    shown = [f"before: {tokens(sample.ids[:start])}\nloss:   {tokens(sample.ids[start:end])}"]
    for number, accepted in right.items():
        for expected in accepted:
            prompt, whole = encoded(chat, expected.prompt), encoded(chat, expected.prompt + expected.answer)
            shown.append(
                f"message {number}\nbefore: {tokens(prompt)}\nloss:   {tokens(whole[len(prompt) :])}"
            )
    return "these loss tokens are none of the answers, or stand behind another prompt:\n" + "\nor ".join(
        shown
    )


@pytest.mark.parametrize("talk", CONVERSATIONS, ids=str)
@pytest.mark.parametrize("chat", ALL, ids=str)
def test_each_answer_is_trained_after_the_prompt_in_use_and_nothing_else_is(chat: Chat, talk: Talk) -> None:
    if not talk.needs <= chat.supports:
        return
    reasons = any("reasoning_content" in message for message in talk.messages)
    try:
        check(chat, talk)
    except (
        BadRow
    ) as error:  # reasoning that a template does not render cannot be trained, and is never dropped silently
        assert reasons
        assert chat.reasoning is None
        assert "reasoning" in str(error)


@pytest.mark.parametrize("talk", [talk for talk in CONVERSATIONS if talk.needs], ids=str)
@pytest.mark.parametrize("chat", ALL, ids=str)
def test_what_a_template_cannot_show_is_refused_or_trained_as_the_template_shows_it(
    chat: Chat, talk: Talk
) -> None:
    if talk.needs <= chat.supports:
        return
    try:
        samples_of(chat, talk.row())
    except BadRow:
        return
    try:
        check(chat, talk)
    except REFUSALS as error:
        pytest.fail(f"the template refuses this conversation, but it is trained: {error}")


@pytest.mark.parametrize("name", ["call as the last turn", "calls without tools"])
def test_a_call_that_the_template_does_not_end_is_refused_or_ended(name: str) -> None:
    chat = CALLS_LEFT_OPEN
    [talk] = [talk for talk in CONVERSATIONS if talk.name == name]
    try:
        found = loss_tokens_of(chat, talk)
    except (BadRow, MftError):
        return
    for sample, start, end in found:
        assert ends_with_one_stop(chat, sample.ids[start:end])


@pytest.mark.parametrize("chat", ALL, ids=str)
def test_what_the_adapters_know_supports_what_the_table_says(chat: Chat) -> None:
    for talk in CONVERSATIONS:
        if talk.needs <= chat.supports:
            assert shows_all(chat, talk), talk


@pytest.mark.parametrize("talk_with", [look_alikes, look_alikes_in_calls, look_alikes_in_tools])
@pytest.mark.parametrize("chat", ALL, ids=str)
def test_contents_that_look_like_control_tokens_stay_text(
    chat: Chat, talk_with: Callable[[tuple[str, ...]], Talk]
) -> None:
    harmless = talk_with(("a", "b"))
    if not harmless.needs <= chat.supports:
        return
    # Tokens around calls alone (<tool_call>) are tokens in contents, too: data has them there as the model writes them.
    texts = tuple(text for text in control_texts(chat, harmless) if text not in chat.around_calls())
    talk = talk_with(texts)
    known = chat.tokenizer().get_added_vocab()
    controls = {known[text] for text in texts}
    right = {number: expected_of(chat, talk, number) for number in talk.answers()}
    plain = {number: expected_of(chat, harmless, number) for number in talk.answers()}
    trained = set()
    for sample, start, end in loss_tokens_of(chat, talk):
        before, answer = sample.ids[:start], sample.ids[start:end]
        matching = [
            number
            for number, accepted in right.items()
            if any(
                _equal_but_for_spaces(text_of(chat, before), expected.prompt)
                and _equal_but_for_spaces(text_of(chat, answer, before), expected.answer)
                for expected in accepted
            )
        ]
        assert matching, _difference(chat, sample, start, end, right)
        counted = Counter(token for token in before + answer if token in controls)
        assert any(
            counted == Counter(t for t in encoded(chat, expected.prompt + expected.answer) if t in controls)
            for number in matching
            for expected in plain[number]
        ), f"control tokens in the contents: {chat.tokenizer().convert_ids_to_tokens(sample.ids)}"
        assert answer[-1] in {known[stop] for stop in chat.stops if stop in known}
        trained.update(matching)
    assert trained == set(right)


def _equal_but_for_spaces(one: str, two: str) -> bool:
    """Return True if two texts differ in white space only: decoders of sentencepiece add and take spaces."""
    return "".join(one.split()) == "".join(two.split())
