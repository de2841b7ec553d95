"""Places of Python's syntax nodes."""

import ast
import time

import pytest

from mftkit_plugins.task_formats.fim.syntax import syntax_spans

CODE = '''@decorated(1)
def área(a, b=2, *rest, c: int = 3, **more):
    """Text ü."""
    return max(a * b, key=len, default='é')


class A:
    x = 1
'''


def found(text: str) -> dict[str, list[str]]:
    return {
        kind: [text[span.start : span.end] for span in spans] for kind, spans in syntax_spans(text).items()
    }


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_spans_are_whole_nodes_whatever_ends_the_lines(ends: str) -> None:
    text = CODE.replace("\n", ends)
    nodes = found(text)
    assert "return max(a * b, key=len, default='é')" in nodes["statement"]
    assert f"class A:{ends}    x = 1" in nodes["statement"]
    assert any(each.startswith("@decorated(1)") and each.endswith("'é')") for each in nodes["statement"])
    assert "a * b, key=len, default='é'" in nodes["arguments"]
    assert any(each.startswith("a, b=2") and "more" in each for each in nodes["arguments"])
    assert any(each.startswith('"""Text ü."""') and each.endswith("'é')") for each in nodes["body"])
    assert {"max(a * b, key=len, default='é')", "a * b", "'é'"} <= set(nodes["expression"])
    for expression in nodes["expression"]:
        ast.parse(expression.strip(), mode="eval")


@pytest.mark.parametrize("text", ["def f(:", "x = 1\0", "(" * 5000, "fn main() {}", "", "\ufeff"])
def test_what_does_not_parse_has_no_spans(text: str) -> None:
    assert syntax_spans(text) == {}


def test_the_whole_text_is_no_span_and_huge_texts_do_not_hang() -> None:
    assert all(each != "x" for each in found("x").get("expression", []))
    start = time.monotonic()
    assert syntax_spans("x = 1\n" * 400_000) == {}
    assert time.monotonic() - start < 5
