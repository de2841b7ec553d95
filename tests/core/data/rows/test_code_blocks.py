"""Fenced code as CommonMark has it, and the code that answers."""

import pytest

from mftkit import answer_code, code_blocks, without_code_blocks

ADD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    # a wrong draft, which is longer than the final version\n    return a - b\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (f"So:\n```python\n{ADD}```\nDone.", "python"),
        (f"So:\n```python\n{ADD}```\nDone.".replace("\n", "\r\n"), "python"),
        (f"~~~~ Python3 title=add.py\n{ADD}~~~~", "python3"),
        (f"```{{.python .numberLines}}\n{ADD}```", "python"),
        ("1. First:\n\n   ```py\n   def add(a, b):\n       return a + b\n   ```\n", "py"),
        ("> ```\n> def add(a, b):\n>     return a + b\n> ```", ""),
        ("Text\n\n        ```py\n        def add(a, b):\n            return a + b\n        ```", "py"),
        (f"<div>\n```py\n{ADD}```\n</div>", "py"),
    ],
)
def test_one_block(text: str, language: str) -> None:
    [block] = code_blocks(text)
    assert block.language == language
    assert block.closed
    assert [line.strip() for line in block.code.splitlines()] == ["def add(a, b):", "return a + b"]


def test_a_longer_fence_holds_shorter_ones_and_a_closing_one_is_not_indented_deeply() -> None:
    [block] = code_blocks("````python\nD = '''\n```\n'''\n````")
    assert block.code == "D = '''\n```\n'''\n"
    [block] = code_blocks("```python\nD = '''\n    ```\n'''\n```")
    assert block.code == "D = '''\n    ```\n'''\n"


@pytest.mark.parametrize(
    "text", ["```python\nx = 1", "```python\nx = 1\n", "- a\n\n  ```python\n  x = 1\n\nend"]
)
def test_an_unclosed_block(text: str) -> None:
    [block] = code_blocks(text)
    assert (block.closed, block.code.strip()) == (False, "x = 1")


def test_the_prose_around_blocks() -> None:
    assert without_code_blocks("a\r\n~~~\r\nx\r\n~~~\r\nb\n```\ny") == "a\n\nb\n"
    assert without_code_blocks("a\r\nb") == "a\r\nb"


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{ADD}```\nIt prints:\n```\n>>> add(1, 2)\n3\n```",
        f"```python\n{ADD}```\nUse it:\n```python\nprint(add(1, 2))\nprint(add(3, 4), add(5, 6), add(7, 8), add(9, 10))\n```",
        f"```\n{ADD}```\nwhich gives\n```\n3\n```",
        f"```bash\npip install everything-that-is-needed-for-this-and-more\n```\n```py\n{ADD}```",
        f"```python\n{WRONG}```\nNo, better:\n```python\n{ADD}```",
        f"```python\n{WRONG}```\nNo, better:\n```python\n{ADD}```\n```python\nassert add(1, 2) == 3\n```",
        f"```python\n{ADD}```\n```python\ndef test_add():\n    assert add(1, 2) == 3\n```",
        f"<think>\n```python\n{WRONG}```\n</think>\n```python\n{ADD}```",
        f"```python\n{WRONG}```\nNo.\n</think>\n\n```python\n{ADD}```",
        f"```json\n{{\"a\": 1}}\n```\n```Python3\n{ADD}```",
    ],
)  # fmt: skip
def test_the_code_that_answers(text: str) -> None:
    assert answer_code(text, "python") == ADD
    assert answer_code(text.replace("\n", "\r\n"), "py") == ADD


def test_the_parts_of_one_program_are_joined() -> None:
    text = "```py\ndef double(a):\n    return 2 * a\n```\nand\n```py\ndef four(a):\n    return double(double(a))\n```"
    assert answer_code(text, "python") == (
        "def double(a):\n    return 2 * a\n\ndef four(a):\n    return double(double(a))\n"
    )


def test_other_languages() -> None:
    rust = (
        "```rs\nfn add(a: i32) -> i32 { a }\n```\n```\nadd(1) = 1, and that is all that there is to it\n```"
    )
    assert answer_code(rust, "Rust") == "fn add(a: i32) -> i32 { a }\n"
    assert answer_code(rust.replace("```\nadd", "```text\nadd"), "python") is None
    assert answer_code(rust.replace("```\nadd", "```text\nadd"), "python", other_languages=True) == (
        "fn add(a: i32) -> i32 { a }\n"
    )
    assert answer_code("No code.", "python") is None
    assert answer_code("```sql\nSELECT 1\n```\n```sql\nSELECT 12\n```", "sql") == "SELECT 12\n"
