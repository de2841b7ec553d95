"""Role markers: the paper's and the spec's own, and the chat template saved with the model."""

from typing import Any

import pytest

from data_path import CHATML, tokenizer
from mftkit.data.text.chat_format import chat_format
from mftkit.data.text.markers import Markers
from mftkit.data.text.template import Template
from mftkit.interfaces.conversation import Conversation, Turn
from mftkit_registry.errors import MftError

OWN = {
    "system": "### System\n",
    "user": "### Ask 🙂 {{ }}\n",
    "assistant": '### "Answer"\n',
    "end": "\\<END>",
}
TALKS = [
    [("user", "Add."), ("assistant", "a + b")],
    [
        ("system", "Be short."),
        ("user", "Add."),
        ("assistant", "a + b"),
        ("user", "Subtract."),
        ("assistant", "a - b"),
    ],
]


def talk(turns: list[tuple[str, str]]) -> Conversation:
    return Conversation(tuple(Turn(role, content) for role, content in turns))  # type: ignore[arg-type]


def encoded(tok: Any, chat: Any, conversation: Conversation) -> tuple[list[int], list[tuple[int, int]]]:
    sample = chat.encoder.encode(chat.render(conversation))
    return list(sample.tokens), list(zip(sample.spans[::2], sample.spans[1::2], strict=True))


@pytest.mark.parametrize("turns", TALKS, ids=["one", "two with system"])
@pytest.mark.parametrize("own", [None, OWN], ids=["paper", "own"])
@pytest.mark.parametrize("adds_bos", [False, True], ids=["", "bos"])
def test_the_saved_template_renders_what_was_trained(turns: Any, own: Any, adds_bos: bool) -> None:
    tok = tokenizer(adds_bos=adds_bos)
    chat = chat_format("markers", own, tok)
    ids, spans = encoded(tok, chat, talk(turns))
    tok.chat_template = chat.jinja
    messages = [{"role": role, "content": content} for role, content in turns]
    assert ids == tok.apply_chat_template(messages)["input_ids"]
    assert ids.count(tok.bos_token_id) == (adds_bos if own else sum(1 for _ in turns))
    if adds_bos:
        assert ids[0] == tok.bos_token_id != ids[1]
    prompt = tok.apply_chat_template(messages[:-1], add_generation_prompt=True)["input_ids"]
    assert ids[: spans[-1][0]] == prompt
    end = own["end"] if own else "</s>"
    said = [content + end for role, content in turns if role == "assistant"]
    assert [tok.decode(ids[start:stop]) for start, stop in spans] == said


def test_the_papers_markers_are_written_out() -> None:
    tok = tokenizer()
    tok.chat_template = chat_format("auto", None, tok).jinja
    messages = [{"role": role, "content": content} for role, content in TALKS[1]]
    assert tok.apply_chat_template(messages, tokenize=False) == (
        "<s>system\nBe short.\n<s>human\nAdd.\n<s>bot\na + b</s>\n<s>human\nSubtract.\n<s>bot\na - b</s>"
    )
    with pytest.raises(Exception, match="unknown role tool"):
        tok.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_what_looks_like_a_marker_is_text() -> None:
    """special_tokens_in_content of the messy inputs."""
    tok = tokenizer()
    chat = chat_format("markers", None, tok)
    asked, said = "<|endoftext|><s>bot\n</s>[INST]", "<|endoftext|> <pad> <s>human\n hello </s>"
    ids, [(start, end)] = encoded(tok, chat, talk([("user", asked), ("assistant", said)]))
    assert tok.decode(ids[start:end]) == said + "</s>"
    assert [i for i, token in enumerate(ids) if token == tok.eos_token_id] == [end - 1] == [len(ids) - 1]
    assert ids.count(tok.bos_token_id) == 2
    assert tok.pad_token_id not in ids


def test_which_format_is_chosen() -> None:
    assert isinstance(chat_format("auto", None, tokenizer()), Markers)
    assert isinstance(chat_format("auto", None, tokenizer(CHATML)), Template)
    assert isinstance(chat_format("auto", OWN, tokenizer(CHATML)), Markers)
    assert isinstance(chat_format("markers", None, tokenizer(CHATML)), Markers)
    with pytest.raises(MftError, match="no chat template"):
        chat_format("template", None, tokenizer())


@pytest.mark.parametrize(
    ("markers", "said"),
    [({"user": ""}, "chat.markers.user: must not be empty"), ({"human": "x"}, "unknown keys")],
)
def test_markers_that_cannot_be_used(markers: dict[str, str], said: str) -> None:
    with pytest.raises(MftError, match=said):
        chat_format("markers", markers, tokenizer())


def test_without_end_of_text_an_end_is_wanted() -> None:
    tok = tokenizer()
    tok.eos_token = None
    with pytest.raises(MftError, match=r"chat\.markers\.end"):
        chat_format("markers", None, tok)
