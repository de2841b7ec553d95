"""Reasoning at the start of a text is separated from the answer; mentions of its tags are not."""

from time import monotonic

import pytest

from mftkit.base.reasoning import opened_reasoning, split_reasoning


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>\na\n</think>\n\nb", "a", "b"),
        ("\n<Thinking>a</Thinking> b", "a", "b"),
        ("<reasoning>a</reasoning>\n<answer>\nb\n</answer>", "a", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "a", "b"),
        ("<think>a</think>\n<think>c</think>b", "a\n\nc", "b"),
        ("<think></think>\n\n    return 1", "", "    return 1"),
        ("<think>\n<think>\na\n</think>\nc\n</think>\nb", "<think>\na\n</think>\nc", "b"),
        ("<think>\nThey ask for `</think>`.\n</think>\nb", "They ask for `</think>`.", "b"),
        ("<think>\n```\n</think>\n```\n</think>\nb", "```\n</think>\n```", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "a", "b"),
        ("<|channel|>final<|message|>b", "", "b"),
    ],
)  # fmt: skip
def test_reasoning_and_answer(text: str, reasoning: str, answer: str) -> None:
    assert split_reasoning(text) == (reasoning, answer)


@pytest.mark.parametrize(
    "text", ["a\n</think>\n\nb", "So be it.</think>b", "So be it. </think>\nb", "a\r\n</think>\r\nb"]
)
def test_the_prompt_may_have_opened_the_tag(text: str) -> None:
    found = split_reasoning(text)
    assert found.answer == "b"
    assert "think" not in found.reasoning
    assert split_reasoning(text, may_lack_opening=False).answer == text


@pytest.mark.parametrize(
    "text",
    [
        "<think>\na",
        "<think>",
        "[THINK]a",
        "<|channel|>analysis<|message|>a",
        "a.\n</think>",
        "<think>a</think>",
    ],
)
def test_reasoning_alone_is_no_answer(text: str) -> None:
    assert split_reasoning(text).answer == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "An answer.",
        "Put it between <think> and </think>, as R1 does.",
        "The tag `</think>`\nends it.",
        "To end it, print </think>\nand go on.",
        "```xml\n<think>\na\n</think>\nb\n```\nis the format.",
        "```python\nSTOP = ['\n</think>\n']\n```",
        "First: <think>a</think>\nb",
        "    indented",
    ],
)
def test_a_text_about_tags_is_unchanged(text: str) -> None:
    assert split_reasoning(text) == ("", text)


def test_the_tag_that_a_prompt_ends_with() -> None:
    assert opened_reasoning("<|im_start|>assistant\n<think>\n") == "<think>"
    assert opened_reasoning("<|assistant|>[THINK]") == "[THINK]"
    assert opened_reasoning("assistant\n<think>\n\n</think>\n\n") == ""
    assert opened_reasoning("assistant\n") == ""


@pytest.mark.parametrize(
    "part", ["</think>", "<think></think>", "<think>", "a </think>\n", "`</think>`\n", "<|channel|>"]
)
def test_a_tag_repeated_for_ever_takes_no_time(part: str) -> None:
    before = monotonic()
    split_reasoning(part * (1_000_000 // len(part)))
    assert monotonic() - before < 10
