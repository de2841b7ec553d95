"""Chat templates: answers and what ends them count, and the tokens are those of the template itself."""

from typing import Any

import pytest

from data_path import CHATML, ENDLESS, GEMMA, LLAMA2, LLAMA3, THINKING, legacy_llama, tokenizer
from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import read_conversation
from mftkit.data.text.encoder import Encoder
from mftkit.data.text.template import Template
from mftkit.interfaces.conversation import Conversation, Turn

STYLES = {"chatml": CHATML, "llama3": LLAMA3, "llama2": LLAMA2, "thinking": THINKING, "gemma": GEMMA}
ENDS = {
    "chatml": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "llama2": " </s>",
    "thinking": "<|im_end|>",
    "gemma": "<end_of_turn>",
}
TALK = ("Add two numbers.", "def add(a, b): return a + b", "Now subtract.", "def sub(a, b): return a - b")


def conversation(*contents: str, system: str | None = None) -> Conversation:
    turns = [Turn("assistant" if i % 2 else "user", content) for i, content in enumerate(contents)]
    return Conversation((*([Turn("system", system)] if system else []), *turns))


def messages(talk: Conversation) -> list[dict[str, str]]:
    return [{"role": turn.role, "content": turn.content} for turn in talk.turns]


def notes(chat: Template, talk: Conversation) -> str:
    """What is reported of a conversation."""
    found: list[str] = []
    chat.render(talk, lambda text, example="": found.append(text + example))
    return " ".join(found)


def encoded(tok: Any, talk: Conversation) -> tuple[list[int], list[bool]]:
    """Ids, and which of them count."""
    chat = Template(tok)
    sample = Encoder(tok, chat.controls).encode(chat.render(talk)[-1:])
    counts = [False] * len(sample.tokens)
    for start, end in zip(sample.spans[::2], sample.spans[1::2], strict=True):
        counts[start:end] = [True] * (end - start)
    return list(sample.tokens), counts


def answers(tok: Any, ids: list[int], counts: list[bool]) -> list[str]:
    """The stretches that count, as text."""
    runs: list[list[int]] = []
    for i, token in enumerate(ids):
        if counts[i]:
            runs.append([]) if not i or not counts[i - 1] else None
            runs[-1].append(token)
    return [tok.decode(run) for run in runs]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("turns", [2, 4])
def test_ids_are_the_templates_own_and_only_answers_count(style: str, turns: int) -> None:
    tok = tokenizer(STYLES[style])
    talk = conversation(*TALK[:turns])
    ids, counts = encoded(tok, talk)
    assert ids == tok.apply_chat_template(messages(talk), tokenize=True)["input_ids"]
    lead = {"llama2": " "}.get(style, "")
    expected = [lead + answer + ENDS[style] for answer in TALK[1:turns:2]]
    if style == "thinking":  # the last answer begins where the model is prompted
        expected[-1] = "<think>\n\n</think>\n\n" + expected[-1]
    assert answers(tok, ids, counts) == expected


@pytest.mark.parametrize("style", STYLES)
def test_what_stands_before_the_first_answer_is_what_inference_is_prompted_with(style: str) -> None:
    tok = tokenizer(STYLES[style])
    talk = conversation("Add.\n", "    return a + b", system=None if style == "gemma" else "Be short.")
    ids, counts = encoded(tok, talk)
    prompt = tok.apply_chat_template(messages(talk)[:-1], add_generation_prompt=True)["input_ids"]
    assert ids[: counts.index(True)] == prompt


@pytest.mark.parametrize("style", ["chatml", "llama3", "llama2", "thinking"])
def test_system_turn_is_read_and_does_not_count(style: str) -> None:
    tok = tokenizer(STYLES[style])
    talk = conversation(*TALK, system="You write Python.")
    ids, counts = encoded(tok, talk)
    assert ids == tok.apply_chat_template(messages(talk), tokenize=True)["input_ids"]
    assert len(answers(tok, ids, counts)) == 2
    assert "You write" not in "".join(answers(tok, ids, counts))


def test_a_template_that_refuses_a_turn_is_a_bad_row() -> None:
    with pytest.raises(BadRow, match=r"System role not supported.*markers"):
        Template(tokenizer(GEMMA)).render(conversation(*TALK, system="You write Python."))


def test_a_template_that_strips_says_so_and_one_that_does_not_keeps_every_space() -> None:
    talk = conversation("Go on.", "    return a\n")
    assert "strips" in notes(Template(tokenizer(LLAMA3)), talk)
    [kept] = Template(tokenizer(CHATML)).render(talk)
    assert not notes(Template(tokenizer(CHATML)), talk)
    assert "    return a\n<|im_end|>" in kept.segments[1].text


def test_only_some_contents_stripped_are_found_all_the_same() -> None:
    half = CHATML.replace(
        "{{ m['content'] }}", "{{ m['content'] | trim if m['role'] == 'user' else m['content'] }}"
    )
    tok = tokenizer(CHATML)
    tok.chat_template = half
    talk = conversation(" one ", " two ", " three ", " four ")
    ids, counts = encoded(tok, talk)
    assert ids == tok.apply_chat_template(messages(talk), tokenize=True)["input_ids"]
    assert answers(tok, ids, counts) == [" two <|im_end|>", " four <|im_end|>"]


def test_thoughts_that_a_template_takes_out_of_earlier_turns() -> None:
    tok = tokenizer(THINKING)
    talk = conversation("One?", "<think>\nhm\n</think>\n\none", "Two?", "<think>\nso\n</think>\n\ntwo")
    ids, counts = encoded(tok, talk)
    assert answers(tok, ids, counts) == ["one<|im_end|>", "<think>\nso\n</think>\n\ntwo<|im_end|>"]
    assert ids == tok.apply_chat_template(messages(talk), tokenize=True)["input_ids"]
    assert "strips or rewrites" in notes(Template(tok), talk)


def test_without_an_end_of_turn_the_end_of_text_is_appended() -> None:
    tok = tokenizer(ENDLESS)
    samples = Template(tok).render(conversation(*TALK))
    ends = [[part.text for part in sample.segments if part.in_loss == "all"] for sample in samples]
    assert ends == [
        [TALK[1] + "\n</s>"],
        [TALK[3] + "\n</s>"],
    ]  # no later prompt has this end, so each has its own


def test_a_template_that_hides_a_turn_names_the_way_out() -> None:
    tok = tokenizer(CHATML)
    tok.chat_template = "{% for m in messages %}{{ m['content'] | upper }}<|im_end|>{% endfor %}"
    with pytest.raises(BadRow, match=r'chat\.format "markers"'):
        Template(tok).render(conversation(*TALK))


@pytest.mark.parametrize("style", STYLES)
def test_look_alikes_in_contents_stay_text(style: str) -> None:
    """special_tokens_in_content of the messy inputs, with this template's own tokens added."""
    tok = tokenizer(STYLES[style])
    shown = " ".join(tok.all_special_tokens)
    row = {
        "messages": [
            {"role": "user", "content": shown + "<s>bot\n</s>[INST]"},
            {"role": "assistant", "content": f"x {shown} y"},
        ]
    }
    talk = read_conversation(row).value
    assert isinstance(talk, Conversation)
    ids, counts = encoded(tok, talk)
    plain = encoded(tok, conversation("a", "b"))
    special = set(tok.all_special_ids)
    assert [i for i in ids if i in special] == [i for i in plain[0] if i in special]
    assert sum(counts[i] for i, token in enumerate(ids) if token in special) == 1
    [answer] = answers(tok, ids, counts)
    assert answer.removeprefix("<think>\n\n</think>\n\n").strip().startswith(f"x {shown} y")
    assert tok.decode(ids) == tok.apply_chat_template(messages(talk), tokenize=False)


def test_a_thought_in_an_answer_stays_a_token() -> None:
    tok = tokenizer(THINKING)
    ids, counts = encoded(tok, conversation("One?", "<think>\nhm\n</think>\n\none"))
    assert counts[ids.index(tok.convert_tokens_to_ids("<think>"))]


def test_tokenizers_that_put_a_space_before_a_text_put_none_before_an_answer() -> None:
    tok = legacy_llama()
    talk = conversation(*TALK)
    ids, counts = encoded(tok, talk)
    assert ids == tok.apply_chat_template(messages(talk), tokenize=True)["input_ids"]
    tok.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    ids, counts = encoded(tok, conversation("hi", "def add"))
    first = tok.convert_ids_to_tokens(ids)[counts.index(True)]
    assert not first.startswith("▁")


def test_a_look_alike_is_no_rewriting() -> None:
    tok = tokenizer(CHATML)
    assert notes(Template(tok), conversation("a <|im_end|> b", "c <|im_end|><|im_start|> d <|im_end|>")) == ""
