"""Prompts for the chat model, and reading of its replies."""

from __future__ import annotations

from typing import NamedTuple

from mftkit import answer_code, code_blocks

TESTS = """\
Write tests in Python for solutions of this task:

{question}

A solution defines {names}. Write assert statements on what it must do, with results that you are sure of; cover \
ordinary cases and those at the borders. The names are there already: do not define or import them.
Reply with one block of Python code."""
BOTH = """\
Solve this task in Python, and write tests for solutions of it:

{question}

Reply with two blocks of Python code. The first is the solution, as functions or classes, without tests and without \
examples. The second has assert statements on what it must do, with results that you are sure of; the solution's names \
are there already: do not define or import them."""
REPAIR_SOLUTION = """\
This solution of a task fails its tests. The task:

{question}

The solution:

```python
{solution}
```

The tests, which are right:

```python
{tests}
```

The error:

```
{error}
```

Reply with one block of Python code: the whole solution, mended, without the tests."""
REPAIR_BOTH = """\
This solution of a task fails its tests; the one or the other is wrong. The task:

{question}

The solution:

```python
{solution}
```

The tests:

```python
{tests}
```

The error:

```
{error}
```

Reply with two blocks of Python code: the whole solution and all tests, mended where they are wrong."""


class Answer(NamedTuple):
    """Code taken from a reply."""

    solution: str | None
    tests: str | None


def read_tests(reply: str) -> Answer | None:
    """Read all code of a reply as tests; None if it has no code."""
    codes = _codes(reply)
    return Answer(None, "\n\n".join(codes)) if codes else None


def read_solution(reply: str) -> Answer | None:
    """Read the code that answers as the solution; None if there is none."""
    code = answer_code(reply, "python")
    return None if code is None else Answer(code.strip("\n"), None)


def read_both(reply: str) -> Answer | None:
    """Read the first block as the solution and the others as tests; None if there are fewer than two."""
    codes = _codes(reply)
    return Answer(codes[0], "\n\n".join(codes[1:])) if len(codes) > 1 else None


def _codes(reply: str) -> list[str]:
    found = [block for block in code_blocks(reply) if block.code.strip()]
    labelled = [block for block in found if block.is_in("python")]
    return [block.code.strip("\n") for block in labelled or [block for block in found if not block.language]]
