from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mftkit.data.rows.faults import BadRow
from mftkit.data.rows.formats import PAIRS, TextContent, content_digest, read_conversation, read_text
from mftkit.interfaces.conversation import Conversation, Turn

TALK = (Turn("user", "ask"), Turn("assistant", "answer"))


def parse_row(row: Mapping[str, object], row_format: str) -> object:
    """The content of a row of a task with this format."""
    return (read_text if row_format == "text" else read_conversation)(row).value


@pytest.mark.parametrize(
    "row",
    [
        {"chat_rounds": [{"role": "human", "content": "ask"}, {"role": "bot", "content": "answer"}]},
        {"chat_rounds": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "answer"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "sk"}]},
                      {"role": "assistant", "content": "answer"}]},
        {"conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "answer"}]},
        *({one: "ask", two: "answer"} for one, two in PAIRS),
    ],
    ids=lambda row: "/".join(row),
)  # fmt: skip
def test_every_format_gives_the_same_conversation(row: dict[str, object]) -> None:
    assert parse_row({"id": 1, "other": None, **row}, "chat") == Conversation(TALK)


def test_instruction_takes_its_input_and_a_pair_its_system() -> None:
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be short."}
    found = parse_row(row, "chat")
    assert found == Conversation(
        (Turn("system", "Be short."), Turn("user", "Add.\n\n1 2"), Turn("assistant", "3"))
    )


def test_the_tasks_format_decides_a_row_that_has_both() -> None:
    row = {"text": "raw", "prompt": "ask", "answer": "answer"}
    assert parse_row(row, "text") == TextContent("raw")
    assert parse_row(row, "chat") == Conversation(TALK)


@pytest.mark.parametrize(
    ("row", "row_format", "said"),
    [
        ({"text": "raw"}, "chat", 'set its format to "text"'),
        ({"prompt": "a", "answer": "b"}, "text", 'set its format to "chat"'),
        ({"text": " \n"}, "text", "white space only"),
        ({"text": 3}, "text", "must be a string, not a number"),
        ({"prompt": "a", "answer": ""}, "chat", "'answer' is empty"),
        ({"prompt": "a"}, "chat", "keys given: 'prompt'"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "chat", "unknown role 'judge'"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "chat", "unknown role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "chat", "list of parts"),
        ({"prompt": "a", "answer": "b", "system": 3}, "chat", "'system' must be a string"),
    ],
)
def test_what_is_wrong_is_said(row: dict[str, object], row_format: str, said: str) -> None:
    with pytest.raises(BadRow) as caught:
        parse_row(row, row_format)
    assert said in str(caught.value)


def test_the_digest_depends_on_task_and_content_alone() -> None:
    pair = read_conversation({"prompt": "ask", "answer": "answer"})
    digest = content_digest("a", pair)
    assert digest == content_digest("a", read_conversation({"question": "ask", "answer": "answer", "id": 3}))
    assert digest != content_digest("b", pair)
    assert digest != content_digest("a", read_conversation({"prompt": "ask", "answer": "answer "}))
    assert content_digest("a", read_text({"text": "x"})) != content_digest("a", read_text({"text": "y"}))


LEAF = st.sampled_from([None, True, 3, 0.5, "", " ", "user", "assistant", "x", "\ud800"])
TURN = st.dictionaries(
    st.sampled_from(["role", "content", "text"]), LEAF | st.lists(LEAF, max_size=2), max_size=3
)
VALUE = LEAF | TURN | st.lists(LEAF | TURN, max_size=4)
KEYS = st.sampled_from(["chat_rounds", "messages", "conversations", "prompt", "answer", "text"])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, VALUE, max_size=3))
def test_any_json_is_a_row_or_a_bad_row(row: dict[str, object]) -> None:
    """Whatever stands in a file, nothing but a verdict comes of it."""
    for row_format in ("chat", "text"):
        with suppress(BadRow):
            found = (read_text if row_format == "text" else read_conversation)(row)
            assert isinstance(found.value, TextContent if row_format == "text" else Conversation)
            assert len(content_digest("task", found)) == 32
